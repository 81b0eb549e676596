"""The browser client as the edge serves it: bytes, headers, integrity, and what a browser makes of the printed tags."""

import base64
import contextlib
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from kit.edge import BIN, Edge
from kit.process import culvert
from kit.raw import tls
from kit.site import Site

CLIENT = "client: /culvert.js"
BROWSER = Path(__file__).parents[2] / "Sources/CulvertEdge/Browser"
FRESH, FOREVER = "no-cache", "public, max-age=31536000, immutable"
SCRIPT, TYPES = "text/javascript; charset=utf-8", "text/plain; charset=utf-8"


@pytest.fixture(scope="module")
def edge(backend, tmp_path_factory):
    edge = Edge(tmp_path_factory.mktemp("edge"), backend.port, sections=CLIENT)
    yield edge
    edge.end()


def printed(edge, *options):
    """What `culvert client --json` says."""
    done = culvert("client", "--config", edge.config, "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def source(kind):
    return subprocess.run([BIN, "client", "--source", kind], capture_output=True, timeout=20, check=True).stdout


def client(edge):
    return httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=20)


def get(http, path, encoding="identity", method="GET", **headers):
    """(answer, its bytes as they were sent)."""
    with http.stream(method, path, headers={"Accept-Encoding": encoding, **headers}) as answer:
        return answer, b"".join(answer.iter_raw())


def places(facts):
    """(path, kind, how it is cached, type) of every file."""
    for kind, file in facts.items():
        yield file["path"], kind, FRESH, TYPES if kind == "types" else SCRIPT
        if kind != "types":
            yield file["permanent_path"], kind, FOREVER, SCRIPT


# --- what is served --------------------------------------------------------------------------------------------------

def test_every_file_is_there_as_it_is_printed(edge):
    facts = printed(edge)
    assert {path for path, *_ in places(facts)} == {
        "/culvert.js", "/culvert.classic.js", "/culvert.d.ts", f"/culvert.{facts['module']['sha256'][:16]}.js",
        f"/culvert.{facts['classic']['sha256'][:16]}.classic.js"}
    with client(edge) as http:
        for path, kind, caching, media_type in places(facts):
            answer, body = get(http, path)
            assert answer.status_code == 200 and body == source(kind), path
            assert facts[kind]["bytes"] == len(body)
            assert facts[kind]["sha256"] == hashlib.sha256(body).hexdigest()
            assert facts[kind]["integrity"] == "sha384-" + base64.b64encode(hashlib.sha384(body).digest()).decode()
            headers = answer.headers
            assert (headers["Content-Type"], headers["Cache-Control"]) == (media_type, caching)
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cross-Origin-Resource-Policy"] == "cross-origin"
            assert headers["Vary"] == "Accept-Encoding" and "Content-Encoding" not in headers
            # Of a script that is imported by its URL, Deno reads the types from there.
            types = "/culvert.d.ts" if kind == "module" else None
            assert headers.get("X-TypeScript-Types") == types


def test_what_is_compressed_is_the_same(edge):
    facts = printed(edge)
    with client(edge) as http:
        for path, kind, *_ in places(facts):
            plain, body = get(http, path)
            answer, packed = get(http, path, "br, gzip;q=0.8")
            assert answer.headers["Content-Encoding"] == "gzip" and gzip.decompress(packed) == body
            assert len(packed) == facts[kind]["gzip_bytes"] == int(answer.headers["Content-Length"])
            assert answer.headers["ETag"] != plain.headers["ETag"]
            assert get(http, path, "gzip;q=0, br")[1] == body


def test_curl_gets_it(edge, tmp_path):
    out = tmp_path / "culvert.js"
    subprocess.run(["curl", "-sS", "--fail", "--compressed", "--cacert", edge.cert, "-o", out,
                    f"{edge.https}/culvert.js"], check=True, timeout=20)
    assert out.read_bytes() == source("module")


@pytest.mark.parametrize("kind", ["module", "classic"])
def test_it_is_small(edge, kind):
    assert printed(edge)[kind]["gzip_bytes"] < 6 * 1024


def test_comments_and_indentation_are_not_sent(edge):
    for kind in ("module", "classic"):
        text = source(kind).decode().removesuffix("\n")
        assert not re.search(r"(?m)^(\s|//|$)", text)
        # One says what it is.
        assert text.count("/*") == 1 and "Apache-2.0" in text.splitlines()[0]
    assert b"/**" in source("types")


@pytest.mark.skipif(not shutil.which("esbuild"), reason="esbuild is not installed")
def test_it_is_made_of_the_source(tmp_path):
    for name in ("build", "culvert.js"):
        shutil.copy(BROWSER / name, tmp_path)
    subprocess.run([tmp_path / "build"], check=True, timeout=20)
    made = (tmp_path / "culvert.min.js").read_bytes()
    assert made == (BROWSER / "culvert.min.js").read_bytes(), "run Sources/CulvertEdge/Browser/build"
    assert made == source("module")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_who_has_it_is_not_sent_it_again(edge, encoding):
    with client(edge) as http:
        for path, *_, caching, _ in places(printed(edge)):
            tag = get(http, path, encoding)[0].headers["ETag"]
            for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
                answer, body = get(http, path, encoding, **{"If-None-Match": condition})
                assert (answer.status_code, body) == (304, b"")
                assert (answer.headers["ETag"], answer.headers["Cache-Control"]) == (tag, caching)
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert not {"content-length", "content-type", "content-encoding"} & set(answer.headers)
            other = {"identity": "gzip", "gzip": "identity"}[encoding]
            assert get(http, path, other, **{"If-None-Match": tag})[0].status_code == 200


def test_head_and_other_methods(edge):
    with client(edge) as http:
        for path, *_ in places(printed(edge)):
            expected, _ = get(http, path, "gzip")
            answer, body = get(http, path, "gzip", method="HEAD")
            assert (answer.status_code, answer.headers, body) == (200, expected.headers, b"")
            for method in ("POST", "PUT", "DELETE", "OPTIONS"):
                refused = http.request(method, path, headers={"Origin": "https://a.example"})
                assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


def test_anybody_may_have_it_from_any_listener_and_host(edge):
    for base in (edge.https, f"http://127.0.0.1:{edge.plain_port}"):
        with httpx.Client(base_url=base, verify=edge.ssl, timeout=20) as http:
            for headers in ({"Origin": "https://evil.example"}, {"Host": "other.example"},
                            {"Authorization": "Bearer wrong"}, {"Cookie": "culvert_token=wrong"}):
                answer, body = get(http, "/culvert.js?v=1", **headers)
                assert (answer.status_code, body) == (200, source("module"))


# --- beside routes ---------------------------------------------------------------------------------------------------

def problem(answer):
    return answer.status_code, answer.json()["type"].rsplit(":", 1)[1]


def test_files_take_precedence_over_routes(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, sections=CLIENT, extra_routes="""
  - { path: /culvert.js, upstream: echo, authentication: none }
""")
    with tls(edge) as s:
        s.sendall(b"GET /culvert.js HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                  b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        s.settimeout(10)
        answer = b""
        while not answer.endswith(source("module")):
            got = s.recv(65536)
            assert got, answer
            answer += got
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.endswith(source("module"))
    assert fresh_backend.requests == []
    with client(edge) as http:
        # Spelt otherwise it is the route's, and so is what only begins so.
        for path in ("/%63ulvert.js", "/culvert.js/a", "/culvert.js/"):
            assert problem(http.get(path)) == (426, "upgrade_required")
        assert http.post("/culvert.js/_poll").status_code == 201


def test_another_build_is_not_found(edge):
    with client(edge) as http:
        for path in ("/culvert.0123456789abcdef.js", "/culvert.0123456789abcdef.classic.js"):
            assert problem(http.get(path)) == (404, "no_such_build")
        assert problem(http.get("/culvert.01234567.js")) == (426, "upgrade_required")


def test_without_the_key_there_is_none(backend, make_edge):
    edge = make_edge(backend.port)
    with client(edge) as http:
        assert problem(http.get("/culvert.js")) == (426, "upgrade_required")
    done = culvert("client", "--config", edge.config)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f'{edge.config}: no "client", so it is not served; it would be with client: /culvert.js\n'


def test_a_reload_moves_it(backend, make_edge):
    edge = make_edge(backend.port, sections=CLIENT)

    def reload(old, new):
        edge.config.write_text(edge.config.read_text().replace(old, new))
        options = ["--url", f"http://127.0.0.1:{edge.admin_port}", "--token-file", edge.folder / "culvert.admin-token"]
        done = culvert("reload", "--json", *options)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["changed"] == ["client"]

    with client(edge) as http:
        assert http.get("/culvert.js").status_code == 200
        reload(CLIENT, "client: /static/socket.min.js")
        # On the same connection.
        assert problem(http.get("/culvert.js")) == (426, "upgrade_required")
        for path, kind, *_ in places(printed(edge)):
            assert path.startswith("/static/socket.min.")
            assert http.get(path).content == source(kind)
        reload("client: /static/socket.min.js", "")
        assert problem(http.get("/static/socket.min.js")) == (426, "upgrade_required")


def test_who_asks_without_reading_is_not_answered_without_end(backend, make_edge):
    edge = make_edge(backend.port, sections=CLIENT)
    request = b"GET /culvert.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    before, sent = edge.rss, 0
    with tls(edge, receive_buffer=4096) as s:
        s.settimeout(3)
        with contextlib.suppress(TimeoutError):
            for _ in range(95):
                s.sendall(request * 100)
                sent += 100
        assert sent and edge.rss - before < 32 << 20
        # What was sent whole has its answer when the client reads after all, one behind the other.
        s.settimeout(20)
        body, got, answers = source("module"), b"", 0

        def more():
            data = s.recv(65536)
            assert data, "closed too early"
            return data

        while answers < min(sent, 500):
            head, mark, got = got.partition(b"\r\n\r\n")
            while not mark:
                head, mark, got = (head + more()).partition(b"\r\n\r\n")
            while len(got) < len(body):
                got += more()
            assert head.startswith(b"HTTP/1.1 200") and got[:len(body)] == body
            got, answers = got[len(body):], answers + 1


# --- the command -----------------------------------------------------------------------------------------------------

def test_the_command_tells_people_the_same(edge):
    facts = printed(edge, "--origin", "https://edge.example")
    text = culvert("client", "--config", edge.config, "--origin", "https://edge.example").stdout
    for file in facts.values():
        assert file["path"] in text and str(file["bytes"]) in text
    for kind in ("module", "classic"):
        tag = facts[kind]["tag"]
        assert tag in text and facts[kind]["integrity"] in tag
        assert f"https://edge.example{facts[kind]['permanent_path']}" in tag


@pytest.mark.parametrize("options", [
    ["--origin", "edge.example"], ["--origin", "https://edge.example/"], ["--origin", 'https://"><script>'],
    ["--source", "minified"], ["--source", "module", "--json"]])
def test_the_command_refuses_what_makes_no_sense(edge, options):
    assert culvert("client", "--config", edge.config, *options).returncode == 64


# --- in a browser ----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def site():
    site = Site()
    yield site
    site.stop()


def load(browser, site, tag, script):
    """What became of a page with the tag: "function" if it brought CulvertSocket."""
    site.add("/", f"""<title>page</title>
<script>addEventListener("error", (event) => event.target.localName && (globalThis.result = "refused"), true);</script>
{tag}
{script}""")
    browser.driver.get(site.origin + "/")
    return browser.wait("return globalThis.result", what="the script to be loaded or refused")


def classic(browser, site, tag):
    return load(browser, site, tag, "<script>globalThis.result ??= typeof CulvertSocket</script>")


def module(browser, site, tag):
    use = """import("culvert").then(
      (it) => { globalThis.result = it.default === it.CulvertSocket && typeof it.CulvertSocket; },
      () => { globalThis.result = "refused"; });"""
    # The map alone; the script behind it is an example, and cannot say why it was not run.
    return load(browser, site, tag.split('<script type="module">')[0], f'<script type="module">{use}</script>')


@pytest.mark.parametrize("kind, run", [("classic", classic), ("module", module)])
def test_the_printed_tag_works_on_a_page_of_another_origin(browser, edge, site, kind, run):
    facts = printed(edge, "--origin", edge.https)[kind]
    assert run(browser, site, facts["tag"]) == "function"
    wrong = "sha384-" + base64.b64encode(hashlib.sha384(b"another").digest()).decode()
    assert run(browser, site, facts["tag"].replace(facts["integrity"], wrong)) == "refused"


def test_the_printed_module_tag_runs_as_it_stands(browser, edge, site):
    tag = printed(edge, "--origin", edge.https)["module"]["tag"]
    tag = tag.replace("/* … */", "globalThis.result = typeof CulvertSocket;")
    assert load(browser, site, tag, "") == "function"


def test_a_browser_asks_for_a_build_once_and_for_the_plain_path_anew(browser, edge):
    facts = printed(edge)["module"]
    # From the same origin, which may see what a request has cost; without TLS, for what comes with a certificate that
    # is not trusted is not kept.
    browser.driver.get(f"http://localhost:{edge.plain_port}{facts['path']}")
    build, plain = browser.run("""
        const sizes = [];
        for (const path of given) {
          await (await fetch(path)).text();
          performance.clearResourceTimings();
          await (await fetch(path)).text();
          sizes.push(performance.getEntriesByType("resource")[0].transferSize);
        }
        return sizes;""", facts["permanent_path"], facts["path"])
    assert build == 0 and 0 < plain < facts["gzip_bytes"]

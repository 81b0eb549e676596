"""Attacks on the configuration: a file whose reading does not end, and files that `check` takes and `serve` does not."""

import subprocess
import time

import pytest

from kit.admin import Admin
from kit.edge import free_port, make_certificate
from kit.process import culvert, health

LAUGHS = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
SHAPES = {
    "aliases of aliases": LAUGHS,
    "aliases of aliases in a section": LAUGHS + "trusted_proxies: *a8\n",
    "aliases of aliases for a key": LAUGHS + "? *a8\n: 1\n",
    "aliases of aliases in a jwk": LAUGHS + "authentication: { jwt: { keys: [ { jwk: { x: *a8 } } ] } }\n",
    "brackets": "a: " + "[" * 200_000,
    "dashes": "a:\n" + "- " * 200_000,
    "combining marks for a key": "\u0301\u0316" * 100_000 + ": 1\n",
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_file_that_would_take_for_ever_is_refused_at_once(tmp_path, name):
    file = tmp_path / "proxy.yaml"
    file.write_text(SHAPES[name])
    start = time.monotonic()
    done = culvert("check", "--config", file, timeout=60)
    print(f"tried {name}, {file.stat().st_size} bytes: {time.monotonic() - start:.1f} s, {done.stderr.splitlines()[0][:150]}")
    assert done.returncode == 1 and "proxy.yaml:" in done.stderr


def test_a_reload_of_such_a_file_changes_nothing_and_comes_back(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        good = edge.config.read_text()
        edge.config.write_text(good + LAUGHS + "client: *a8\n")
        answer = admin.post("/v1/reload")
        print(f"tried a reload: {answer.status_code} {answer.text[:200]}")
        assert answer.status_code == 422 and "aliases stand for more" in answer.text
        assert health(edge)[0] == 200
        edge.config.write_text(good)
        assert admin.post("/v1/reload").status_code == 200


TOP = """
listen: [ {{ address: "127.0.0.1:{port}"{tls} }} ]
routes: [ {{ path: /, upstream: u, authentication: none }} ]
upstreams: {{ u: {{ servers: [ {{ url: "wss://127.0.0.1:9" }} ]{up} }} }}
{more}
admin: {{ address: none }}
state: none
"""


def tls(certificate, key):
    return {"tls": f", tls: {{ certificates: [ {{ certificate: {certificate}, key: {key} }} ] }}"}


def two(certificate, key):
    return {"tls": ", tls: { certificates: [ { certificate: a.pem, key: a.key }, "
                   f"{{ certificate: {certificate}, key: {key} }} ] }}"}


def jwt(text):
    return {"more": "authentication: { jwt: { " + text + " } }"}


FILES = {
    "nothing": ({}, None),
    "a certificate that is not there": (tls("none.pem", "a.key"), "listen[0].tls"),
    "a key that is not there": (tls("a.pem", "none.key"), "listen[0].tls"),
    "a certificate that is none": (tls("junk.pem", "a.key"), "listen[0].tls"),
    "a certificate that is empty": (tls("empty.pem", "a.key"), "listen[0].tls"),
    "a key of another certificate": (tls("a.pem", "b.key"), "listen[0].tls"),
    "a key of another certificate, for the second name": (two("b.pem", "a.key"), "listen[0].tls.certificates[1]"),
    "a folder for a certificate": (tls(".", "a.key"), "listen[0].tls"),
    "an upstream's ca that is not there": ({"up": ", ca: none.pem"}, "upstreams.u.ca"),
    "an upstream's ca that is none": ({"up": ", ca: junk.pem"}, "upstreams.u.ca"),
    "an upstream's client certificate that is not there": (
        {"up": ", client_certificate: { certificate: none.pem, key: a.key }"}, "upstreams.u.client_certificate"),
    "an upstream's client key of another certificate": (
        {"up": ", client_certificate: { certificate: a.pem, key: b.key }"}, "upstreams.u.client_certificate"),
    "a JWT key that is not there": (jwt("keys: [ { id: k, algorithm: ES256, file: none.pem } ]"), "authentication.jwt.keys[0]"),
    "a JWT key that is none": (jwt("keys: [ { id: k, algorithm: ES256, file: junk.pem } ]"), "authentication.jwt.keys[0]"),
    "a JWT key of another kind": (jwt("keys: [ { id: k, algorithm: RS256, file: a.pem } ]"), "authentication.jwt.keys[0]"),
    "a set of keys that is not there": (jwt("jwks: [ { file: none.json } ]"), "authentication.jwt.jwks[0]"),
    "a set of keys that is none": (jwt("jwks: [ { file: junk.pem } ]"), "authentication.jwt.jwks[0]"),
    "a set of keys that is empty": (jwt("jwks: [ { file: empty.pem } ]"), "authentication.jwt.jwks[0]"),
    "a set of keys that is a device": (jwt("jwks: [ { file: /dev/zero } ]"), "authentication.jwt.jwks[0]"),
    "an authority of a set that is none": (
        jwt('jwks: [ { url: "https://127.0.0.1:9/", ca: junk.pem } ]'), "authentication.jwt.jwks[0].ca"),
}


def auth(text):
    return {"more": "authentication: { " + text + " }"}


TOKEN = 'tokens: [ {{ id: a, sha256: "{}", subject: a, routes: {} }} ]'
DIGEST = "0123456789abcdef" * 4
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
# What is wrong, and where: each was taken, and did something else than it says.
MEANINGS = {
    **{f"an identity header {name}": (auth(f"identity_header: {name}"), "authentication.identity_header") for name in (
        "Host", "X-Forwarded-For", "x_forwarded_for", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Connection", "Upgrade",
        "Sec-WebSocket-Key", "sec.websocket.protocol", "Content-Length", "Transfer-Encoding", "Origin", "Cookie", "Authorization",
        "TE", "Expect")},
    "an admin host that is empty": ({"admin": 'hosts: [ "" ]'}, "admin.hosts[0]"),
    "an admin host for all": ({"admin": 'hosts: [ a.example, "*" ]'}, "admin.hosts[1]"),
    "an admin host with a port": ({"admin": 'hosts: [ "a.example:80" ]'}, "admin.hosts[0]"),
    "an admin host with empty labels": ({"admin": "hosts: [ a..example ]"}, "admin.hosts[0]"),
    "an issuer that is empty": (jwt('issuer: ""'), "authentication.jwt.issuer"),
    "an issuer of a variable that is not set": (jwt('issuer: "${NO_SUCH_ISSUER:-}"'), "authentication.jwt.issuer"),
    "an audience that is empty": (jwt('audience: [ edge, "" ]'), "authentication.jwt.audience"),
    "a claim without a name": (jwt('claims: { routes: "" }'), "authentication.jwt.claims.routes"),
    "a registered claim for routes": (jwt("claims: { routes: sub }"), "authentication.jwt.claims.routes"),
    "a registered claim for origins": (jwt("claims: { origins: exp }"), "authentication.jwt.claims.origins"),
    "one claim for two things": (jwt("claims: { routes: scope, origins: scope }"), "authentication.jwt.claims.origins"),
    "the claim of origins for routes": (jwt("claims: { routes: origins }"), "authentication.jwt.claims.routes"),
    "the digest of nothing": (auth(TOKEN.format(EMPTY, '["/"]')), "authentication.tokens[0].sha256"),
    "a token that opens nothing": (auth(TOKEN.format(DIGEST, "[]")), "authentication.tokens[0].routes"),
    "a host with empty labels": ({"host": "host: a..b,"}, "routes[0].host"),
    "a host that begins with a point": ({"host": "host: .b,"}, "routes[0].host"),
    "a host of a point": ({"host": 'host: ".",'}, "routes[0].host"),
    "an upstream's path with dot segments": ({"path": "/../x"}, "upstreams.u.servers[0].url"),
    "an upstream's path with an encoded one": ({"path": "/a/%2e%2e/x"}, "upstreams.u.servers[0].url"),
    "an upstream's path with empty segments": ({"path": "/a//x"}, "upstreams.u.servers[0].url"),
    "all as it should be": (
        {"admin": 'hosts: [ A.example, "[::1]", b.example. ]', "host": "host: a.example.,", "path": "/a/b/", "more":
         "authentication: { identity_header: Remote-User, jwt: { issuer: i, audience: [ a, b ], "
         "claims: { routes: paths, origins: sites }, routes: [] }, " + TOKEN.format(DIGEST, '["/"]') + " }"}, None),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_check_refuses_what_does_not_do_what_it_says(tmp_path, name):
    parts, place = MEANINGS[name]
    parts = {"admin": "", "host": "", "path": "", "more": "", **parts}
    file = tmp_path / "proxy.yaml"
    file.write_text(f"""
listen: [ {{ address: "127.0.0.1:0" }} ]
routes: [ {{ path: /, {parts["host"]} upstream: u }} ]
upstreams: {{ u: {{ servers: [ {{ url: "ws://127.0.0.1:9{parts["path"]}" }} ] }} }}
{parts["more"]}
admin: {{ {parts["admin"]} }}
""")
    checked = culvert("check", "--config", file, cwd=tmp_path)
    print(f"tried {name}: {checked.returncode} {checked.stderr.strip()[:200]}")
    if place is None:
        assert checked.returncode == 0, checked.stderr
    else:
        assert checked.returncode == 1 and f" {place}: " in checked.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    for name in ("a", "b"):
        make_certificate(folder, name)
    (folder / "junk.pem").write_text("hello\n")
    (folder / "empty.pem").write_text("")
    for command in (
            ["x509", "-in", "a.pem", "-outform", "der", "-out", "der.pem"],
            ["pkey", "-in", "a.key", "-outform", "der", "-out", "der.key"],
            ["pkey", "-in", "a.key", "-pubout", "-out", "public.key"],
            ["pkey", "-in", "a.key", "-aes256", "-passout", "pass:hunter2", "-out", "locked.key"]):
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=folder)
    text = (folder / "a.pem").read_text()
    (folder / "damaged.pem").write_text(text.replace(text.splitlines()[1], "AAAA"))
    return folder


SWAPPED = 'perhaps "certificate" and "key" are swapped'
# The pair of files, and what is said of the file that is wrong.
WORDS = {
    "a key of another certificate": ("a.pem", "b.key", "b.key", "key", "the key does not belong to the certificate"),
    "an encrypted key": ("a.pem", "locked.key", "locked.key", "key", "the key is encrypted"),
    "a public key": ("a.pem", "public.key", "public.key", "key", "the file holds a public key"),
    "a key in DER": ("a.pem", "der.key", "der.key", "key", "the file is no PEM, perhaps DER"),
    "an empty key": ("a.pem", "empty.pem", "empty.pem", "key", "the file is empty"),
    "a folder for a key": ("a.pem", ".", ".", "key", "this is a folder"),
    "a certificate in DER": ("der.pem", "a.key", "der.pem", "certificate", "the file is no PEM, perhaps DER"),
    "an empty certificate": ("empty.pem", "a.key", "empty.pem", "certificate", "the file is empty"),
    "a folder for a certificate": (".", "a.key", ".", "certificate", "this is a folder"),
    "junk for a certificate": ("junk.pem", "a.key", "junk.pem", "certificate", "the file is no PEM; expected"),
    "a damaged certificate": ("damaged.pem", "a.key", "damaged.pem", "certificate", "a PEM certificate in the file is damaged"),
    "a key for a certificate": ("a.key", "a.key", "a.key", "certificate", SWAPPED),
    "a certificate for a key": ("a.pem", "a.pem", "a.pem", "key", SWAPPED),
}


@pytest.mark.parametrize("name", WORDS)
def test_what_is_wrong_with_a_certificate_or_its_key_is_said_in_words(folder, name):
    certificate, key, file, member, words = WORDS[name]
    config = folder / "proxy.yaml"
    parts = {"tls": "", "up": "", "more": ""}
    for place, change in (
            ("listen[0].tls.certificates[0]", tls(certificate, key)),
            ("upstreams.u.client_certificate",
             {"up": f", client_certificate: {{ certificate: {certificate}, key: {key} }}"})):
        config.write_text(TOP.format(port=free_port(), **{**parts, **change}))
        said = culvert("check", "--config", config, cwd=folder).stderr.splitlines()
        [line] = [line for line in said if not line.startswith("warning: ")]
        print(f"tried {name}: {line}")
        assert line.startswith(f"{config}:") and f": {place}.{member}: {folder}/{file}: " in line and words in line
        assert "failedTo" not in line


def test_a_key_of_jwts_that_is_not_there_is_said_to_be_so(folder):
    config = folder / "proxy.yaml"
    keys = jwt("keys: [ { id: k, algorithm: ES256, file: none.pem } ]")
    config.write_text(TOP.format(port=free_port(), **{"tls": "", "up": "", **keys}))
    words = f": authentication.jwt.keys[0].file: {folder}/none.pem: cannot be read: No such file or directory; "
    assert words in culvert("check", "--config", config, cwd=folder).stderr


@pytest.mark.parametrize("name", FILES)
def test_check_refuses_what_serve_would_not_start_with(folder, name):
    parts, place = FILES[name]
    file = folder / "proxy.yaml"
    file.write_text(TOP.format(port=free_port(), **{"tls": "", "up": "", "more": "", **parts}))
    checked = culvert("check", "--config", file, cwd=folder)
    print(f"tried {name}: {checked.returncode} {checked.stderr.strip()[:200]}")
    if place is None:
        assert checked.returncode == 0, checked.stderr
        return
    assert checked.returncode == 1 and place in checked.stderr
    served = culvert("serve", "--config", file, cwd=folder)
    assert served.returncode == 1 and place in served.stderr

"""The configurations of docs/beside.md, with the proxies that they are for."""

import asyncio
import contextlib
import csv
import json
import re
import shlex
import socket
import ssl

import httpx
import pytest
from websockets.asyncio.client import connect

from kit.beside import DOCUMENT, DocumentedEdge, Place, block, caddy, haproxy, nginx
from kit.edge import TOKEN, make_certificate, wait_for
from kit.poll import BATCH, batch, unframe
from kit.process import culvert as command

ORIGIN = "https://app.example.com"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Origin": ORIGIN}
# The client is no trusted proxy, and 127.0.0.1 is one.
ADDRESS = "127.0.0.9"
# The client claims an address that is not its own, in both fields, and a scheme, host and port.
CLAIM = {"X-Forwarded-For": "203.0.113.66", "Forwarded": "for=203.0.113.66;host=evil.example;proto=http",
         "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example", "X-Forwarded-Port": "666"}
# More than nginx and HAProxy buffer, and more than nginx takes unless told to.
LARGE = "x" * 900_000

BY_HTTP = {
    "nginx": lambda place: nginx(place, place.fill(block("Behind nginx", "nginx")), place.front),
    "HAProxy": lambda place: haproxy(place, place.fill(block("Behind HAProxy", "haproxy")), place.front),
    "Caddy": lambda place: caddy(place, place.fill(block("Behind Caddy", "caddy")), place.front),
}
BY_TCP = {
    "nginx": lambda place: nginx(place, place.fill(block("Behind a TCP balancer", "nginx")), place.front),
    "HAProxy": lambda place: haproxy(
        place, place.fill(block("Behind a TCP balancer", "haproxy")), place.front),
}


@pytest.fixture
def place(tmp_path, backend):
    return Place(tmp_path, make_certificate(tmp_path), backend.port)


@contextlib.contextmanager
def culvert(place, heading, others=contextlib.nullcontext()):
    edge = DocumentedEdge(place.folder, place.fill(block(heading, "yaml")), place.admin)
    try:
        with others:
            yield edge
    finally:
        edge.end()


def trust(place):
    return ssl.create_default_context(cafile=str(place.cert))


def talk(place):
    """A native WebSocket and a polled session, which say small and large messages through all that is between."""
    async def native():
        async with connect(f"wss://localhost:{place.front}/chat", ssl=trust(place), max_size=None,
                           local_addr=(ADDRESS, 0), additional_headers={**HEADERS, **CLAIM}) as ws:
            for message in ("hello", LARGE, b"\0\xff"):
                await ws.send(message)
                assert await ws.recv() == message

    asyncio.run(native())
    transport = httpx.HTTPTransport(local_address=ADDRESS, verify=trust(place))
    with httpx.Client(base_url=f"https://localhost:{place.front}", transport=transport, timeout=30,
                      headers={**HEADERS, **CLAIM}) as http:
        opened = http.post("/chat/_poll")
        assert opened.status_code == 201, opened.text
        session = opened.headers["location"]
        sent = http.post(session, content=batch(1, ["hello", LARGE]), headers={"Content-Type": BATCH})
        assert sent.status_code == 200, sent.text
        received = []
        while len(received) < 2:
            answer = http.get(session, params={"ack": len(received)}, headers={"Accept": BATCH})
            assert answer.status_code == 200, answer.text
            received += unframe(answer.content)[2]
        assert received == ["hello", LARGE]
        assert http.delete(session).status_code == 204


def clients(edge):
    return [event["client"] for event in edge.events("session opened")]


def upstream_saw(backend, count=2):
    return [request.headers for request in backend.requests[-count:]]


@pytest.mark.parametrize("proxy", BY_HTTP)
def test_behind_a_proxy_by_http_both_transports_work_and_the_client_keeps_its_address(proxy, place, backend):
    with culvert(place, "Behind nginx", BY_HTTP[proxy](place)) as edge:
        talk(place)
        # All other paths are still the proxy's, also those that begin with the same letters.
        for path in ("/", "/chatter", "/culvert"):
            page = httpx.get(f"https://localhost:{place.front}{path}", verify=trust(place))
            assert (page.status_code, page.text.strip()) == (200, "a page"), path
        # A page of another origin stays out behind the proxy, too.
        refused = httpx.post(f"https://localhost:{place.front}/chat/_poll", verify=trust(place),
                             headers={**HEADERS, "Origin": "https://evil.example"})
        assert refused.status_code == 403
    assert clients(edge) == [ADDRESS] * 2 and "203.0.113.66" not in edge.text
    for headers in upstream_saw(backend):
        assert headers["host"] == f"localhost:{place.front}"
        assert "203.0.113.66" not in str(headers) and "evil.example" not in str(headers)
        assert headers["x-forwarded-proto"] == "https" and headers["x-forwarded-host"] == f"localhost:{place.front}"
        assert headers["x-forwarded-port"] == str(place.front)


@pytest.mark.parametrize("proxy", BY_HTTP)
def test_behind_a_proxy_by_http_the_client_chooses_no_port_by_its_host(proxy, place, backend):
    with culvert(place, "Behind nginx", BY_HTTP[proxy](place)):
        for host in ("localhost", "localhost:9999", f"localhost:{place.front}"):
            opened = httpx.post(f"https://localhost:{place.front}/chat/_poll", verify=trust(place),
                                headers={**HEADERS, **CLAIM, "Host": host})
            assert opened.status_code == 201, (host, opened.text)
            headers = backend.requests[-1].headers
            assert headers["host"] == host and headers["x-forwarded-port"] == str(place.front), host


ARRANGEMENTS = {
    **{f"behind {name} by HTTP": ("Behind nginx", start) for name, start in BY_HTTP.items()},
    **{f"behind {name} by TCP": ("Behind a TCP balancer", start) for name, start in BY_TCP.items()},
    "a name of its own": ("A name of its own", lambda place: contextlib.nullcontext()),
}


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_pages_get_the_browser_client_in_every_arrangement(arrangement, place):
    heading, start = ARRANGEMENTS[arrangement]
    with culvert(place, heading, start(place)) as edge:
        told = json.loads(command("client", "--config", edge.config, "--json").stdout)
        paths = re.findall(r"/culvert[\w.]*\.(?:js|d\.ts)\b", json.dumps(told))
        assert {"/culvert.js", "/culvert.classic.js", "/culvert.d.ts"} < set(paths), told
        for path in paths:
            answer = httpx.get(f"https://localhost:{place.front}{path}", verify=trust(place))
            assert answer.status_code == 200 and "culvert" in answer.text.lower(), (path, answer.text[:80])


def test_the_documented_command_mints_a_token_that_opens_the_documented_route(place):
    with culvert(place, "A name of its own") as edge:
        (text,) = re.findall(r"^  ```sh\n  culvert (.*?)\n  ```$", DOCUMENT.read_text(), re.M | re.S)
        minted = command(*shlex.split(text.replace("proxy.yaml", str(edge.config))))
        assert minted.returncode == 0, minted.stderr
        opening = {"url": f"https://localhost:{place.front}/chat/_poll", "verify": trust(place)}
        assert httpx.post(**opening).status_code == 401
        token = minted.stdout.split()[-1]
        assert httpx.post(**opening, headers={"Authorization": f"Bearer {token}"}).status_code == 201


def test_haproxy_asks_for_readyz_and_sends_no_more_connections_to_a_culvert_that_drains(place):
    def status():
        with socket.socket(socket.AF_UNIX) as stats:
            if stats.connect_ex(str(place.folder / "haproxy.sock")):
                # HAProxy makes the file before it listens there.
                return None
            stats.sendall(b"show stat\n")
            text = b"".join(iter(lambda: stats.recv(65536), b"")).decode().removeprefix("# ")
        (server,) = [row for row in csv.DictReader(text.splitlines()) if row["svname"] == "edge1"]
        return server["status"].split()[0], server["check_status"].split()[-1], server["check_code"]

    with culvert(place, "Behind a TCP balancer", BY_TCP["HAProxy"](place)) as edge:
        wait_for(lambda: status() == ("UP", "L7OK", "200"), what="a check that passes")
        talk(place)
        drain = command("drain", "--config", edge.config, "--delay", "60s")
        assert drain.returncode == 0, drain.stderr
        wait_for(lambda: status() == ("DOWN", "L7STS", "503"), what="a check that fails", timeout=30)
        with pytest.raises((httpx.ConnectError, httpx.ReadError)):
            httpx.post(f"https://localhost:{place.front}/chat/_poll", verify=trust(place), headers=HEADERS)


@pytest.mark.parametrize("proxy", BY_TCP)
def test_behind_a_tcp_balancer_both_transports_work_and_the_client_keeps_its_address(proxy, place, backend):
    with culvert(place, "Behind a TCP balancer", BY_TCP[proxy](place)) as edge:
        talk(place)
    assert clients(edge) == [ADDRESS] * 2


def test_with_a_name_of_its_own_culvert_needs_nothing_else(place):
    with culvert(place, "A name of its own"):
        talk(place)


def test_in_front_of_nginx_both_transports_reach_the_server_behind_it(place, backend):
    text = block("In front of a proxy", "nginx")
    text = text.replace("127.0.0.1:8081", f"127.0.0.1:{place.behind}")
    text = text.replace("127.0.0.1:9000", f"127.0.0.1:{backend.port}")
    place.words.insert(0, ("ws://127.0.0.1:8081", f"ws://127.0.0.1:{place.behind}"))
    with culvert(place, "A name of its own", nginx(place, text, place.behind)):
        talk(place)
    for headers in upstream_saw(backend):
        assert headers["x-forwarded-for"] == ADDRESS


def test_a_process_that_was_killed_leaves_no_session_behind_and_the_next_one_says_404(place):
    """What docs/operations.md says of a crash."""
    with culvert(place, "A name of its own") as edge:
        with httpx.Client(base_url=f"https://localhost:{place.front}", verify=trust(place), timeout=30,
                          headers=HEADERS) as http:
            session = http.post("/chat/_poll").headers["location"]
            edge.process.kill()
            edge.process.wait(10)
            edge.start()
            assert http.get(session).status_code == 404

"""Attacks on the matching of routes: a path or a host is spelt so that the edge finds a broad route that asks for
nothing, and the upstream serves what a narrow route asks a token for."""

import asyncio
import random
import subprocess
import threading

import pytest
from aiohttp import web

from kit.edge import BIN, TOKEN
from kit.heads import ask, upgrade

# `/open` asks for no token and leads to the same upstream as all of these.
NARROW = """
  - { path: /open/admin, upstream: echo }
  - { path: /open/desk, upstream: echo }
  - { path: /open/slash/, upstream: echo }
  - { path: "/open/@ops", upstream: echo }
  - { path: "/open/a+b:c", upstream: echo }
  - { path: "/open/é", upstream: echo }
  - { path: /, host: edge.example, upstream: echo }
  - { path: /, host: "[2001:db8::1]", upstream: echo }
"""
# The last of raw bytes, which HTTP has none of in a target.
REFUSALS = ("bad_path", "ambiguous_path", "bad_request")
AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()

SPELLINGS = {
    "as it is": ["/open/admin", "/open/admin/x"],
    "encoded (aiohttp, Node, nginx)": ["/open/%61dmin", "/open/%40ops", "/open/a%2Bb%3Ac", "/open/%C3%A9", "/%6fpen/admin"],
    "with parameters (Jetty, Tomcat, Spring)": [
        "/open/admin;x=1", "/open/admin;/ws", "/open/admin;x=1/ws", "/open;x/admin", "/open/;x/admin", "/open/%61dmin;y",
        "/open/admin%3Bx=1", "/open/x/..;/admin", "/open/x/..%3B/admin"],
    "encoded twice (behind a gateway that decodes)": [
        "/open/%2561dmin", "/open/%252561dmin", "/open/admin%252Fx", "/open/x/%252e%252e/admin", "/open%252Fadmin"],
    "up to a decoded question mark": ["/open/admin%3Fx", "/open/admin%23x"],
    "as Windows reads names (IIS)": ["/open/admin.", "/open/admin%20", "/open/admin./x", "/open/%u0061dmin"],
    "in another case (IIS, ASP.NET, Express)": ["/open/Admin", "/open/ADMIN/x", "/open/@OPS", "/open/%C3%89", "/OPEN/../open/admin"],
    "in another normal form": ["/open/e%CC%81"],
    "in another case as Unicode has it (Node, Java, Go, Python)": [
        "/open/de%C5%BFk", "/open/des%E2%84%AA", "/open/DES%E2%84%AA/x", "/open/adm%C4%B1n", "/open/%40op%C5%BF"],
    "in compatibility forms": [
        "/open/%EF%BD%84esk", "/open/x/%EF%BC%8E%EF%BC%8E/desk", "/open/%F0%9D%90%9Desk", "/open%EF%BC%8Fdesk",
        "/open/x/%E2%80%A5/desk", "/open/desk%EF%BC%8Fx"],
    "without the slash at the end (Express, Spring, Rails)": ["/open/slash", "/open/SLASH", "/open/slash;", "/open/slash."],
    "in ISO 8859-1 (Jetty, where it is no UTF-8)": ["/open/%E9"],
    "in UTF-8 that is too long": ["/open/x/%c0%ae%c0%ae/admin", "/open/x%c0%afadmin"],
    "with the format of an answer (Rails, Spring)": ["/open/admin.ws", "/open/ADMIN.json", "/open/%40ops.x", "/open/slash.ws", "/open/admin.json/"],
    "with blanks behind (.NET, Python)": [
        "/open/admin+", "/open/admin%C2%A0", "/open/admin%E3%80%80", "/open/desk%E2%80%A8", "/open/admin%E2%80%A6"],
    "in compatibility forms of what ends a name": [
        "/open/admin%EF%BC%9Bx", "/open/admin%EF%BC%9Fx", "/open/admin%CD%BEx", "/open/admin%EF%BC%83"],
    "with characters that show nothing": ["/open/ad%E2%80%8Dmin", "/open/ad%C2%ADmin/x", "/open/%E2%81%A0desk",
        "/open/ad" + "%E2%80%8B" * 60 + "min", "/open/de" + "%CC%87" * 60 + "sk"],
    "with slashes of other kinds": ["/open//admin", "/open/x%2f..%2fadmin", "/open\\admin", "/open/./admin"],
    "with raw bytes": [b"/open/\xc3\xa9", b"/open/\xe9", b"/open/admin\xcc\x81", b"/open/\xff"],
}


EDGE = dict(before="upstream", extra_routes=NARROW)


def raw(path):
    return path if isinstance(path, bytes) else path.encode()


@pytest.mark.parametrize("kind", SPELLINGS)
def test_no_spelling_of_a_narrow_path_takes_a_broad_route(edge, upstream, kind):
    for path in SPELLINGS[kind]:
        for transport in ("websocket", "long-poll"):
            before = len(upstream.heads)
            if transport == "websocket":
                answer = upgrade(edge.plain_port, raw(path))
            else:
                answer = ask(edge.plain_port, "POST", raw(path) + b"/_poll")
            print(f"{kind}: {path} over {transport} is answered {answer.status} {answer.body[:160]}")
            assert answer.status in (400, 401, 404) and len(upstream.heads) == before
            code, detail = answer.problem
            assert detail and (answer.status != 400 or code in REFUSALS)


@pytest.mark.parametrize("path", [
    "/open", "/open/", "/open/administrator", "/open/x;a=1", "/open/x;a=1/y", "/open/100%25", "/open/a%252Fb", "/open/x.y",
    "/open/admin.d/x", "/open/admin.gr%C3%B6%C3%9Fe" + "-und-noch-mehr" * 6 + "/x", "/open/administrator.ws", "/open/a+b", "/open/ad%E2%80%8Dministrator",
    "/open/caf%C3%A9", "/open/desks%E2%84%AA", "/open/slashes", "/open/%EF%BC%A1%EF%BC%A3%EF%BC%8F1", "/open/X", "/open/a%20b", "/open/%E8", "/open/%"])
def test_what_is_no_spelling_of_it_passes_byte_for_byte(edge, upstream, path):
    answer = upgrade(edge.plain_port, path + "?q=%2e;1")
    assert answer.status == 101, answer.body
    assert upstream.heads[-1].startswith(b"GET " + raw(path) + b"?q=%2e;1 HTTP/1.1\r\n")


def test_a_token_opens_no_other_reading_of_its_paths(edge, upstream):
    from kit.edge import NARROW_TOKEN
    fields = f"Authorization: Bearer {NARROW_TOKEN}\r\n".encode()
    for path, status in [("/narrow", 101), ("/narrow/x;y", 101), ("/narrow/%61", 101), ("/narrow;x", 403), ("/narrow.", 403),
                         ("/narrow%3Fx", 403), ("/NARROW", 403), ("/%256earrow", 403), ("/narrow;/x", 403)]:
        answer = upgrade(edge.plain_port, path, fields)
        print(f"{path} with a token for /narrow is answered {answer.status}")
        assert answer.status == status, answer.body


@pytest.mark.parametrize("host", ["edge.example", "EDGE.example", "edge.example:80", "edge.example.", "edge.example.:443",
                                  "[2001:db8::1]", "[2001:DB8:0::1]:80", "[2001:0db8:0:0:0:0:0:1]"])
def test_no_spelling_of_a_host_takes_the_route_of_every_host(edge, upstream, host):
    before = len(upstream.heads)
    answer = upgrade(edge.plain_port, "/open", host=host.encode())
    print(f"Host: {host} is answered {answer.status}")
    assert answer.status == 401 and len(upstream.heads) == before
    assert upgrade(edge.plain_port, "/open", AUTH, host.encode()).status == 101
    assert upstream.field(b"host") == [host.encode()]


@pytest.mark.parametrize("host", [
    b'a", for=6.6.6.6;x="', 'a"\u0301, for=6.6.6.6;x="\u0301'.encode(), b'a\\"', b"a,b", b"a;b", b"edge.example@x",
    b"x@edge.example", b"edge%2eexample", b"edge.example:8o", b"edge.example:+80", b"edge.example:99999", b"[::1", b"[::1]x",
    b"edge.example/x", b"edge.example..", b".edge.example",
    b"edge..example", b"edge.example\xc2\xa0", b"caf\xe9.example", "bücher.example".encode(), b"a b", b":80"])
def test_a_host_that_is_none_is_refused(edge, upstream, host):
    before = len(upstream.heads)
    for answer in (upgrade(edge.plain_port, "/open", host=host), ask(edge.plain_port, "POST", "/open/_poll", host=host)):
        print(f"Host: {host!r} is answered {answer.status} {answer.body[:120]}")
        assert answer.status == 400 and answer.problem[0] == "bad_host"
    assert len(upstream.heads) == before


def test_no_handshake_and_no_poll_goes_without_a_host_or_over_http_1_0(edge, upstream):
    from kit.heads import UPGRADE, exchange
    host = b"Host: localhost\r\n"
    for request, status, code in [
        (b"GET /open HTTP/1.0\r\n" + UPGRADE, 400, "bad_host"), (b"GET /open HTTP/1.0\r\n" + host + UPGRADE, 426, "upgrade_required"),
        (b"GET /open HTTP/1.1\r\n" + UPGRADE, 400, "bad_host"), (b"POST /open/_poll HTTP/1.0\r\nContent-Length: 0\r\n", 400, "bad_host"),
        (b"GET /open/_poll HTTP/1.0\r\n" + host + UPGRADE + b"Sec-WebSocket-Protocol: culvert.v1\r\n", 405, "method_not_allowed"),
        (b"GET http://localhost/open HTTP/1.0\r\n" + UPGRADE, 426, "upgrade_required"),
    ]:
        before = len(upstream.heads)
        answer = exchange(edge.plain_port, request + b"\r\n")
        print(f"{request[:60]!r} is answered {answer.status} {answer.body[:100]}")
        assert (answer.status, answer.problem[0]) == (status, code) and len(upstream.heads) == before
    # With a Host a client of HTTP/1.0 may poll.
    assert exchange(edge.plain_port, b"POST /open/_poll HTTP/1.0\r\n" + host + b"Content-Length: 0\r\n\r\n").status == 201


@pytest.mark.parametrize("target,host,status,seen", [
    ("http://localhost/open?x=1", "localhost", 101, ("/open?x=1", "localhost")),
    ("WS://other.example:8443/open", "localhost", 101, ("/open", "other.example:8443")),
    ("http://edge.example/open", "localhost", 401, None), ("http://localhost/open", "edge.example", 101, ("/open", "localhost")),
    ("http://localhost/open/admin", "localhost", 401, None), ("http://localhost/open;x/admin", "localhost", 400, None),
    ("http://x@edge.example/open", "localhost", 400, None), ("http:///open", "localhost", 400, None),
    ("ftp://localhost/open", "localhost", 400, None), ("http://edge.example\\/open", "localhost", 400, None),
    ("*", "localhost", 400, None), ("open", "localhost", 400, None),
])
def test_the_host_of_a_target_in_absolute_form_counts(edge, upstream, target, host, status, seen):
    before = len(upstream.heads)
    answer = upgrade(edge.plain_port, target, host=host.encode())
    print(f"GET {target} with Host: {host} is answered {answer.status}")
    assert answer.status == status
    if seen:
        assert upstream.heads[-1].startswith(f"GET {seen[0]} HTTP/1.1\r\n".encode())
        assert upstream.field(b"host") == [seen[1].encode()] == upstream.field(b"x-forwarded-host")
    else:
        assert len(upstream.heads) == before


@pytest.mark.parametrize("route,error", [
    ('path: "/a;b"', "no request can match it"), ('path: "/a%3Bb"', "no request can match it"),
    ('path: "/a?b"', "no request can match it"), ("path: /a%3Fb", "no request can match it"),
    ("path: /a.", "no request can match it"), ("path: /a%20", "no request can match it"),
    ("path: /%E9", "no request can match it"), ("path: /a%2fb", "no request can match it"),
    ("path: /a//b", "no request can match it"), ('path: "/a#b"', "no request can match it"),
    ("path: /%2561", "no request can match it"), ("path: /a%00", "no request can match it"),
    ("path: /%61dmin", "another route has the same host and path"),
    ('path: /x, host: "*.example.com"', "expected a host name"), ("path: /x, host: bücher.example", "expected a host name"),
    ('path: /x, host: "[::1]:80"', "expected a host name"), ("path: /admin, host: A.example.", "another route has the same host"),
])
def test_a_route_that_can_never_match_is_an_error(tmp_path, route, error):
    file = tmp_path / "proxy.yaml"
    file.write_text(f"""
listen: [ {{ address: "127.0.0.1:8080" }} ]
routes:
  - {{ path: /admin, upstream: u }}
  - {{ path: /admin, host: a.example, upstream: u }}
  - {{ {route}, upstream: u }}
upstreams: {{ u: {{ servers: [ {{ url: "ws://127.0.0.1:1" }} ] }} }}
admin: {{ address: none }}
state: none
""")
    got = subprocess.run([BIN, "check", "--config", str(file)], capture_output=True, text=True, timeout=20)
    print(f"a route with {route}: {got.stdout}{got.stderr}")
    assert got.returncode != 0 and "routes[2]" in got.stderr + got.stdout and error in got.stderr + got.stdout


class RealServer:
    """aiohttp, which decodes paths before it looks for a handler. Answers 403, and says for what it took a path."""

    def __init__(self):
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        assert ready.wait(10)

    def _run(self, ready):
        self.loop = asyncio.new_event_loop()

        async def main():
            self.finish = asyncio.Event()
            app = web.Application()
            for name in ("admin", "@ops", "a+b:c", "é"):
                for path in (f"/open/{name}", f"/open/{name}/{{tail:.*}}"):
                    app.router.add_get(path, self._narrow)
            app.router.add_get("/{tail:.*}", self._broad)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = site._server.sockets[0].getsockname()[1]
            ready.set()
            await self.finish.wait()
            await runner.cleanup()

        self.loop.run_until_complete(main())

    async def _narrow(self, request):
        return web.Response(status=403, text="narrow")

    async def _broad(self, request):
        return web.Response(status=403, text="broad")

    def stop(self):
        self.loop.call_soon_threadsafe(self.finish.set)


def spellings(seed, count):
    """Paths beside and below the narrow ones, each byte written in some way."""
    draw = random.Random(seed)
    for _ in range(count):
        name = draw.choice(["admin", "@ops", "a+b:c", "é"])
        path = draw.choice([f"/open/{name}", f"/open/{name}/x", f"/open/x/../{name}", f"/open/./{name}", f"/open//{name}"])
        out = ""
        for byte in path.encode():
            kind = draw.random()
            if kind < 0.68 and 0x20 < byte < 0x7F:
                out += chr(byte)
            elif kind < 0.96:
                out += f"%{byte:02{draw.choice('xX')}}"
            elif kind < 0.97:
                out += f"%25{byte:02x}"
            elif kind < 0.985:
                out += (chr(byte) if 0x20 < byte < 0x7F else f"%{byte:02X}") + draw.choice([";", ";a=b", "%3B", ".", "%20", "?", "%3F", "#", "%00"])
            else:
                out += f"%{byte:02x}".upper() if draw.random() < 0.5 else chr(byte & 0x7F).swapcase() if 0x20 < byte < 0x7F else f"%{byte:02x}"
        yield "/open" + out[len("/open"):] if draw.random() < 0.2 else "/" + out.lstrip("/")


def test_whatever_a_real_server_takes_for_a_narrow_path_asks_for_a_token(make_edge):
    server = RealServer()
    edge = make_edge(server.port, extra_routes=NARROW)
    seed, tried, served = 13, 0, 0
    try:
        for path in spellings(seed, 200):
            target = path.encode("latin-1", "replace")
            tried += 1
            if upgrade(server.port, target).body == b"narrow":
                served += 1
                answer = upgrade(edge.plain_port, target)
                assert answer.status in (400, 401, 404), f"seed {seed}: {path} is answered {answer.status} {answer.body!r}"
            else:
                assert upgrade(edge.plain_port, target).body != b"narrow", f"seed {seed}: {path}"
        print(f"of {tried} spellings the server takes {served} for a narrow path; the edge lets none through (seed {seed})")
        assert served > 10
    finally:
        server.stop()

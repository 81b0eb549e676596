"""Attacks by an upstream on what a browser keeps for the whole origin, and so for the other routes: it would lock the
browser out of them with a cookie of Culvert's own, or without one, and have the browser report their URLs."""

import pytest

from kit.edge import TOKEN
from kit.heads import Upstream, ask, upgrade
from kit.script import ScriptedBackend

AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
FORGED = ["edge_token=x", "edge_token=x; Path=/; Secure", " edge_token = x", "=edge_token=x", "edge_token", "edge_token;x",
          "hub_token=x; Path=/", "=\thub_token=; Max-Age=0"]
KEPT = ["theme=dark; Path=/", "edge_tokens=1", "Edge_Token=x", "my=edge_token=x", "a=b; edge_token=x", "culvert_token=x"]
LINES = "".join(f"Set-Cookie: {value}\r\n" for value in FORGED + KEPT)
OF_ORIGIN = {
    "Clear-Site-Data": '"cookies", "storage"', "Set-Cookie2": "edge_token=x; Version=1", "Set-Login": "logged-out",
    "Use-As-Dictionary": 'match="/*"', "Service-Worker-Allowed": "/",
    "Secure-Session-Registration": '(ES256);path="/x"', "Secure-Session-Challenge": '"x"',
    "Sec-Session-Registration": '(ES256);path="/x"', "Sec-Session-Challenge": '"x"',
    "NEL": '{"report_to":"x","max_age":9999,"success_fraction":1.0}',
    "Report-To": '{"group":"x","max_age":9999,"endpoints":[{"url":"https://evil.example"}]}',
    "Reporting-Endpoints": 'x="https://evil.example"', "Expect-CT": 'max-age=9999, report-uri="https://evil.example"',
    "Alt-Svc": 'h3=":1"; ma=9999; persist=1', "Alternate-Protocol": "1:quic", "Strict-Transport-Security": "max-age=9999",
    "Public-Key-Pins": 'pin-sha256="x"; max-age=9999', "Public-Key-Pins-Report-Only": 'pin-sha256="x"; max-age=9999',
    "Accept-CH": "Sec-CH-UA-Model", "Accept-CH-Lifetime": "9999", "Critical-CH": "Sec-CH-UA-Model",
    "Origin-Agent-Cluster": "?1", "Speculation-Rules": '"/x.json"',
}
OWN = {"X-Own": "kept", "WWW-Authenticate": "Basic realm=x", "Retry-After": "7"}


def answering(kind, lines):
    """An upstream that refuses each handshake, or switches protocols, with these lines in its head."""
    def refuse(connection, head):
        connection.sendall(f"HTTP/1.1 403 No\r\n{lines}Content-Length: 0\r\n\r\n".encode())

    return Upstream(lines.encode()) if kind == "switches" else ScriptedBackend(refuse)


def openings(edge, path, kind):
    """(name, head) of the answer to each way of opening, which the upstream `kind`."""
    for name, opening in {
        "websocket": lambda: upgrade(edge.plain_port, path, AUTH),
        "polled": lambda: ask(edge.plain_port, "POST", path + "/_poll", AUTH),
        "lane": lambda: upgrade(edge.plain_port, path + "/_poll", AUTH + b"Sec-WebSocket-Protocol: culvert.v1\r\n"),
    }.items():
        answer = opening()
        assert answer.status in ((101, 201) if kind == "switches" else (403,)), answer.head
        yield name, answer.head.decode()


@pytest.mark.parametrize("kind", ["switches", "refuses"])
@pytest.mark.parametrize("path", ["/x", "/open", "/hub"])
def test_no_upstream_sets_the_cookie_of_a_token(make_edge, kind, path):
    server = answering(kind, LINES)
    edge = make_edge(
        server.port, authentication="cookie: edge_token",
        extra_routes="  - { path: /hub, upstream: echo, carriers: { cookie: hub_token } }")
    for name, head in openings(edge, path, kind):
        lines = [line.split(":", 1)[1].strip() for line in head.split("\r\n")
                 if line.lower().startswith("set-cookie:")]
        print(f"{name} at {path}, whose upstream {kind}: {lines}")
        assert lines == KEPT
    server.stop()


@pytest.mark.parametrize("kind", ["switches", "refuses"])
def test_no_upstream_speaks_for_the_whole_origin(make_edge, kind):
    server = answering(kind, "".join(f"{name}: {value}\r\n" for name, value in {**OF_ORIGIN, **OWN}.items()))
    edge = make_edge(server.port)
    for name, head in openings(edge, "/x", kind):
        fields = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in head.split("\r\n")[1:]}
        passed = [field for field in OF_ORIGIN if field.lower() in fields]
        print(f"{name}, whose upstream {kind} with {len(OF_ORIGIN)} fields for the origin: {passed} passed")
        assert not passed
        # What the upstream says of its own answer passes.
        assert {field: fields.get(field.lower()) for field in OWN} == OWN
    server.stop()


def test_a_refusal_that_becomes_a_page_runs_no_script(make_edge):
    """A page whose origin a route allows sends a form to the opening, and the browser shows the refusal as a page of the
    edge's origin, where a script would read the cookies of all routes."""
    own = "sandbox allow-scripts allow-same-origin"
    server = answering("refuses", f"Content-Type: text/html\r\nContent-Security-Policy: {own}\r\n")
    edge = make_edge(server.port)
    for name, head in openings(edge, "/x", "refuses"):
        policies = [line.split(":", 1)[1].strip() for line in head.split("\r\n")
                    if line.lower().startswith("content-security-policy:")]
        print(f"{name}, whose upstream refuses with {own!r}: {policies}")
        # A browser applies each policy (CSP 3, 4.2).
        assert policies == [own, "sandbox"]
    server.stop()

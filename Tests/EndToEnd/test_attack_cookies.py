"""Attacks by an upstream that sets Culvert's own cookie, by which it would lock a browser out of the other routes."""

import pytest

from kit.edge import TOKEN
from kit.heads import Upstream, ask, upgrade
from kit.script import ScriptedBackend

AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
FORGED = ["edge_token=x", "edge_token=x; Path=/; Secure", " edge_token = x", "=edge_token=x", "edge_token", "edge_token;x",
          "hub_token=x; Path=/", "=\thub_token=; Max-Age=0"]
KEPT = ["theme=dark; Path=/", "edge_tokens=1", "Edge_Token=x", "my=edge_token=x", "a=b; edge_token=x", "culvert_token=x"]
LINES = "".join(f"Set-Cookie: {value}\r\n" for value in FORGED + KEPT)


def refuse(connection, head):
    connection.sendall(f"HTTP/1.1 403 No\r\n{LINES}Content-Length: 0\r\n\r\n".encode())


@pytest.mark.parametrize("kind", ["switches", "refuses"])
@pytest.mark.parametrize("path", ["/x", "/open", "/hub"])
def test_no_upstream_sets_the_cookie_of_a_token(make_edge, kind, path):
    server = Upstream(LINES.encode()) if kind == "switches" else ScriptedBackend(refuse)
    edge = make_edge(
        server.port, authentication="cookie: edge_token",
        extra_routes="  - { path: /hub, upstream: echo, carriers: { cookie: hub_token } }")
    openings = {
        "websocket": lambda: upgrade(edge.plain_port, path, AUTH),
        "polled": lambda: ask(edge.plain_port, "POST", path + "/_poll", AUTH),
        "lane": lambda: upgrade(edge.plain_port, path + "/_poll", AUTH + b"Sec-WebSocket-Protocol: culvert.v1\r\n"),
    }
    for name, opening in openings.items():
        answer = opening()
        assert answer.status in ((101, 201) if kind == "switches" else (403,)), answer.head
        lines = [line.split(":", 1)[1].strip() for line in answer.head.decode().split("\r\n")
                 if line.lower().startswith("set-cookie:")]
        print(f"{name} at {path}, whose upstream {kind}: {lines}")
        assert lines == KEPT
    server.stop()

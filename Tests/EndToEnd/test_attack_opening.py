"""Attacks with openings that take their time: their token or route ends between the gate's decision and the session.

A body comes slowly, an opening waits for a server with room, a server answers late. No server is dialled for such an
opening, no server's answer reaches its client, and no message passes in either direction.
"""

import contextlib
import threading

import pytest

from kit.admin import Admin
from kit.attack import dial, read_answer, request
from kit.edge import wait_for
from kit.raw import masked
from kit.script import ScriptedBackend, switching

UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
           "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
ENDS = {
    "revoke": lambda admin, token: admin.revoke(token),
    "delete": lambda admin, token: admin.delete(f"/v1/tokens/{token['id']}").raise_for_status(),
    "rotate": lambda admin, token: admin.rotate(token, overlap="0s"),
    "narrow": lambda admin, token: admin.patch(
        f"/v1/tokens/{token['id']}", json={"routes": ["/elsewhere"]}).raise_for_status(),
}
# A token that opens less is told so; one that is dead is told what an unknown one is.
STATUS = {"narrow": 403}


class Server(ScriptedBackend):
    """Answers a handshake when it may, with a message behind its 101."""

    def __init__(self):
        self.go = threading.Event()
        super().__init__(self.answer)

    def answer(self, connection, head):
        self.go.wait(20)
        connection.sendall(switching(head) + b"\x81\x06secret")


@pytest.fixture
def server():
    server = Server()
    yield server
    server.go.set()
    server.stop()


@pytest.fixture
def edge(server, make_edge):
    port = server.port
    return make_edge(
        port, extra_routes="  - { path: /queued, upstream: queued }",
        upstream=f'{{ servers: [ {{ url: "ws://127.0.0.1:{port}" }} ] }}\n'
                 f'  queued: {{ servers: [ {{ url: "ws://127.0.0.1:{port}", max_sessions: 1 }} ], '
                 "queue: { size: 10, timeout: 60s } }")


def opening(kind, path="", token=None):
    """The request of an opening, whole."""
    match kind:
        case "native":
            return request("GET", path or "/", *UPGRADE, token=token)
        case "lane":
            return request("GET", path + "/_poll", *UPGRADE, "Sec-WebSocket-Protocol: culvert.v1", token=token)
        case "poll":
            return request("POST", path + "/_poll", "Content-Length: 2", body=b"{}", token=token)


def wait_for_openings(admin, count):
    wait_for(lambda: admin.get("/v1/limits").json()["sessions"] == count, what=f"{count} sessions to be open or opened")


def is_refused(s, status):
    """Whether the opening is answered so, and the answer has nothing of the server's."""
    got, head, body, rest = read_answer(s)
    print(f"answered {got}: {body.decode()}")
    return got == status and b"secret" not in body + rest and "culvert" in body.decode()


@pytest.mark.parametrize("way", ENDS)
def test_no_server_is_dialled_for_a_token_that_ended_while_the_body_came(edge, server, way):
    server.go.set()
    with Admin(edge) as admin, dial(edge.plain_port) as s:
        token = admin.mint()
        s.sendall(opening("poll", token=token["secret"])[:-2])
        wait_for_openings(admin, 1)
        ENDS[way](admin, token)
        print(f"tried to open a session with a body that ends after: {way}")
        s.sendall(b"{}")
        assert is_refused(s, STATUS.get(way, 401))
        assert server.heads == []
        wait_for_openings(admin, 0)


@pytest.mark.parametrize("kind", ["native", "poll", "lane"])
@pytest.mark.parametrize("way", ["revoke", "narrow"])
def test_no_server_is_dialled_for_a_token_that_ended_while_the_opening_waited(edge, server, way, kind):
    server.go.set()
    with Admin(edge) as admin, dial(edge.plain_port) as holder, dial(edge.plain_port) as s:
        first, token = admin.mint(), admin.mint()
        holder.sendall(opening("native", "/queued", first["secret"]))
        wait_for(lambda: server.heads, what="the holder to be there")
        s.sendall(opening(kind, "/queued", token["secret"]))
        wait_for_openings(admin, 2)
        ENDS[way](admin, token)
        print(f"tried to wait for a server beyond: {way}")
        admin.revoke(first)
        assert is_refused(s, STATUS.get(way, 401))
        assert len(server.heads) == 1


@pytest.mark.parametrize("kind", ["native", "poll", "lane"])
@pytest.mark.parametrize("way", ENDS)
def test_nothing_passes_when_the_token_ends_before_the_servers_answer(edge, server, way, kind):
    with Admin(edge) as admin, dial(edge.plain_port) as s:
        token = admin.mint()
        ahead = masked(1, b"sent ahead") if kind != "poll" else b""
        s.sendall(opening(kind, token=token["secret"]) + ahead)
        wait_for(lambda: server.heads, what="the server to be asked")
        ENDS[way](admin, token)
        server.go.set()
        print(f"tried to get a session by an answer that comes after: {way}")
        assert is_refused(s, STATUS.get(way, 401))
        assert server.ended.wait(20) and server.sent == b""


@pytest.mark.parametrize("kind", ["native", "poll", "lane"])
def test_nothing_passes_when_a_reload_closes_the_route_before_the_servers_answer(edge, server, kind):
    with Admin(edge) as admin, contextlib.ExitStack() as stack:
        s = stack.enter_context(dial(edge.plain_port))
        s.sendall(opening(kind, "/open"))
        wait_for(lambda: server.heads, what="the server to be asked")
        config = edge.config.read_text()
        changed = config.replace("    authentication: none\n  - path: /strict", "  - path: /strict")
        assert changed != config
        edge.config.write_text(changed)
        assert admin.post("/v1/reload").status_code == 200
        server.go.set()
        print("tried to get a session without a token that the route asks for now")
        assert is_refused(s, 401)
        assert server.ended.wait(20) and server.sent == b""

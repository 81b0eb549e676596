"""Attacks on the choice of servers: a client that has healthy servers left alone."""

import socket

import pytest

from kit.admin import Admin
from kit.edge import wait_for
from kit.pools import upstream
from kit.raw import masked
from kit.script import ScriptedBackend, say_back, switching


class Fragile(ScriptedBackend):
    """Serves everybody, but ends the connection of a request for `/kill` without an answer."""

    def __init__(self):
        self.served = 0
        super().__init__(self._fragile)

    def _fragile(self, connection, head):
        if b"/kill" in head.split(b"\r\n")[0]:
            connection.shutdown(socket.SHUT_RDWR)
            return
        self.served += 1
        connection.sendall(switching(head))
        while got := connection.recv(65536):
            say_back(connection, got)


@pytest.fixture
def fragile():
    backends = [Fragile(), Fragile()]
    yield backends
    for backend in backends:
        backend.stop()


def ask(edge, path, host):
    """A client at that address opens a WebSocket: the status, and the connection."""
    s = socket.create_connection(("127.0.0.1", edge.plain_port), 20, (host, 0))
    s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        part = s.recv(4096)
        assert part, "the connection ended without an answer"
        head += part
    return int(head.split()[1]), s


def ejected(edge):
    with Admin(edge) as admin:
        return [server["ejected"] for server in admin.get("/v1/upstreams").json()["items"][0]["servers"]]


def test_a_client_ejects_no_server_by_requests_that_make_it_hang_up(fragile, make_edge):
    edge = make_edge(0, upstream=upstream(
        *(backend.port for backend in fragile), balance="consistent_hash", hash_by="query:u", eject={"failures": 3}))
    statuses = [ask(edge, f"/open/kill?u={n % 4}", "127.0.0.9")[0] for n in range(40)]
    print(f"40 requests of one client without a token: {set(statuses)}; ejected: {ejected(edge)}")
    assert set(statuses) == {502}
    assert ejected(edge) == [False, False]
    held = [ask(edge, f"/open?u={n}", "127.0.0.2") for n in range(20)]
    assert {status for status, _ in held} == {101}
    print(f"20 sessions of others: {[backend.served for backend in fragile]}")
    assert all(backend.served for backend in fragile)
    for _, s in held:
        s.sendall(masked(1, b"x"))
        assert s.recv(10) == b"\x81\x01x"
        s.close()
    edge.catch_up()
    assert not edge.events("server ejected")


def test_a_server_that_answers_no_client_is_ejected_all_the_same(fragile, make_edge):
    edge = make_edge(0, upstream=upstream(
        *(backend.port for backend in fragile), balance="consistent_hash", hash_by="query:u", eject={"failures": 3}))
    for host in ["127.0.0.2", "127.0.0.2", "127.0.0.3"]:
        assert ask(edge, "/open/kill?u=1", host)[0] == 502
    wait_for(lambda: sorted(ejected(edge)) == [False, True], what="one of them to be ejected")
    [event] = edge.expect_events("server ejected")
    assert "without an answer" in event["reason"]
    # Another server has the key meanwhile, and a client that is served there ends its row.
    status, s = ask(edge, "/open?u=1", "127.0.0.2")
    assert status == 101
    s.close()

"""Attacks on the end of a connection: it has a deadline until its descriptor is closed, and counts until then."""

import os
import socket
import struct
import threading
import time

import pytest

from kit.admin import used
from kit.edge import TOKEN, wait_for
from kit.lane import open_count
from kit.poll import batch, client, open_session
from kit.pools import upstream
from kit.push import push
from kit.raw import Raw, masked, tls
from kit.script import ScriptedBackend, switching

KIB, MIB = 1 << 10, 1 << 20
LANE = "Sec-WebSocket-Protocol: culvert.v1\r\n"
CLOSE = struct.pack("!H", 1000)


def descriptors(edge):
    return len(os.listdir(f"/proc/{edge.process.pid}/fd"))


def server_frame(opcode, payload):
    n = len(payload)
    head = struct.pack("!BB", 0x80 | opcode, n) if n < 126 else struct.pack("!BBQ", 0x80 | opcode, 127, n)
    return head + payload


def upgraded(edge, scheme):
    """A client with a small receive buffer that has asked for its 101 and reads no more than that."""
    if scheme == "tls":
        s = tls(edge, receive_buffer=4096)
    else:
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(20)
        s.connect(("127.0.0.1", edge.plain_port))
    s.sendall((f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Authorization: Bearer {TOKEN}\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return s


# --- the client ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", ["plain", "tls"])
def test_a_client_that_says_close_and_reads_nothing(make_edge, scheme):
    """The session ended and gave its places back, and its connection waited without end for a flush."""
    sizes = iter(range(3200 * KIB, 1 << 40, 50 * KIB))
    lock = threading.Lock()

    def script(connection, head):
        # The kernel takes more or less by itself: for some of the sizes bytes wait in the edge.
        with lock:
            size = next(sizes)
        connection.sendall(switching(head) + server_frame(2, b"z" * size))
        # It answers the Close and hangs up, as every backend does.
        while not (got := connection.recv(4096)) or got[0] & 15 != 8:
            if not got:
                return
        connection.sendall(server_frame(8, CLOSE))
        connection.close()

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="handshake: 3s, message: 16MiB, connections: 1000, http: { idle: 2s }",
                     session="stall: none, ping: 1s")
    base, clients = descriptors(edge), 16
    sockets = [upgraded(edge, scheme) for _ in range(clients)]
    wait_for(lambda: used(edge) > 0, what="something to wait in the edge")
    for s in sockets:
        s.sendall(masked(8, CLOSE))
    edge.expect_events("session ended", clients // 2)
    # In this order: what has gone meanwhile is missing from the second alone.
    sessions = open_count(edge)
    left = descriptors(edge) - base
    print(f"{scheme}: {len(edge.events('session ended'))} sessions ended, {left} descriptors, {sessions} counted")
    # A session with a descriptor at the edge counts. Its upstream's descriptor may be there as well.
    assert left <= 2 * sessions + 2
    wait_for(lambda: descriptors(edge) <= base + 1, timeout=20, what="the connections to be closed")
    wait_for(lambda: open_count(edge) == 0, what="no session to be counted")
    wait_for(lambda: used(edge) == 0, what="nothing to be held")
    assert len(edge.expect_events("session ended", clients)) == clients
    for s in sockets:
        s.close()
    backend.stop()


def test_a_place_is_taken_until_the_connection_is_gone(make_edge):
    """A client that says Close and does not read has one place for one connection, not for many."""
    def script(connection, head):
        connection.sendall(switching(head) + server_frame(2, b"z" * (3 * MIB + 700 * KIB)))
        connection.recv(4096)
        connection.sendall(server_frame(8, CLOSE))
        connection.close()

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="connections: 4, handshake: 2s, message: 16MiB", session="stall: none")
    base, most, opened, refused = descriptors(edge), 0, 0, 0
    held, end = [], time.monotonic() + 3
    while time.monotonic() < end:
        try:
            s = upgraded(edge, "plain")
            s.sendall(masked(8, CLOSE))
            held.append(s)
            opened += 1
        except (AssertionError, OSError):
            refused += 1
            time.sleep(0.05)
        most = max(most, descriptors(edge) - base)
    print(f"{opened} opened, {refused} refused, {most} descriptors at most with 4 places")
    # Two for each session, and that of the client which is being refused.
    assert most <= 2 * 4 + 3
    for s in held:
        s.close()
    backend.stop()


# --- the upstream ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("transport", ["native", "polled"])
def test_an_upstream_that_sends_on_when_its_client_has_gone(make_edge, transport):
    """It was read and dropped at full speed until the deadline."""
    gone, sent = threading.Event(), []

    def script(connection, head):
        connection.sendall(switching(head))
        blob = server_frame(2, b"z" * 65000) * 8
        gone.wait(20)
        sent.append(push(connection, blob, 8))

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="handshake: 2s")
    if transport == "native":
        raw = Raw(edge)
        raw.s.close()
    else:
        with client(edge) as http:
            assert http.delete(open_session(http)).status_code == 204
    gone.set()
    wait_for(lambda: sent, timeout=20, what="the connection to be cut")
    print(f"{transport}: {sent[0] / MIB:.0f} MiB were taken in the 2 s until the deadline")
    # 20 MiB a second, and what the kernel holds.
    assert sent[0] < 80 * MIB
    wait_for(lambda: open_count(edge) == 0, what="nothing to be counted")
    backend.stop()


@pytest.mark.parametrize("scheme", ["ws"])
def test_a_server_that_sends_on_when_it_has_passed_a_check(make_edge, scheme):
    sent = []

    def script(connection, head):
        connection.sendall(switching(head))
        sent.append(push(connection, server_frame(2, b"z" * 65000) * 8, 5))

    backend = ScriptedBackend(script)
    make_edge(0, upstream=upstream(backend.port, retries=0, health={
        "type": "websocket", "ping": False, "interval": "20s", "timeout": "10s", "rise": 1, "fall": 1}))
    wait_for(lambda: sent, timeout=20, what="the check to end")
    print(f"{sent[0] / MIB:.1f} MiB were taken of a server that had passed")
    assert sent[0] < 32 * MIB
    backend.stop()


# --- lanes and probes ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", ["/_poll", "/_poll/probe"])
def test_a_client_that_sends_on_behind_our_close(backend, make_edge, path):
    edge = make_edge(backend.port)
    base = descriptors(edge)
    raw = Raw(edge, path, headers=LANE)
    # No envelope, and no probe: a continuation of nothing.
    raw.send(masked(0, b"nonsense"))
    sent = push(raw.s, masked(2, b"z" * 65000) * 8, 6)
    print(f"{path}: {sent / MIB:.1f} MiB were taken behind the Close")
    assert sent < 16 * MIB
    wait_for(lambda: descriptors(edge) <= base + 1, what="the connection to be closed")


def test_superseded_lanes_count_until_they_are_gone(fresh_backend, make_edge):
    """A client joins its session again and again, and answers no Close: each lane lingered for 2 s, and counted nowhere."""
    edge = make_edge(fresh_backend.port, limits="process: { handshakes: 12 }")
    with client(edge) as http:
        at = open_session(http)
    base, lanes, most, refused = descriptors(edge), [], 0, 0
    end = time.monotonic() + 3
    while time.monotonic() < end:
        try:
            raw = Raw(edge, at + "/socket", headers=LANE)
            raw.send(masked(2, batch(1, [])))
            raw.frame()
            lanes.append(raw)
        except (OSError, AssertionError):
            refused += 1
            time.sleep(0.05)
        most = max(most, descriptors(edge) - base)
    print(f"{len(lanes)} lanes joined, {refused} refused, {most} descriptors at most with 12 handshakes")
    assert most <= 12 + 3
    for raw in lanes:
        raw.s.close()
    wait_for(lambda: descriptors(edge) <= base, timeout=15, what="the lanes to be closed")


# --- half of a connection --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", ["plain", "tls"])
@pytest.mark.parametrize("delay", [0, 0.3])
def test_a_client_that_ends_its_direction_behind_its_close_is_answered(make_edge, scheme, delay):
    """RFC 6455 7.1.1 has it so: shut the sending side, and read to the end."""
    def script(connection, head):
        connection.sendall(switching(head))
        while not (got := connection.recv(4096)) or got[0] & 15 != 8:
            assert got
        time.sleep(delay)
        connection.sendall(server_frame(1, b"last word") + server_frame(8, CLOSE))

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="handshake: 3s")
    base = descriptors(edge)
    for _ in range(5):
        s = upgraded(edge, scheme)
        s.sendall(masked(8, CLOSE))
        if scheme == "plain":
            s.shutdown(socket.SHUT_WR)
        got = b""
        while part := s.recv(4096):
            got += part
        assert got == server_frame(1, b"last word") + server_frame(8, CLOSE)
        s.close()
    ends = edge.expect_events("session ended", 5)
    assert {(e["close_code"], e["closed_by"]) for e in ends} == {(1000, "client")}
    wait_for(lambda: descriptors(edge) <= base + 1, what="the connections to be closed")
    backend.stop()


@pytest.mark.parametrize("scheme", ["plain", "tls"])
@pytest.mark.parametrize("how", ["fin", "fin behind a frame"])
def test_a_client_that_only_ends_its_direction_is_gone_at_once(make_edge, backend, scheme, how):
    """Without a Close it is lost, whatever it might still read, so nothing is kept for it."""
    edge = make_edge(backend.port, limits="handshake: 20s")
    base = descriptors(edge)
    s = upgraded(edge, scheme)
    if how != "fin":
        s.sendall(masked(1, b"x")[:3])
    # Under TLS without a close_notify.
    socket.socket.shutdown(s, socket.SHUT_WR)
    [event] = edge.expect_events("session ended")
    assert (event["close_code"], event["closed_by"]) == (1006, "client")
    wait_for(lambda: descriptors(edge) <= base + 1, what="the connections to be closed")
    s.close()

"""Attacks by header sections: without end, without a value, on many connections, and answers that come too late."""

import contextlib
import os
import signal
import socket
import struct
import threading

import pytest

from kit.admin import used
from kit.attack import MiB, Peak, dial, is_closed, read_answer, request
from kit.edge import TOKEN, wait_for
from kit.script import ScriptedBackend, switching

AUTH = f"Authorization: Bearer {TOKEN}"
FORM = ("POST /_poll/abc/close HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Transfer-Encoding: chunked\r\n\r\n0\r\nx:")
BLANKS = {
    "in front of a value": b"GET / HTTP/1.1\r\nHost: localhost\r\nx:",
    "behind the target": b"GET / ",
    "in a trailer": FORM.encode(),
}


@pytest.mark.parametrize("listener", ["clients", "admin"])
@pytest.mark.parametrize("place", BLANKS)
@pytest.mark.parametrize("blank", [b" ", b"\t"], ids=["space", "tab"])
def test_blanks_without_end_are_not_kept(backend, make_edge, blank, place, listener):
    """A decoder passes over them in silence, and keeps them."""
    edge = make_edge(backend.port, limits="memory: 64MiB, handshake: 60s")
    port = edge.plain_port if listener == "clients" else edge.admin_port
    with dial(port) as s, Peak(edge) as peak:
        sent, answer = 0, b""
        s.sendall(BLANKS[place])
        s.settimeout(20)
        with contextlib.suppress(OSError):
            while sent < 200 * MiB:
                s.sendall(blank * 65536)
                sent += 65536
        with contextlib.suppress(OSError):
            answer = s.recv(64)
        print(f"{sent // MiB} MiB of blanks {place}: {peak}, {answer[:12]!r}")
    assert sent < 200 * MiB and peak.most < 20 * MiB
    # Without the token the admin listener answers before a trailer, and reads no further.
    assert answer[9:12] in ((b"431",) if listener == "clients" or place != "in a trailer" else (b"401", b"431", b"404"))


def test_unfinished_heads_count(backend, make_edge):
    edge = make_edge(backend.port, limits="memory: 64MiB, handshake: 60s, http: { first_byte: 60s }")
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"f%03d: %s\r\n" % (i, b"v" * 40) for i in range(250))
    with contextlib.ExitStack() as stack, Peak(edge) as peak:
        for _ in range(200):
            stack.enter_context(dial(edge.plain_port)).sendall(head[:14_000])
        # Each costs some 55 KB, of which 16 count as what any connection costs.
        wait_for(lambda: used(edge) > 200 * 30_000, what="the heads to be counted")
        print(f"200 heads of 14 KB that do not end: {peak}, counted {used(edge) / MiB:.1f} MiB")
        assert peak.most < 2.5 * used(edge)
    wait_for(lambda: used(edge) == 0, what="nothing to be counted")


def test_unfinished_heads_end_where_memory_does(backend, make_edge):
    edge = make_edge(backend.port, limits="memory: 4MiB, handshake: 60s, http: { first_byte: 60s }")
    head = b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"f%03d: %s\r\n" % (i, b"v" * 40) for i in range(250))
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(dial(edge.plain_port)) for _ in range(300)]
        for s in held:
            with contextlib.suppress(OSError):
                s.sendall(head[:14_000])
        wait_for(lambda: used(edge) <= 4 * MiB, what="the relief")
        assert sum(is_closed(s, 0.01) for s in held) > 100
        print(f"300 heads of 14 KB with memory for 100: counted {used(edge) / MiB:.1f} MiB")
        assert used(edge) < 5 * MiB
        # A request of an ordinary size is served meanwhile.
        with dial(edge.plain_port) as s:
            s.sendall(request("GET", "/nothing", AUTH))
            assert read_answer(s)[0] == 426


def test_a_client_that_resets_before_its_101_leaves_nothing_behind(make_edge):
    """The reset is in the kernel when the edge, which stood still, comes to write its 101."""
    answer, asked, answered = threading.Event(), threading.Semaphore(0), threading.Semaphore(0)

    def script(connection, head):
        asked.release()
        answer.wait(30)
        connection.sendall(switching(head))
        answered.release()
        with contextlib.suppress(OSError):
            connection.recv(1)

    upstream = ScriptedBackend(script)
    edge = make_edge(upstream.port, limits="memory: 64MiB")
    try:
        clients = []
        for _ in range(20):
            s = dial(edge.plain_port)
            s.sendall(request("GET", "/chat", AUTH, "Upgrade: websocket", "Connection: Upgrade",
                              "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
                      + b"\x82\xfe\xc3\x50" + bytes(4) + bytes(50_000))
            clients.append(s)
        for _ in clients:
            assert asked.acquire(timeout=30)
        wait_for(lambda: used(edge) > 0, what="what the clients have sent to be counted")
        os.kill(edge.process.pid, signal.SIGSTOP)
        answer.set()
        for _ in clients:
            assert answered.acquire(timeout=30)
        for s in clients:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.close()
        os.kill(edge.process.pid, signal.SIGCONT)
        wait_for(lambda: used(edge) == 0, what="nothing to be counted")
    finally:
        answer.set()
        upstream.stop()

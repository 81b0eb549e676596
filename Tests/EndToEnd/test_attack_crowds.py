"""Attacks by many connections at once, none of which has a token: each is small, and the loop finds all of them ready."""

import contextlib
import fcntl
import socket
import ssl
import struct
import termios
import time

from kit.admin import used
from kit.attack import dial, request
from kit.edge import TOKEN, wait_for
from kit.knock import knock
from kit.script import ScriptedBackend
from kit.stray import cpu
from kit.turns import Turns

BIG = request("POST", "/nothing", "Content-Length: 60000", body=b"y" * 60000)
UPGRADE = request("GET", "/open", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==")


class Encrypted:
    """A connection over TLS whose records are made by hand."""

    def __init__(self, edge):
        self.socket = dial(edge.tls_port)
        self.arrived, self.made = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=edge.cert)
        self.tls = context.wrap_bio(self.arrived, self.made, server_hostname="localhost")
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(self.made.read())
                self.arrived.write(self.socket.recv(65536))
        self.socket.sendall(self.made.read())

    def records(self, content, count=1):
        for _ in range(count):
            self.tls.write(content)
        return self.made.read()

    def answers(self, ask):
        """Whether `ask` has an answer; its content is dropped."""
        self.socket.sendall(self.records(ask))
        return bool(self.socket.recv(65536))


def unsent(s):
    """Bytes that the other side has not acknowledged."""
    return struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"\0" * 4))[0]


def test_many_connections_with_requests_ahead_hold_up_nobody(edge):
    """A packet of 16 KB each. All of its requests were answered in one turn of the loop, and all connections' in that."""
    ahead = request("GET", "/nothing") * 400
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(dial(edge.plain_port)) for _ in range(250)]

        def attack():
            for s in held:
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    s.send(ahead[:16_000])
            time.sleep(1)

        with Turns(edge) as turns:
            attack()
    print(f"{len(held)} connections with {16_000 // len(request('GET', '/nothing'))} requests ahead: {turns}")
    assert turns.samples[-1] < 0.2


def test_ends_behind_many_small_records_cost_little(make_edge):
    """The socket's buffer is full of records of a byte when the end comes, and NIO reads all of it."""
    backend = ScriptedBackend(lambda connection, head: connection.recv(1))
    edge = make_edge(backend.port, limits="handshake: 30s, http: { first_byte: 60s, idle: 60s }")
    with contextlib.ExitStack() as stack:
        held = [Encrypted(edge) for _ in range(300)]
        for each in held:
            stack.enter_context(each.socket)
            each.socket.sendall(each.records(UPGRADE))
        wait_for(lambda: len(backend.heads) == len(held), 20, "all openings to be asked")
        for each in held:
            each.socket.sendall(each.records(b"x", 2500))
        # An end is seen behind what is there alone: nothing is left in the buffers of this side.
        wait_for(lambda: sum(unsent(each.socket) for each in held) == 0, 20, "all records to be with the edge")

        before = cpu(edge.process)
        for each in held:
            each.socket.shutdown(socket.SHUT_WR)
        for each in held:
            each.socket.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                while each.socket.recv(65536):
                    pass
        spent = cpu(edge.process) - before
    print(f"2500 records of a byte on each of {len(held)} connections, and their ends: {spent:.2f} s of the processor")
    # All of it would be in one turn of the loops. A record costs 0.75 us.
    assert spent < 0.3
    backend.stop()


def test_what_tls_keeps_of_a_connection_that_idles_counts_and_makes_room(backend, make_edge):
    """It was 57 KiB for each connection that had once sent a large body, and counted as nothing."""
    edge = make_edge(backend.port, limits="memory: 2MiB")
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            each = Encrypted(edge)
            stack.enter_context(each.socket)
            assert each.answers(BIG)
        wait_for(lambda: used(edge) >= 20 * 32 * 1024, what="the buffers to count")
        print(f"20 connections that have sent 60 KB each: {used(edge)} bytes count")
        for _ in range(100):
            each = Encrypted(edge)
            stack.enter_context(each.socket)
            with contextlib.suppress(ConnectionError):
                each.answers(BIG)
        wait_for(lambda: used(edge) <= 2 << 20, what="idle connections to make room")
        print(f"100 more: {used(edge)} bytes count")
        assert knock(edge, "long-poll", token=TOKEN).status == 201
    wait_for(lambda: used(edge) == 0, 20, "nothing to be counted")

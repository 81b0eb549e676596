"""Attacks on the process's ceiling of memory: what others hold in requests and answers ends no session."""

import contextlib
import json
import struct

import pytest

from kit.admin import memory
from kit.attack import MiB, dial, read_answer, request
from kit.edge import TOKEN, wait_for
from kit.script import ScriptedBackend, switching

AUTH = f"Authorization: Bearer {TOKEN}"
CEILING = 4 * MiB
MESSAGES, SIZE = 50, 4000
# What came before the ceiling is let go, and what comes at it is refused.
LINES = "requests and unread answers let go for memory", "requests refused: limits.memory is reached"


@pytest.fixture
def upstream():
    """Sends a session 200 KB at once."""
    def script(connection, head):
        with contextlib.suppress(OSError):
            connection.sendall(switching(head) + (b"\x82\x7e" + struct.pack(">H", SIZE) + bytes(SIZE)) * MESSAGES)
            connection.recv(1)

    backend = ScriptedBackend(script)
    yield backend
    backend.stop()


def opened(port):
    with dial(port) as s:
        s.sendall(request("POST", "/_poll", AUTH, "Content-Length: 0"))
        status, _, body, _ = read_answer(s)
        assert status == 201, (status, body)
        return "/_poll/" + json.loads(body)["session"]


def is_let_in(port):
    with dial(port) as s:
        s.sendall(request("POST", "/_poll", AUTH, "Content-Length: 0"))
        return read_answer(s)[0] == 201


def check_victims(edge, victims):
    for path in victims:
        with dial(edge.plain_port) as s:
            s.sendall(request("GET", path + "?ack=0", AUTH))
            status, _, body, _ = read_answer(s)
            assert status == 200 and len(body) > MESSAGES * SIZE, (status, body[:100])


def attack(edge, hold, count):
    """Others have 200 KB in each of ten sessions, and open more, while `hold` fills `count` connections."""
    with contextlib.ExitStack() as stack:
        victims = [opened(edge.plain_port) for _ in range(10)]
        wait_for(lambda: memory(edge)["used"] >= 10 * MESSAGES * SIZE, what="the victims' windows to fill")
        for _ in range(count):
            s = stack.enter_context(dial(edge.plain_port, 4096))
            with contextlib.suppress(OSError):
                hold(s)
        wait_for(lambda: any(edge.events(line) for line in LINES), what="the log to say what happened")
        wait_for(lambda: memory(edge)["used"] <= CEILING, what="the relief")
        print(f"{count} connections: {memory(edge)}")
        assert memory(edge)["closed"] == 0 and not edge.events("memory relief")
        check_victims(edge, victims)
        wait_for(lambda: is_let_in(edge.plain_port), what="another to be let in")


def test_requests_ahead_of_answers_that_nobody_reads_close_no_session(upstream, make_edge):
    """No token is asked for, and each connection holds some 20 KB: an answer, and a read of requests."""
    edge = make_edge(upstream.port, sections="client: /culvert.js\n", limits="memory: 4MiB")
    one = request("GET", "/culvert.js", "X: " + "x" * 14_000)

    def hold(s):
        s.settimeout(0.2)
        # The answers fill the kernel's buffers first.
        s.sendall(request("GET", "/culvert.js") * 400)
        for _ in range(40):
            s.sendall(one)

    attack(edge, hold, 300)


@pytest.mark.parametrize("size", [200_000, 15_000])
def test_bodies_that_drip_close_no_session_of_others(upstream, make_edge, size):
    """Each body comes fast but for its end; smaller ones are not refused one by one."""
    edge = make_edge(upstream.port, session="buffer: 1MiB", limits="memory: 4MiB, handshake: 60s")
    path = opened(edge.plain_port)

    def hold(s):
        s.sendall(request("POST", path, AUTH, "Content-Type: application/json", f"Content-Length: {size + 100}")
                  + b'{"first":1,"messages":[{"text":"' + b"x" * size)

    attack(edge, hold, 60 if size > 100_000 else 700)

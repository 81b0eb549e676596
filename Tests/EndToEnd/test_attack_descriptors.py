"""Attacks on the process's descriptors: connections that say nothing, at either listener, until descriptors run out."""

import os
import resource
import socket
import time

import httpx
import pytest

from kit.admin import Admin
from kit.edge import wait_for
from kit.stray import (
    bye, cpu, descriptors, echoes, end, launch, launch_with_pipe, plain, wait_until_healthy)

LIMIT = 160
ROOM = "waiting connections closed: file descriptors are short, and clients wait"
ATTACKER, VICTIM = "127.0.0.9", "127.0.0.2"
GET = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAUSES = "out of file descriptors: accepting pauses, and clients wait; raise the limit, or lower limits"


def few(limit=LIMIT):
    """For a process that may open so many."""
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


@pytest.fixture
def scarce(backend, make_edge):
    """An edge with few descriptors, and its log. Connections that are held open are closed at the end."""
    made = []

    def make(**options):
        edge = make_edge(backend.port, **options)
        edge.stop()
        pipe = launch_with_pipe(edge, preexec_fn=few())
        pipe.drain(lambda text: b"admin listening" in text)
        wait_until_healthy(edge)
        made.append(edge)
        return edge, pipe

    yield make
    for edge in made:
        end(edge.process)


@pytest.fixture
def closed_at_the_end(scarce):
    """Connections of a test, which are closed before its edge is stopped, however the test ends."""
    held = []
    yield held
    let_go(held)


def idle(port, count):
    """Connections that say nothing. The kernel takes those that the process does not."""
    held = []
    for _ in range(count):
        s = socket.socket()
        s.settimeout(2)
        s.connect(("127.0.0.1", port))
        held.append(s)
    return held


def let_go(held):
    for s in held:
        s.close()


def fill(edge, pipe):
    """Holds all that clients may have."""
    held = idle(edge.plain_port, LIMIT + 100)
    pipe.expect_events(PAUSES)
    return held


def opened(edge):
    """A session, once the process takes one again."""
    def attempt():
        try:
            s = plain(edge, timeout=5)
        except OSError:
            return None
        return s if not isinstance(s, int) else None

    return wait_for(attempt, what="a session")


def test_without_descriptors_it_does_not_spin_and_what_is_open_goes_on(scarce):
    edge, pipe = scarce(limits="http: { first_byte: 60s }")
    sessions = [plain(edge) for _ in range(3)]
    calm = cpu(edge.process)
    time.sleep(2)  # What is measured is the CPU that it uses meanwhile.
    calm = cpu(edge.process) - calm
    held = fill(edge, pipe)
    before = cpu(edge.process)
    time.sleep(2)
    used = cpu(edge.process) - before
    print(f"{descriptors(edge.process)} of {LIMIT} descriptors; {used:.2f} s of CPU in 2 s, {calm:.2f} s at rest")
    assert used < 0.6
    assert all(echoes(s) for s in sessions)
    [event] = pipe.events(PAUSES)
    assert event["limit"] == LIMIT and event["reserved"] == LIMIT // 8 and event["level"] == "warning"
    assert LIMIT - event["reserved"] <= event["in_use"] <= LIMIT
    assert descriptors(edge.process) < LIMIT - 4
    let_go(held)
    late = [opened(edge) for _ in range(5)]
    assert all(echoes(s) for s in late + sessions)
    pipe.expect_events("file descriptors suffice again: accepting goes on", timeout=20)
    let_go(late + sessions)


def test_connections_that_have_had_an_answer_and_idle_make_room_for_clients_that_wait(scarce):
    """`limits.address.handshakes` counts no connection that has had an answer: nothing but this bounds it."""
    edge, pipe = scarce(limits="http: { idle: 10m }")
    s = plain(edge)
    held = []
    refused = 0
    for _ in range(2 * LIMIT):
        other = socket.create_connection(("127.0.0.1", edge.plain_port), timeout=5)
        other.sendall(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")
        refused += b"connection: close" in other.recv(4096).lower()
        if len(held) % 2:
            other.sendall(b"GET /never")  # A request whose head does not end is no better.
        held.append(other)
    print(f"{len(held)} connections with an answer each, {refused} told to close; "
          f"{descriptors(edge.process)} of {LIMIT} descriptors")
    assert refused == 0
    pipe.expect_events(ROOM)
    begin = time.monotonic()
    late = [plain(edge) for _ in range(10)]
    took = time.monotonic() - begin
    print(f"10 sessions beside them: {took:.2f} s")
    assert took < 5 and all(echoes(other) for other in [s, *late])
    let_go([s, *late, *held])


def post(path, length, kind="application/json"):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n").encode()


def answer_of(s):
    """The head of the next answer, and what came with it."""
    got = b""
    while b"\r\n\r\n" not in got:
        part = s.recv(4096)
        if not part:
            raise ConnectionResetError("the connection ended without an answer")
        got += part
    return got


# What a client sends on a connection that is a handshake no more, and leaves unfinished; {} is a session's path.
DEBTS = {
    "the rest of a refused request": post("/_poll", 60_000),
    "the rest of a refused request that is too long": post("/_poll", 100_000),
    "a form": post("/_poll/abc/close", 16_000, "application/x-www-form-urlencoded"),
    "the body of a request to no session": post("/open/_poll/abc/close", 4_000),
    "the body of a batch": post("{}", 60_000),
    "answers that it does not read": b"GET /culvert.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400,
}


@pytest.mark.parametrize("debt", DEBTS)
def test_connections_whose_clients_owe_something_make_room_for_clients_that_wait(scarce, closed_at_the_end, debt):
    """They count as no handshakes, and have deadlines that are longer than anybody waits."""
    edge, pipe = scarce(
        limits="http: { idle: 10m }, handshake: 60s, address: { handshakes: 10 }", sections="client: /culvert.js")
    location = httpx.post(f"http://127.0.0.1:{edge.plain_port}/open/_poll").headers["location"]
    request = DEBTS[debt].replace(b"{}", location.encode())
    held, sent = closed_at_the_end, 0
    for _ in range(2 * LIMIT):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.settimeout(3)
        s.bind((ATTACKER, 0))
        held.append(s)
        try:
            s.connect(("127.0.0.1", edge.plain_port))
            s.sendall(GET)
            assert answer_of(s).startswith(b"HTTP/1.1 4")
            s.sendall(request)
        except OSError:
            break
        sent += len(GET) + len(request)
    print(f"{debt}: {len(held)} connections, {sent} bytes; {descriptors(edge.process)} of {LIMIT} descriptors")
    waits = []
    for _ in range(10):
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", edge.plain_port), 20, (VICTIM, 0)) as s:
            s.sendall(GET)
            assert answer_of(s).startswith(b"HTTP/1.1 4")
        waits.append(time.monotonic() - begin)
    print(f"others wait {max(waits):.2f} s at most")
    assert max(waits) < 5
    pipe.expect_events(ROOM)


def test_a_body_that_a_session_wants_is_not_cut_for_clients_that_wait(scarce, closed_at_the_end):
    edge, pipe = scarce(limits="http: { idle: 10m }, handshake: 60s")
    location = httpx.post(f"http://127.0.0.1:{edge.plain_port}/open/_poll").headers["location"]
    body = b'{"ack":0,"first":1,"messages":[{"text":"x"}]}'
    slow = socket.create_connection(("127.0.0.1", edge.plain_port), timeout=20)
    slow.sendall(GET)
    answer_of(slow)
    slow.sendall(post(location, len(body)) + body[:10])
    held = closed_at_the_end
    held.append(slow)
    for _ in range(2 * LIMIT):
        s = socket.create_connection(("127.0.0.1", edge.plain_port), timeout=5)
        s.sendall(GET)
        answer_of(s)
        held.append(s)
    pipe.expect_events(ROOM)
    slow.sendall(body[10:])
    assert answer_of(slow).split()[1] in (b"200", b"204")


def test_without_descriptors_for_clients_operators_are_served(scarce):
    edge, pipe = scarce(limits="http: { first_byte: 60s }")
    held = fill(edge, pipe)
    with Admin(edge) as admin:
        assert httpx.get(f"http://127.0.0.1:{edge.admin_port}/healthz", timeout=5).status_code == 200
        token = admin.mint()
        admin.revoke(token)
        assert admin.get("/v1/audit").status_code == 200
        # It reads the file, and those that it names: with the flood going on, its end can be configured.
        edge.config.write_text(edge.config.read_text().replace("first_byte: 60s", "first_byte: 1s"))
        answer = admin.post("/v1/reload", json={})
        assert answer.status_code == 200, answer.text
        assert answer.json()["changed"] == ["limits"]
    let_go(held)
    bye(opened(edge))


def test_a_flood_of_the_admin_listener_leaves_it_and_the_clients_what_they_need(scarce):
    edge, pipe = scarce()
    s = plain(edge)
    held = idle(edge.admin_port, 100)
    for other in held:
        other.settimeout(0.2)
        try:
            other.sendall(b"GET / HTTP/1.1\r\nX: ")  # And then a byte now and then.
        except OSError:
            pass
    for _ in range(5):
        assert httpx.get(f"http://127.0.0.1:{edge.admin_port}/healthz", timeout=5).status_code == 200
    print(f"100 connections to the admin listener; {descriptors(edge.process)} descriptors")
    assert descriptors(edge.process) < LIMIT * 2 // 3
    assert echoes(s)
    bye(opened(edge))
    let_go([s, *held])


def test_sessions_without_descriptors_for_their_upstream_are_refused_and_the_server_is_not_blamed(scarce):
    edge, pipe = scarce(limits="http: { first_byte: 60s }")
    with Admin(edge) as admin:
        held = [socket.create_connection(("127.0.0.1", edge.plain_port), timeout=5) for _ in range(LIMIT * 3 // 5)]
        request = (b"GET /open HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        statuses = []
        for s in held:
            s.settimeout(10)
            s.sendall(request)
            statuses.append(int(s.recv(4096).split()[1]))
        print({status: statuses.count(status) for status in set(statuses)})
        assert 101 in statuses and set(statuses) - {101}, statuses
        assert set(statuses) <= {101, 502, 503}
        servers = admin.get("/v1/upstreams").json()["items"][0]["servers"]
    let_go(held)
    assert b"server ejected" not in pipe.text, [server for server in servers]
    for _ in range(3):
        bye(opened(edge))


def test_a_limit_that_is_lowered_while_it_runs_makes_it_pause_too(scarce):
    """accept(2) itself fails then, for nothing could be kept in time."""
    edge, pipe = scarce(limits="http: { first_byte: 60s }")
    s = plain(edge)
    now = max(int(number) for number in os.listdir(f"/proc/{edge.process.pid}/fd")) + 1
    resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, (now, LIMIT))
    held = idle(edge.plain_port, 100)
    wait_for(lambda: b"out of file descriptors" in pipe.text, what="the log to say so")
    before = cpu(edge.process)
    time.sleep(2)
    used = cpu(edge.process) - before
    print(f"limit {now}; {used:.2f} s of CPU in 2 s")
    assert used < 0.6 and echoes(s)
    [event] = [event for event in pipe.events() if "out of file descriptors" in event["message"]]
    assert event["limit"] == now and event["reason"] == "Too many open files"
    resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    let_go(held)
    bye(opened(edge))
    let_go([s])


def test_another_process_takes_over_amid_the_flood(scarce):
    edge, pipe = scarce(sections="takeover: culvert.takeover", limits="http: { first_byte: 2s }")
    held = fill(edge, pipe)
    old = edge.process
    pipe = None
    try:
        launch(edge, None, arguments=("serve", "--takeover"), preexec_fn=few(1024))
        assert old.wait(30) == 0
        bye(opened(edge))
    finally:
        let_go(held)
        end(old)

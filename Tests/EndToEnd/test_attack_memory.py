"""Attacks on memory by what waits for a client: windows, answers that nobody reads, sessions that have ended."""

import contextlib
import socket
import threading
import time

import pytest

from kit.admin import Admin, memory
from kit.attack import Peak, dial, read_head, request, rest_of
from kit.edge import TOKEN, wait_for
from kit.poll import BATCH, client, open_session, unframe
from kit.script import ScriptedBackend, flooding, messages, switching

MIB = 1 << 20


def limits(edge):
    with Admin(edge) as admin:
        return admin.get("/v1/limits").json()


class Getter:
    """A connection that sends requests and reads as little as it likes."""

    def __init__(self, edge, buffer=4096):
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.s.settimeout(20)
        self.s.connect(("127.0.0.1", edge.plain_port))
        self.head = f"Host: localhost\r\nAuthorization: {edge.auth['Authorization']}\r\nAccept: {BATCH}\r\n\r\n"

    def get(self, at, ack=0):
        self.s.sendall(f"GET {at}?ack={ack} HTTP/1.1\r\n{self.head}".encode())

    def drain(self, seconds=20):
        return rest_of(self.s, seconds)


def filled(edge, http, path="", least=1_000_000):
    """A session whose window is full."""
    before = memory(edge)["used"]
    at = open_session(http, path or "/")
    wait_for(lambda: memory(edge)["used"] >= before + least, 60, "the window to fill")
    return at


def test_one_window_fetched_on_many_connections_and_never_read_is_held_once(make_edge):
    # More than the kernel takes for a client that reads nothing.
    backend = flooding(messages(b"x" * 60_000, 130))
    edge = make_edge(backend.port, session="buffer: 8MiB")
    with client(edge) as http:
        at = filled(edge, http, least=7_700_000)
        before, window, getters = edge.rss, memory(edge)["used"], []
        for _ in range(30):
            getters.append(Getter(edge))
            getters[-1].get(at)
            # Its answer has begun, so that the next comes later to the session.
            getters[-1].s.recv(1, socket.MSG_PEEK)
        # Each answer was cut by the next.
        for getter in getters[:-1]:
            assert getter.drain() < 130 * 60_000
        used = memory(edge)["used"] - window
        print(f"30 connections for 7.8 MB: {used} bytes are counted, the process grew by {edge.rss - before >> 20} MiB")
        assert used < 8 * MIB and edge.rss - before < 60 * MIB
        # The last may be read to its end, and the session goes on.
        head = b""
        while b"\r\n\r\n" not in head:
            head += getters[-1].s.recv(1)
        assert head.startswith(b"HTTP/1.1 200")
        assert http.get(at, headers={"Accept": BATCH}).status_code == 200
        wait_for(lambda: memory(edge)["used"] <= window, what="answers not to count any more")
    backend.stop()


def test_an_answer_that_is_read_slowly_counts_until_it_is_read(make_edge):
    backend = flooding(messages(b"x" * 60_000, 80))
    edge = make_edge(backend.port, session="buffer: 8MiB")
    with client(edge) as http:
        at = filled(edge, http, least=4_600_000)
        window = memory(edge)["used"]
        slow = Getter(edge)
        slow.get(at)
        wait_for(lambda: memory(edge)["used"] > window + MIB, what="the answer to count")
        got = b""
        while len(got) < 4_800_000:
            got += slow.s.recv(65536)
        wait_for(lambda: memory(edge)["used"] == window, what="the answer to be written")
        _, body = got.split(b"\r\n\r\n", 1)
        assert len(unframe(body[:16 + 80 * 60_004])[2]) == 80
        # A client that goes with its answer is counted no longer either.
        slow.get(at)
        wait_for(lambda: memory(edge)["used"] > window + MIB, what="the answer to count")
        slow.s.close()
        wait_for(lambda: memory(edge)["used"] == window, what="the connection to be gone")
    backend.stop()


@pytest.mark.parametrize("how", ["delete", "get"])
def test_a_client_that_closes_does_not_keep_its_unread_answer(make_edge, how):
    backend = flooding(messages(b"x" * 60_000, 80))
    edge = make_edge(backend.port, session="buffer: 8MiB")
    with client(edge) as http:
        at = filled(edge, http, least=4_600_000)
        unread = Getter(edge)
        unread.get(at)
        wait_for(lambda: memory(edge)["used"] > 6 * MIB, what="the answer to count")
        if how == "delete":
            assert http.delete(at).status_code == 204
        else:
            other = Getter(edge)
            other.get(at, ack=80)
        wait_for(lambda: memory(edge)["used"] < MIB, what="nothing to be held")
        unread.drain()
    backend.stop()


def test_unread_answers_go_before_any_session_does(make_edge):
    backend = flooding(messages(b"x" * 60_000, 70))
    edge = make_edge(backend.port, session="buffer: 8MiB", limits="memory: 20MiB")
    with client(edge) as http:
        first = filled(edge, http, least=4_000_000)
        unread = [Getter(edge), Getter(edge)]
        second = filled(edge, http, least=4_000_000)
        for getter, at in zip(unread, (first, second)):
            getter.get(at)
        wait_for(lambda: memory(edge)["used"] > 12 * MIB, what="both answers to count")
        # They are stuck, and not merely on their way.
        began = time.monotonic()
        wait_for(lambda: time.monotonic() > began + 1.2, what="a second to pass")
        # Two more are too many, and are answered 503 for as long as the relief takes.
        others = []
        while len(others) < 2:
            answer = http.post("/_poll")
            if answer.status_code == 201:
                others.append(answer.headers["location"])
        # Whoever reads an answer before the relief keeps its connection.
        [event] = edge.expect_events("unread answers cut for memory")
        assert event["bytes"] > 2 * MIB
        for getter in unread:
            getter.drain()
        assert memory(edge)["closed"] == 0
        for at in (first, second, *others):
            assert http.get(at, headers={"Accept": BATCH}).status_code == 200
    backend.stop()


# MARK: sessions that have ended


def test_an_ended_session_counts_and_goes_however_often_its_client_asks(make_edge):
    """A token of two sessions keeps two, not as many as it likes."""
    backend = flooding(messages(b"z" * 1000, 900), then=b"\x88\x02\x03\xe8")
    edge = make_edge(backend.port, session="resume: 2s", limits="token: { sessions: 2 }, connections: 10")
    with client(edge) as http:
        kept = []
        for _ in range(2):
            kept.append(open_session(http))
        edge.expect_events("session ended", 2)
        assert limits(edge)["sessions"] == 2
        opened = 0
        end = time.monotonic() + 1
        while time.monotonic() < end and opened == 0:
            opened += http.post("/_poll").status_code == 201
            for at in kept:
                assert http.get(at, params={"ack": 5}, headers={"Accept": BATCH}).status_code == 200
        print(f"{opened} sessions beside two that have ended and wait to be fetched")
        assert opened == 0
        # Asking again and again for what it has not taken keeps nothing.
        wait_for(lambda: [http.get(at, params={"ack": 5}).status_code for at in kept] == [410, 410], 8, "their end")
        wait_for(lambda: limits(edge)["sessions"] == 0 and memory(edge)["used"] == 0, what="nothing to be kept")
        assert http.post("/_poll").status_code == 201
    backend.stop()


def test_an_ended_session_is_forgotten_though_its_client_takes_it_bit_by_bit(make_edge):
    backend = flooding(messages(b"z" * 1000, 900), then=b"\x88\x02\x03\xe8")
    edge = make_edge(backend.port, session="resume: 1s")
    with client(edge) as http:
        at = open_session(http)
        edge.expect_events("session ended")
        began, ack = time.monotonic(), 0

        def ended():
            nonlocal ack
            ack += 1
            return http.get(at, params={"ack": ack}).status_code == 410

        wait_for(ended, 15, "the end of a client that takes one message after the other")
        print(f"after {time.monotonic() - began:.1f} s, of which 2 are its, with {ack} of 900 taken")
        assert ack < 900
    backend.stop()


def test_a_session_that_is_fetched_to_its_end_gives_its_place_back_at_once(make_edge):
    backend = flooding(messages(b"z" * 1000, 10), then=b"\x88\x02\x03\xe8")
    edge = make_edge(backend.port, limits="token: { sessions: 1 }")
    with client(edge) as http:
        for _ in range(5):
            answer = http.post("/_poll")
            assert answer.status_code == 201, answer.text
            at = answer.headers["location"]
            wait_for(lambda: http.get(at).json()["messages"], what="its messages")
            wait_for(lambda: http.get(at, params={"ack": 10}).json().get("close"), what="its Close")
            assert http.get(at, params={"ack": 11}).status_code == 410
    backend.stop()


# MARK: small things


@pytest.mark.parametrize("length", [0, 1, 40])
def test_windows_of_small_messages_cost_what_they_count(make_edge, length):
    # A window's worth; 16 bytes are counted beside the payload.
    window, sessions = MIB // 4, 8
    count = window // (length + 16) + 100
    backend = flooding(messages(b"x" * length, count))
    edge = make_edge(backend.port, session="buffer: 256KiB")
    with client(edge) as http:
        least = (count - 100) * (length + 4)
        filled(edge, http, least=least)
        before, start = edge.rss, memory(edge)["used"]
        for _ in range(sessions):
            filled(edge, http, least=least)
        grown, used = edge.rss - before, memory(edge)["used"] - start
        print(f"windows of {length} bytes: {grown / sessions / 1024:.0f} KiB each, counted {used / sessions / 1024:.0f}")
        # With a buffer for each message they were 2.2 MiB each.
        assert grown < 3 * window * sessions + 4 * MIB
    backend.stop()


def test_sessions_that_fill_at_once_go_at_once(make_edge):
    """200 clients read nothing, and all their backends send at the same moment. The sessions were closed one by one,
    and what waited for the clients stayed for half a second."""
    count, begin = 200, threading.Event()

    def script(connection, head):
        connection.settimeout(60)
        connection.sendall(switching(head))
        begin.wait(60)
        with contextlib.suppress(OSError):
            connection.sendall(messages(bytes(65_000), 64))

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, session="buffer: 512KiB, stall: 60s", limits="memory: 8MiB")
    clients = []
    for _ in range(count):
        clients.append(dial(edge.plain_port, 4096))
        clients[-1].sendall(request(
            "GET", "/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", token=TOKEN))
        assert read_head(clients[-1])[0] == 101
    most = 0
    with Peak(edge) as peak:
        begin.set()
        wait_for(lambda: memory(edge)["closed"] > 0, what="the relief")
        end = time.monotonic() + 5
        while time.monotonic() < end:
            most = max(most, memory(edge)["used"])
        wait_for(lambda: memory(edge)["used"] <= 8 * MIB, what="the process to be below its ceiling")
    now = memory(edge)
    print(f"{count} sessions of up to 512 KiB: {now}, {most / MIB:.1f} MiB counted at most, the process had {peak}")
    # 128 KiB of each client's connection count only once they are exceeded, and on a busy machine the relief comes
    # when a fourth of all sessions has begun to fill.
    assert most < 8 * MIB + count * 200 * 1024 and peak.most < 64 * MIB
    # No more than had to go: what is about to go has no others closed.
    assert 0 < now["closed"] < count and now["used"] > MIB
    for s in clients:
        s.close()
    wait_for(lambda: memory(edge)["used"] == 0, what="nothing to be counted")
    backend.stop()

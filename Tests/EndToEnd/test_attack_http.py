"""Attacks by HTTP: what is sent before anybody is let in, sent ahead, sent slowly, or never read."""

import contextlib
import json
import threading
import time

import pytest

from kit.admin import Admin, used
from kit.attack import (
    MiB, Bystanders, Peak, descriptors, dial, is_closed, read_answer, read_head, report, request, rest_of)
from kit.edge import TOKEN, wait_for
from kit.raw import tls
from kit.script import flooding, messages
from kit.stray import cpu

AUTH = f"Authorization: Bearer {TOKEN}"


def opened(s, *lines, rest=b""):
    """A session's path."""
    s.sendall(request("POST", "/_poll", AUTH, "Content-Length: 0", *lines))
    status, _, body, _ = read_answer(s, rest)
    assert status == 201, (status, body)
    return "/_poll/" + json.loads(body)["session"]


# --- bodies before the gate ------------------------------------------------------------------------------------------

def test_bodies_without_a_token_are_not_kept(backend, make_edge):
    edge = make_edge(backend.port, limits="memory: 64MiB, message: 16MiB")
    held, sent = [], 0
    with Peak(edge) as peak:
        for _ in range(20):
            s = dial(edge.plain_port)
            s.sendall(request("POST", "/_poll", "Content-Type: application/json", "Content-Length: 21000000"))
            with contextlib.suppress(OSError):
                for _ in range(320):
                    s.sendall(b"x" * 65536)
                    sent += 65536
            held.append(s)
        print(f"20 bodies of 21 MB without a token, {sent // MiB} MiB taken: {peak}, counted {used(edge)}")
    assert peak.most < 40 * MiB
    for s in held:
        s.close()


HEADS = {
    "no token": (401, "POST", "/_poll", []),
    "no token, and a type that no batch has": (401, "POST", "/_poll/AAAA", ["Content-Type: text/xml"]),
    "an origin": (403, "POST", "/_poll", [AUTH, "Origin: https://evil.example"]),
    "no route for it": (404, "POST", "/native-only/_poll", [AUTH]),
    "a method": (405, "PATCH", "/_poll", [AUTH]),
    "a path of a WebSocket": (405, "POST", "/chat", [AUTH]),
    "a session that is not there": (404, "POST", "/_poll/" + "A" * 28, [AUTH]),
    "a type that no batch has": (415, "POST", "/_poll/" + "A" * 28, [AUTH, "Content-Type: text/xml"]),
    "two hosts": (400, "POST", "/_poll", [AUTH, "Host: other"]),
    "a form without end": (413, "POST", "/_poll/x/close", ["Content-Type: application/x-www-form-urlencoded",
                                                             "Content-Length: 9000000"]),
    "an opening that is too long": (413, "POST", "/_poll", [AUTH, "Content-Length: 9000000"]),
    "a handshake with a body": (400, "GET", "/chat", [
        AUTH, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]),
}


@pytest.mark.parametrize("expects", [True, False], ids=["expect", "silent"])
@pytest.mark.parametrize("name", HEADS)
def test_what_the_head_tells_is_answered_at_the_head(edge, name, expects):
    status, method, path, lines = HEADS[name]
    if not any(line.startswith("Content-Length") for line in lines):
        lines = [*lines, "Content-Length: 900"]
    with dial(edge.plain_port) as s:
        s.sendall(request(method, path, *lines, *(["Expect: 100-continue"] if expects else [])))
        # Not a byte of the body is sent.
        got, head, _, _ = read_answer(s)
        print(f"{method} {path} with {name}: {got}")
        assert got == status
        if expects:
            # Whether the body comes now is the client's choice: no request can follow for sure.
            assert "connection: close" in head
            assert is_closed(s, 15)


def test_a_session_that_has_ended_wants_no_batch(edge):
    with dial(edge.plain_port) as s:
        path = opened(s)
        s.sendall(request("DELETE", path, AUTH))
        assert read_answer(s)[0] == 204
        s.sendall(request("POST", path, AUTH, "Content-Length: 900", "Expect: 100-continue"))
        status, _, body, _ = read_answer(s)
        assert (status, json.loads(body)["code"]) == (410, 1000)


def test_limits_refuse_an_opening_before_its_body(backend, make_edge):
    edge = make_edge(backend.port, limits="token: { sessions: 1 }")
    with dial(edge.plain_port) as s, dial(edge.plain_port) as other:
        opened(s)
        other.sendall(request("POST", "/_poll", AUTH, "Content-Length: 20", "Expect: 100-continue"))
        assert read_answer(other)[0] == 429


def test_a_place_is_given_back_when_the_body_does_not_come(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 500ms, token: { sessions: 1 }")
    with dial(edge.plain_port) as slow:
        slow.sendall(request("POST", "/_poll", AUTH, "Content-Length: 20"))
        assert read_answer(slow)[0] == 408
    with dial(edge.plain_port) as gone:
        gone.sendall(request("POST", "/_poll", AUTH, "Content-Length: 20", "Expect: 100-continue"))
        assert read_head(gone)[0] == 100
    with Admin(edge) as admin:
        wait_for(lambda: admin.get("/v1/limits").json()["sessions"] == 0, what="the places to be free")
    with dial(edge.plain_port) as s:
        opened(s)


def test_100_is_for_a_body_that_is_wanted(edge):
    with dial(edge.plain_port) as s:
        body = b'{"protocols":[]}'
        s.sendall(request("POST", "/_poll", AUTH, f"Content-Length: {len(body)}", "Expect: 100-Continue"))
        status, _, rest = read_head(s)
        assert status == 100
        s.sendall(body)
        status, _, body, rest = read_answer(s, rest)
        assert status == 201
        path = "/_poll/" + json.loads(body)["session"]
        body = b'{"first":1,"messages":[{"text":"hi"}]}'
        s.sendall(request("POST", path, AUTH, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        status, _, rest = read_head(s, rest)
        assert status == 100
        s.sendall(body)
        status, _, body, rest = read_answer(s, rest)
        assert (status, json.loads(body)["ack"]) == (200, 1)
        # The body is here: there is nothing to be told.
        body = b'{"first":2,"messages":[{"text":"hi"}]}'
        s.sendall(request("POST", path, AUTH, f"Content-Length: {len(body)}", "Expect: 100-continue", body=body))
        status, _, body, rest = read_answer(s, rest)
        assert (status, json.loads(body)["ack"]) == (200, 2)


@pytest.mark.parametrize("size", [20, 60_000])
def test_a_refused_body_that_is_small_costs_no_connection(edge, size):
    with dial(edge.plain_port) as s:
        for _ in range(3):
            s.sendall(request("POST", "/_poll", f"Content-Length: {size}"))
            status, head, _, rest = read_answer(s)
            assert status == 401 and "connection: close" not in head
            # The answer is first, the body comes nevertheless.
            s.sendall(b"GET / HTTP/1.1\r\n\r\n".ljust(size, b"x"))
        opened(s)


@pytest.mark.parametrize("dialled", [lambda e: dial(e.plain_port), tls], ids=["plain", "tls"])
def test_an_early_answer_is_not_lost_to_a_reset(edge, dialled):
    with dialled(edge) as s:
        s.sendall(request("POST", "/_poll", "Content-Length: 5000000"))
        # The client that most are: it reads when it has written everything.
        for _ in range(100):
            s.sendall(b"x" * 50_000)
        status, head, body, _ = read_answer(s)
        print(f"5 MB sent before the answer is read: {status}, {len(body)} bytes")
        assert status == 401 and "connection: close" in head and json.loads(body)["status"] == 401


@pytest.mark.parametrize("early", [0, 1_300_000])
def test_haste_earns_a_body_no_time(backend, make_edge, early):
    edge = make_edge(backend.port, limits="handshake: 1s, http: { body_rate: 1KiB }")
    with dial(edge.plain_port) as s:
        path = opened(s)
        s.sendall(request("POST", path, AUTH, "Content-Length: 1390000"))
        for _ in range(early // 50_000):
            s.sendall(b" " * 50_000)
        begun = time.monotonic()
        status, _, _, _ = read_answer(s)
        print(f"{early} bytes at once and then nothing: {status} after {time.monotonic() - begun:.1f} s")
        assert status == 408 and time.monotonic() - begun < 15


def test_bodies_count_and_are_refused_before_sessions_are_closed_for_them(backend, make_edge):
    edge = make_edge(backend.port, limits="memory: 8MiB, message: 4MiB, handshake: 20s")
    with dial(edge.plain_port) as keeper, contextlib.ExitStack() as stack:
        path = opened(keeper)
        statuses = []
        slow = [stack.enter_context(dial(edge.plain_port)) for _ in range(8)]
        with Peak(edge) as peak:
            for s in slow:
                s.sendall(request("POST", path, AUTH, "Content-Length: 4000000"))
                with contextlib.suppress(OSError):
                    for _ in range(60):
                        s.sendall(b" " * 50_000)
            wait_for(lambda: used(edge) > 3 * MiB, what="the bodies to be counted")
            for s in slow:
                s.settimeout(0.5)
                try:
                    statuses.append(read_answer(s)[0])
                except TimeoutError:
                    statuses.append(None)
            print(f"8 bodies of which 3 MB have come, 8 MiB allowed: {statuses}, {peak}, counted {used(edge)}")
        assert statuses.count(503) >= 4 and None in statuses
        assert used(edge) < 9 * MiB and peak.most < 40 * MiB
        # The session lives, and others may post what is small.
        body = b'{"first":1,"messages":[{"text":"hi"}]}'
        keeper.sendall(request("POST", path, AUTH, f"Content-Length: {len(body)}", body=body))
        assert read_answer(keeper)[0] == 200


# --- requests ahead of their answers ---------------------------------------------------------------------------------

BLOB = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 9000


def pump(sockets, seconds):
    """Sends the blob on each, again and again, as far as it is taken."""
    rest = {s: b"" for s in sockets}
    sent, end = 0, time.monotonic() + seconds
    for s in sockets:
        s.setblocking(False)
    while time.monotonic() < end:
        for s in sockets:
            rest[s] = rest[s] or BLOB
            with contextlib.suppress(OSError):
                n = s.send(rest[s])
                sent += n
                rest[s] = rest[s][n:]
        time.sleep(0.01)
    return sent


@pytest.mark.parametrize("dialled", [lambda e: dial(e.plain_port, 4096), lambda e: tls(e, 4096)], ids=["plain", "tls"])
def test_requests_of_nobody_wait_as_bytes(backend, make_edge, dialled):
    edge = make_edge(backend.port)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dialled(edge)) for _ in range(20)]
        with Peak(edge) as peak:
            sent = pump(sockets, 1.5)
            counted = used(edge)
        print(f"20 connections that read nothing: {sent / MiB:.1f} MiB sent, {peak}, counted {counted}")
        assert peak.most < 40 * MiB
    wait_for(lambda: used(edge) == 0, 30, "nothing to be counted")


@pytest.mark.parametrize("dialled", [lambda e: dial(e.plain_port, 4096), lambda e: tls(e, 4096)], ids=["plain", "tls"])
def test_a_connection_of_nobody_ends_whatever_it_sends(backend, make_edge, dialled):
    edge = make_edge(backend.port, limits="handshake: 2s, http: { idle: 2s, requests: 200 }")
    before = descriptors(edge)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dialled(edge)) for _ in range(10)]
        begun = time.monotonic()

        def left():
            pump(sockets, 0.1)
            return descriptors(edge) - before

        wait_for(lambda: left() < 5, 60, "the connections to be closed")
        print(f"10 connections that send on and read nothing: closed after {time.monotonic() - begun:.0f} s")


def test_requests_behind_a_parked_poll_wait_as_bytes(backend, make_edge):
    edge = make_edge(backend.port, limits="connections: 1000", session="hold: 30s")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dial(edge.plain_port)) for _ in range(30)]
        paths = [opened(s) for s in sockets]
        with Peak(edge) as peak:
            for s, path in zip(sockets, paths):
                # In one piece, so that the first read brings more than the poll.
                s.sendall(request("GET", path, AUTH) + BLOB[:27 * 50])
            sent = pump(sockets, 2)
            counted = used(edge)
        print(f"30 parked polls: {sent / MiB:.1f} MiB sent behind them, {peak}, counted {counted}")
        assert peak.most < 30 * MiB and 0 < counted < 30 * 256 * 1024


def test_many_requests_in_a_packet_do_not_hold_up_others(backend, make_edge):
    edge = make_edge(backend.port, limits="http: { requests: 1000000 }")
    others = Bystanders(edge.plain_port)

    def attack():
        stop = threading.Event()
        sent = [0]

        def one():
            with contextlib.suppress(OSError), dial(edge.plain_port) as s:
                def read():
                    with contextlib.suppress(OSError):
                        while s.recv(1 << 20):
                            pass
                threading.Thread(target=read, daemon=True).start()
                while not stop.is_set():
                    s.sendall(BLOB[:27 * 2000])
                    sent[0] += 2000

        threads = [threading.Thread(target=one, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(3)
        stop.set()
        return sent[0]

    _, calm = others.during(lambda: time.sleep(1))
    sent, times = others.during(attack)
    quiet = report("calm", calm)
    median = report(f"beside 8 connections with {sent} requests in 3 s", times)
    assert median < max(0.2, 20 * quiet)


# --- what trickles in ------------------------------------------------------------------------------------------------

def test_a_head_in_single_bytes_is_taken_and_costs_no_more_than_its_bytes(edge):
    head = request("GET", "/", *(f"X-{n}: {'v' * 50}" for n in range(60)))
    with dial(edge.plain_port) as s:
        before = cpu(edge.process)
        for at in range(len(head)):
            s.send(head[at:at + 1])
        assert read_answer(s)[0] == 426
        print(f"a head of {len(head)} bytes, one by one: {(cpu(edge.process) - before) * 1000:.0f} ms of CPU")
        assert cpu(edge.process) - before < 2


def test_a_chunk_that_never_begins_ends(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 1s")
    with dial(edge.plain_port) as s, Peak(edge) as peak:
        path = opened(s)
        s.sendall(request("POST", path, AUTH, "Transfer-Encoding: chunked", body=b"1;"))
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - begun < 20:
                s.sendall(b"e" * 4096)
                time.sleep(0.01)
        print(f"an extension of a chunk without end: {time.monotonic() - begun:.1f} s, {peak}")
        assert time.monotonic() - begun < 15 and peak.most < 20 * MiB


# --- answers that nobody reads ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", ["plain", "tls"])
@pytest.mark.parametrize("form", ["application/json", "application/vnd.culvert.batch"], ids=["json", "binary"])
def test_a_window_is_held_once_however_many_ask_for_it(make_edge, scheme, form):
    """What they do not read is neither put in its form nor encrypted."""
    upstream = flooding(messages(bytes(60_000), 100))
    # More than the kernel takes by itself.
    edge = make_edge(upstream.port, session="buffer: 8MiB", limits="memory: 64MiB, token: { sessions: 1 }")
    try:
        with contextlib.ExitStack() as stack:
            opener = stack.enter_context(dial(edge.plain_port))
            path = opened(opener)
            wait_for(lambda: used(edge) > 5 * MiB, what="the window to be full")
            sockets = []
            with Peak(edge) as peak:
                for _ in range(20):
                    s = stack.enter_context(dial(edge.plain_port, 4096) if scheme == "plain" else tls(edge, 4096))
                    s.sendall(request("GET", path + "?ack=0", AUTH, f"Accept: {form}"))
                    # The answer is under way when its head is there.
                    status, _, rest = read_head(s)
                    assert status == 200
                    sockets.append((s, rest))
                counted = used(edge)
            print(f"a window of 6 MB asked for on 20 connections: {peak}, counted {counted / MiB:.1f} MiB")
            # The window is there before; made at once, its form and TLS's copy of it cost 23 to 36 MiB.
            assert peak.most < 16 * MiB
            # The window itself, and one answer with it.
            assert 10 * MiB < counted < 25 * MiB
            # The next request gets it; the earlier ones were cut in the middle of it.
            s = stack.enter_context(dial(edge.plain_port))
            s.sendall(request("GET", path + "?ack=0", AUTH))
            status, _, body, _ = read_answer(s)
            assert status == 200 and len(body) > 5.7 * MiB
            for s, rest in sockets[-3:]:
                assert len(rest) + rest_of(s) < 5.7 * MiB
    finally:
        upstream.stop()


@pytest.mark.parametrize("dialled", [lambda e: dial(e.plain_port, 4096), lambda e: tls(e, 4096)], ids=["plain", "tls"])
def test_an_answer_that_is_not_taken_has_a_deadline(make_edge, dialled):
    upstream = flooding(messages(bytes(60_000), 200))
    edge = make_edge(upstream.port, session="buffer: 8MiB, resume: 2s",
                     limits="handshake: 1s, http: { idle: 1s, body_rate: 10MiB }")
    try:
        before = descriptors(edge)
        with contextlib.ExitStack() as stack:
            sockets = []
            for _ in range(5):
                s = stack.enter_context(dialled(edge))
                path = opened(s)
                s.sendall(request("GET", path, AUTH))
                sockets.append(s)
            wait_for(lambda: used(edge) > 5 * MiB, what="the answers to be under way")
            wait_for(lambda: descriptors(edge) <= before, 40, "the connections to be closed")
            wait_for(lambda: used(edge) == 0, 30, "nothing to be counted")
    finally:
        upstream.stop()

"""What a lane's client cannot bring about, whatever it does: memory without bound, sessions without end, ways round."""

import contextlib
import os
import signal
import socket as sockets
import struct
import time

import pytest

from kit.edge import TOKEN, wait_for
from kit.lane import open_count, opened
from kit.poll import batch, client, open_session, unframe
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, switching

LANE = "Sec-WebSocket-Protocol: culvert.v1\r\n"


def push(raw, data, seconds=3):
    """As much of `data`, again and again, as the edge takes while its client reads nothing."""
    raw.s.settimeout(1)
    end = time.monotonic() + seconds
    with pytest.raises(OSError):
        while time.monotonic() < end:
            raw.s.sendall(data)
        raise OSError


@pytest.mark.parametrize("path", ["/_poll", "/_poll/probe"])
@pytest.mark.parametrize("what", ["pings", "questions"])
def test_answers_that_are_not_read_are_not_kept(make_edge, fresh_backend, path, what):
    edge = make_edge(fresh_backend.port)
    raw = Raw(edge, path, receive_buffer=4096, headers=LANE)
    before = edge.rss
    push(raw, masked(9, b"x" * 120) * 500 if what == "pings" else masked(2, batch(1, [])) * 2000)
    assert edge.rss - before < 50 << 20
    raw.s.close()


def test_a_probe_ends_also_when_its_client_does_not_read(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    raw = Raw(edge, "/_poll/probe", headers=LANE)
    raw.send(masked(2, b"x") * 4)
    raw.s.settimeout(10)
    # It does not answer the Close.
    assert [raw.frame() for _ in range(4)] == [(2, b"x")] * 4
    assert raw.close_code() == 1000
    assert raw.s.recv(1) == b""


def test_a_poll_of_a_session_whose_only_lane_leaves_is_served(edge):
    """Who polls it knows of it: it is nobody's no more."""
    with client(edge) as http:
        with opened(edge) as (hello, lane):
            at = f"/_poll/{hello['session']}"
            assert http.post(at, json={"first": 1, "messages": [{"text": "x"}]}).status_code == 200
            lane.ws.close()
        assert http.get(at, params={"ack": 0}).json()["messages"] == [{"text": "x"}]


@pytest.mark.parametrize("limits", ["session: { from_client: { messages: 5, message_burst: 5 } }"])
def test_joining_again_is_no_way_round_a_rate(make_edge, fresh_backend, limits):
    edge = make_edge(fresh_backend.port, limits=limits)
    with client(edge) as http:
        at = open_session(http, "/record")
        for n in range(10):
            raw = Raw(edge, at + "/socket", headers=LANE)
            raw.send(masked(2, batch(n * 100 + 1, ["m"] * 100)))
            raw.frame()
            raw.s.close()
        # The first hundred is in debt for twenty seconds.
        assert http.post(at, json={"first": 1001, "messages": [{"text": "x"}]}).status_code == 429
    assert len(fresh_backend.received) <= 200


def test_joining_again_is_no_way_round_a_slow_upstream(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    before = edge.rss
    with client(edge) as http:
        at = open_session(http, "/slow-reader")
        sent, busy = 0, False
        for _ in range(60):
            raw = Raw(edge, at + "/socket", headers=LANE)
            raw.send(masked(2, batch(sent + 1, [b"x" * 1_000_000])))
            ack = unframe(raw.frame()[1])[0]
            busy, sent = busy or ack == sent, ack
            raw.s.close()
        assert busy and sent < 30
        assert edge.rss - before < 60 << 20
        fresh_backend.let_go()


def test_an_ended_session_is_not_kept_by_a_lane_that_does_not_read(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port, session="resume: 1s, buffer: 16MiB", limits="message: 16MiB, handshake: 1s")
    raw = Raw(edge, "/flood/_poll", headers=LANE, receive_buffer=4096)
    raw.send(masked(2, batch(1, ["12 1000000"])))
    wait_for(lambda: fresh_backend.sent == 12, what="the flood")

    async def close():
        for ws in list(fresh_backend.connections):
            await ws.close(4000, "done")

    fresh_backend.call(close())
    raw.s.settimeout(1)
    end = time.monotonic() + 20
    with pytest.raises(OSError):
        # Not by silence: it answers pings, so to speak.
        while time.monotonic() < end:
            raw.send(masked(10, b""))
            time.sleep(0.1)
        pytest.fail("the lane is still there")
    raw.s.close()


def test_half_envelopes_count_as_memory(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port, limits="memory: 4MiB")
    with contextlib.ExitStack() as stack:
        raws = [Raw(edge, "/_poll", headers=LANE) for _ in range(10)]
        for raw in raws:
            stack.callback(raw.s.close)
            raw.send(masked(2, batch(1, [])))
        for raw in raws:
            # Of a frame that is to be longer.
            raw.send(masked(2, b"x" * 1_200_000)[:-100])
        closed = edge.expect_events("session ended", 5)
    assert all(event["close_code"] == 1013 for event in closed[:5])


def test_lanes_that_lead_nowhere_are_handshakes(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port, limits="process: { handshakes: 3 }")
    with contextlib.ExitStack() as stack:
        for path in ["/_poll/probe", "/_poll/x/socket", "/_poll/probe"]:
            raw = Raw(edge, path, headers=LANE)
            stack.callback(raw.s.close)
        with pytest.raises((OSError, AssertionError)):
            Raw(edge, "/_poll/probe", headers=LANE)


@pytest.mark.parametrize("path", ["/_poll", "/"])
@pytest.mark.parametrize("how", ["fin", "reset"])
def test_a_client_that_leaves_with_its_101_leaves_no_session(make_edge, path, how):
    """It is gone while the connection's handlers change places."""
    answers = []
    backend = ScriptedBackend(lambda connection, head: answers.append((connection, switching(head))))
    edge = make_edge(backend.port, session="resume: 500ms, ping: 300ms", limits="handshake: 1s")
    held = []
    for n in range(5):
        c = sockets.create_connection(("127.0.0.1", edge.plain_port), timeout=10)
        c.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   f"Authorization: Bearer {TOKEN}\r\nSec-WebSocket-Version: 13\r\n{LANE}"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
        wait_for(lambda: len(answers) == n + 1, what="the upstream to be asked")
        os.kill(edge.process.pid, signal.SIGSTOP)
        try:
            upstream, answer = answers[n]
            upstream.sendall(answer)
            held.append(upstream)
            if how == "reset":
                c.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()
        finally:
            os.kill(edge.process.pid, signal.SIGCONT)
    for upstream in held:
        # It answers the edge's pings and its Close not at all.
        with contextlib.suppress(OSError):  # A dial ends with its client, and the backend has closed its side.
            upstream.settimeout(10)
    wait_for(lambda: open_count(edge) == 0, what="no session to be left")
    backend.stop()

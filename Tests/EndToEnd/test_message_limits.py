"""How large a message may be: without a limit where it passes in parts, and what both sides are told past a limit."""

import asyncio
import contextlib
import os
import struct
import threading
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.edge import wait_for
from kit.knock import TRANSPORTS
from kit.lane import closing, opened
from kit.poll import BATCH, batch, client, open_session, unframe
from kit.raw import Raw
from kit.script import ScriptedBackend, switching

KIB, MIB = 1 << 10, 1 << 20
CLIENT, UPSTREAM = "limits.message.from_client", "limits.message.from_upstream"


def dial(edge, path="/"):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=edge.auth, compression=None, max_size=None)


def say(backend, payload):
    """The backend sends to its one connection."""
    [connection] = wait_for(lambda: backend.connections, what="the backend's connection")
    backend.call(connection.send(payload), timeout=30)


def test_a_native_message_of_any_size_passes_both_ways_unless_a_limit_is_set(edge):
    message = os.urandom(5 * MIB)

    async def run():
        async with dial(edge) as ws:
            await ws.send(message)
            assert await asyncio.wait_for(ws.recv(), 30) == message

    asyncio.run(run())


@pytest.mark.parametrize("accept", [BATCH, "application/json"], ids=["binary", "json"])
def test_a_polled_client_gets_a_message_of_its_upstream_of_several_mib(fresh_backend, make_edge, accept):
    edge = make_edge(fresh_backend.port)
    table = "0123456789" * (MIB * 5 // 2 // 10)
    with client(edge) as http:
        at = open_session(http, "/record")
        say(fresh_backend, table)
        answer = http.get(at, headers={"Accept": accept})
        assert answer.status_code == 200, answer.text[:200]
        got = unframe(answer.content)[2][0] if accept == BATCH else answer.json()["messages"][0]["text"]
        assert got == table


def end_of(edge, backend, transport, path, sender):
    """(code, reason) that the client and its upstream are told for a message of 65 KiB."""
    payload = bytes(65 * KIB)
    if transport == "websocket":
        async def run():
            async with dial(edge, path) as ws:
                if sender == "client":
                    await ws.send(payload)
                else:
                    await asyncio.to_thread(say, backend, payload)
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(ws.recv(), 10)
                return ws.close_code, ws.close_reason

        told = asyncio.run(run())
    else:
        with client(edge) as http:
            at = open_session(http, path)
            say(backend, payload)
            close = unframe(http.get(at, headers={"Accept": BATCH}).content)[3]
            told = close[0], close[1]
    [(_, code, reason)] = wait_for(lambda: backend.closed, what="the Close of the upstream")
    return told, (code, reason)


LIMITS = {
    "both": ("message: 64KiB", ""),
    "each": ("message: { from_client: 64KiB, from_upstream: 64KiB }", ""),
    "route": ("message: 1KiB", "limits: { message: 64KiB }"),
}


@pytest.mark.parametrize("transport,sender", [
    ("websocket", "client"), ("websocket", "upstream"), ("long-poll", "upstream"),
])
@pytest.mark.parametrize("how", LIMITS)
def test_both_sides_are_told_whose_message_exceeded_which_limit(fresh_backend, make_edge, transport, sender, how):
    limits, route = LIMITS[how]
    edge = make_edge(fresh_backend.port, limits=limits, route=route)
    client_told, upstream_told = end_of(edge, fresh_backend, transport, "/record", sender)
    key = CLIENT if sender == "client" else UPSTREAM
    reason = f"message of the {sender} exceeds {key} (64KiB)"
    codes = (1009, 1001) if sender == "client" else (1011, 1009)
    assert (client_told, upstream_told) == ((codes[0], reason), (codes[1], reason))
    [ended] = edge.expect_events("session ended")
    assert (ended["close_code"], ended["closed_by"], ended["close_reason"]) == (1009, "culvert", reason)


def test_a_limit_of_one_direction_is_none_of_the_other(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, limits="message: { from_client: 1KiB }")

    async def run():
        async with dial(edge, "/record") as ws:
            await asyncio.to_thread(say, fresh_backend, bytes(2 * MIB))
            assert await asyncio.wait_for(ws.recv(), 10) == bytes(2 * MIB)
            await ws.send(bytes(2 * KIB))
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 10)
            assert ws.close_code == 1009

    asyncio.run(run())


@pytest.mark.parametrize("how", LIMITS)
def test_a_polled_client_learns_its_limit_and_keeps_its_session_past_it(fresh_backend, make_edge, how):
    limits, route = LIMITS[how]
    edge = make_edge(fresh_backend.port, limits=limits, route=route)
    with client(edge) as http:
        answer = http.post("/record/_poll")
        assert answer.json()["max_message"] == 64 * KIB
        at = answer.headers["location"]
        refused = http.post(at, content=batch(1, [bytes(65 * KIB)]), headers={"Content-Type": BATCH})
        assert refused.status_code == 413 and f"({CLIENT}, 64KiB)" in refused.json()["detail"]
        assert http.post(at, content=batch(1, [bytes(64 * KIB)]), headers={"Content-Type": BATCH}).status_code == 200
    with opened(edge, "/record") as (session, lane):
        assert session["max_message"] == 64 * KIB
        lane.say(bytes(65 * KIB))
        code, reason = closing(lane.ws)
        assert code == 1009 and f"({CLIENT}, 64KiB)" in reason


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_reload_changes_the_limit_of_new_sessions(fresh_backend, make_edge, transport):
    edge = make_edge(fresh_backend.port, limits="message: { from_upstream: 64KiB }")
    edge.config.write_text(edge.config.read_text().replace("from_upstream: 64KiB", "from_upstream: 1KiB"))
    edge.catch_up()
    told, _ = end_of(edge, fresh_backend, transport, "/record", "upstream")
    assert told == (1011, f"message of the upstream exceeds {UPSTREAM} (1KiB)")


def test_a_frame_that_takes_longer_than_keepalive_ends_nothing(make_edge):
    """No ping can be put into a frame that is on its way, so a silent receiver of a large frame was never asked."""
    end = b"the end of it"

    def script(connection, head):
        connection.sendall(switching(head))
        got = b""
        while end not in got:
            part = connection.recv(65536)
            if not part:
                return
            got += part
        connection.sendall(b"\x81\x04done")

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, session="ping: 200ms")
    raw = Raw(edge)
    # The mask is zero, so that the payload is seen as it is.
    raw.send(struct.pack("!BBI", 0x82, 0x80 | 30 + len(end), 0))
    for _ in range(30):
        raw.send(b"x")
        time.sleep(0.1)  # The pace of a slow client.
    raw.send(end)
    opcode, payload = raw.frame()
    while opcode == 9:
        opcode, payload = raw.frame()
    assert (opcode, payload) == (1, b"done")
    backend.stop()


def test_frames_that_both_stand_still_do_not_stop_keepalive(make_edge):
    """Each ping waits for the end of the other side's frame. Peers that vanish so kept both connections for ever."""
    halves = b"\x82\x7e\x00\xc8x"
    gone = threading.Event()

    def script(connection, head):
        connection.sendall(switching(head) + halves)
        with contextlib.suppress(OSError):
            while connection.recv(65536):
                pass
        gone.set()

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, session="ping: 200ms")
    raw = Raw(edge)
    raw.send(struct.pack("!BBHI", 0x82, 0x80 | 126, 200, 0) + b"x")
    edge.expect_events("session ended")
    assert gone.wait(20)
    backend.stop()

"""Who takes nothing for `session.stall` is let go, and the other side with him."""

import asyncio
import contextlib
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.edge import wait_for
from kit.knock import TRANSPORTS
from kit.pace import within
from kit.poll import BATCH, batch, client, open_session, unframe
from kit.raw import Raw, masked

SIZE = 64 << 10


def dial(edge, path="/", **options):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=edge.auth, compression=None, max_size=None,
                   **options)


def flooded(edge):
    """A client that asks for a flood and reads none of it."""
    raw = Raw(edge, "/flood", receive_buffer=4096)
    raw.send(masked(1, f"2048 {SIZE}".encode()))
    return raw


def ended(edge):
    [event] = edge.expect_events("session ended")
    return event["close_code"], event["closed_by"], event["close_reason"]


def test_a_client_that_reads_nothing_is_cut(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="stall: 500ms", limits="handshake: 1s")
    began = time.monotonic()
    raw = flooded(edge)
    # The upstream is told at once and answers; the client has until the deadline.
    assert wait_for(lambda: fresh_backend.closed, what="the backend to be told") == [
        ("/flood", 1001, "client too slow")]
    assert 0.5 < time.monotonic() - began
    assert ended(edge) == (1013, "culvert", "client too slow")
    assert time.monotonic() - began > 1.4
    # Cut: what was on its way ends without a Close.
    with pytest.raises((AssertionError, OSError)):
        while True:
            assert raw.frame()[0] != 8
    assert time.monotonic() - began < within(15)


def test_a_client_that_reads_again_in_time_is_told(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="stall: 500ms", limits="handshake: 15s")
    raw = flooded(edge)
    wait_for(lambda: fresh_backend.closed, what="the stall")
    count = 0
    while (frame := raw.frame())[0] != 8:
        # All that came before is whole and in order.
        assert int.from_bytes(frame[1][:8], "big") == count and len(frame[1]) == SIZE
        count += 1
    assert frame[1] == (1013).to_bytes(2, "big") + b"client too slow" and 0 < count < 2048
    raw.answer_close(1013)
    assert ended(edge) == (1013, "culvert", "client too slow")


def test_a_backend_that_reads_nothing_ends_it_for_the_client(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="stall: 500ms", limits="handshake: 10s")

    async def run():
        async with dial(edge, "/slow-reader") as ws:
            async def flood():
                with contextlib.suppress(ConnectionClosed):
                    for n in range(2048):
                        await ws.send(n.to_bytes(8, "big") + bytes(SIZE - 8))

            task = asyncio.create_task(flood())
            with contextlib.suppress(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 15)
            assert (ws.close_code, ws.close_reason) == (1013, "upstream too slow")
            await asyncio.wait_for(task, 10)

    asyncio.run(run())
    fresh_backend.let_go()
    assert wait_for(lambda: fresh_backend.closed, what="the backend to read its Close") == [
        ("/slow-reader", 1001, "upstream too slow")]
    received = [int.from_bytes(m[:8], "big") for m in fresh_backend.received]
    assert received == list(range(len(received)))
    assert ended(edge) == (1013, "culvert", "upstream too slow")


def test_a_polled_client_that_acknowledges_nothing_is_let_go(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="stall: 700ms, buffer: 256KiB")
    with client(edge) as http:
        at = open_session(http, "/flood")
        http.post(at, json={"first": 1, "messages": [{"text": f"2048 {SIZE}"}]})
        # To poll is not to take.
        end = time.monotonic() + 10
        while not fresh_backend.closed:
            assert time.monotonic() < end
            assert http.get(at, headers={"Accept": BATCH}).status_code == 200
            time.sleep(0.05)
        assert fresh_backend.closed == [("/flood", 1001, "client too slow")]
        # What was there for it still is, and then why it ends.
        got, close = 0, None
        while not close:
            _, first, messages, close = unframe(
                http.get(at, params={"ack": got}, headers={"Accept": BATCH}).content)
            assert first == got + 1
            got += len(messages)
        assert close == (1013, "client too slow") and got >= 4
    assert ended(edge) == (1013, "culvert", "client too slow")


def test_a_backend_that_reads_nothing_of_a_polled_session_ends_it(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="stall: 700ms", limits="handshake: 1s")
    with client(edge) as http:
        at = open_session(http, "/slow-reader")
        status, number, seen = 200, 1, set()
        end = time.monotonic() + 20
        # What the system's own buffers take comes in gulps: a queue that was full may have room again for a while.
        while status != 410:
            status = http.post(
                at, content=batch(number, [bytes(512 << 10)]), headers={"Content-Type": BATCH}).status_code
            assert status in (200, 503, 410) and time.monotonic() < end
            seen.add(status)
            number += status == 200
        assert 503 in seen
        _, _, _, close = unframe(http.get(at, headers={"Accept": BATCH}).content)
        assert close == (1013, "upstream too slow")
    assert ended(edge) == (1013, "culvert", "upstream too slow")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_is_slow_but_takes_something_stays(fresh_backend, make_edge, transport):
    edge = make_edge(fresh_backend.port, session="stall: 2s, buffer: 64KiB")
    count = 160

    async def native():
        async with dial(edge, "/flood", max_queue=1) as ws:
            await ws.send(f"{count} {SIZE}")
            for n in range(count):
                assert int.from_bytes((await asyncio.wait_for(ws.recv(), 10))[:8], "big") == n
                await asyncio.sleep(0.02)

    def polled():
        with client(edge) as http:
            at = open_session(http, "/flood")
            http.post(at, json={"first": 1, "messages": [{"text": f"{count} {SIZE}"}]})
            got = 0
            while got < count:
                answer = http.get(at, params={"ack": got}, headers={"Accept": BATCH})
                if answer.status_code == 200:
                    _, _, messages, close = unframe(answer.content)
                    assert not close
                    got += len(messages)
                time.sleep(0.02)

    began = time.monotonic()
    polled() if transport == "long-poll" else asyncio.run(native())
    assert time.monotonic() - began > 2


@pytest.mark.parametrize("stall", ["none", "0s"])
def test_without_a_stall_nobody_is_let_go(fresh_backend, make_edge, stall):
    edge = make_edge(fresh_backend.port, session=f"stall: {stall}, buffer: 64KiB", limits="handshake: 1s")
    raw = flooded(edge)
    wait_for(lambda: fresh_backend.sent > 0, what="the flood")
    time.sleep(2)  # There is nothing else that nothing happens in.
    edge.catch_up()
    assert not edge.events("session ended")
    assert raw.frame()[0] == 2

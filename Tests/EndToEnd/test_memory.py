"""What all sessions hold together has a ceiling: past it those that hold most go, and nobody else does."""

import asyncio

import pytest
from websockets.asyncio.client import connect

from kit.admin import memory, used
from kit.edge import TOKEN, wait_for
from kit.knock import TRANSPORTS, knock
from kit.poll import BATCH, client, open_session, unframe
from kit.raw import Raw, masked

KIB, MIB = 1 << 10, 1 << 20
SIZE = 64 * KIB


def flood(http, kib):
    """A session whose backend sends so much, and whose client fetches none of it."""
    def opened():
        answer = http.post("/flood/_poll")
        if answer.status_code == 503:
            # Past the ceiling, for as long as the relief takes.
            assert answer.json()["type"] == "urn:culvert:problem:memory_full"
            assert int(answer.headers["retry-after"]) >= 1
            return None
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    at = wait_for(opened, what="room for a session")
    http.post(at, json={"first": 1, "messages": [{"text": f"{kib * KIB // SIZE} {SIZE}"}]})
    return at


def fetch(http, at, kib):
    got = 0
    while got < kib * KIB // SIZE:
        answer = http.get(at, params={"ack": got}, headers={"Accept": BATCH})
        assert answer.status_code == 200, answer.text
        _, first, messages, _ = unframe(answer.content)
        for message in messages:
            assert int.from_bytes(message[:8], "big") == got and len(message) == SIZE
            got += 1
    http.get(at, params={"ack": got}, headers={"Accept": BATCH}, timeout=5)


def test_the_largest_goes_first_and_the_others_live_on(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="buffer: 8MiB, hold: 300ms", limits="memory: 6MiB")
    with client(edge) as http:
        sessions = {}
        for kib in (1024, 2560, 1536):
            before = used(edge)
            sessions[kib] = flood(http, kib)
            wait_for(lambda: used(edge) >= before + kib * KIB, what="the window to fill")
        assert memory(edge) == {"used": used(edge), "ceiling": 6 * MIB, "closed": 0}
        sessions[1280] = flood(http, 1280)
        wait_for(lambda: memory(edge)["closed"] == 1, what="the relief")
        answer = http.get(sessions.pop(2560))
        assert (answer.status_code, answer.json()["code"], answer.json()["reason"]) == (
            410, 1013, "server out of memory")
        assert wait_for(lambda: fresh_backend.closed, what="the backend to be told") == [
            ("/flood", 1001, "server out of memory")]
        [event] = edge.expect_events("session ended")
        assert (event["close_code"], event["closed_by"], event["close_reason"]) == (
            1013, "culvert", "server out of memory")
        [relief] = edge.expect_events("memory relief")
        assert relief["id"] == event["id"] and relief["bytes"] >= 2560 * KIB and relief["ceiling"] == 6 * MIB
        # The rest of them lose nothing, and there is room again.
        wait_for(lambda: used(edge) >= (1024 + 1536 + 1280) * KIB, what="the rest to arrive")
        for transport in TRANSPORTS:
            assert knock(edge, transport, token=TOKEN).status in (101, 201)
        for kib, at in sessions.items():
            fetch(http, at, kib)
        # Each connection to the backend keeps the buffer of its largest read.
        wait_for(lambda: used(edge) <= len(sessions) * 32 * KIB, what="no message to be held")
        assert memory(edge)["closed"] == 1


def test_a_parked_poll_of_another_session_is_not_disturbed_and_many_floods_stay_below(fresh_backend, make_edge):
    # A poll of a session that has nothing yet is held so long, and the quiet session lives for a minute.
    edge = make_edge(fresh_backend.port, session="buffer: 1MiB, hold: 300ms", limits="memory: 4MiB")
    with client(edge) as http, client(edge) as other:
        quiet = open_session(other)
        floods = [flood(http, 2048) for _ in range(10)]
        wait_for(lambda: memory(edge)["closed"] >= 4 and used(edge) <= 4 * MIB, 30, "the relief")

        def gone():
            return sum(http.get(at, headers={"Accept": BATCH}).status_code == 410 for at in floods)

        # A window that still fills may end one more session.
        closed = wait_for(lambda: (lambda n: n if n == memory(edge)["closed"] else None)(gone()), what="the last to be gone")
        # A session that was let in late has a window which does not fill.
        assert 4 <= closed < 10
        posted = other.post(quiet, json={"first": 1, "messages": [{"text": "still here"}]})
        assert posted.status_code == 200, posted.text
        answer = other.get(quiet)
        assert answer.status_code == 200 and answer.json()["messages"] == [{"text": "still here"}], answer.text
        assert len(edge.expect_events("memory relief", closed)) == memory(edge)["closed"] == closed


def test_a_polled_session_that_has_ended_may_go_too(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="buffer: 8MiB", limits="memory: 4MiB")
    with client(edge) as http:
        kept = flood(http, 3072)
        wait_for(lambda: used(edge) >= 3072 * KIB, what="the window to fill")
        [connection] = fresh_backend.connections
        fresh_backend.call(connection.close())
        edge.expect_events("session ended")
        assert used(edge) >= 3072 * KIB
        flood(http, 2048)
        wait_for(lambda: memory(edge)["closed"] == 1, what="the relief")
        answer = http.get(kept)
        assert (answer.status_code, answer.json()["code"]) == (410, 1013)


def test_websockets_that_take_nothing_go_too(fresh_backend, make_edge):
    # A leg counts what waits for it: 64 KiB when its queue becomes full, and then what the kernel leaves of them, which is
    # a quarter at least.
    edge = make_edge(fresh_backend.port, session="buffer: 64KiB", limits="memory: 512KiB, handshake: 2s")
    stuck = []

    def stick():
        stuck.append(Raw(edge, "/flood", receive_buffer=4096))
        stuck[-1].send(masked(1, f"2048 {SIZE}".encode()))

    for count in (1, 2):
        stick()
        wait_for(lambda: used(edge) >= count * 16 * KIB, what="it to be stuck")
    assert memory(edge)["closed"] == 0

    def fill():
        before = used(edge)
        stick()
        wait_for(lambda: used(edge) >= before + 16 * KIB or memory(edge)["closed"] > 0, what="one more to be stuck")

    async def talk():
        async with connect(edge.wss, ssl=edge.ssl, additional_headers=edge.auth) as ws:
            for _ in range(40):
                if memory(edge)["closed"] == 0:
                    await asyncio.to_thread(fill)
            await asyncio.to_thread(wait_for, lambda: memory(edge)["closed"] >= 1, 10, "the relief")
            await ws.send("still here")
            assert await asyncio.wait_for(ws.recv(), 5) == "still here"

    asyncio.run(talk())
    assert wait_for(lambda: fresh_backend.closed, what="the backend to be told")[0][1:] == (
        1001, "server out of memory")
    event = edge.expect_events("session ended", close_code=1013)[0]
    assert event["close_reason"] == "server out of memory"
    assert 128 * KIB <= used(edge) <= 512 * KIB


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_ends_is_not_counted_any_more(fresh_backend, make_edge, transport):
    edge = make_edge(fresh_backend.port, session="buffer: 64KiB, resume: 1s, stall: 60s")
    assert memory(edge) == {"used": 0, "ceiling": None, "closed": 0}
    if transport == "long-poll":
        with client(edge) as http:
            at = flood(http, 1024)
            wait_for(lambda: used(edge) >= 64 * KIB, what="something to be held")
            http.delete(at)
    else:
        raw = Raw(edge, "/flood", receive_buffer=4096)
        raw.send(masked(1, f"2048 {SIZE}".encode()))
        wait_for(lambda: used(edge) >= 16 * KIB, what="something to be held")
        raw.s.close()
    wait_for(lambda: used(edge) == 0, what="nothing to be held")

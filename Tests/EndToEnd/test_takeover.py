"""A new process takes the listening sockets of the one that runs: nobody is refused."""

import asyncio
import contextlib
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.edge import TOKEN, free_port, wait_for
from kit.knock import knock
from kit.poll import client, open_session
from kit.successor import Successor


@pytest.fixture
def pair(backend, make_edge):
    """An edge that may be taken over, and how; whoever came is stopped."""
    edge = make_edge(backend.port, sections="takeover: culvert.takeover\ndrain: { spread: 2s, deadline: 20s }")
    made = []

    def take():
        made.append(Successor(edge))
        return made[-1]

    yield edge, take
    for successor in made:
        successor.stop()
        assert "Fatal error" not in successor.text


def dial(edge, token=TOKEN, path="/"):
    return connect(
        edge.wss + path, ssl=edge.ssl, additional_headers={"Authorization": f"Bearer {token}"}, compression=None,
        ping_interval=None)


async def closing(ws):
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code


def test_under_a_connect_storm_nobody_is_refused(pair):
    edge, take = pair

    async def run():
        finished, done, failures = asyncio.Event(), [], []

        async def storm(n):
            while not finished.is_set():
                try:
                    async with asyncio.timeout(20):
                        async with dial(edge) as ws:
                            try:
                                await ws.send(str(n))
                                assert await ws.recv() == str(n)
                            except ConnectionClosed as closed:
                                # Told to go by the process that goes: it was let in.
                                assert closed.rcvd and closed.rcvd.code == 1001, closed
                    done.append(n)
                except Exception as error:
                    failures.append(repr(error))

        async def count(more):
            target = len(done) + more
            async with asyncio.timeout(120):
                while len(done) < target:
                    await asyncio.sleep(0.02)

        clients = [asyncio.ensure_future(storm(n)) for n in range(20)]
        await count(100)
        successor = await asyncio.to_thread(take)
        assert await asyncio.to_thread(edge.process.wait, 60) == 0
        await count(200)
        finished.set()
        await asyncio.gather(*clients)
        assert failures == [], failures[:5]
        assert successor.process.poll() is None
        return len(done)

    assert asyncio.run(run()) >= 300
    edge.read_to_end()
    assert "another process takes over" in edge.text


def test_open_sessions_stay_with_the_old_process_until_their_turn(pair):
    edge, take = pair

    async def run():
        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(dial(edge)) for _ in range(5)]
            await asyncio.to_thread(take)
            await asyncio.to_thread(edge.expect_text, "another process takes over", 20)
            echoes = 0
            for ws in sockets:
                with contextlib.suppress(ConnectionClosed):
                    async with asyncio.timeout(10):
                        await ws.send("still here")
                        echoes += await ws.recv() == "still here"
            # The last of them has its turn at the end of the spread.
            assert echoes > 0
            assert {await closing(ws) for ws in sockets} == {1001}
        assert await asyncio.to_thread(edge.process.wait, 30) == 0
        async with dial(edge) as ws:
            await ws.send("new")
            assert await ws.recv() == "new"

    asyncio.run(run())


def test_polled_sessions_are_told_to_come_back(pair):
    edge, take = pair
    with client(edge) as http:
        at = open_session(http)
        take()
        answer = http.get(at)
        assert answer.status_code == 200 and answer.json()["close"]["code"] == 1001
        # This connection ends with it, and the next finds the new process.
        wait_for(lambda: edge.process.poll() is not None, 30, "the old process to end")
        open_session(http)


def test_the_old_process_tells_how_it_drains_and_how_many_sessions_have_not_ended(backend, make_edge):
    edge = make_edge(
        backend.port, sections="takeover: culvert.takeover\ndrain: { delay: 5s, spread: 20s, deadline: 30s }")
    successor = None

    async def run():
        nonlocal successor
        sockets = [await dial(edge) for _ in range(5)]
        with client(edge) as http:
            # Its client does not fetch the Close, with which it ends.
            await asyncio.to_thread(open_session, http)
            successor = await asyncio.to_thread(Successor, edge)
            first, second, *_ = await asyncio.to_thread(edge.expect_events, "draining", 2, 20)
        assert (first["sessions"], first["delay"], first["spread"]) == (6, "0s", "20s")
        before = edge.events()[:edge.events().index(second)]
        ended = [event["transport"] for event in before if event["message"] == "session ended"]
        assert "long-poll" in ended and second["sessions"] == 6 - len(ended) <= second["of"] <= 6
        for ws in sockets:
            ws.transport.abort()

    try:
        asyncio.run(run())
    finally:
        if successor:
            successor.stop()


def test_the_admin_api_moves_too_and_what_it_does_holds_for_sessions_that_are_left(backend, make_edge):
    edge = make_edge(
        backend.port, sections="takeover: culvert.takeover\ndrain: { spread: 60s, deadline: 60s }")
    with Admin(edge) as admin:
        token = admin.mint()
    successor = None

    async def run():
        nonlocal successor
        sockets = [await dial(edge, token=token["secret"]) for _ in range(10)]
        successor = await asyncio.to_thread(Successor, edge)
        await asyncio.to_thread(edge.expect_events, "draining", timeout=20)
        await asyncio.to_thread(successor.expect_events, "admin listening", timeout=20)
        with Admin(edge) as admin:
            answer = await asyncio.to_thread(admin.get, f"/v1/tokens/{token['id']}")
            assert answer.status_code == 200
            assert (await asyncio.to_thread(knock, edge, "websocket", token=token["secret"])).status == 101
            # Of the sessions that are left in the old process some have been sent away; the rest end by the revocation.
            await asyncio.to_thread(admin.revoke, token)
        async with asyncio.timeout(5):
            codes = [await closing(ws) for ws in sockets]
        assert set(codes) <= {1001, 4401} and 4401 in codes
        assert (await asyncio.to_thread(knock, edge, "websocket", token=token["secret"])).status == 401

    try:
        asyncio.run(run())
        assert edge.process.wait(30) == 0
    finally:
        if successor:
            successor.stop()


def test_one_takeover_after_the_other(pair):
    edge, take = pair
    first = take()
    assert edge.process.wait(30) == 0
    first.expect_events("listening")
    second = take()
    assert first.process.wait(30) == 0
    assert knock(edge, "websocket", token=TOKEN).status == 101
    assert second.process.poll() is None


@pytest.mark.parametrize("old, new, word, had_sockets", [
    ("localhost.pem", "nothing.pem", "nothing.pem", False),
    ("admin: {", "admin: { token_file: /nowhere/token,", "/nowhere", False),
    # These fail when the sockets have been handed over already.
    ("log: {", "state: /nowhere/culvert.db\nlog: {", "/nowhere", True),
    ("  - address: 127.0.0.1:", "  - address: 192.0.2.1:80\n  - address: 127.0.0.1:", "192.0.2.1:80", True),
])
def test_a_newcomer_that_cannot_start_changes_nothing(pair, old, new, word, had_sockets):
    edge, take = pair
    text = edge.config.read_text()
    assert old in text
    edge.config.write_text(text.replace(old, new, 1))
    failed = take()
    assert failed.process.wait(20) == 1
    failed.read_to_end()
    assert word in failed.text, failed.text
    if had_sockets:
        edge.expect_events("takeover broken off; nothing has changed")
    assert knock(edge, "websocket", token=TOKEN).status == 101
    edge.config.write_text(text)
    take()
    assert edge.process.wait(30) == 0


def test_the_admin_api_is_where_the_new_configuration_has_it(pair):
    edge, take = pair
    old_port, edge.admin_port = edge.admin_port, free_port()
    edge.config.write_text(edge.config.read_text().replace(f":{old_port}", f":{edge.admin_port}"))
    take()
    assert edge.process.wait(30) == 0
    with Admin(edge) as admin:
        assert admin.get("/v1/drain").json()["phase"] == "none"
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", old_port)) != 0


def test_with_nobody_to_take_over_from_it_starts(backend, make_edge):
    edge = make_edge(backend.port, sections="takeover: culvert.takeover")
    edge.stop()
    successor = Successor(edge)
    try:
        successor.expect_events("listening")
        assert "no process to take over from" in successor.text
    finally:
        assert successor.stop() == 0


def test_the_socket_is_its_owners_alone(pair):
    edge, _ = pair
    path = edge.folder / "culvert.takeover"
    assert path.stat().st_mode & 0o777 == 0o600
    edge.stop()
    assert not path.exists()

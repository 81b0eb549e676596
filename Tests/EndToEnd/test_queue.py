"""Openings that wait for a server with room."""

import asyncio
import contextlib
import signal
import time

import pytest
from websockets.exceptions import InvalidStatus

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import TOKEN, wait_for
from kit.knock import TRANSPORTS, knock, problem
from kit.pools import counts, dial, echoes, opened, say, shown, until, upstream


@pytest.fixture
def backends():
    made = [Backend() for _ in range(2)]
    yield made
    for backend in made:
        backend.stop()


def one_place(backend, **queue):
    return upstream({"port": backend.port, "max_sessions": 1}, queue=queue)


async def waiting(admin, count):
    await until(lambda: shown(admin)["waiting"] == count)


async def open_and_say(edge, name, order, leave):
    async with dial(edge) as ws:
        assert await echoes(ws)
        order.append(name)
        await leave.wait()


def test_who_waits_is_served_in_the_order_of_arrival_over_all_loops(backends, make_edge):
    edge = make_edge(0, upstream=one_place(backends[0], size=100, timeout="20s"))

    async def run():
        with Admin(edge) as admin:
            order, leave, tasks = [], [asyncio.Event() for _ in range(9)], []
            for name in range(9):
                tasks.append(asyncio.create_task(open_and_say(edge, name, order, leave[name])))
                if name == 0:
                    await until(lambda: order == [0])
                await waiting(admin, name)
            assert counts(backends)[0] == 1
            for name in range(9):
                await until(lambda: len(order) > name)
                assert order == list(range(name + 1)) and shown(admin)["waiting"] == 8 - name
                assert shown(admin)["servers"][0]["sessions"] == 1
                leave[name].set()
            async with asyncio.timeout(10):
                await asyncio.gather(*tasks)

    asyncio.run(run())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_who_has_waited_long_enough_is_told_to_come_back(backends, make_edge, transport):
    edge = make_edge(0, upstream=one_place(backends[0], size=5, timeout="400ms"))

    async def run():
        with Admin(edge) as admin:
            async with contextlib.AsyncExitStack() as stack:
                await opened(stack, edge, 1)
                begin = time.monotonic()
                answer = await asyncio.to_thread(knock, edge, transport, token=TOKEN)
                assert 0.4 <= time.monotonic() - begin < 5
                assert (answer.status, problem(answer)["type"]) == (503, "urn:culvert:problem:upstream_full")
                assert answer.headers["retry-after"] == "1"
                assert shown(admin)["waiting"] == 0
                await until(lambda: admin.get("/healthz").json()["sessions"] == 1)
            assert len(backends[0].requests) == 1

    asyncio.run(run())


def test_no_more_wait_than_may(backends, make_edge):
    edge = make_edge(0, upstream=one_place(backends[0], size=2, timeout="20s"))

    async def run():
        with Admin(edge) as admin:
            order, leave = [], asyncio.Event()
            first = asyncio.create_task(open_and_say(edge, "first", order, leave))
            await until(lambda: order)
            tasks = [asyncio.create_task(open_and_say(edge, n, order, leave)) for n in range(2)]
            await waiting(admin, 2)
            for transport in TRANSPORTS:
                begin = time.monotonic()
                answer = await asyncio.to_thread(knock, edge, transport, token=TOKEN)
                assert answer.status == 503 and time.monotonic() - begin < 5
            leave.set()
            async with asyncio.timeout(10):
                await asyncio.gather(first, *tasks)

    asyncio.run(run())


def test_who_leaves_gives_up_the_place_in_line_and_takes_none_at_the_server(backends, make_edge):
    edge = make_edge(0, upstream=one_place(backends[0], size=2, timeout="20s"))

    async def run():
        with Admin(edge) as admin:
            order, leave = [], asyncio.Event()
            first = asyncio.create_task(open_and_say(edge, "first", order, leave))
            await until(lambda: order)
            gone = asyncio.create_task(open_and_say(edge, "gone", order, leave))
            await waiting(admin, 1)
            stays = asyncio.create_task(open_and_say(edge, "stays", order, leave))
            await waiting(admin, 2)
            gone.cancel()
            await waiting(admin, 1)
            leave.set()
            async with asyncio.timeout(10):
                await asyncio.gather(first, stays)
            assert order == ["first", "stays"]
            await until(lambda: admin.get("/healthz").json()["sessions"] == 0)
            await until(lambda: shown(admin)["servers"][0]["sessions"] == 0)
            assert len(backends[0].requests) == 2

    asyncio.run(run())


def test_a_server_that_comes_up_takes_who_waits(backends, make_edge):
    one, two = backends
    edge = make_edge(0, upstream=upstream(one.port, two.port, queue={"timeout": "20s"}))

    async def run():
        with Admin(edge) as admin:
            say(admin, one, "down")
            say(admin, two, "draining")
            order, leave = [], asyncio.Event()
            tasks = [asyncio.create_task(open_and_say(edge, n, order, leave)) for n in range(4)]
            await waiting(admin, 4)
            say(admin, two, "up")
            await until(lambda: len(order) == 4)
            assert counts(backends) == [0, 4] and shown(admin)["waiting"] == 0
            leave.set()
            await asyncio.gather(*tasks)

    asyncio.run(run())


def test_a_storm_on_few_places_loses_none_of_them(backends, make_edge):
    """Clients come, wait, leave, talk and go, on every loop at once."""
    edge = make_edge(0, upstream=upstream(
        *({"port": b.port, "max_sessions": 2} for b in backends), queue={"size": 200, "timeout": "30s"}))

    async def visit(number):
        if number % 5 == 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05 * (number % 7)):
                    async with dial(edge) as ws:
                        await echoes(ws)
        else:
            async with dial(edge) as ws:
                assert await echoes(ws)
        return True

    async def run():
        async with asyncio.timeout(60):
            assert all(await asyncio.gather(*(visit(n) for n in range(120))))
        with Admin(edge) as admin:
            await until(lambda: admin.get("/healthz").json()["sessions"] == 0)
            await until(lambda: [s["sessions"] for s in shown(admin)["servers"]] == [0, 0])
            assert shown(admin)["waiting"] == 0
            async with contextlib.AsyncExitStack() as stack:
                await opened(stack, edge, 4)

    asyncio.run(run())


def test_who_waits_when_the_edge_stops_is_told_at_once(backends, make_edge):
    edge = make_edge(0, upstream=one_place(backends[0], timeout="60s"))

    async def run():
        with Admin(edge) as admin:
            async with contextlib.AsyncExitStack() as stack:
                await opened(stack, edge, 1)
                late = asyncio.create_task(dial(edge).__aenter__())
                await waiting(admin, 1)
                edge.process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(10):
                    with pytest.raises(InvalidStatus) as refused:
                        await late
                assert refused.value.response.status_code == 503

    asyncio.run(run())
    wait_for(lambda: edge.process.poll() == 0, what="the edge to be gone")

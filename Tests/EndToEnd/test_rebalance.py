"""Sessions that are spread anew when servers have come: what is in excess goes, at a rate, and nothing else."""

import asyncio
import contextlib
import time

import pytest
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import free_port, wait_for
from kit.poll import BATCH, client, open_session, unframe
from kit.pools import counts, dial, echoes, opened, say, shown, until, upstream

PATH = "/v1/upstreams/echo/rebalance"


@pytest.fixture
def backends():
    made = [Backend() for _ in range(3)]
    yield made
    for backend in made:
        backend.stop()


def rebalance(admin, **body):
    answer = admin.post(PATH, json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def ended(admin):
    await until(lambda: shown(admin)["rebalancing"] is None)


async def closing(ws, name, closed):
    """Notes who was closed, how, and when."""
    try:
        async for _ in ws:
            pass
    except ConnectionClosed:
        pass
    closed.append((name, ws.close_code, ws.close_reason, time.monotonic()))


async def drained(stack, edge, admin, backends, count):
    """So many sessions, all at the first server, and then the others are up."""
    for other in backends[1:]:
        say(admin, other, "draining")
    sessions = await opened(stack, edge, count)
    for other in backends[1:]:
        say(admin, other, "up")
    return sessions


def test_the_oldest_in_excess_are_told_1012_at_the_rate_whatever_their_transport(backends, make_edge):
    one, two = backends[:2]
    edge = make_edge(0, upstream=upstream(one.port, two.port), session="hold: 300ms")

    async def run():
        with Admin(edge) as admin, client(edge) as http:
            async with contextlib.AsyncExitStack() as stack:
                say(admin, two, "draining")
                polled = [open_session(http) for _ in range(4)]
                natives = await opened(stack, edge, 16)
                say(admin, two, "up")
                await until(lambda: counts([one, two]) == [20, 0])
                closed = []
                tasks = [asyncio.create_task(closing(ws, n, closed)) for n, ws in enumerate(natives)]
                assert rebalance(admin, rate=10) == {"shedding": 10, "rate": 10}
                progress = shown(admin)["rebalancing"]
                assert progress["rate"] == 10 and 0 < progress["remaining"] <= 10
                assert admin.post(PATH, json={}).status_code == 409
                await ended(admin)
                await until(lambda: len(closed) == 6)
                assert [(code, reason) for _, code, reason, _ in closed] == [(1012, "rebalancing")] * 6
                # The polled ones are the oldest, then as they came.
                assert sorted(name for name, *_ in closed) == list(range(6))
                times = sorted(at for *_, at in closed)
                assert 0.4 <= times[-1] - times[0] < 5
                for session in polled:
                    answer = http.get(session, params={"ack": 0}, headers={"Accept": BATCH})
                    assert unframe(answer.content)[3] == (1012, "rebalancing")
                await until(lambda: counts([one, two]) == [10, 0])
                # Whoever is left stays.
                for task in tasks[6:]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                assert all([await echoes(ws) for ws in natives[6:]])
            done = [e for e in admin.get("/v1/audit").json()["items"] if e["action"] == "upstream.rebalance"]
            assert [(e["target"], e["detail"]) for e in done] == [("echo", "rate 10")]
        assert edge.expect_events("rebalanced")[0]["closed"] == 10

    asyncio.run(run())


def test_under_load_clients_that_come_back_find_the_new_servers(backends, make_edge):
    edge = make_edge(0, upstream=upstream(*(b.port for b in backends)))
    stopping = asyncio.Event()
    codes, refused = [], []

    async def talk(talking):
        while not stopping.is_set():
            try:
                async with dial(edge) as ws:
                    talking.set()
                    while not stopping.is_set():
                        assert await echoes(ws)
            except ConnectionClosed as closed:
                codes.append(closed.rcvd.code if closed.rcvd else 1006)
            except Exception as error:
                refused.append(error)
                return

    async def run():
        with Admin(edge) as admin:
            for other in backends[1:]:
                say(admin, other, "draining")
            talking = [asyncio.Event() for _ in range(30)]
            tasks = [asyncio.create_task(talk(event)) for event in talking]
            async with asyncio.timeout(20):
                for event in talking:
                    await event.wait()
            assert counts(backends) == [30, 0, 0]
            for other in backends[1:]:
                say(admin, other, "up")
            assert rebalance(admin, rate=40)["shedding"] == 20
            await ended(admin)
            await until(lambda: counts(backends) == [10, 10, 10])
            stopping.set()
            async with asyncio.timeout(20):
                await asyncio.gather(*tasks)
            assert codes == [1012] * 20 and refused == []

    asyncio.run(run())


def test_shares_are_by_weight_among_those_that_get_sessions(backends, make_edge):
    one, two, down = backends
    edge = make_edge(0, upstream=upstream(
        {"port": one.port, "weight": 2}, {"port": two.port, "weight": 1}, {"port": down.port, "weight": 9}))

    async def run():
        with Admin(edge) as admin:
            async with contextlib.AsyncExitStack() as stack:
                await drained(stack, edge, admin, backends, 9)
                say(admin, down, "draining")
                assert rebalance(admin, rate=1000)["shedding"] == 3
                await ended(admin)
                await until(lambda: counts([one]) == [6])

    asyncio.run(run())


def test_servers_that_do_not_serve_have_no_share(backends, make_edge):
    one, dead = backends[0], free_port()
    edge = make_edge(0, upstream=upstream(
        one.port, dead, health={"type": "tcp", "interval": "50ms", "fall": 1}))

    async def run():
        with Admin(edge) as admin:
            await until(lambda: shown(admin)["servers"][1]["healthy"] is False)
            async with contextlib.AsyncExitStack() as stack:
                await opened(stack, edge, 6)
                assert rebalance(admin)["shedding"] == 0

    asyncio.run(run())


def test_it_is_stopped_when_told(backends, make_edge):
    one, two = backends[:2]
    edge = make_edge(0, upstream=upstream(one.port, two.port))

    async def run():
        with Admin(edge) as admin:
            async with contextlib.AsyncExitStack() as stack:
                await drained(stack, edge, admin, [one, two], 40)
                assert admin.delete(PATH).status_code == 404
                # 20 s, so that the machine may take some of them before it is stopped.
                assert rebalance(admin, rate=1)["shedding"] == 20
                await until(lambda: counts([one])[0] < 40)
                assert admin.delete(PATH).status_code == 204
                assert shown(admin)["rebalancing"] is None
                assert admin.delete(PATH).status_code == 404
                # Every session that was told to go has gone.
                await until(lambda: counts([one]) == [shown(admin)["servers"][0]["sessions"]])
                left = counts([one])[0]
                assert left > 20
                # The next one begins where it ended.
                assert rebalance(admin, rate=1000)["shedding"] == left - (left + 1) // 2
                await ended(admin)
                actions = [e["action"] for e in admin.get("/v1/audit").json()["items"]]
                assert actions.count("upstream.rebalance_stop") == 1 and actions.count("upstream.rebalance") == 2

    asyncio.run(run())


def test_with_nothing_in_excess_nothing_runs(backends, make_edge):
    edge = make_edge(0, upstream=upstream(backends[0].port, backends[1].port))

    async def run():
        with Admin(edge) as admin:
            async with contextlib.AsyncExitStack() as stack:
                sessions = await opened(stack, edge, 5)
                # Without a body the rate is 10.
                answer = admin.post(PATH)
                assert (answer.status_code, answer.json()) == (202, {"shedding": 0, "rate": 10})
                assert shown(admin)["rebalancing"] is None and admin.delete(PATH).status_code == 404
                assert all([await echoes(ws) for ws in sessions])

    asyncio.run(run())


def test_what_is_no_rate_or_no_upstream_is_said(backends, make_edge):
    edge = make_edge(0, upstream=upstream(backends[0].port))
    with Admin(edge) as admin:
        for body in {"rate": 0}, {"rate": 10001}, {"rate": "fast"}, {"rate": 1.5}, {"pace": 1}:
            answer = admin.post(PATH, json=body)
            assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, f"/{next(iter(body))}")
        other = PATH.replace("/echo/", "/other/")
        assert admin.post(other).status_code == admin.delete(other).status_code == 404
        assert admin.get(PATH).status_code == 405


def test_an_edge_that_stops_waits_for_no_rebalance(backends, make_edge):
    edge = make_edge(0, upstream=upstream(backends[0].port, backends[1].port))

    async def run():
        with Admin(edge) as admin:
            async with contextlib.AsyncExitStack() as stack:
                sessions = await drained(stack, edge, admin, backends[:2], 8)
                rebalance(admin, rate=1)
                edge.process.terminate()
                for ws in sessions[2:]:
                    with pytest.raises(ConnectionClosed) as caught:
                        async with asyncio.timeout(10):
                            await ws.recv()
                    assert caught.value.rcvd.code == 1001

    asyncio.run(run())
    wait_for(lambda: edge.process.poll() == 0, what="the edge to be gone")

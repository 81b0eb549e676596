"""Thousands of connections that never end their request are not felt by who has a session."""

import asyncio
import contextlib
import statistics
import time

import httpx
import pytest
from websockets.asyncio.client import connect

from kit.admin import Admin
from kit.echo import EchoProcess
from kit.edge import TOKEN, free_port, wait_for
from kit.slow import SlowProcess

ATTACKERS, TLS_ATTACKERS = 5000, 400
SESSIONS = 100
ROUND = 3.0
# A message of each session.
PACE = 0.1
# Of rounds without the attack and with it, in turn: as many as it takes to tell the machine's moods from the attack.
ROUNDS = (2, 4, 8, 12)
# Longer than a round, so that the attackers hold all their connections however little of the machine they get: they need
# not dial thousands again while others are measured. That a slow head is cut at the deadline is test_http_limits.py's.
DEADLINE = "120s"


async def talk(ws, at, times):
    loop = asyncio.get_running_loop()
    await asyncio.sleep(at)
    end = loop.time() + ROUND
    while loop.time() < end:
        begun = time.perf_counter()
        await ws.send("x" * 64)
        assert len(await ws.recv()) == 64
        times.append(time.perf_counter() - begun)
        await asyncio.sleep(max(0, PACE - (time.perf_counter() - begun)))


async def measure(sessions):
    """(median, 99th percentile) of the time of an echo, in seconds."""
    times = []
    async with asyncio.timeout(60):
        await asyncio.gather(*(talk(ws, PACE * n / len(sessions), times) for n, ws in enumerate(sessions)))
    cuts = statistics.quantiles(times, n=100)
    return statistics.median(times), cuts[98]


def handshakes(admin):
    return admin.get("/v1/limits").json()["handshakes"]


def dial(edge):
    return connect(edge.wss, ssl=edge.ssl, additional_headers={"Authorization": f"Bearer {TOKEN}"}, compression=None,
                   ping_interval=None)


@pytest.mark.alone
def test_slow_connections_do_not_slow_sessions_down(make_edge):
    echo = EchoProcess(free_port())
    edge = make_edge(echo.port, limits=f"handshake: {DEADLINE}")
    figures = {False: [], True: []}

    async def attacked_round(admin, sessions):
        attack = SlowProcess(edge, ATTACKERS, TLS_ATTACKERS)
        try:
            await asyncio.wait_for(asyncio.to_thread(attack.wait_until_ready), 60)
            await asyncio.to_thread(
                wait_for, lambda: handshakes(admin) >= ATTACKERS, 30, "all attackers to be held")
            figures[True].append(await measure(sessions))
            held = handshakes(admin)
            assert held >= ATTACKERS, f"{held} of {ATTACKERS} attackers were held to the end of the round"
            async with asyncio.timeout(10), dial(edge) as newcomer:
                await newcomer.send("x")
                assert await newcomer.recv() == "x"
        finally:
            attack.kill()
        await asyncio.to_thread(wait_for, lambda: handshakes(admin) == 0, 30, "the attack to be over")

    def factor(which):
        """How much longer it takes with the attack."""
        calm, attacked = (statistics.median(f[which] for f in figures[is_attacked]) for is_attacked in (False, True))
        return attacked / calm

    async def run():
        async with contextlib.AsyncExitStack() as stack:
            admin = stack.enter_context(Admin(edge))
            sessions = [await stack.enter_async_context(dial(edge)) for _ in range(SESSIONS)]
            await measure(sessions)
            for rounds in ROUNDS:
                while len(figures[True]) < rounds:
                    figures[False].append(await measure(sessions))
                    await attacked_round(admin, sessions)
                if factor(0) <= 2 and factor(1) <= 2:
                    return
            raise AssertionError(f"median x{factor(0):.2f}, p99 x{factor(1):.2f}: {figures}")

    try:
        asyncio.run(run())
        print(f"\nmedian x{factor(0):.2f}, p99 x{factor(1):.2f} of", *(
            f"{statistics.median(f[n] for f in figures[False]) * 1000:.2f} ms" for n in (0, 1)))
        # All are still there, and the edge has let nothing of the attack stay.
        assert httpx.get(f"http://127.0.0.1:{edge.admin_port}/healthz", timeout=5).status_code == 200
    finally:
        echo.kill()

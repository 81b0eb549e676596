"""A server that is to go sends its sessions away one by one, and tells balancers before."""

import asyncio
import contextlib
import datetime
import resource
import signal
import subprocess
import time

import aiohttp
import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.edge import BIN, TOKEN, wait_for
from kit.knock import knock
from kit.poll import client, open_session
from kit.process import health
from kit.raw import Raw, masked


def dial(edge, path="/"):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=edge.auth, compression=None, ping_interval=None)


async def closing(ws, within=30):
    async with asyncio.timeout(within):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code, ws.close_reason


def drain(edge, **plan):
    with Admin(edge) as admin:
        answer = admin.post("/v1/drain", json=plan)
    assert answer.status_code == 202, answer.text
    return answer.json()


def test_readiness_fails_first_and_sessions_are_still_taken(backend, make_edge):
    edge = make_edge(backend.port)
    drain(edge, delay="2s")
    wait_for(lambda: health(edge)[0] == 503, what="readyz to fail")
    # What balancers send until they have noticed.
    assert httpx.get(f"http://127.0.0.1:{edge.admin_port}/healthz").status_code == 200
    assert knock(edge, "websocket", token=TOKEN).status == 101
    assert edge.process.wait(15) == 0


def test_new_sessions_are_refused_and_open_ones_go_on_until_their_turn(backend, make_edge):
    edge = make_edge(backend.port)

    async def run():
        async with dial(edge) as ws:
            await asyncio.to_thread(drain, edge, spread="3s", code=1012)
            refused = await asyncio.to_thread(knock, edge, "long-poll", token=TOKEN)
            assert refused.status == 503
            async with asyncio.timeout(10):
                await ws.send("still")
                assert await ws.recv() == "still"
            assert await closing(ws) == (1012, "server going away")

    asyncio.run(run())
    assert edge.process.wait(15) == 0


def test_a_session_that_was_being_opened_is_sent_away_too(make_edge, backend):
    edge = make_edge(backend.port, limits="handshake: 8s")

    async def run():
        async with dial(edge) as ws:
            # Its upstream takes longer than the drain has begun.
            slow = asyncio.ensure_future(dial(edge, "/slow").__aenter__())
            async with asyncio.timeout(10):
                while not any("/slow" in r.path for r in backend.requests):
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(drain, edge, spread="1s", deadline="20s")
            assert (await closing(ws))[0] == 1001
            with pytest.raises(Exception):
                await slow

    asyncio.run(run())
    assert edge.process.wait(30) == 0


def test_a_parked_poll_is_answered_with_the_close(backend, make_edge):
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        drain(edge, spread="1s", code=1012)
        answer = http.get(at)
        assert answer.status_code == 200
        assert answer.json()["close"] == {"code": 1012, "reason": "server going away"}
    assert edge.process.wait(15) == 0


def test_a_message_in_flight_is_whole_before_the_close(fresh_backend, make_edge):
    """A fragment of a message has come and the rest has not: Close waits for it, not only for the frame's end."""
    edge = make_edge(fresh_backend.port)
    raw = Raw(edge, "/record")
    raw.send(masked(1, b"first half, ", fin=False))
    with Admin(edge) as admin:
        wait_for(lambda: admin.sessions()[0]["bytes_in"] > 0, what="the fragment to be read")
    drain(edge, spread="4s")
    wait_for(lambda: health(edge)[0] == 503, what="the drain to begin")
    raw.send(masked(0, b"second half"))
    assert raw.close_code() == 1001
    raw.answer_close()
    assert edge.process.wait(15) == 0
    wait_for(lambda: fresh_backend.closed, what="the backend to see the end")
    assert fresh_backend.received == ["first half, second half"]
    assert fresh_backend.closed == [("/record", 1001, "server going away")]


def test_what_is_left_at_the_deadline_is_cut(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 60s")
    raw = Raw(edge)
    began = time.monotonic()
    drain(edge, spread="100ms", deadline="2s")
    assert raw.close_code() == 1001  # And never answered.
    assert edge.process.wait(20) == 0
    assert 1.5 < time.monotonic() - began < 15


def test_a_signal_drains_as_the_configuration_says(backend, make_edge):
    edge = make_edge(backend.port, sections="drain: { spread: 1s, deadline: 20s, code: 1012 }")

    async def run():
        async with dial(edge) as ws:
            edge.process.send_signal(signal.SIGTERM)
            assert await closing(ws) == (1012, "server going away")

    asyncio.run(run())
    assert edge.process.wait(15) == 0


def test_progress_and_a_second_request(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        assert admin.get("/v1/drain").json() == {
            "phase": "none", "sessions": 0, "sessions_at_start": None, "started_at": None, "delay": None,
            "spread": None, "deadline": None}
        with client(edge) as http:
            open_session(http)
            options = ["--url", f"http://127.0.0.1:{edge.admin_port}",
                       "--token-file", edge.folder / "culvert.admin-token", "--json"]
            out = subprocess.run(
                [BIN, "drain", "--spread", "10s", "--deadline", "20s", *options], capture_output=True, timeout=20)
            assert out.returncode == 0, out.stderr
            wait_for(lambda: admin.get("/v1/drain").json()["phase"] == "closing", what="closing to begin")
            progress = admin.get("/v1/drain").json()
            assert (progress["sessions"], progress["sessions_at_start"], progress["spread"]) == (1, 1, "10s")
            assert admin.post("/v1/drain").status_code == 409
            assert any(e["action"] == "server.drain" for e in admin.get("/v1/audit").json()["items"])
    assert edge.process.wait(30) == 0
    edge.read_to_end()
    assert edge.events("draining")


def test_whoever_asks_is_answered_though_nobody_is_left_to_wait_for(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        answer = admin.post("/v1/drain")
        assert (answer.status_code, answer.json()["phase"]) == (202, "delay")
    assert edge.process.wait(15) == 0


def test_a_spread_of_its_own_has_time_of_its_own(backend, make_edge):
    edge = make_edge(backend.port, sections="drain: { deadline: 5s }")
    assert drain(edge, spread="20s")["deadline"] == "50s"
    edge.process.kill()


def test_a_server_that_is_going_reloads_no_more(backend, make_edge):
    edge = make_edge(backend.port)
    drain(edge, delay="20s")
    wait_for(lambda: health(edge)[0] == 503, what="the drain to begin")
    with Admin(edge) as admin:
        answer = admin.post("/v1/reload")
        assert answer.status_code == 409 and "going" in answer.json()["detail"]
    edge.process.kill()


@pytest.mark.parametrize("plan, pointer", [
    ({"spread": "10"}, "/spread"), ({"spread": "20s", "deadline": "10s"}, "/spread"), ({"code": 1005}, "/code"),
    ({"delay": 5}, "/delay"), ({"when": "now"}, "/when"),
])
def test_a_plan_that_is_none(backend, edge, plan, pointer):
    with Admin(edge) as admin:
        answer = admin.post("/v1/drain", json=plan)
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == pointer
        assert admin.get("/v1/drain").json()["phase"] == "none"


def at(event):
    return datetime.datetime.fromisoformat(event["time"]).timestamp()


def test_two_thousand_sessions_are_sent_away_evenly(backend, make_edge):
    """Half of them WebSockets, half polled. The spread is measured: no tenth of it has more than twice its share."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    # A thousand clients shake hands at once: on a busy machine the last of them takes long.
    edge = make_edge(backend.port, limits="handshake: 120s")
    spread = 10.0

    async def run():
        ends = []
        gate = asyncio.Semaphore(50)
        connector = aiohttp.TCPConnector(limit=0, ssl=edge.ssl)
        asked = []
        trace = aiohttp.TraceConfig()

        async def note(session, context, parameters):
            if parameters.method == "GET":
                asked.append(parameters.url)

        trace.on_request_headers_sent.append(note)
        async with contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession(
                connector=connector, headers=edge.auth, trace_configs=[trace], timeout=aiohttp.ClientTimeout(total=240)))

            async def native():
                async with gate:
                    return await dial(edge)

            async def polled():
                async with gate:
                    async with http.post(edge.https + "/_poll") as answer:
                        assert answer.status == 201
                        return answer.headers["Location"]

            sockets = await asyncio.gather(*(native() for _ in range(1000)))
            polls = await asyncio.gather(*(polled() for _ in range(1000)))

            async def end_of_socket(ws):
                code, _ = await closing(ws, within=90)
                ends.append(("websocket", code))

            async def end_of_poll(at):
                while True:
                    async with http.get(edge.https + at) as answer:
                        if answer.status == 204:
                            continue
                        assert answer.status == 200
                        close = (await answer.json())["close"]
                        ends.append(("long-poll", close["code"]))
                    # The last acknowledgement ends it.
                    return

            waiting = [asyncio.ensure_future(end_of_socket(ws)) for ws in sockets]
            waiting += [asyncio.ensure_future(end_of_poll(at)) for at in polls]
            with Admin(edge) as admin:
                assert (await asyncio.to_thread(admin.get, "/readyz")).json()["sessions"] == 2000
            async with asyncio.timeout(180):
                while len(asked) < 1000:
                    await asyncio.sleep(0.02)
            await asyncio.to_thread(drain, edge, spread=f"{spread:.0f}s", deadline="60s", code=1012)
            async with asyncio.timeout(90):
                await asyncio.gather(*waiting)
        return ends

    try:
        ends = asyncio.run(run())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert edge.process.wait(30) == 0
    assert {(kind, code) for kind, code in ends} == {("websocket", 1012), ("long-poll", 1012)} and len(ends) == 2000
    # By the clock of the edge: a client of a thousand sessions may be late to hear of one.
    edge.read_to_end()
    [begin] = [at(event) for event in edge.events("draining")[:1]]
    for kind in ("websocket", "long-poll"):
        times = sorted(at(event) - begin for event in edge.events("session ended") if event["transport"] == kind)
        assert len(times) == 1000
        tenths = [0] * 11
        for seconds in times:
            tenths[min(10, int(seconds / spread * 10))] += 1
        print(kind, tenths, f"first {times[0]:.2f} s, last {times[-1]:.2f} s")
        assert times[0] < 1 and times[-1] > spread * 0.9
        assert max(tenths) <= 200 and min(tenths[:10]) >= 30

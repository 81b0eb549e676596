"""A server that is to go sends its sessions away one by one, and tells balancers before."""

import asyncio
import contextlib
import datetime
import json
import re
import resource
import selectors
import signal
import socket
import struct
import subprocess
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit import attack
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
    assert httpx.get(f"http://127.0.0.1:{edge.admin_port}/healthz", timeout=20).status_code == 200
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


def test_a_client_between_two_polls_has_a_second_to_fetch_the_close(backend, make_edge):
    """Without a spread too: the connections of polled sessions ended before their clients could ask."""
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        edge.process.send_signal(signal.SIGTERM)
        edge.expect_events("session ended")
        answer = http.get(at)
        assert answer.status_code == 200
        assert answer.json()["close"] == {"code": 1001, "reason": "server going away"}
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
        assert (answer.status_code, answer.json()["phase"], answer.json()["sessions_at_start"]) == (202, "delay", None)
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
        assert answer.status_code == 409 and "stopping" in answer.json()["detail"]
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


class Stamped:
    """A client without TLS. Its socket tells when bytes came, however late the test reads them."""

    NS = 35  # SO_TIMESTAMPNS

    def __init__(self, port):
        self.s = attack.dial(port, timeout=120)
        self.s.setsockopt(socket.SOL_SOCKET, self.NS, 1)
        self.got, self.at = b"", 0

    def read(self):
        """Takes what is there, and notes when the last of it came."""
        part, told, _, _ = self.s.recvmsg(65536, 64)
        assert part, f"the connection ended behind {self.got!r}"
        self.got += part
        for _, kind, value in told:
            if kind == self.NS:
                seconds, nanoseconds = struct.unpack("ll", value)
                self.at = seconds + nanoseconds / 1e9


class NativeStamped(Stamped):
    kind = "websocket"

    def open(self):
        self.s.sendall(attack.request(
            "GET", "/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", token=TOKEN))

    def opened(self):
        assert attack.read_head(self.s)[0] == 101

    def wait(self):
        pass

    def code(self):
        """The code of the Close, which it answers; None until the Close is there."""
        if len(self.got) < 2 or len(self.got) < 2 + self.got[1]:
            return None
        assert self.got[0] == 0x88, self.got
        self.s.sendall(masked(8, self.got[2:4]))
        return int.from_bytes(self.got[2:4], "big")


class PolledStamped(Stamped):
    kind = "long-poll"

    def open(self):
        self.s.sendall(attack.request("POST", "/_poll", "Content-Length: 0", token=TOKEN))

    def opened(self):
        status, _, body, _ = attack.read_answer(self.s)
        assert status == 201
        self.path = "/_poll/" + json.loads(body)["session"]

    def wait(self):
        self.s.sendall(attack.request("GET", self.path, token=TOKEN))

    def code(self):
        head, _, body = self.got.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 204 ") and b"\r\n\r\n" in self.got:
            self.got = b""
            self.wait()
        length = re.search(rb"(?i)content-length: *([0-9]+)", head)
        if not length or len(body) < int(length[1]):
            return None
        assert head.startswith(b"HTTP/1.1 200 "), head
        return json.loads(body)["close"]["code"]


def test_two_thousand_sessions_are_sent_away_evenly(backend, make_edge):
    """Half of them WebSockets, half polled. The spread is measured: no tenth of it has more than twice its share."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    # A busy machine takes long to open 2,000 sessions.
    edge = make_edge(backend.port, limits="handshake: 120s")
    spread, times, codes = 10.0, {"websocket": [], "long-poll": []}, set()
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        peers = []
        for kind in (NativeStamped, PolledStamped):
            for _ in range(20):
                some = [kind(edge.plain_port) for _ in range(50)]
                for peer in some:
                    stack.callback(peer.s.close)
                    peer.open()
                for peer in some:
                    peer.opened()
                peers += some
        with Admin(edge) as admin:
            assert admin.get("/readyz").json()["sessions"] == 2000
        selector = stack.enter_context(selectors.DefaultSelector())
        for peer in peers:
            peer.wait()
            selector.register(peer.s, selectors.EVENT_READ, peer)
        drain(edge, spread=f"{spread:.0f}s", deadline="60s", code=1012)
        end = time.monotonic() + 90
        while selector.get_map():
            assert time.monotonic() < end, f"{len(selector.get_map())} are still there"
            for key, _ in selector.select(1):
                key.data.read()
                if (code := key.data.code()) is not None:
                    selector.unregister(key.fileobj)
                    times[key.data.kind].append(key.data.at)
                    codes.add(code)
    assert edge.process.wait(30) == 0
    assert codes == {1012}
    edge.read_to_end()
    begin = at(edge.events("draining")[0])
    for kind, ends in times.items():
        ends = sorted(end - begin for end in ends)
        assert len(ends) == 1000
        tenths = [0] * 11
        for seconds in ends:
            tenths[min(10, int(seconds / spread * 10))] += 1
        print(kind, tenths, f"first {ends[0]:.2f} s, last {ends[-1]:.2f} s")
        assert ends[0] < 1 and ends[-1] > spread * 0.9
        assert max(tenths) <= 200 and min(tenths[:10]) >= 30

"""A rotation and a revocation over TLS while 200 WebSockets and 200 polled sessions talk."""

import asyncio
import time

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.pace import wait_for, within

EACH = 200
PACE = 1
OVERLAP = 12


class Talker:
    """One session that says a word, hears it back, and goes on; `end` tells when and why it could not any more."""

    def __init__(self, edge, secret):
        self.edge, self.secret = edge, secret
        self.echoes, self.end = 0, None

    @property
    def auth(self):
        return {"Authorization": f"Bearer {self.secret}"}


class Native(Talker):
    async def open(self, _):
        self.ws = await connect(
            self.edge.wss, ssl=self.edge.ssl, additional_headers=self.auth, compression=None, ping_interval=None)

    async def talk(self):
        try:
            while True:
                await self.ws.send(str(self.echoes))
                assert await self.ws.recv() == str(self.echoes)
                self.echoes += 1
                await asyncio.sleep(PACE)
        except ConnectionClosed as closed:
            self.end = (time.time(), closed.rcvd and closed.rcvd.reason)

    async def renew(self, http, secret):
        self.secret = secret
        path = f"/_poll/{self.ws.response.headers['Culvert-Session']}/token"
        async with http.put(path, headers=self.auth) as answer:
            assert answer.status == 200


class Polling(Talker):
    async def open(self, http):
        self.http = http
        async with http.post("/_poll", headers=self.auth) as answer:
            assert answer.status == 201, await answer.text()
            self.at = answer.headers["location"]

    async def talk(self):
        while True:
            word = str(self.echoes)
            body = {"first": self.echoes + 1, "ack": self.echoes, "messages": [{"text": word}]}
            for method, more in (("POST", {"json": body}), ("GET", {"params": {"ack": self.echoes}})):
                async with self.http.request(method, self.at, headers=self.auth, **more) as answer:
                    batch = await answer.json(content_type=None)
                    if answer.status == 401:
                        self.end = (time.time(), batch["reason"])
                        return
                    assert answer.status == 200, batch
            assert batch["messages"] == [{"text": word}]
            self.echoes += 1
            await asyncio.sleep(PACE)

    async def renew(self, http, secret):
        # The next request presents it.
        self.secret = secret


@pytest.mark.alone
def test_rotation_and_revocation_under_load(backend, make_edge):
    edge = make_edge(backend.port)

    async def run(admin):
        old, bystander = admin.mint("load"), admin.mint("bystander")
        connector = aiohttp.TCPConnector(ssl=edge.ssl, limit=EACH + 50)
        async with aiohttp.ClientSession(edge.https, connector=connector) as http:
            talkers = [kind(edge, old["secret"]) for kind in (Native, Polling) for _ in range(EACH)]
            others = [kind(edge, bystander["secret"]) for kind in (Native, Polling) for _ in range(5)]
            for batch in range(0, len(talkers), 20):
                await asyncio.gather(*(t.open(http) for t in talkers[batch:batch + 20]))
            await asyncio.gather(*(t.open(http) for t in others))
            tasks = [asyncio.create_task(t.talk()) for t in talkers + others]

            async def until(condition, what, timeout=60):
                end = time.monotonic() + timeout
                while not condition():
                    assert time.monotonic() < end, f"timed out waiting for {what}"
                    for task in tasks:
                        if task.done():
                            task.result()
                    await asyncio.sleep(0.02)

            await until(lambda: all(t.echoes for t in talkers), "everybody to have talked")
            new = await asyncio.to_thread(admin.rotate, old, f"{OVERLAP}s")
            deadline = time.time() + OVERLAP
            renewed, stale = talkers[::2], talkers[1::2]
            await asyncio.gather(*(t.renew(http, new["secret"]) for t in renewed))
            marks = [t.echoes for t in talkers]
            await until(lambda: all(t.echoes > m for t, m in zip(talkers, marks)), "everybody to talk on")
            assert time.time() < deadline - 1.5, "the machine is too slow for this overlap"
            assert [t.end for t in talkers + others if t.end] == []
            await until(lambda: all(t.end for t in stale), "the old secret's sessions to end")
            # Ends are at whole seconds. A poller finds out with its next request.
            assert {t.end[1] for t in stale} == {"token rotated"}
            assert min(t.end[0] for t in stale) > deadline - 1.5
            assert max(t.end[0] for t in stale) < deadline + within(1 + PACE)
            marks = [t.echoes for t in renewed]
            await until(lambda: all(t.echoes > m for t, m in zip(renewed, marks)), "the renewed to talk on")
            assert [t.end for t in renewed + others if t.end] == []

            start = time.time()
            await asyncio.to_thread(admin.revoke, new)
            await until(lambda: all(t.end for t in renewed), "the revoked sessions to end")
            assert {t.end[1] for t in renewed} == {"token revoked"}
            assert max(t.end[0] for t in renewed if isinstance(t, Native)) - start < within(1)
            assert max(t.end[0] for t in renewed) - start < within(1 + PACE)
            # The edge forgets a session once its client has answered the Close.
            await asyncio.to_thread(wait_for, lambda: admin.sessions(token=old["id"]) == [], 10, "none of it to be left")
            marks = [t.echoes for t in others]
            await until(lambda: all(t.echoes > m for t, m in zip(others, marks)), "the others to talk on")
            assert [t.end for t in others if t.end] == []
            for task in tasks:
                task.cancel()

    with Admin(edge) as admin:
        asyncio.run(run(admin))
        edge.expect_events("session ended", 2 * EACH)

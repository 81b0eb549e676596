"""A network that drops, repeats, delays, reorders and cancels requests, and a client that copes as the protocol says."""

import asyncio
import random

import aiohttp
import httpx


class Lost(httpx.TransportError):
    pass


class Network(httpx.AsyncBaseTransport):
    """Sends the requests by aiohttp. The transport of httpx looks at all its connections for each request, which with many
    connections takes most of the time."""

    def __init__(self, ssl):
        self.ssl, self.session = ssl, None

    async def handle_async_request(self, request):
        if not self.session:
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self.ssl), timeout=aiohttp.ClientTimeout(total=60))
        try:
            async with self.session.request(
                    request.method, str(request.url), headers=request.headers, data=request.content or None) as answer:
                return httpx.Response(answer.status, headers=answer.raw_headers, content=await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise httpx.TransportError(str(error)) from error

    async def aclose(self):
        if self.session:
            await self.session.close()


class BadNetwork(httpx.AsyncBaseTransport):
    """Between a client and the edge. Faults come from a seed; `faults` counts them by kind."""

    def __init__(self, seed, ssl, rate):
        self.random = random.Random(seed)
        self.inner = Network(ssl)
        self.rate = rate
        self.held, self.stray = [], set()
        self.faults = {}

    async def handle_async_request(self, request):
        kind = self.random.choice(["lost", "unanswered", "twice", "late"]) if self.random.random() < self.rate else None
        if kind:
            self.faults[kind] = self.faults.get(kind, 0) + 1
        try:
            if kind == "lost":
                raise Lost("the request is lost")
            if kind == "late":
                # It arrives, behind requests that were made after it; nobody waits for its answer.
                self.held.append(copy(request))
                raise Lost("the request is late")
            if kind == "twice":
                self.astray(copy(request))
            answer = await self.inner.handle_async_request(request)
            if kind == "unanswered":
                await answer.aclose()
                raise Lost("the answer is lost")
            return answer
        finally:
            if self.held and self.random.random() < 0.5:
                self.astray(self.held.pop(self.random.randrange(len(self.held))))

    def astray(self, request):
        async def run():
            try:
                answer = await asyncio.wait_for(self.inner.handle_async_request(request), 1)
                await answer.aread()
                await answer.aclose()
            except (httpx.HTTPError, asyncio.TimeoutError):
                pass

        task = asyncio.create_task(run())
        self.stray.add(task)
        task.add_done_callback(self.stray.discard)

    async def aclose(self):
        await asyncio.gather(*self.stray, return_exceptions=True)
        await self.inner.aclose()


def copy(request):
    return httpx.Request(request.method, request.url, headers=request.headers, content=request.content)


class Conversation:
    """Sends `messages` to an echo and receives as many, over one session."""

    def __init__(self, http, at, messages, seed):
        self.http, self.at, self.messages = http, at, messages
        self.random = random.Random(seed)
        self.taken = 0
        self.got = []
        self.cancelled = 0

    async def run(self):
        await asyncio.gather(self.send(), self.receive())

    async def send(self):
        while self.taken < len(self.messages):
            # A client that is not sure what arrived begins further back than it need.
            first = max(0, self.taken - self.random.choice([0, 0, 0, 1, 3]))
            part = self.messages[first:self.taken + self.random.randint(1, 6)]
            body = {"ack": len(self.got), "first": first + 1, "messages": [{"text": m} for m in part]}
            try:
                answer = await self.http.post(self.at, json=body)
            except httpx.TransportError:
                continue
            if answer.status_code == 200:
                self.taken = max(self.taken, answer.json()["ack"])
            else:
                assert answer.status_code in (409, 503), answer.text

    async def receive(self):
        while len(self.got) < len(self.messages):
            request = self.http.get(self.at, params={"ack": len(self.got)})
            try:
                if self.random.random() < 0.05:
                    self.cancelled += 1
                    answer = await asyncio.wait_for(request, self.random.random() * 0.02)
                else:
                    answer = await request
            except (httpx.TransportError, asyncio.TimeoutError):
                continue
            if answer.status_code == 204:
                continue
            assert answer.status_code == 200, answer.text
            body = answer.json()
            # Nothing that was not yet received may be skipped; what was received may come again.
            assert body["first"] <= len(self.got) + 1
            self.got += [m["text"] for m in body["messages"]][len(self.got) + 1 - body["first"]:]

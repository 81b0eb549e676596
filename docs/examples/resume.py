"""A session that outlives what carries it: docs/protocol.md as a program, for Python 3.11 and aiohttp.

    TOKEN=... python resume.py https://edge.example/echo [CA.pem] < lines

sends each line as a message to a backend that echoes, and prints what comes back. It opens the session with a WebSocket
lane, or with a request where no WebSocket gets through. A lane that is lost is replaced; until it is, requests do its
work.
"""

import asyncio
import json
import os
import random
import ssl
import struct
import sys
from collections import deque

import aiohttp
import yarl

LOST = (aiohttp.ClientError, aiohttp.WSMessageTypeError, asyncio.TimeoutError, OSError)
BATCH = "application/vnd.culvert.batch"


def frame(opcode, payload):
    n = len(payload)
    size = struct.pack("!B", n) if n < 126 else struct.pack("!BH", 126, n) if n < 65536 else struct.pack("!BQ", 127, n)
    return bytes([0x80 | opcode]) + size + payload


def parse(batch):
    """(ack, first, messages, close), section 3."""
    ack, first = struct.unpack_from("!QQ", batch)
    at, messages, close = 16, [], None
    while at < len(batch):
        opcode, n, at = batch[at] & 15, batch[at + 1], at + 2
        if n > 125:
            form = "!H" if n == 126 else "!Q"
            (n,), at = struct.unpack_from(form, batch, at), at + struct.calcsize(form)
        payload, at = batch[at:at + n], at + n
        if opcode == 8:
            close = int.from_bytes(payload[:2], "big") or 1005, payload[2:].decode()
        else:
            messages.append(payload.decode() if opcode == 1 else payload)
    return ack, first, messages, close


def pause(tries):
    """None at first, then longer each time, and not in step with all the others."""
    return asyncio.sleep(random.uniform(0, min(10, 0.25 * 2 ** tries)) if tries else 0)


class Session:
    def __init__(self, http, url, token):
        self.http, self.url = http, yarl.URL(url)
        self.headers = {"Authorization": f"Bearer {token}", "Accept": BATCH, "Content-Type": BATCH}
        self.received = 0                       # the number of the last message that came
        self.acked, self.waiting = 0, deque()   # the last of ours that the edge has; those behind it, as frames
        self.room = asyncio.Semaphore(1000)     # for as many of them
        self.closing, self.ended = [], None     # our Close, as a frame; the session's, (code, reason)
        self.inbox = asyncio.Queue()            # None when there is no more
        self.news = asyncio.Event()             # there may be something to send
        self.no_lane = asyncio.Event()          # requests are needed
        self.no_lane.set()

    async def send(self, text):
        await self.room.acquire()
        self.waiting.append(frame(1, text.encode()))
        self.news.set()

    def close(self, code=1000, reason=""):
        self.closing = [frame(8, struct.pack("!H", code) + reason.encode())]
        self.news.set()

    async def run(self):
        """Returns the (code, reason) with which the session ended."""
        tasks = []
        try:
            ws = await self.open()
            tasks += [asyncio.create_task(task) for task in (self.lanes(ws), self.receive(), self.post())]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            return self.ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.inbox.put_nowait(None)

    async def open(self):
        at, ws, about = (self.url / "_poll").with_query(self.url.query), None, None
        try:
            ws = await self.upgrade(at)
            about = await ws.receive_json(timeout=4)
            # Until this is answered the session is of nobody: had it messages, they might get lost with it.
            await ws.send_bytes(struct.pack("!QQ", 0, 1))
            self.take(await ws.receive_bytes(timeout=4))
        except LOST:
            if ws:
                await ws.close()
            # Where it said what the session is called, that session goes on by requests; there is no second one.
            about, ws = about or json.loads(await self.request("POST", at)), None
        self.at, self.max_batch = self.url / "_poll" / about["session"], about["max_batch"]
        return ws

    # --- numbers ---

    def batch(self, skip=0):
        """What waits, but for the first `skip`, and how many messages that is."""
        frames, size = [], 0
        for one in list(self.waiting)[skip:]:
            size += len(one) + 16
            if frames and size > self.max_batch:
                break
            frames.append(one)
        is_all = skip + len(frames) == len(self.waiting)
        head = struct.pack("!QQ", self.received, self.acked + skip + 1)
        return head + b"".join(frames + self.closing * is_all), len(frames)

    def take(self, batch):
        ack, first, messages, close = parse(batch)
        while self.acked < ack and self.waiting:
            self.waiting.popleft()
            self.acked += 1
            self.room.release()
        for number, message in enumerate(messages, first):
            if number == self.received + 1:     # any other came before
                self.received = number
                self.inbox.put_nowait(message)
        if close:
            self.received, self.ended = self.received + 1, close
        self.news.set()

    # --- a WebSocket lane, section 7 ---

    def upgrade(self, at):
        return asyncio.wait_for(self.http.ws_connect(
            at, protocols=["culvert.v1"], headers=self.headers, max_msg_size=0, heartbeat=20,
            timeout=aiohttp.ClientWSTimeout(ws_close=2)), 4)

    async def lanes(self, ws):
        """One after the other, for as long as the session lives."""
        self.tries = 0
        while self.ended is None:
            try:
                await self.lane(ws or await self.upgrade(self.at / "socket"))
            except LOST:
                # Whether it is the lane or the session that is lost, the requests find out.
                self.no_lane.set()
                self.news.set()
                await pause(self.tries)
                self.tries += 1
            ws = None

    async def lane(self, ws):
        self.told = None
        writer = asyncio.create_task(self.write(ws))
        try:
            while self.ended is None:
                self.take(await ws.receive_bytes())
                # It works in both directions; a parked GET is answered 204 about now.
                self.tries = 0
                self.no_lane.clear()
            await ws.send_bytes(self.batch()[0])        # acknowledges the Close
        finally:
            writer.cancel()
            await ws.close()

    async def write(self, ws):
        """Each message once on this lane; an acknowledgement when there is none, and one to begin with."""
        sent = self.acked
        while True:
            sent = max(sent, self.acked)
            batch, count = self.batch(sent - self.acked)
            telling = (self.received, *self.closing)
            if count or self.told != telling:
                sent, self.told = sent + count, telling
                try:
                    await ws.send_bytes(batch)
                except LOST:
                    return                              # the reader hears of it
            else:
                self.news.clear()
                await self.news.wait()

    # --- requests, sections 4 and 5 ---

    async def receive(self):
        while self.ended is None:
            await self.no_lane.wait()
            batch = await self.request("GET", self.at, ack=self.received)
            if batch:
                self.take(batch)

    async def post(self):
        while self.ended is None:
            await self.no_lane.wait()
            batch, count = self.batch()
            if count or self.closing:
                answer = await self.request("POST", self.at, batch)
                if answer:
                    self.take(answer)
            else:
                self.news.clear()
                await self.news.wait()

    async def request(self, method, at, body=None, **query):
        """Repeated as it was until there is an answer: numbers make that safe."""
        tries = 0
        while self.ended is None:
            try:
                async with self.http.request(
                        method, at.update_query(query), data=body, headers=self.headers,
                        timeout=aiohttp.ClientTimeout(total=60)) as answer:
                    text = await answer.read()
                if answer.status in (200, 201, 204):
                    return text
                if answer.status == 410:
                    problem = json.loads(text)
                    self.ended = problem["code"], problem["reason"]
                elif answer.status not in (408, 429, 502, 503, 504):
                    raise SystemExit(f"{answer.status} {text.decode()}")
            except LOST:
                pass
            tries += 1
            await pause(tries)


async def main(url, ca=None):
    lines = sys.stdin.read().splitlines()
    tls = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=ca))
    async with aiohttp.ClientSession(connector=tls) as http:
        session = Session(http, url, os.environ["TOKEN"])
        running = asyncio.create_task(session.run())

        async def say():
            for line in lines:
                await session.send(line)

        saying = asyncio.create_task(say())
        for _ in lines:
            if (message := await session.inbox.get()) is None:
                break
            print(message, flush=True)
        saying.cancel()
        session.close()
        code, reason = await running
    return None if code == 1000 else f"ended: {code} {reason}"


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))

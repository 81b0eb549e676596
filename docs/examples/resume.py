"""A session that outlives what carries it: docs/protocol.md as a program, for Python 3.11 and aiohttp.

    TOKEN=... python resume.py https://edge.example/echo [CA.pem] < lines

sends each line as a message to a backend that echoes, and prints what comes back. It joins its session with a WebSocket
lane where it can. Where it cannot it goes on with requests, and tries a lane again now and then, less and less often.

A request that fails is sent again until it gets through. When it has failed twice in a row, the reason is printed on
standard error, and again when the reason changes. The program ends with one line when the edge refuses it, or when the
edge's certificate is not trusted before there is a session.
"""
import asyncio, json, os, random, ssl, struct, sys, time  # noqa: E401
from collections import deque

import aiohttp

LOST = (aiohttp.ClientError, aiohttp.WSMessageTypeError, asyncio.TimeoutError, OSError)
BATCH = "application/vnd.culvert.batch"


class Refused(Exception):
    """The program gives up, because another try would end in the same way."""


def one_line(status, body):
    """A refusal as people read it. The body of another server than the edge may be a page."""
    return " ".join([str(status), *body.decode(errors="replace").split()])[:300]


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


class Caution:
    """When a lane is worth a try: not for 5 s after one that did not get through, then not for 10, 20 … up to 300."""

    def __init__(self):
        self.got_through()

    def got_through(self):
        self.wait, self.until = 5, 0

    def failed(self):
        # Not in step with all the others.
        self.until = time.monotonic() + self.wait * random.uniform(0.75, 1.25)
        self.wait = min(300, 2 * self.wait)

    @property
    def is_over(self):
        return time.monotonic() >= self.until


class Session:
    def __init__(self, http, url, token):
        self.http, self.url, self.at, self.ended = http, url, None, None
        self.headers = {"Authorization": f"Bearer {token}", "Accept": BATCH, "Content-Type": BATCH}
        self.received = 0                                # the number of the last message that came
        self.acked, self.waiting = 0, deque()            # of ours the last that was taken; those behind it, as frames
        self.sent, self.room = 0, asyncio.Semaphore(1000)  # how many of those this lane has had; for how many is room
        self.inbox, self.news, self.caution = asyncio.Queue(), asyncio.Event(), Caution()

    async def send(self, text):
        await self.room.acquire()
        self.put(frame(1, text.encode()))

    def close(self, code=1000):
        self.put(frame(8, struct.pack("!H", code)))

    def put(self, one):
        self.waiting.append(one)
        self.news.set()

    async def run(self):
        """Returns the (code, reason) with which the session ended."""
        try:
            await self.go_on()
        finally:
            self.inbox.put_nowait(None)
        return self.ended

    async def go_on(self):
        tries, told = 0, None
        while not self.ended:
            try:
                if not self.at:
                    path, mark, query = self.url.partition("?")
                    base = path.rstrip("/") if path.count("/") == 3 else path  # "/chat/" keeps its last slash
                    about = json.loads(await self.request("POST", f"{base}/_poll{mark}{query}"))
                    self.at, self.max_batch = f"{base}/_poll/{about['session']}", about["max_batch"]
                if not (self.caution.is_over and await self.lane()):
                    await self.poll()
                tries, told = 0, None
            except LOST as error:                        # longer each time, and not in step with all the others
                reason = str(error) or type(error).__name__
                # During a session this may be the login page of a network that the computer has moved to.
                if isinstance(error, aiohttp.ClientConnectorCertificateError) and not self.at:
                    raise Refused(f"the certificate is not trusted: {reason}") from None
                tries += 1
                if tries > 1 and reason != told:         # a single failure is nothing unusual
                    print(f"cannot reach {self.url}, still trying: {reason}", file=sys.stderr, flush=True)
                    told = reason
                await asyncio.sleep(random.uniform(0, min(10, 0.25 * 2 ** tries)))

    def batch(self, skip=0):
        frames, size = [], 0
        for one in list(self.waiting)[skip:]:
            size += len(one) + 16
            if frames and size > self.max_batch:
                break
            frames.append(one)
        return struct.pack("!QQ", self.received, self.acked + skip + 1) + b"".join(frames), len(frames)

    def take(self, batch):
        ack, first, messages, close = parse(batch)
        while self.acked < ack and self.waiting:
            self.waiting.popleft()
            self.acked, self.sent = self.acked + 1, max(0, self.sent - 1)
            self.room.release()
        for number, message in enumerate(messages, first):
            if number == self.received + 1:              # any other came before
                self.received = number
                self.inbox.put_nowait(message)
        if close:
            self.received, self.ended = self.received + 1, close
        self.news.set()

    async def lane(self):
        """Whether the session has ended over a lane. One that is lost, or does not open, is followed by a request."""
        self.caution.failed()                            # until it is known better
        try:
            await self.join()
        except LOST:
            return False
        return True

    async def join(self):
        """Section 7: until the lane is lost, or the session has ended."""
        ws = await asyncio.wait_for(self.http.ws_connect(
            self.at + "/socket", protocols=["culvert.v1"], headers=self.headers, max_msg_size=0, heartbeat=20,
            timeout=aiohttp.ClientWSTimeout(ws_close=2)), 4)

        async def write(told=None):
            while True:                                  # each message once; what came is told with it, or alone
                batch, count = self.batch(self.sent)
                if count or told != self.received:
                    self.sent, told = self.sent + count, self.received
                    await ws.send_bytes(batch)
                self.news.clear()
                if self.sent == len(self.waiting) and told == self.received:
                    await self.news.wait()

        async with ws:
            self.sent = 0
            await ws.send_bytes(struct.pack("!QQ", self.received, self.acked + 1))
            self.take(await ws.receive_bytes(timeout=4))  # it works in both directions
            self.caution.got_through()
            writer = asyncio.create_task(write())
            try:
                while not self.ended:
                    self.take(await ws.receive_bytes())
                await ws.send_bytes(struct.pack("!QQ", self.received, self.acked + 1))
            finally:
                writer.cancel()
                await asyncio.gather(writer, return_exceptions=True)

    async def poll(self):
        """Sections 4 and 5: one GET, and meanwhile a POST whenever there is something to say."""
        get = asyncio.create_task(self.request("GET", f"{self.at}?ack={self.received}"))
        try:
            while not get.done():
                if self.waiting:
                    self.take(await self.request("POST", self.at, self.batch()[0]) or struct.pack("!QQ", 0, 1))
                self.news.clear()
                news = asyncio.create_task(self.news.wait())
                await asyncio.wait({get, news}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
            if batch := await get:
                self.take(batch)
        finally:
            get.cancel()
            await asyncio.gather(get, return_exceptions=True)

    async def request(self, method, at, body=None):
        """What failed is repeated as it was: numbers make that safe."""
        async with self.http.request(method, at, data=body, headers=self.headers,
                                     timeout=aiohttp.ClientTimeout(total=60)) as answer:
            data = await answer.read()
        if answer.status == 410 and method == "POST":    # what was said before the end is still to be fetched
            self.waiting.clear()
        elif answer.status == 410:
            self.ended = json.loads(data)["code"], json.loads(data)["reason"]
        elif answer.status in (408, 429, 502, 503, 504):
            raise aiohttp.ClientError(one_line(answer.status, data))
        elif answer.status > 299:
            raise Refused(one_line(answer.status, data))
        return data if answer.status in (200, 201) else None


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
        try:
            code, reason = await running
        except Refused as error:
            return str(error)
    return None if code == 1000 else f"ended: {code} {reason}"


if __name__ == "__main__":
    if len(sys.argv) < 2 or "TOKEN" not in os.environ:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(*sys.argv[1:])))

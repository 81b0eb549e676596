"""What an open session may do: how fast, in how many fragments, how long without a word, how long at all."""

import asyncio
import contextlib
import json
import struct
import threading
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.edge import wait_for
from kit.knock import TRANSPORTS
from kit.pace import within
from kit.poll import BATCH, batch, client, open_session, unframe
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, switching

KIB = 1 << 10
# What one read brings is charged when it is there: at most four buffers of 64 KiB.
READ = 4 * 64 * KIB


def dial(edge, path="/", **options):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=edge.auth, compression=None, **options)


def numbered(count, size):
    return [n.to_bytes(8, "big") + bytes(size - 8) for n in range(count)]


class Fetch:
    """A polled client that reads until the Close: messages in `got`, the Close in `close`."""

    def __init__(self, http, at):
        self.http, self.at = http, at
        self.got, self.close = [], None

    def once(self):
        answer = self.http.get(self.at, params={"ack": len(self.got)}, headers={"Accept": BATCH})
        if answer.status_code == 204:
            return
        if answer.status_code == 410:
            self.close = (answer.json()["code"], answer.json()["reason"])
            return
        assert answer.status_code == 200, answer.text
        _, first, messages, close = unframe(answer.content)
        assert first == len(self.got) + 1
        self.got += messages
        self.close = close or self.close

    def until(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (len(self.got), self.close)
            self.once()


def post(http, at, first, messages):
    """Until it is taken; gives how often it was refused."""
    end = time.monotonic() + 20
    for refusals in range(10_000):
        answer = http.post(at, content=batch(first, messages), headers={"Content-Type": BATCH})
        if answer.status_code == 200:
            return refusals
        assert answer.status_code == 429 and time.monotonic() < end, answer.text
        assert answer.json()["type"] == "urn:culvert:problem:rate_limited"
        assert int(answer.headers["retry-after"]) >= 1
        time.sleep(0.02)  # Sooner than it says: nothing may be taken too early.


def ended(edge):
    [event] = edge.expect_events("session ended")
    return event


# --- rates -----------------------------------------------------------------------------------------------------------

# What is allowed, a message's size, and how many of them one read may bring at most.
RATES = {
    "messages": ("messages: 200, message_burst: 100", 200, 100, 4 * KIB, READ // (4 * KIB)),
    "bytes": ("bytes: 320KiB, byte_burst: 64KiB", 20, 4, 16 * KIB, READ // (16 * KIB)),
}


def bounds(rate, burst, count, read):
    """Seconds that `count` messages take at least and, with some generosity, at most."""
    return (count - burst - read) / rate, (count - burst) / rate * 1.5 + 2


@pytest.mark.parametrize("what", RATES)
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("direction", ["from_client", "to_client"])
def test_a_pause_keeps_the_rate_and_loses_nothing(fresh_backend, make_edge, direction, transport, what):
    text, rate, burst, size, read = RATES[what]
    count = burst + rate * 4
    # Who is paused is neither idle nor slow.
    edge = make_edge(fresh_backend.port, session="stall: 2s",
                     limits=f"session: {{ {direction}: {{ {text} }}, idle: 3s }}")
    sent = numbered(count, size)
    path = "/record" if direction == "from_client" else "/flood"

    async def native():
        async with dial(edge, path, max_size=None) as ws:
            began = time.monotonic()
            async with asyncio.timeout(20):
                if direction == "from_client":
                    for message in sent:
                        await ws.send(message)
                    while len(fresh_backend.received) < count:
                        await asyncio.sleep(0.01)
                    return time.monotonic() - began, fresh_backend.received
                await ws.send(f"{count} {size}")
                got = [await ws.recv() for _ in sent]
                return time.monotonic() - began, got

    def polled():
        with client(edge) as http:
            at = open_session(http, path)
            began = time.monotonic()
            if direction == "from_client":
                # As many at a time as a read brings a native client's.
                refused = sum(post(http, at, n + 1, sent[n:n + read]) for n in range(0, count, read))
                assert refused > 0
                wait_for(lambda: len(fresh_backend.received) == count, what="everything to arrive")
                return time.monotonic() - began, fresh_backend.received
            http.post(at, json={"first": 1, "messages": [{"text": f"{count} {size}"}]})
            fetch = Fetch(http, at)
            fetch.until(lambda: len(fetch.got) >= count)
            return time.monotonic() - began, fetch.got

    seconds, got = polled() if transport == "long-poll" else asyncio.run(native())
    assert got == sent
    least, most = bounds(rate, burst, count, read)
    assert least < seconds < within(most)


# The rate is so low that a busy machine, which sends slowly, exceeds it all the same.
@pytest.mark.parametrize("what,reason", [("messages: 2, message_burst: 50", "too many messages"),
                                         ("bytes: 2KiB, byte_burst: 50KiB", "too many bytes")])
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("direction", ["from_client", "to_client"])
def test_too_much_is_1008(fresh_backend, make_edge, direction, transport, what, reason):
    edge = make_edge(fresh_backend.port, limits=f"session: {{ {direction}: {{ {what}, excess: close }} }}")
    path = "/record" if direction == "from_client" else "/flood"

    async def native():
        async with dial(edge, path) as ws:
            with contextlib.suppress(ConnectionClosed):
                if direction == "from_client":
                    for message in numbered(50, KIB):
                        await ws.send(message)
                    async with asyncio.timeout(10):
                        while len(fresh_backend.received) < 50:
                            await asyncio.sleep(0.01)
                    # What is allowed has passed; a read of the rest is too much.
                    async with asyncio.timeout(10):
                        while True:
                            await ws.send(bytes(KIB))
                            await asyncio.sleep(0)
                await ws.send(f"200 {KIB}")
            with contextlib.suppress(ConnectionClosed):
                async with asyncio.timeout(10):
                    while True:
                        await ws.recv()
            return ws.close_code, ws.close_reason

    def polled():
        with client(edge) as http:
            at = open_session(http, path)
            if direction == "from_client":
                for n in range(0, 200, 10):
                    answer = http.post(at, content=batch(n + 1, numbered(10, KIB)), headers={"Content-Type": BATCH})
                    if answer.status_code == 410:
                        break
                    assert answer.status_code == 200
                assert answer.status_code == 410 and 50 <= n <= 100
            else:
                http.post(at, json={"first": 1, "messages": [{"text": f"200 {KIB}"}]})
            fetch = Fetch(http, at)
            fetch.until(lambda: fetch.close)
            return fetch.close

    assert (polled() if transport == "long-poll" else asyncio.run(native())) == (1008, reason)
    event = ended(edge)
    assert (event["close_code"], event["closed_by"], event["close_reason"]) == (1008, "culvert", reason)
    assert wait_for(lambda: fresh_backend.closed, what="the backend to be told") == [(path, 1001, reason)]


def test_within_the_rate_nothing_is_closed(backend, make_edge):
    edge = make_edge(backend.port, limits="session: { from_client: { messages: 50, message_burst: 20, excess: close }, "
                                          "to_client: { messages: 50, message_burst: 20, excess: close } }")

    async def run():
        async with dial(edge) as ws:
            # Each echo is waited for, 40 ms from the last at the soonest.
            for n in range(60):
                await ws.send(str(n))
                assert await asyncio.wait_for(ws.recv(), 5) == str(n)
                await asyncio.sleep(0.04)

    asyncio.run(run())


# --- fragments -------------------------------------------------------------------------------------------------------

def fragments(count):
    return [masked(0 if n else 2, b"x", fin=n == count - 1) for n in range(count)]


def test_too_many_fragments_of_a_client_are_1008(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, limits="session: { fragments: 4 }")
    raw = Raw(edge)
    raw.send(*fragments(4))
    assert raw.frame() == (2, b"xxxx")
    raw.send(*fragments(5))
    opcode, payload = raw.frame()
    why = b"message of the client exceeds limits.session.fragments (4)"
    assert (opcode, payload) == (8, (1008).to_bytes(2, "big") + why)
    assert ended(edge)["close_code"] == 1008


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_too_many_fragments_of_a_backend_are_1008_for_it(fresh_backend, make_edge, transport):
    edge = make_edge(fresh_backend.port, limits="session: { fragments: 4 }")

    def send(count):
        # The library sends an empty fragment at the end.
        [connection] = wait_for(lambda: fresh_backend.connections, what="the backend's connection")
        fresh_backend.call(connection.send([b"x"] * (count - 1)))

    async def native():
        async with dial(edge, "/record") as ws:
            await asyncio.to_thread(send, 4)
            assert await asyncio.wait_for(ws.recv(), 5) == b"xxx"
            await asyncio.to_thread(send, 5)
            await asyncio.wait_for(ws.wait_closed(), 5)
            return ws.close_code, ws.close_reason

    def polled():
        with client(edge) as http:
            at = open_session(http, "/record")
            send(4)
            fetch = Fetch(http, at)
            fetch.until(lambda: fetch.got)
            assert fetch.got == [b"xxx"]
            send(5)
            fetch.until(lambda: fetch.close)
            return fetch.close

    why = "message of the upstream exceeds limits.session.fragments (4)"
    assert (polled() if transport == "long-poll" else asyncio.run(native())) == (1011, why)
    assert wait_for(lambda: fresh_backend.closed, what="its Close") == [("/record", 1008, why)]


@pytest.mark.parametrize("first", [1, 1000], ids=["a duplicate", "a gap"])
def test_a_batch_in_vain_counts_in_the_rate(fresh_backend, make_edge, first):
    """In JSON a batch is taken apart before its number is known."""
    edge = make_edge(fresh_backend.port, limits="session: { from_client: { messages: 100 } }")
    texts = [{"text": "x"}] * 90
    with client(edge) as http:
        at = open_session(http, "/record")
        assert http.post(at, json={"first": 1, "messages": texts}).status_code == 200
        found = [http.post(at, json={"first": first, "messages": texts}).status_code for _ in range(3)]
        print(f"three batches of {len(texts)} messages from number {first}: {found}")
        assert found[0] == (200 if first == 1 else 409) and found[1:] == [429, 429]
        # Nothing of it is taken, and the session goes on.
        assert post(http, at, 91, ["y"]) > 0
        wait_for(lambda: len(fresh_backend.received) == 91, what="the rest")


# --- idle and lifetime -----------------------------------------------------------------------------------------------

class Talk:
    """A session of either transport that says a word every so often, and is heard to end."""

    def __init__(self, edge, transport, path):
        self.edge, self.transport, self.path = edge, transport, path
        self.stop = threading.Event()
        self.words = 0

    def run(self, pause, words):
        """Speaks `words` times, then is silent until the end: (seconds from the last word to it, the Close)."""
        return self._polled(pause, words) if self.transport == "long-poll" else asyncio.run(self._native(pause, words))

    async def _native(self, pause, words):
        # Pings are no messages.
        async with dial(self.edge, self.path, ping_interval=0.1) as ws:
            last = time.monotonic()
            with contextlib.suppress(ConnectionClosed):
                for n in range(words):
                    await ws.send("x")
                    last = time.monotonic()
                    await asyncio.sleep(pause)
            async with asyncio.timeout(10):
                async for _ in ws:
                    pass
            return time.monotonic() - last, (ws.close_code, ws.close_reason)

    def _polled(self, pause, words):
        with client(self.edge) as http:
            at = open_session(http, self.path)
            last = time.monotonic()
            for n in range(words):
                answer = http.post(at, content=batch(n + 1, ["x"]), headers={"Content-Type": BATCH})
                if answer.status_code == 410:
                    break
                last = time.monotonic()
                time.sleep(pause)
            fetch = Fetch(http, at)
            fetch.until(lambda: fetch.close, 10)
            return time.monotonic() - last, fetch.close


@pytest.mark.parametrize("where", ["session", "upstream", "upstream is longer", "session is longer"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_silence_ends_a_session(fresh_backend, make_edge, transport, where):
    idle = {"session": "2s", "upstream is longer": "2s", "session is longer": "1h"}.get(where)
    timeout = {"upstream": "2s", "upstream is longer": "1h", "session is longer": "2s"}.get(where)
    upstream = {"servers": [{"url": f"ws://127.0.0.1:{fresh_backend.port}"}]}
    if timeout:
        upstream["idle_timeout"] = timeout
    edge = make_edge(0, upstream=json.dumps(upstream), limits=f"session: {{ idle: {idle} }}" if idle else "",
                     session="hold: 300ms, ping: 500ms")
    began = time.monotonic()
    silent, close = Talk(edge, transport, "/record").run(0.25, 11)
    assert close == (1001, "idle") and time.monotonic() - began > 4
    # At most a quarter longer, and what a slow machine needs.
    assert 1.9 < silent < within(4)
    assert (ended(edge)["close_code"], ended(edge)["close_reason"]) == (1001, "idle")
    assert wait_for(lambda: fresh_backend.closed, what="the backend to be told") == [("/record", 1001, "idle")]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_messages_of_the_backend_are_no_silence(fresh_backend, make_edge, transport):
    edge = make_edge(fresh_backend.port, limits="session: { idle: 1500ms }")

    def speak(seconds):
        [connection] = wait_for(lambda: fresh_backend.connections, what="the backend's connection")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            fresh_backend.call(connection.send("word"))
            time.sleep(0.1)

    speaker = threading.Thread(target=speak, args=(2,))
    speaker.start()
    silent, close = Talk(edge, transport, "/record").run(0, 0)
    speaker.join(10)
    assert close == (1001, "idle") and silent > 2.4


@pytest.mark.parametrize("side", ["upstream", "lane"])
def test_parts_of_a_long_message_are_no_silence(fresh_backend, make_edge, side):
    """A session that keeps messages counted whole ones alone, and ended amid a message that took longer than `idle`."""
    parts = [bytes([65 + n]) * KIB for n in range(35)]
    whole = b"".join(parts)
    head = b"\x82\x7e" + struct.pack("!H", len(whole))

    def script(connection, request):
        connection.sendall(switching(request) + head)
        for part in parts:
            time.sleep(0.1)
            connection.sendall(part)

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port if side == "upstream" else fresh_backend.port,
                     limits="session: { idle: 1500ms }", session="ping: 500ms")
    with client(edge) as http:
        at = open_session(http, "/record")
        if side == "upstream":
            fetch = Fetch(http, at)
            fetch.until(lambda: fetch.got or fetch.close, 20)
            print(f"got {[len(message) for message in fetch.got]} and {fetch.close}")
            assert fetch.got == [whole] and fetch.close is None
        else:
            raw = Raw(edge, at + "/socket", headers="Sec-WebSocket-Protocol: culvert.v1\r\n")
            raw.send(masked(2, batch(1, [])))
            raw.frame()
            envelope = masked(2, batch(1, [whole.decode()]))
            for begin in range(0, len(envelope), KIB):
                raw.send(envelope[begin:begin + KIB])
                time.sleep(0.1)
            wait_for(lambda: fresh_backend.received or fresh_backend.closed, what="the message")
            print(f"got {len(fresh_backend.received)} message, and {fresh_backend.closed}")
            assert fresh_backend.received == [whole.decode()]
            raw.s.close()
    backend.stop()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_has_its_lifetime(fresh_backend, make_edge, transport):
    edge = make_edge(fresh_backend.port, limits="session: { lifetime: 1500ms }")
    _, close = Talk(edge, transport, "/record").run(0.1, 100)
    assert close == (1001, "lifetime over")
    event = ended(edge)
    assert 1.5 <= event["duration"] < within(4)
    assert (event["close_code"], event["closed_by"], event["close_reason"]) == (1001, "culvert", "lifetime over")
    assert wait_for(lambda: fresh_backend.closed, what="the backend to be told") == [("/record", 1001, "lifetime over")]

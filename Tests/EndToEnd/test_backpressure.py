"""Who is slow slows the other side down; the edge holds no more than its bounds in between."""

import asyncio
import time

import httpx

from kit.edge import TOKEN, wait_for
from kit.poll import BATCH, batch, client, open_session, unframe
from websockets.asyncio.client import connect

MIB = 1 << 20
SIZE, COUNT = 64 << 10, 2048  # 128 MiB
# What one session may hold, the sockets' buffers aside, is well below; what the flood has is four times as much.
BOUND = 32 * MIB


def stalled(value):
    """Waits until a count that grows grows no more, and gives it."""
    last, since = value(), time.monotonic()

    def settled():
        nonlocal last, since
        if value() != last:
            last, since = value(), time.monotonic()
        return last and time.monotonic() - since > 0.5

    wait_for(settled, 30, "the sender to be held back")
    return last


async def settle(value):
    return await asyncio.to_thread(stalled, value)


def test_a_slow_reader_holds_the_backend_back(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port)

    async def run():
        async with connect(edge.wss + "/flood", ssl=edge.ssl, additional_headers=edge.auth, max_size=None,
                           max_queue=1, compression=None) as ws:
            before = edge.rss
            await ws.send(f"{COUNT} {SIZE}")
            sent = await settle(lambda: fresh_backend.sent)
            assert sent * SIZE < BOUND
            assert edge.rss - before < BOUND
            for n in range(COUNT):
                message = await asyncio.wait_for(ws.recv(), 10)
                assert int.from_bytes(message[:8], "big") == n and len(message) == SIZE
            assert edge.rss - before < BOUND

    asyncio.run(run())


def test_a_slow_backend_holds_the_client_back(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port)

    async def run():
        async with connect(edge.wss + "/slow-reader", ssl=edge.ssl, additional_headers=edge.auth, max_size=None,
                           compression=None) as ws:
            before, sent = edge.rss, 0

            async def flood():
                nonlocal sent
                for n in range(COUNT):
                    await ws.send(n.to_bytes(8, "big") + bytes(SIZE - 8))
                    sent += 1

            task = asyncio.create_task(flood())
            stuck = await settle(lambda: sent)
            assert stuck * SIZE < BOUND
            assert edge.rss - before < BOUND
            fresh_backend.let_go()
            await asyncio.wait_for(task, 60)
        assert edge.rss - before < BOUND

    asyncio.run(run())
    wait_for(lambda: len(fresh_backend.received) == COUNT, what="everything to arrive")
    assert [int.from_bytes(m[:8], "big") for m in fresh_backend.received] == list(range(COUNT))


def test_what_is_not_acknowledged_holds_the_backend_back(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="buffer: 256KiB")
    with client(edge) as http:
        at = open_session(http, "/flood")
        before = edge.rss
        http.post(at, json={"ack": 0, "first": 1, "messages": [{"text": f"{COUNT} {SIZE}"}]})
        # Polls without a new acknowledgement make no room.
        for _ in range(3):
            answer = http.get(at, params={"ack": 0}, headers={"Accept": BATCH})
            _, first, messages, _ = unframe(answer.content)
            assert first == 1 and 1 <= len(messages) <= 5
        assert stalled(lambda: fresh_backend.sent) * SIZE < BOUND
        assert edge.rss - before < BOUND
        got = 0
        while got < COUNT:
            answer = http.get(at, params={"ack": got}, headers={"Accept": BATCH})
            if answer.status_code == 204:
                continue
            _, first, messages, _ = unframe(answer.content)
            assert first == got + 1
            for message in messages:
                assert int.from_bytes(message[:8], "big") == got and len(message) == SIZE
                got += 1
        assert edge.rss - before < BOUND


def test_a_post_that_the_backend_has_no_room_for_is_told_to_come_back(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port)
    with client(edge) as http:
        at = open_session(http, "/slow-reader")
        before, taken, refused = edge.rss, 0, None
        message = b"." * (512 << 10)
        while refused is None:
            assert taken * len(message) < BOUND
            answer = http.post(at, content=batch(taken + 1, [message]), headers={"Content-Type": BATCH})
            if answer.status_code == 200:
                taken += 1
            else:
                refused = answer
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) >= 1
        assert edge.rss - before < BOUND
        fresh_backend.let_go()

        def retried():
            again = http.post(at, content=batch(taken + 1, [b"last"]), headers={"Content-Type": BATCH})
            return again.status_code == 200

        wait_for(retried, what="the backend to have room again")
        wait_for(lambda: len(fresh_backend.received) == taken + 1, what="everything to arrive")
        assert fresh_backend.received[-1] == b"last"


def test_a_request_that_never_ends_is_cut(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, limits="handshake: 300ms")

    async def cut(*parts):
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.tls_port, ssl=edge.ssl, server_hostname="localhost")
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 5)

    assert asyncio.run(cut()) == b""
    assert asyncio.run(cut(b"POST /_poll HT")) == b""
    assert asyncio.run(cut(
        f"POST /_poll HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n\r\nhalf".encode())).startswith(b"HTTP/1.1 408 ")
    # Not even TLS is begun.
    async def silent():
        reader, _ = await asyncio.open_connection("127.0.0.1", edge.tls_port)
        return await asyncio.wait_for(reader.read(), 5)

    assert asyncio.run(silent()) == b""


def test_a_header_section_over_the_limit_is_431(edge):
    with httpx.Client(verify=edge.ssl, timeout=30) as http:
        assert http.get(edge.https, headers={"X-Big": "x" * (12 << 10)}).status_code == 426
        assert http.get(edge.https, headers={"X-Big": "x" * (20 << 10)}).status_code == 431

"""How long listing many sessions holds an event loop up.

    Tests/run's virtual environment: .venv/bin/python Tests/Benchmarks/listing.py [sessions]

One edge with one event loop, on CPU 0, holds that many polled sessions. A client sends small requests to it, one after
the other, and notes how long each answer takes: first in silence, then while the admin API lists all sessions again and
again. The longest of these is what a message might have waited. Everything else runs on CPU 1. Each session takes a
descriptor of the edge, and a process may have 20,000 where the limit is not raised.
"""

import asyncio
import base64
import gc
import hashlib
import multiprocessing
import os
import pathlib
import socket
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "EndToEnd"))

from kit.admin import Admin  # noqa: E402
from kit.edge import Edge, TOKEN, free_port  # noqa: E402

SESSIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 19_000
SECONDS = 10


class Backend(asyncio.Protocol):
    """Shakes hands, and says no more."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        for line in data.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"sec-websocket-key":
                digest = hashlib.sha1(value.strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                self.transport.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n")


def serve(port):
    async def run():
        server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=4096)
        await server.serve_forever()

    asyncio.run(run())


async def open_sessions(port, count):
    async def opener(share):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(share):
            writer.write(f"POST /_poll HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
                         "Content-Length: 0\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 201"), head
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
        writer.close()

    await asyncio.gather(*(opener(count // 20) for _ in range(20)))


def probe(port, seconds):
    """Milliseconds of each request of `seconds`."""
    gc.disable()
    times = []
    with socket.create_connection(("127.0.0.1", port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            start = time.perf_counter()
            s.sendall(b"GET /_poll/x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            s.recv(4096)
            times.append((time.perf_counter() - start) * 1000)
            time.sleep(0.0005)
    return sorted(times)


def show(what, times):
    at = {name: times[min(len(times) - 1, int(len(times) * share))]
          for name, share in (("p50", .5), ("p99", .99), ("p99.9", .999), ("longest", 1))}
    print(f"{what}: " + ", ".join(f"{name} {value:.2f} ms" for name, value in at.items()), flush=True)


def list_for_ever(folder, admin_port, pages):
    edge = type("E", (), {"folder": folder, "admin_port": admin_port})
    with Admin(edge) as admin:
        while True:
            cursor = None
            while True:
                params = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
                cursor = admin.get("/v1/sessions", params=params).json()["next"]
                with pages.get_lock():
                    pages.value += 1
                if not cursor:
                    break


def main():
    os.sched_setaffinity(0, {0})
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        edge = Edge(folder, port, session="resume: 1h, ping: 1h", route="", limits="connections: 30000")
        os.sched_setaffinity(0, {1})
        backend = multiprocessing.Process(target=serve, args=(port,), daemon=True)
        backend.start()
        try:
            asyncio.run(open_sessions(edge.plain_port, SESSIONS))
            show(f"{SESSIONS} sessions, silence", probe(edge.plain_port, SECONDS))
            pages = multiprocessing.Value("i", 0)
            lister = multiprocessing.Process(
                target=list_for_ever, args=(edge.folder, edge.admin_port, pages), daemon=True)
            lister.start()
            times = probe(edge.plain_port, SECONDS)
            lister.terminate()
            show(f"{SESSIONS} sessions, listed ({pages.value} pages)", times)
        finally:
            edge.stop(60)
            backend.terminate()


if __name__ == "__main__":
    main()

"""An unmodified backend: Python `websockets`, which knows nothing of the proxy."""

import asyncio
import http
import threading

from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.http11 import Response


class Backend:
    """What it does is chosen by the path; see `_handle`. Handshakes are kept in `requests`, closings in `closed`."""

    def __init__(self, ssl=None):
        self.ssl = ssl
        self.requests, self.closed, self.received = [], [], []
        self.sent = 0
        self.connections = set()
        self.release = None
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        ready.wait(10)

    def _run(self, ready):
        self.loop = asyncio.new_event_loop()

        async def main():
            self.release = asyncio.Event()
            self.finish = asyncio.Event()
            async with serve(
                self._handle, "127.0.0.1", 0, process_request=self._request, max_size=None, ping_interval=None,
                close_timeout=2, subprotocols=["chat.v2"], max_queue=4, ssl=self.ssl,
                select_subprotocol=lambda ws, offered: "chat.v2" if "chat.v2" in offered else None,
            ) as server:
                self.port = server.sockets[0].getsockname()[1]
                ready.set()
                await self.finish.wait()

        self.loop.run_until_complete(main())

    def stop(self):
        self.loop.call_soon_threadsafe(self.finish.set)

    def call(self, coroutine, timeout=10):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def let_go(self):
        self.loop.call_soon_threadsafe(self.release.set)

    async def _request(self, ws, request):
        self.requests.append(request)
        if "/refuse" in request.path:
            body = b"not today"
            headers = Headers([("Retry-After", "7"), ("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
            return Response(503, http.HTTPStatus(503).phrase, headers, body)
        if "/status/" in request.path:
            status = int(request.path.split("/status/")[1][:3])
            return Response(status, http.HTTPStatus(status).phrase, Headers([("Content-Length", "0")]), b"")
        if "/slow" in request.path and "/slow-reader" not in request.path:
            await asyncio.sleep(30)
        return None

    async def _handle(self, ws):
        self.connections.add(ws)
        path = ws.request.path.split("?")[0]
        try:
            if path.endswith("/close"):
                await ws.close(4321, "backend says bye")
            elif path.endswith("/drop"):
                await ws.recv()
                ws.transport.abort()
            elif path.endswith("/slow-reader"):
                await self.release.wait()
                async for message in ws:
                    self.received.append(message)
            elif path.endswith("/flood"):
                count, size = [int(x) for x in (await ws.recv()).split()]
                for n in range(count):
                    await ws.send(n.to_bytes(8, "big") + bytes(size - 8))
                    self.sent += 1
                await ws.wait_closed()
            elif path.endswith("/record"):
                async for message in ws:
                    self.received.append(message)
            elif path.endswith("/ping"):
                waiter = await ws.ping(b"from the backend")
                await waiter
                await ws.send("ponged")
                await ws.wait_closed()
            else:
                async for message in ws:
                    await ws.send(message)
        finally:
            self.connections.discard(ws)
            try:
                await asyncio.wait_for(ws.wait_closed(), 5)
            except Exception:
                pass
            self.closed.append((path, ws.close_code, ws.close_reason))

"""Lets a client that knows nothing but WebSockets poll: a WebSocket server whose connections are polled sessions."""

import asyncio
import contextlib
import http
import threading
import urllib.parse

import httpx
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from kit.poll import BATCH, batch, unframe

# The fields in which a client says something of itself. All others belong to its connection with the bridge.
PASSED = ("authorization", "cookie", "origin", "user-agent", "sec-websocket-protocol")


class Bridge:
    """Clients connect to `url`. Each connection opens a session at `base`, an edge's `https` URL, with the same path,
    query, subprotocols and credentials. It is written from docs/protocol.md, sections 2 to 6."""

    def __init__(self, base, ssl):
        self.base, self.ssl = base, ssl
        self.loop = asyncio.new_event_loop()
        self.opened = 0
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.http, self.server = asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(20)
        self.url = f"ws://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"

    async def _start(self):
        client = httpx.AsyncClient(base_url=self.base, verify=self.ssl, timeout=60)
        server = await serve(
            self._carry, "127.0.0.1", 0, process_request=self._open, compression=None, max_size=None,
            ping_interval=None, select_subprotocol=lambda connection, offered: connection.chosen)
        return client, server

    def stop(self):
        async def end():
            self.server.close()
            await self.server.wait_closed()
            await self.http.aclose()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(20)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(20)
        self.loop.close()

    async def _open(self, connection, request):
        path, mark, query = request.path.partition("?")
        headers = [(name, value) for name, value in request.headers.raw_items() if name.lower() in PASSED]
        answer = await self.http.post(("" if path == "/" else path) + "/_poll" + mark + query, headers=headers)
        if answer.status_code != 201:
            return connection.respond(http.HTTPStatus(answer.status_code), answer.text)
        self.opened += 1
        connection.session, connection.chosen = answer.headers["location"], answer.json()["protocol"]
        connection.token = [pair for pair in urllib.parse.parse_qsl(query) if pair[0] == "access_token"]
        connection.shown = [(name, value) for name, value in headers if name.lower() != "sec-websocket-protocol"]

    async def _carry(self, ws):
        receiving = asyncio.create_task(self._receive(ws))
        try:
            with contextlib.suppress(ConnectionClosed):
                await self._send(ws)
            await self._end(ws)
        finally:
            receiving.cancel()

    async def _receive(self, ws):
        acked, close = 0, None
        with contextlib.suppress(ConnectionClosed):
            while not close:
                answer = await self._ask(ws, "GET", [("ack", acked)], headers=[*ws.shown, ("Accept", BATCH)])
                if answer is None:
                    return
                if answer.status_code == 204:
                    continue
                _, first, messages, close = unframe(answer.content)
                for number, message in enumerate(messages, first):
                    if number == acked + 1:
                        acked = number
                        await ws.send(message)
            await ws.close(*close)

    async def _send(self, ws):
        number = 0
        async for message in ws:
            number += 1
            body = batch(number, [message])
            if await self._ask(ws, "POST", content=body, headers=[*ws.shown, ("Content-Type", BATCH)]) is None:
                return

    async def _end(self, ws):
        """A session that has ended already is not asked for more."""
        code = 1000 if ws.close_code in (None, 1005, 1006) else ws.close_code
        await self._ask(ws, "DELETE", [("code", code), ("reason", ws.close_reason or "")], headers=ws.shown)

    async def _ask(self, ws, method, query=(), **what):
        """The answer; None when the session has ended. The client sees a refusal as the end of its WebSocket."""
        while True:
            answer = await self.http.request(method, ws.session, params=[*query, *ws.token], **what)
            if answer.status_code in (200, 204):
                return answer
            if answer.status_code in (404, 410):
                return None
            if answer.status_code != 503:
                await ws.close(1011, f"{method} was answered {answer.status_code}")
                return None

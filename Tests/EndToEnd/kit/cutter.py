"""A box on the way to an edge that reads along: it refuses WebSocket, and breaks connections.

It has the edge's own certificate, as a company's proxy has one that its computers trust.
"""

import asyncio
import math
import random
import ssl
import threading


class Cutter:
    """`refuses(n)` says whether the n-th upgrade, from 0, is answered 403; a connection breaks after as many bytes as
    are drawn from `cut_after`. With `port` 0 the system chooses the port."""

    def __init__(self, edge, refuses=lambda upgrade: False, cut_after=None, seed=0, port=0):
        self.edge, self.refuses, self.cut_after, self.port = edge, refuses, cut_after, port
        self.random = random.Random(seed)
        self.asked = self.upgrades = self.refused = self.cuts = 0
        ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), daemon=True)
        self.thread.start()
        assert ready.wait(10)

    async def _run(self, ready):
        self.loop, self.finish = asyncio.get_running_loop(), asyncio.Event()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.edge.cert, self.edge.cert.with_suffix(".key"))
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.https = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await self.finish.wait()
        server.close()

    def stop(self):
        self.loop.call_soon_threadsafe(self.finish.set)
        self.thread.join(10)

    async def _serve(self, reader, writer):
        try:
            far_reader, far_writer = await asyncio.open_connection(
                "localhost", self.edge.tls_port, ssl=self.edge.ssl, family=2)
        except OSError:
            return writer.transport.abort()
        budget = [self.random.randint(*self.cut_after) if self.cut_after else math.inf]

        def abort():
            for transport in (writer.transport, far_writer.transport):
                transport.abort()

        async def pipe(source, sink, to_edge):
            try:
                while data := await source.read(4096):
                    if to_edge and b"\r\nupgrade: websocket\r\n" in data.lower():
                        refused = self.refuses(self.asked)
                        self.asked += 1
                        self.refused += refused
                        self.upgrades += not refused
                        if refused:
                            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                            await writer.drain()
                            return
                    budget[0] -= len(data)
                    if budget[0] < 0:
                        self.cuts += not writer.transport.is_closing()
                        return abort()
                    if sink.is_closing():
                        return
                    sink.write(data)
                    await sink.drain()
            except (OSError, ssl.SSLError):
                pass
            finally:
                for end in (writer, far_writer):
                    end.close()

        await asyncio.gather(pipe(reader, far_writer, True), pipe(far_reader, writer, False))

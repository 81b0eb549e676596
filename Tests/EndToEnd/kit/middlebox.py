"""Boxes on the way that do to a browser's connections what some networks do."""

import asyncio
import contextlib
import re
import socket
import ssl
import threading


class Box:
    """A listener with an event loop of its own, for `_connection` to do something with what connects."""

    def __init__(self):
        self.tasks, self.writers = set(), set()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(10)

    def _run(self, ready):
        self.loop = asyncio.new_event_loop()

        async def main():
            self.finish = asyncio.Event()
            self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls, limit=1 << 20)
            self.port = self.server.sockets[0].getsockname()[1]
            ready.set()
            await self.finish.wait()
            self.server.close()
            self.reset_all()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        self.loop.run_until_complete(main())

    async def _accept(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.writers.add(writer)
        try:
            await self._connection(reader, writer)
        except (OSError, EOFError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            self.writers.discard(writer)
            self._reset(writer)

    async def _reach(self, port):
        """A connection to what is behind the box; it goes when the box's own does."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        self.writers.add(writer)
        return reader, writer

    @staticmethod
    def _reset(writer):
        raw = writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            # Closed with a reset instead of an end.
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    def reset_all(self):
        """All connections; to be called in the box's loop."""
        for writer in list(self.writers):
            self._reset(writer)

    def call(self, function):
        """Runs it in the box's loop and waits for it."""
        done = threading.Event()
        self.loop.call_soon_threadsafe(lambda: (function(), done.set()))
        assert done.wait(10)

    def stop(self):
        self.loop.call_soon_threadsafe(self.finish.set)
        self.thread.join(10)


class CutBox(Box):
    """Passes TCP on, until it is told to cut all there is and to refuse what is new."""

    tls = None

    def __init__(self, target_port):
        self.target_port, self.is_cut = target_port, False
        self.cuts = 0
        super().__init__()

    async def _connection(self, reader, writer):
        if self.is_cut:
            return
        up_reader, up_writer = await self._reach(self.target_port)
        try:
            await first_of(pipe(reader, up_writer), pipe(up_reader, writer))
        finally:
            self.writers.discard(up_writer)
            self._reset(up_writer)

    def cut(self):
        self.is_cut = True
        self.cuts += 1
        self.call(self.reset_all)

    def mend(self):
        self.is_cut = False


class WebBox(Box):
    """Ends TLS and reads HTTP, as a proxy of an office does; behind it is the edge's plain listener.

    `upgrades`: what becomes of requests for a WebSocket: "pass"; "reset" their connection; or let them through and
    then drop the frames that go "up", "down", "both" ways, or down "later", behind the first. `polls`: "pass", or
    "reset" what has `_poll` in its path and asks for no upgrade. `seen` has (method, path, is an upgrade) of each
    request.
    """

    def __init__(self, edge, upgrades="pass", polls="pass"):
        self.edge, self.upgrades, self.polls = edge, upgrades, polls
        self.seen = []
        self.is_frozen = False
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(edge.cert, edge.cert.with_suffix(".key"))
        super().__init__()

    async def _connection(self, reader, writer):
        client, behind = Source(reader, self), None
        try:
            while True:
                head = await client.head()
                method, path = head.split(b" ", 2)[:2]
                is_upgrade = bool(re.search(rb"(?i)\r\nupgrade:", head))
                self.seen.append((method.decode(), path.decode(), is_upgrade))
                if self._is_refused(path, is_upgrade):
                    return
                if not behind:
                    up_reader, up_writer = await self._reach(self.edge.plain_port)
                    behind = Source(up_reader, self)
                up_writer.write(head + await client.exactly(length(head)))
                if await first_of(self._answer(writer, behind, method), client.end()):
                    with contextlib.suppress(OSError, EOFError):
                        await self._frames(client, writer, behind, up_writer)
                    # Whoever ended it did so in order: so does the box.
                    writer.close()
                    await asyncio.wait_for(writer.wait_closed(), 10)
                    return
        finally:
            if behind:
                self.writers.discard(up_writer)
                self._reset(up_writer)

    def freeze(self):
        """From now on nothing passes on connections that there are, and no connection is answered; none is ended."""
        self.is_frozen = True

    def thaw(self):
        """New connections are served. What was frozen stays so."""
        self.is_frozen = False

    def _is_refused(self, path, is_upgrade):
        return self.upgrades == "reset" if is_upgrade else self.polls == "reset" and b"/_poll" in path

    async def _answer(self, writer, behind, method):
        """Passes the answer on; whether frames follow."""
        head = await behind.head()
        status = int(head.split(b" ", 2)[1])
        is_empty = status in (101, 204) or method == b"HEAD"
        writer.write(head + (b"" if is_empty else await behind.exactly(length(head))))
        await writer.drain()
        return status == 101

    async def _frames(self, client, writer, behind, up_writer):
        dropped = self.upgrades
        await first_of(
            client.pipe(None if dropped in ("up", "both") else up_writer),
            behind.pipe(None if dropped in ("down", "both") else writer, 1 if dropped == "later" else None))


class Source:
    """What comes on a connection. To wait for its end takes nothing away from who reads it next."""

    def __init__(self, reader, box):
        self.reader, self.box, self.buffer, self.task = reader, box, b"", None

    async def more(self):
        self.task = self.task or asyncio.ensure_future(self.reader.read(65536))
        got = await asyncio.shield(self.task)
        self.task = None
        if not got:
            raise EOFError
        if self.box.is_frozen:
            await asyncio.get_running_loop().create_future()
        self.buffer += got

    def take(self, count):
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    async def head(self):
        while b"\r\n\r\n" not in self.buffer:
            await self.more()
        return self.take(self.buffer.index(b"\r\n\r\n") + 4)

    async def exactly(self, count):
        while len(self.buffer) < count:
            await self.more()
        return self.take(count)

    async def end(self):
        while True:
            await self.more()

    async def pipe(self, writer, count=None):
        """To `writer`, or nowhere; what follows the first `count` reads nowhere either."""
        passed = 0
        while True:
            if not self.buffer:
                await self.more()
            got = self.take(len(self.buffer))
            if writer and passed != count:
                passed += 1
                writer.write(got)
                await writer.drain()


def length(head):
    found = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return int(found[1]) if found else 0


async def pipe(reader, writer):
    while got := await reader.read(65536):
        writer.write(got)
        await writer.drain()


async def first_of(*coroutines):
    tasks = [asyncio.ensure_future(c) for c in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""Sends very much on many connections at once, or takes all there is, in a process of its own."""

import contextlib
import os
import selectors
import socket

from kit.script import switching
from kit.turns import SPAWN


class Threads:
    """The edge's threads, and the processor's time that each has had."""

    def __init__(self, edge):
        base = f"/proc/{edge.process.pid}/task"
        self.files = [f"{base}/{thread}/schedstat" for thread in os.listdir(base)]

    def spent(self):
        found = []
        for file in self.files:
            try:
                found.append(int(open(file).read().split()[0]))
            except OSError:
                # It has ended.
                found.append(0)
        return found

    def busiest(self, action):
        """Seconds of the thread that has had the most while `action` ran."""
        before = self.spent()
        action()
        return max(b - a for a, b in zip(before, self.spent())) / 1e9


@contextlib.contextmanager
def running(body, *arguments):
    """`body(*arguments)` runs in a process of its own, which is stopped at the end."""
    process = SPAWN.Process(target=body, args=arguments, daemon=True)
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


@contextlib.contextmanager
def pouring(sockets, data):
    """A process sends `data` on each of `sockets` as fast as they take it, and reads what comes."""
    try:
        with running(_pour, sockets, data):
            yield
    finally:
        for s in sockets:
            s.close()


def _pour(sockets, data):
    at = dict.fromkeys(sockets, 0)
    selector = selectors.DefaultSelector()
    for s in sockets:
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE)
    while at:
        for key, events in selector.select(1):
            s = key.fileobj
            try:
                if events & selectors.EVENT_READ and not s.recv(65536):
                    raise ConnectionResetError
                if events & selectors.EVENT_WRITE:
                    at[s] += s.send(memoryview(data)[at[s]:at[s] + 300_000])
                    if at[s] == len(data):
                        selector.modify(s, selectors.EVENT_READ)
            except BlockingIOError:
                pass
            except OSError:
                selector.unregister(s)
                del at[s]


@contextlib.contextmanager
def sinking():
    """The port of a backend that accepts every WebSocket and takes all there is, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server, running(_sink, server):
        yield server.getsockname()[1]


def _sink(server):
    heads = {}
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            s = key.fileobj
            if s is server:
                s, _ = server.accept()
                heads[s] = b""
                selector.register(s, selectors.EVENT_READ)
                continue
            try:
                got = s.recv(1 << 20)
                if not got:
                    raise ConnectionResetError
                if s in heads:
                    heads[s] += got
                    if b"\r\n\r\n" in heads[s]:
                        s.sendall(switching(heads.pop(s)))
            except OSError:
                selector.unregister(s)
                heads.pop(s, None)
                s.close()

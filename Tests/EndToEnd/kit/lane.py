"""A WebSocket lane written from docs/protocol.md, section 7, over Python `websockets`."""

import contextlib
import json
import struct

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from kit.edge import TOKEN
from kit.poll import batch, frame, unframe

PROTOCOL = "culvert.v1"


class Lane:
    """One WebSocket, and what its client counts: the numbers belong to the session and are given on."""

    def __init__(self, ws, received=0, sent=0):
        self.ws, self.received, self.sent = ws, received, sent
        self.acked = 0
        self.close = None

    def say(self, *messages, close=None, first=None):
        """Sends messages under the next numbers, or from `first`; with none it tells what was received."""
        start = self.sent + 1 if first is None else first
        end = frame(8, struct.pack("!H", close[0]) + close[1].encode()) if close else b""
        self.ws.send(batch(start, messages, ack=self.received) + end)
        self.sent = max(self.sent, start + len(messages) - 1)

    def take(self, timeout=10):
        """The next envelope's new messages."""
        data = self.ws.recv(timeout)
        assert isinstance(data, bytes), data
        ack, first, messages, self.close = unframe(data)
        self.acked = max(self.acked, ack)
        if not messages:
            return []
        assert first <= self.received + 1, "a gap"
        new = messages[self.received + 1 - first:]
        self.received += len(new)
        return new

    def take_all(self, count, timeout=10):
        """As many messages, over however many envelopes."""
        messages = []
        while len(messages) < count:
            messages += self.take(timeout)
        return messages


def url(edge, path):
    return f"wss://localhost:{edge.tls_port}{path}"


@contextlib.contextmanager
def socket(edge, path, token=TOKEN, protocols=(), **options):
    offered = [PROTOCOL, *protocols] + (["culvert.auth", "bearer." + token] if token else [])
    with connect(
        url(edge, path), ssl=edge.ssl, subprotocols=offered, max_size=None, ping_interval=None, close_timeout=2,
        compression=None, **options,
    ) as ws:
        assert ws.subprotocol == PROTOCOL
        yield ws


@contextlib.contextmanager
def opened(edge, path="", token=TOKEN, query="", **options):
    """(its description, its first lane) of a session opened with a WebSocket."""
    with socket(edge, f"{path}/_poll{query}", token, **options) as ws:
        hello = ws.recv(10)
        assert isinstance(hello, str)
        yield json.loads(hello), Lane(ws)


@contextlib.contextmanager
def joined(edge, session, path="", token=TOKEN, received=0, sent=0, **options):
    with socket(edge, f"{path}/_poll/{session}/socket", token, **options) as ws:
        yield Lane(ws, received, sent)


def session_of(at):
    return at.rsplit("/", 1)[1]


def closing(ws, timeout=10):
    """(code, reason) of the Close that the edge sends; what comes before it is dropped."""
    with pytest.raises(ConnectionClosed):
        while True:
            ws.recv(timeout)
    return ws.protocol.close_code, ws.protocol.close_reason


def open_count(edge):
    return httpx.get(f"http://127.0.0.1:{edge.admin_port}/healthz", timeout=20).json()["sessions"]

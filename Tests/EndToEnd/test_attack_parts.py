"""Attacks by bytes in very small parts: chunks, fragments and envelopes that hold next to nothing.

Each part costs the edge as much as a message, and a read brings thousands of them. Others wait for a share of them, as
they do for the same bytes in large parts, which are sent for comparison."""

import json
import socket
import struct
import time

import pytest

from kit.attack import dial, read_answer, read_head, request
from kit.edge import TOKEN, wait_for
from kit.poll import BATCH, client, open_session
from kit.pour import Threads, pouring, sinking
from kit.raw import masked
from kit.script import ScriptedBackend, switching
from kit.turns import Turns

pytestmark = pytest.mark.alone

COUNT = 300
SECONDS = 1.5
BYTES = 1 << 20


def compare(name, parts, whole):
    """Both are what others waited for. On a machine that is busy the comparison waits as well."""
    print(f"{name}: {parts}; with the same bytes in large parts: {whole}")
    assert parts.long < max(0.06, 2.5 * whole.long), name
    assert parts.samples[-1] < max(0.2, 2.5 * whole.samples[-1]), name


def flood(edge, sockets, data):
    with Turns(edge) as turns, pouring(sockets, data):
        time.sleep(SECONDS)
    return turns


def chunked(body, size):
    pieces = [body[at:at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


SMALL, LARGE = chunked(b"x" * 10_000, 1), chunked(b"x" * 60_000, 60_000)


@pytest.mark.parametrize("port, head", [
    ("plain_port", request("POST", "/x/_poll", "Transfer-Encoding: chunked")),
    ("plain_port", request("POST", "/x/_poll/abc/close", "Transfer-Encoding: chunked",
                           "Content-Type: application/x-www-form-urlencoded")),
    ("admin_port", request("POST", "/v1/tokens", "Transfer-Encoding: chunked")),
], ids=["opening", "form", "admin"])
def test_bodies_in_chunks_of_a_byte_hold_up_nobody(make_edge, backend, port, head):
    edge = make_edge(backend.port)
    found = []
    for body in (LARGE, SMALL):
        sockets = [dial(getattr(edge, port)) for _ in range(COUNT)]
        found.append(flood(edge, sockets, (head + body) * 200))
    compare(f"{COUNT} connections without a token that post chunks of a byte", found[1], found[0])


@pytest.fixture
def sink(make_edge):
    with sinking() as port:
        yield make_edge(port)


def test_batches_in_chunks_of_a_byte_hold_up_nobody_and_are_taken(sink):
    edge = sink
    with client(edge) as http:
        ats = [open_session(http, "/sink") for _ in range(COUNT)]
    found = []
    for size in (16384, 1):
        body = chunked(b"\0" * BYTES, 16384) if size > 1 else chunked(b"\0" * (BYTES // 6), 1)
        sockets = []
        for at in ats:
            s = dial(edge.plain_port)
            s.sendall(request("POST", at, f"Content-Type: {BATCH}", "Transfer-Encoding: chunked", token=TOKEN))
            sockets.append(s)
        found.append(flood(edge, sockets, body))
    compare(f"{COUNT} batches in chunks of a byte", found[1], found[0])
    with dial(edge.plain_port) as s:
        # In such chunks a batch that is one is taken.
        body = struct.pack(">QQ", 0, 1) + b"\x82\x01x" * 1000
        s.sendall(request("POST", ats[0], f"Content-Type: {BATCH}", "Transfer-Encoding: chunked", token=TOKEN)
                  + chunked(body, 1) + request("GET", "/nothing"))
        status, _, answer, rest = read_answer(s)
        assert status == 200 and json.loads(answer)["ack"] == 1000, answer
        assert read_answer(s, rest)[0] == 426


# MARK: WebSockets


def lanes(edge):
    """Each of a session of its own, which it has joined."""
    with client(edge) as http:
        ats = [open_session(http, "/sink") for _ in range(COUNT)]
    sockets = []
    for at in ats:
        s = dial(edge.plain_port)
        s.sendall(request(
            "GET", at + "/socket", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol: culvert.v1", token=TOKEN))
        assert read_head(s)[0] == 101
        s.sendall(masked(2, struct.pack(">QQ", 0, 1)))
        sockets.append(s)
    return sockets


def bare(first, payload):
    return bytes([first, 0x80 | len(payload)]) + bytes(4) + payload


WHOLE = b"\x82\xff" + struct.pack(">Q", BYTES + 1000) + bytes(4) + bytes(BYTES)


@pytest.mark.parametrize("data", [
    bare(2, b"x") + bare(0, b"x") * (BYTES // 7),
    bare(0x82, struct.pack(">QQ", 0, 1)) * (BYTES // 22),
    b"".join(bare(0x82, struct.pack(">QQ", 0, n + 1) + b"\x82\x01x") for n in range(BYTES // 25)),
], ids=["fragments of a byte", "envelopes without a message", "envelopes with a message of a byte"])
def test_lanes_that_bring_very_small_frames_hold_up_nobody(sink, data):
    whole = flood(sink, lanes(sink), WHOLE)
    parts = flood(sink, lanes(sink), data)
    compare(f"{COUNT} lanes", parts, whole)


def test_upstreams_that_send_very_small_frames_hold_up_nobody(make_edge):
    kinds = {b"/whole": b"\x02\x7f" + struct.pack(">Q", BYTES) + bytes(BYTES),
             b"/parts": b"\x02\x01x" + b"\x00\x01x" * BYTES}
    waiting = []

    def script(connection, head):
        connection.sendall(switching(head))
        connection.settimeout(None)
        waiting.append(connection.dup())
        while connection.recv(1 << 20):
            pass

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="message: 16MiB")
    found = []
    for path, data in kinds.items():
        with client(edge) as http:
            for _ in range(COUNT):
                open_session(http, path.decode())
        wait_for(lambda: len(waiting) == COUNT, what="all upstreams")
        found.append(flood(edge, waiting[:], data))
        waiting.clear()
    compare(f"{COUNT} upstreams of polled sessions", found[1], found[0])
    backend.stop()


@pytest.mark.parametrize("size", [1, 60_000])
def test_upstreams_that_refuse_in_very_small_chunks_hold_up_nobody(make_edge, size):
    """All openings are refused in the same moment, and their clients have the refusal with its body."""
    body = b"x" * 15_000
    server = socket.create_server(("127.0.0.1", 0), backlog=COUNT)
    edge = make_edge(server.getsockname()[1], limits="handshake: 30s")
    clients = []
    for _ in range(COUNT):
        s = dial(edge.plain_port)
        s.sendall(request("POST", "/x/_poll", "Content-Length: 0", token=TOKEN))
        clients.append(s)
    server.settimeout(30)
    sockets = [server.accept()[0] for _ in range(COUNT)]
    with Turns(edge) as turns:
        with pouring(sockets, b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(body, size)):
            for s in clients:
                status, _, got, _ = read_answer(s)
                assert (status, got) == (403, body)
    print(f"{COUNT} refusals in chunks of {size}: {turns}")
    assert turns.samples[-1] < 0.1
    for s in clients:
        s.close()
    server.close()


# MARK: the two lines


def test_strangers_do_not_put_their_work_in_front_of_a_sessions_batch(sink):
    """Requests that are sent ahead wait for their turn, a piece for each of 300 connections. A batch takes many turns."""
    with client(sink) as http:
        at = open_session(http, "/sink")
    threads, first = Threads(sink), 1
    with dial(sink.plain_port) as s:
        def post():
            nonlocal first
            body = struct.pack(">QQ", 0, first) + b"\x82\x01x" * 20_000
            s.sendall(request("POST", at, f"Content-Type: {BATCH}", f"Content-Length: {len(body)}", token=TOKEN)
                      + body)
            status, _, answer, _ = read_answer(s)
            assert status == 200, answer
            first += 20_000

        calm = [threads.busiest(post) for _ in range(10)]
        sockets = [dial(sink.plain_port) for _ in range(COUNT)]
        with pouring(sockets, request("GET", "/x") * 20_000):
            time.sleep(0.5)
            amid = sorted(threads.busiest(post) for _ in range(10))
    print(f"a batch of 20,000 messages takes {max(calm) * 1000:.0f} ms of the loop at most while it is calm, and"
          f" {[round(one * 1000) for one in amid]} ms amid the requests of {COUNT} strangers")
    assert amid[5] < max(0.1, 4 * max(calm))

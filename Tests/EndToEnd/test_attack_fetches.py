"""Attacks by fetching: a request of 150 bytes, or a lane that joins, has a whole window taken out and written again."""

import selectors
import struct
import threading
import time

import pytest

from kit.attack import dial, read_answer, request
from kit.edge import TOKEN, wait_for
from kit.poll import BATCH, client, open_session, unframe
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, switching
from kit.turns import Attack, Turns

# Requests that fetch one message each, as many of them, take their time as well. The bound is half of that more, and
# some pieces of work that are in slices.
FACTOR, PIECE = 1.5, 0.015
SMALL, LARGE = b"\x81\x01x" * 4000, (b"\x82\x7e\x80\x00" + bytes(32768)) * 40


class Windows:
    """A backend that fills windows: with small messages, with large ones, or with one."""

    def __init__(self):
        self.filled = 0
        self.backend = ScriptedBackend(self._script)

    def _script(self, connection, head):
        line = head.split(b"\r\n")[0]
        connection.sendall(switching(head))
        connection.settimeout(120)
        body = SMALL if b"/small" in line else LARGE if b"/large" in line else b"\x81\x01x"
        threading.Thread(target=lambda: self._drain(connection), daemon=True).start()
        try:
            connection.sendall(body[:12000])
            self.filled += 1
            connection.sendall(body[12000:])
            time.sleep(120)
        except OSError:
            pass

    @staticmethod
    def _drain(connection):
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass

    def open(self, edge, path, count):
        before = self.filled
        with client(edge) as http:
            ats = [open_session(http, path) for _ in range(count)]
        wait_for(lambda: self.filled == before + count, what="the windows to be filled")
        return ats


@pytest.fixture
def windows():
    windows = Windows()
    yield windows
    windows.backend.stop()


def fetching(port, ats, form):
    """A connection for each session, which asks for the whole window again as soon as it has it."""
    asks = {}
    for at in ats:
        asks[dial(port)] = request("GET", at + "?ack=0", f"Accept: {form}", token=TOKEN)

    def attack():
        left = dict.fromkeys(asks)
        selector = selectors.DefaultSelector()
        for s, ask in asks.items():
            s.sendall(ask)
            selector.register(s, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                s = key.fileobj
                got = s.recv(1 << 20)
                assert got, "the edge closed a connection"
                if left[s] is None:
                    head, _, got = got.partition(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200"), head
                    left[s] = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                left[s] -= len(got)
                if left[s] == 0:
                    left[s] = None
                    s.sendall(asks[s])

    return attack


def measured(edge, attack):
    with attack, Turns(edge) as turns:
        attack.go.set()
        time.sleep(2)
        assert attack.process.is_alive(), "the attack ended"
    return turns


@pytest.mark.parametrize("form", [BATCH, "application/json"])
@pytest.mark.parametrize("path, count", [("/small", 400), ("/large", 60)])
def test_windows_that_are_fetched_again_and_again_hold_up_nobody(make_edge, windows, form, path, count):
    edge = make_edge(windows.backend.port, session="buffer: 1MiB" if path == "/large" else "buffer: 64KiB")
    calm = measured(edge, Attack(fetching, edge.plain_port, windows.open(edge, "/one", count), form))
    print(f"{count} sessions with a message each: {calm}")
    turns = measured(edge, Attack(fetching, edge.plain_port, windows.open(edge, path, count), form))
    print(f"{count} windows of {path} messages as {form}: {turns}")
    assert turns.long < FACTOR * calm.long + PIECE


def test_a_lane_that_joins_is_sent_a_window_of_large_messages_in_parts(make_edge, windows):
    edge = make_edge(windows.backend.port, session="buffer: 1MiB")
    (at,) = windows.open(edge, "/large", 1)
    sizes, next_number = [], 1
    with client(edge) as http:
        wait_for(lambda: len(http.get(at + "?ack=0", headers={"Accept": BATCH}).content) > 1_000_000, what="a full window")
    lane = Raw(edge, at + "/socket", headers="Sec-WebSocket-Protocol: culvert.v1\r\n")
    lane.send(masked(2, struct.pack(">QQ", 0, 1)))
    while sum(sizes) < 1_000_000:
        _, envelope = lane.frame()
        _, first, messages, _ = unframe(envelope)
        assert not messages or first == next_number
        next_number += len(messages)
        sizes.append(len(envelope))
    lane.s.close()
    print(f"{next_number - 1} messages in envelopes of {sizes} bytes")
    assert max(sizes) <= 256 * 1024 + 1024


def test_a_request_that_waits_for_its_turn_gives_way_to_a_later_one(make_edge, windows):
    """Nothing is lost or doubled where the requests of one session come faster than their turns."""
    edge = make_edge(windows.backend.port, session="buffer: 64KiB")
    (at,) = windows.open(edge, "/small", 1)
    crowd = windows.open(edge, "/small", 100)
    with Attack(fetching, edge.plain_port, crowd, BATCH) as attack:
        attack.go.set()
        connections = [dial(edge.plain_port) for _ in range(20)]
        for s in connections:
            s.sendall(request("GET", at + "?ack=0", f"Accept: {BATCH}", token=TOKEN))
        answers = [read_answer(s)[0] for s in connections]
        print("twenty requests at once:", sorted(answers))
        # 204: a later one has come. 0: cut for a later one while it was written.
        assert set(answers) <= {200, 204, 0} and 200 in answers
        ack = 0
        while ack < 3000:
            connections[0].close()
            connections[0] = dial(edge.plain_port)
            connections[0].sendall(request("GET", f"{at}?ack={ack}", f"Accept: {BATCH}", token=TOKEN))
            status, _, body, _ = read_answer(connections[0])
            assert status == 200
            _, first = struct.unpack_from(">QQ", body)
            assert first == ack + 1 and (len(body) - 16) % 3 == 0
            ack += (len(body) - 16) // 3
        for s in connections:
            s.close()

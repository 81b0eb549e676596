"""Attacks by many large batches in the same moment: each is allowed, and the loop finds all of them ready at once."""

import contextlib
import socket
import struct
import threading
import time

import pytest

from kit.edge import wait_for
from kit.poll import BATCH, batch, client, open_session, unframe
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, say_back, switching
from kit.stray import cpu
from kit.turns import Turns

LANE = "Sec-WebSocket-Protocol: culvert.v1\r\n"
# As many as max_batch of 1 MiB allows, each counted with 16 bytes, in 131 KB.
MOST = (1 << 20) // 16 - 1
COUNT = 60


def empties(first=1):
    return struct.pack(">QQ", 0, first) + b"\x82\x00" * MOST


@contextlib.contextmanager
def watched(edge, what):
    """The longest that a loop works while others wait; without slices it was 250 to 1,800 ms."""
    with Turns(edge) as turns:
        yield
        time.sleep(0.5)
    print(f"{what}: {turns}")
    assert turns.samples[-1] < 0.3


class Posts:
    """Connections that send a POST to a session each, and the last byte of all at once."""

    def __init__(self, edge, ats):
        self.edge, self.ats = edge, ats
        self.sockets = [socket.create_connection(("127.0.0.1", edge.plain_port)) for _ in ats]
        for s in self.sockets:
            s.settimeout(60)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)

    def send(self, body, kind=BATCH):
        for s, at in zip(self.sockets, self.ats):
            s.sendall(f"POST {at} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {self.edge.auth['Authorization']}\r\n"
                      f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        time.sleep(0.2)
        for s in self.sockets:
            s.send(body[-1:])

    def statuses(self):
        found = set()
        for s in self.sockets:
            answer = b""
            while b"\r\n\r\n" not in answer or not self._whole(answer):
                part = s.recv(65536)
                assert part, answer
                answer += part
            found.add(int(answer[9:12]))
        return found

    @staticmethod
    def _whole(answer):
        head, _, rest = answer.partition(b"\r\n\r\n")
        lines = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return len(rest) >= (int(lines[0].split(b":")[1]) if lines else 0)

    def close(self):
        for s in self.sockets:
            s.close()


def take(connection, head):
    """A backend that says a client's small messages back, and takes all there is of a polled session."""
    connection.sendall(switching(head))
    while got := connection.recv(65536):
        if b"/sink" in head:
            continue
        say_back(connection, got)


def test_many_large_batches_at_once_hold_up_nobody(make_edge):
    backend = ScriptedBackend(take)
    edge = make_edge(backend.port)
    with client(edge) as http:
        posts = Posts(edge, [open_session(http, "/sink") for _ in range(COUNT)])
        spent = [cpu(edge.process)]
        with watched(edge, f"{COUNT} batches of {MOST} empty messages"):
            posts.send(empties())
            assert posts.statuses() == {200}
        spent.append(cpu(edge.process))
        with watched(edge, "the same again"):
            posts.send(empties())
            assert posts.statuses() == {200}
        with watched(edge, "batches that begin far too late"):
            posts.send(empties(1_000_000))
            assert posts.statuses() == {409}
        spent.append(cpu(edge.process))
        print(f"seconds of the processor: {spent[1] - spent[0]:.2f} for new ones,"
              f" {spent[2] - spent[1]:.2f} for duplicates and gaps")
        with watched(edge, "batches in JSON"):
            posts.send(b'{"first":1,"messages":[' + b'{"text":""},' * 10_000 + b'{"text":""}]}', "application/json")
            assert posts.statuses() == {200}
        posts.close()
    backend.stop()


def test_a_large_batch_that_brings_nothing_new_is_not_taken_apart(make_edge, fresh_backend):
    """Its last text is none, which only a look at its messages tells."""
    edge = make_edge(fresh_backend.port)
    count = 5000
    good = batch(1, ["x"] * count)
    with client(edge) as http:
        at = open_session(http, "/record")

        def post(body):
            answer = http.post(at, content=body, headers={"Content-Type": BATCH})
            print(f"{len(body)} bytes from number {struct.unpack_from('>Q', body, 8)[0]}: {answer.status_code}")
            return answer

        def broken(first, count):
            return batch(first, ["x"] * (count - 1)) + b"\x81\x01\xff"

        assert post(broken(1, count)).status_code == 400
        late = post(broken(2, count))
        assert (late.status_code, late.json()["expected"]) == (409, 1)
        assert post(good).json()["ack"] == count
        again = post(broken(1, count))
        assert (again.status_code, again.json()["ack"]) == (200, count)
        # With a message more it is new, and is read.
        assert post(broken(1, count + 1)).status_code == 400
        # A Close counts, though the messages in front of it do not.
        end = b"\x88\x02" + struct.pack(">H", 4001)
        assert post(broken(1, count) + end).status_code == 400
        assert post(good + end).status_code in (200, 410)
        wait_for(lambda: fresh_backend.closed, what="the Close")
        assert fresh_backend.closed[0][1] == 4001 and len(fresh_backend.received) == count


def test_many_sessions_that_close_behind_a_large_batch_hold_up_nobody(make_edge):
    backend = ScriptedBackend(take)
    edge = make_edge(backend.port)
    with client(edge) as http:
        ats = [open_session(http, "/sink") for _ in range(COUNT)]
        posts, closes = Posts(edge, ats), Posts(edge, [at + "/close?code=4001" for at in ats])
        with watched(edge, f"{COUNT} sessions that close amid a batch of {MOST} empty messages"):
            posts.send(empties())
            closes.send(b"{}")
            assert posts.statuses() <= {200, 410}
            assert closes.statuses() == {204}
        posts.close()
        closes.close()
    backend.stop()


def test_many_large_envelopes_at_once_hold_up_nobody(make_edge):
    backend = ScriptedBackend(take)
    edge = make_edge(backend.port)
    with client(edge) as http:
        lanes = [Raw(edge, open_session(http, "/sink") + "/socket", headers=LANE) for _ in range(COUNT)]
        frame = masked(2, empties())
        for lane in lanes:
            lane.send(masked(2, struct.pack(">QQ", 0, 1)))
            lane.frame()
            lane.send(frame[:-1])
        time.sleep(0.2)
        with watched(edge, f"{COUNT} envelopes of {MOST} empty messages"):
            for lane in lanes:
                lane.send(frame[-1:])
            for lane in lanes:
                while unframe(lane.frame()[1])[0] < MOST:
                    pass
        for lane in lanes:
            lane.s.close()
    backend.stop()


@pytest.mark.parametrize("end", ["stays", "leaves"])
def test_many_upstreams_that_send_empty_messages_hold_up_nobody(make_edge, end):
    go = threading.Event()

    def script(connection, head):
        if b"/flood" not in head:
            return take(connection, head)
        connection.sendall(switching(head))
        go.wait(60)
        connection.sendall(b"\x82\x00" * MOST)
        while end == "stays" and connection.recv(65536):
            pass
        if end == "leaves":
            connection.shutdown(socket.SHUT_WR)

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port)
    with client(edge) as http:
        ats = [open_session(http, "/flood") for _ in range(COUNT)]
        with watched(edge, f"{COUNT} upstreams that send {MOST} empty messages, and what each does is: {end}"):
            go.set()
            time.sleep(2)
        lanes = [Raw(edge, at + "/socket", headers=LANE) for at in ats[1:]]
        with Turns(edge) as turns:
            for lane in lanes:
                lane.send(masked(2, struct.pack(">QQ", 0, 1)))
            time.sleep(2)
        print(f"{len(lanes)} lanes that join and are sent {MOST} messages: {turns}")
        assert turns.samples[-1] < 0.2
        # Nothing was lost, and the end comes last.
        ack, close = 0, None
        while ack < MOST or (end == "leaves" and close is None):
            answer = http.get(f"{ats[0]}?ack={ack}", headers={"Accept": BATCH})
            assert answer.status_code == 200, answer.text
            _, first, messages, close = unframe(answer.content)
            assert first == ack + 1
            ack += len(messages)
        print(f"{ack} messages of the first, then {close}")
        assert ack == MOST and (close is not None) == (end == "leaves")
        for lane in lanes:
            lane.s.close()
    backend.stop()

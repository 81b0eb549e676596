"""Attacks by sessions that are closed behind large batches: by their clients, on connections of another loop, and by an
operator. The Close waits for its turn behind the batch, and nobody waits for the batch."""

import base64
import json
import struct
import time

import pytest

from kit.admin import Admin
from kit.attack import dial, read_answer, read_head, request
from kit.edge import OTHER_TOKEN, wait_for
from kit.poll import BATCH
from kit.raw import masked
from kit.script import ScriptedBackend, switching
from kit.turns import Echo, Turns

# As many empty messages as max_batch of 1 MiB allows, each counted with 16 bytes.
MOST = (1 << 20) // 16 - 1
COUNT = 120
# In one piece it took 0.4 to 4 s. A busy machine gives several turns to one wait, and the test a second try.
BOUND = 0.1
LANE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: culvert.v1", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]


def empties(count=MOST, close=True):
    return struct.pack(">QQ", 0, 1) + b"\x82\x00" * count + (b"\x88\x02\x03\xe8" if close else b"")


class Sessions:
    """Connections that have opened a session each, by the loop that has both."""

    def __init__(self, edge):
        self.edge = edge
        self.loops = {}
        # Bytes that the backend has got.
        self.passed = 0

    def open(self):
        s = dial(self.edge.plain_port, timeout=60)
        s.sendall(request("POST", "/sink/_poll", "Content-Length: 0", token=OTHER_TOKEN))
        status, _, body, _ = read_answer(s)
        assert status == 201, body
        session = json.loads(body)["session"]
        loop = base64.urlsafe_b64decode(session + "=" * (-len(session) % 4))[3]
        self.loops.setdefault(loop, []).append((s, session))

    def crossing(self, count):
        """(connection of one loop, session of another)."""
        for _ in range(20 * count):
            self.open()
            if len(self.loops) > 1 and min(len(found) for found in self.loops.values()) >= count:
                break
        else:
            pytest.skip("the edge has a single loop")
        here, there = list(self.loops.values())[:2]
        return [(s, session) for (s, _), (_, session) in zip(here, there)][:count]

    def own(self, count):
        for _ in range(count):
            self.open()
        return [pair for found in self.loops.values() for pair in found]

    def close(self):
        for found in self.loops.values():
            for s, _ in found:
                s.close()


def post(pairs, body):
    """Sends the last byte of each batch in the same moment."""
    for s, session in pairs:
        s.sendall(request("POST", f"/sink/_poll/{session}", f"Content-Type: {BATCH}",
                          f"Content-Length: {len(body)}", body=body[:-1], token=OTHER_TOKEN))
    time.sleep(0.2)
    for s, _ in pairs:
        s.send(body[-1:])


def statuses(pairs):
    return {read_answer(s)[0] for s, _ in pairs}


def hold_up_nobody(make_edge, name, attack, session=""):
    """`attack(edge, sessions)` prepares itself, and returns what is watched."""
    for _ in range(2):
        def take(connection, head):
            connection.sendall(switching(head))
            while got := connection.recv(1 << 18):
                sessions.passed += len(got)

        others, backend = Echo(), ScriptedBackend(take)
        edge = make_edge(backend.port, session=session, **others.beside(backend.port))
        sessions = Sessions(edge)
        act = attack(edge, sessions)
        # So many that each loop has some.
        with Turns(edge, count=8, echo="/others") as turns:
            act()
            time.sleep(0.3)
        sessions.close()
        edge.process.kill()
        backend.stop()
        others.stop()
        print(f"{name}: {turns}")
        if turns.samples[-1] < BOUND:
            return
    raise AssertionError(f"{name}: {turns}")


def test_batches_with_a_close_from_another_loop_hold_up_nobody(make_edge):
    def attack(edge, sessions):
        pairs = sessions.crossing(COUNT)

        def act():
            post(pairs, empties())
            assert statuses(pairs) == {200}

        return act

    hold_up_nobody(make_edge, f"{COUNT} batches of {MOST} empty messages and a Close from another loop", attack)


def test_lanes_that_close_behind_a_large_envelope_hold_up_nobody(make_edge):
    def attack(edge, sessions):
        pairs = sessions.crossing(COUNT)
        frame = masked(2, empties())
        for s, session in pairs:
            s.sendall(request("GET", f"/sink/_poll/{session}/socket", *LANE, token=OTHER_TOKEN))
            assert read_head(s)[0] == 101

        def act():
            for s, _ in pairs:
                s.sendall(frame[:-1])
            time.sleep(0.2)
            for s, _ in pairs:
                s.send(frame[-1:])
            # The lane's own Close comes last.
            for s, _ in pairs:
                got = b""
                while b"\x88" not in got:
                    got += s.recv(4096)

        return act

    hold_up_nobody(make_edge, f"{COUNT} lanes with an envelope of {MOST} empty messages and a Close", attack)


def test_one_batch_with_a_close_into_a_large_buffer_holds_up_nobody(make_edge):
    def attack(edge, sessions):
        pairs = sessions.own(1)

        def act():
            post(pairs, empties((32 << 20) // 16 - 1))
            assert statuses(pairs) == {200}

        return act

    hold_up_nobody(make_edge, "a batch of 2,000,000 messages and a Close", attack, session="buffer: 32MiB")


@pytest.mark.parametrize("how", ["closes the sessions", "drains"])
def test_an_operator_who_throws_out_sessions_with_large_batches_holds_up_nobody(make_edge, how):
    def attack(edge, sessions):
        pairs = sessions.own(2 * COUNT)

        def act():
            post(pairs, empties(close=False))
            # All of them have been read by then, and each is some 400 KB for the backend.
            wait_for(lambda: sessions.passed > len(pairs) * 20_000, 60, "the batches to be under way")
            with Admin(edge) as admin:
                if how == "drains":
                    assert admin.post("/v1/drain", json={"spread": "0s", "deadline": "30s"}).status_code == 202
                else:
                    answer = admin.delete("/v1/sessions", params={"token": "bob"})
                    assert (answer.status_code, answer.json()) == (200, {"closed": len(pairs)})
            assert statuses(pairs) <= {200, 410}

        return act

    hold_up_nobody(make_edge, f"an operator {how} of {2 * COUNT} batches", attack)

"""What is done to all sessions of a process at once holds up nobody: a takeover, and a reload that takes a token away."""

import asyncio
import contextlib
import json
import re
import threading
import time

import pytest
import websockets

from kit.attack import dial, read_answer, request
from kit.edge import OTHER_TOKEN, wait_for
from kit.successor import Successor
from kit.turns import Echo, Turns

COUNT = 4000
# In one turn it took 60 ms, and 120 ms with twice as many sessions.
BOUND = 0.05


class Sink:
    """An upstream that takes very many sessions and says nothing."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        assert ready.wait(10)

    def _run(self, ready):
        async def serve():
            async with websockets.serve(self._take, "127.0.0.1", 0, ping_interval=None, backlog=4096) as server:
                self.port = server.sockets[0].getsockname()[1]
                ready.set()
                await asyncio.get_running_loop().create_future()

        self.loop.run_until_complete(serve())

    @staticmethod
    async def _take(ws):
        async for _ in ws:
            pass


@contextlib.contextmanager
def crowd(make_edge):
    """An edge with very many polled sessions of bob's."""
    others, sink = Echo(), Sink()
    edge = make_edge(
        sink.port, sections="takeover: culvert.takeover\ndrain: { spread: 20s, deadline: 30s }",
        **others.beside(sink.port))
    s, rest = dial(edge.plain_port), b""
    for _ in range(COUNT):
        s.sendall(request("POST", "/_poll", "Content-Length: 0", token=OTHER_TOKEN))
        status, _, body, rest = read_answer(s, rest)
        assert status == 201 and json.loads(body)["session"]
    s.close()
    yield edge
    edge.process.kill()
    others.stop()


def hold_up_nobody(make_edge, attack):
    """Where this machine is busy, a wait may last for several turns of a loop. Work in one piece is seen every time."""
    for _ in range(3):
        with crowd(make_edge) as edge:
            turns = attack(edge)
        print(f"{COUNT} sessions: {turns}")
        if turns.samples[-1] < BOUND:
            return
    raise AssertionError(str(turns))


def test_a_takeover_that_closes_very_many_polled_sessions_holds_up_nobody(make_edge):
    def attack(edge):
        with Turns(edge, echo="/others") as turns:
            successor = Successor(edge)
            wait_for(lambda: len(edge.events("session ended")) >= COUNT, 60, "the polled sessions to end")
        successor.stop()
        return turns

    hold_up_nobody(make_edge, attack)


def test_a_reload_that_takes_a_token_away_holds_up_nobody(make_edge):
    def attack(edge):
        text = edge.config.read_text()
        edge.config.write_text(re.sub(r"    - \{ id: bob, .*\n", "", text))
        with Turns(edge, echo="/others") as turns:
            edge.catch_up()
            wait_for(lambda: len(edge.events("session ended")) >= COUNT, 60, "the sessions of the token to end")
        return turns

    hold_up_nobody(make_edge, attack)

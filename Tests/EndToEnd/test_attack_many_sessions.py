"""What is done to all sessions of a process at once holds up nobody: a takeover, and a reload that takes a token away."""

import asyncio
import json
import re
import threading
import time

import pytest
import websockets

from kit.attack import dial, read_answer, request
from kit.edge import OTHER_TOKEN, wait_for
from kit.script import ScriptedBackend, say_back, switching
from kit.successor import Successor
from kit.turns import Turns

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


def echo(connection, head):
    connection.sendall(switching(head))
    while got := connection.recv(65536):
        say_back(connection, got)


@pytest.fixture
def crowded(make_edge):
    """An edge with very many polled sessions of bob's."""
    sink, others = Sink(), ScriptedBackend(echo)
    edge = make_edge(
        sink.port, sections="takeover: culvert.takeover\ndrain: { spread: 20s, deadline: 30s }",
        extra_routes="  - { path: /others, upstream: others }",
        upstream=f'{{ servers: [ {{ url: "ws://127.0.0.1:{sink.port}" }} ] }}\n'
                 f'  others: {{ servers: [ {{ url: "ws://127.0.0.1:{others.port}" }} ] }}')
    s, rest = dial(edge.plain_port), b""
    for _ in range(COUNT):
        s.sendall(request("POST", "/_poll", "Content-Length: 0", token=OTHER_TOKEN))
        status, _, body, rest = read_answer(s, rest)
        assert status == 201 and json.loads(body)["session"]
    s.close()
    yield edge
    edge.process.kill()
    others.stop()


def test_a_takeover_that_closes_very_many_polled_sessions_holds_up_nobody(crowded):
    with Turns(crowded, echo="/others") as turns:
        successor = Successor(crowded)
        wait_for(lambda: len(crowded.events("session ended")) >= COUNT, 60, "the polled sessions to end")
    print(f"{COUNT} polled sessions: {turns}")
    successor.stop()
    assert turns.samples[-1] < BOUND


def test_a_reload_that_takes_a_token_away_holds_up_nobody(crowded):
    text = crowded.config.read_text()
    crowded.config.write_text(re.sub(r"    - \{ id: bob, .*\n", "", text))
    with Turns(crowded, echo="/others") as turns:
        crowded.catch_up()
        wait_for(lambda: len(crowded.events("session ended")) >= COUNT, 60, "the sessions of the token to end")
    print(f"{COUNT} sessions of a token: {turns}")
    assert turns.samples[-1] < BOUND

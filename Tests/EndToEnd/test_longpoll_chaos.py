"""Exactly once and in order, through a network that does everything wrong."""

import asyncio

import httpx
import pytest

from kit.chaos import BadNetwork, Conversation, Network
from kit.edge import wait_for

SESSIONS, MESSAGES = 50, 100


@pytest.mark.parametrize("seed", [20261124, 20261125])
def test_nothing_is_lost_or_doubled_on_a_bad_network(fresh_backend, make_edge, seed):
    """Twice 5,000 messages each way over 50 sessions, with a fault in every fourth request."""
    # Who is done early waits for the others, and must not be taken for one that stays away.
    edge = make_edge(fresh_backend.port, session="hold: 1s, resume: 10m")

    async def run():
        network = BadNetwork(seed, edge.ssl, rate=0.25)
        async with (
            httpx.AsyncClient(base_url=edge.https, headers=edge.auth, transport=Network(edge.ssl)) as calm,
            httpx.AsyncClient(base_url=edge.https, headers=edge.auth, transport=network) as http,
        ):
            talks = []
            for session in range(SESSIONS):
                at = (await calm.post("/chaos/_poll")).headers["location"]
                messages = [f"{session}:{n}" for n in range(MESSAGES)]
                talks.append(Conversation(http, at, messages, session))
            await asyncio.wait_for(asyncio.gather(*(t.run() for t in talks)), 600)
            for talk in talks:
                assert talk.got == talk.messages
                assert (await calm.delete(talk.at, params={"code": 4000})).status_code == 204
            assert set(network.faults) == {"lost", "unanswered", "twice", "late"}
            assert min(network.faults.values()) > 50 and sum(t.cancelled for t in talks) > 50

    asyncio.run(run())
    ended = edge.expect_events("session ended", SESSIONS)
    assert len(ended) == SESSIONS
    for event in ended:
        # The edge took each message once and the upstream sent each once: no session was opened twice or replayed.
        assert (event["messages_in"], event["messages_out"]) == (MESSAGES, MESSAGES)
        assert event["close_code"] == 4000
    wait_for(lambda: len(fresh_backend.closed) == SESSIONS, what="the upstream to see every close")
    assert {c[1] for c in fresh_backend.closed} == {4000}

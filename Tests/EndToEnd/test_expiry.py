"""A session lives as long as its token, whatever its transport, and may be given a newer one."""

import asyncio
import datetime
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.edge import OTHER_TOKEN, TOKEN, digest, wait_for
from kit.pace import within
from kit.poll import client, open_session

SHORT, LONG = "short-lived-token", "long-lived-token"


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def edge_with_short_token(make_edge, port, **options):
    """An edge, and the Unix time at which the short token expires: late enough for an edge on a busy machine to start,
    and for sessions to open."""
    at = int(time.time()) + 7
    text = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    tokens = "\n".join([
        f'    - {{ id: short, sha256: "{digest(SHORT)}", subject: carol, routes: ["/"], expires: {text} }}',
        f'    - {{ id: long, sha256: "{digest(LONG)}", subject: carol, routes: ["/"] }}'])
    return make_edge(port, tokens=tokens, **options), at


async def closing(ws):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await asyncio.wait_for(ws.recv(), 20)
    return caught.value.rcvd


def dial(edge, token, path="/"):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=bearer(token))


def test_a_websocket_closes_when_its_token_expires(fresh_backend, make_edge):
    edge, at = edge_with_short_token(make_edge, fresh_backend.port)

    async def run():
        async with dial(edge, SHORT) as ws, dial(edge, LONG) as other:
            await ws.send("before")
            assert await ws.recv() == "before"
            frame = await closing(ws)
            assert (frame.code, frame.reason) == (4401, "token expired")
            assert 0 <= time.time() - at < within(1)
            await other.send("still here")
            assert await other.recv() == "still here"

    asyncio.run(run())
    wait_for(lambda: ("/", 1001, "token expired") in fresh_backend.closed, what="the upstream to be told")


def test_a_poll_is_answered_401_when_its_token_expires(fresh_backend, make_edge):
    edge, at = edge_with_short_token(make_edge, fresh_backend.port)
    with httpx.Client(base_url=edge.https, verify=edge.ssl, headers=bearer(SHORT), timeout=20) as http:
        session = open_session(http)
        answer = http.get(session, params={"ack": 0})
        assert 0 <= time.time() - at < within(1)
        assert answer.status_code == 401
        problem = answer.json()
        assert problem["type"] == "urn:culvert:problem:token_expired"
        assert (problem["code"], problem["reason"]) == (4401, "token expired")
        assert "invalid_token" in answer.headers["www-authenticate"]
        again = http.get(session, params={"ack": 0})
        assert (again.status_code, again.json()["type"]) == (401, "urn:culvert:problem:token_expired")
        # Who only tries an old token learns nothing of it.
        opening = http.post("/_poll")
        assert (opening.status_code, opening.json()["type"]) == (401, "urn:culvert:problem:invalid_token")
    wait_for(lambda: ("/", 1001, "token expired") in fresh_backend.closed, what="the upstream to be told")


def test_the_close_code_and_a_grace_are_the_operators_choice(backend, make_edge):
    edge, at = edge_with_short_token(
        make_edge, backend.port, authentication="close_code: 4003\n  expiry_grace: 2s")

    async def run():
        async with dial(edge, SHORT) as ws:
            frame = await closing(ws)
            assert (frame.code, frame.reason) == (4003, "token expired")
            assert 2 <= time.time() - at < within(3)

    asyncio.run(run())


def test_a_polled_session_has_the_same_grace(backend, make_edge):
    edge, at = edge_with_short_token(
        make_edge, backend.port, session="hold: 500ms", authentication="expiry_grace: 2s")
    with client(edge, token=False) as http:
        session = open_session(http, headers=bearer(SHORT))
        wait_for(lambda: time.time() > at + 0.2, what="the token to expire")
        assert http.post("/_poll", headers=bearer(SHORT)).status_code == 401
        sent = http.post(session, json={"first": 1, "messages": [{"text": "on"}]}, headers=bearer(SHORT))
        assert sent.status_code == 200 and time.time() < at + 2
        wait_for(lambda: http.get(session, headers=bearer(SHORT)).status_code == 401, what="the grace to end")
        assert 2 <= time.time() - at < within(3)
        problem = http.get(session, headers=bearer(SHORT)).json()
        assert (problem["type"], problem["reason"]) == ("urn:culvert:problem:token_expired", "token expired")


def test_a_poll_with_a_newer_token_moves_the_session_to_it(backend, make_edge):
    edge, at = edge_with_short_token(make_edge, backend.port, session="hold: 1s")
    with client(edge, token=False) as http:
        session = open_session(http, headers=bearer(SHORT))
        assert http.get(session, params={"ack": 0}, headers=bearer(LONG)).status_code == 204
        wait_for(lambda: time.time() > at + 0.5, what="the first token to expire")
        assert http.post(session, json={"first": 1, "messages": [{"text": "on"}]}, headers=bearer(LONG)).is_success
        answer = http.get(session, params={"ack": 0}, headers=bearer(LONG))
        assert answer.json()["messages"] == [{"text": "on"}]
        assert http.get(session, params={"ack": 0}, headers=bearer(SHORT)).status_code == 401


@pytest.mark.parametrize("transport", ["websocket", "long-poll"])
def test_put_token_moves_any_session_to_it(backend, make_edge, transport):
    edge, at = edge_with_short_token(make_edge, backend.port)

    async def run():
        with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=20) as http:
            if transport == "long-poll":
                session = open_session(http, headers=bearer(SHORT))
                assert http.put(session + "/token", headers=bearer(LONG)).status_code == 200
            else:
                ws = await dial(edge, SHORT)
                session = "/_poll/" + ws.response.headers["Culvert-Session"]
                assert http.put(session + "/token", headers=bearer(LONG)).status_code == 200
            assert http.put(session + "/token", headers=bearer(LONG)).status_code == 200
            older = http.put(session + "/token", headers=bearer(SHORT))
            assert (older.status_code, older.json()["type"]) == (409, "urn:culvert:problem:token_not_newer")
            # Another subject cannot tell that there is such a session.
            assert http.put(session + "/token", headers=bearer(TOKEN)).status_code == 404
            assert http.put(session + "/token").status_code == 401
            assert http.get(session + "/token", headers=bearer(LONG)).status_code == 405
            wait_for(lambda: time.time() > at + 0.5, what="the first token to expire")
            if transport == "long-poll":
                body = {"first": 1, "messages": [{"text": "on"}]}
                assert http.post(session, json=body, headers=bearer(LONG)).is_success
            else:
                await ws.send("on")
                assert await asyncio.wait_for(ws.recv(), 5) == "on"
                # A session of a WebSocket has no polls.
                assert http.get(session, headers=bearer(LONG)).status_code == 404
                await ws.close()

    asyncio.run(run())


def test_a_session_of_another_subject_is_none(edge):
    with client(edge) as http:
        session = open_session(http)
        assert http.get(session, headers=bearer(OTHER_TOKEN)).status_code == 404
        assert http.delete(session).status_code == 204

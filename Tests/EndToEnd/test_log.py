"""The log: a line when a session opens, a line when it ends, and never a secret."""

import asyncio
import re
import signal
import time

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.edge import TOKEN, digest, free_port, wait_for
from kit.knock import CARRIERS, TRANSPORTS, knock
from kit.poll import client, open_session
from kit.process import restart, whole_log
from kit.raw import Raw, masked


def dial(edge, path="/", **options):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=edge.auth, compression=None, **options)


def converse(edge, transport):
    """Two messages of 8 bytes there and back, and a Close; gives how long the session lasted at least."""
    if transport == "long-poll":
        with client(edge) as http:
            at = open_session(http)
            began = time.monotonic()
            http.post(at, json={"first": 1, "messages": [{"text": "hello"}, {"binary": "AAEC"}]})
            wait_for(lambda: len(http.get(at).json()["messages"]) == 2, what="the echoes")
            time.sleep(0.2)  # For a duration that can be told from none.
            lasted = time.monotonic() - began
            http.delete(at + "?code=4002")
            return lasted

    async def run():
        async with dial(edge) as ws:
            began = time.monotonic()
            for message in ("hello", b"\0\1\2"):
                await ws.send(message)
                assert await ws.recv() == message
            await asyncio.sleep(0.2)
            lasted = time.monotonic() - began
            await ws.close(4002)
            return lasted

    return asyncio.run(run())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_leaves_one_line_when_it_opens_and_one_when_it_ends(backend, make_edge, transport):
    edge = make_edge(backend.port)
    assert knock(edge, transport).status == 401  # No session: no line.
    began = time.monotonic()
    least = converse(edge, transport)
    edge.expect_events("session ended")
    most = time.monotonic() - began
    whole_log(edge)
    [opened], [ended] = edge.events("session opened"), edge.events("session ended")
    facts = {"route": "/", "transport": transport, "subject": "alice", "token": "alice", "client": "127.0.0.1", "id": opened["id"]}
    assert opened["id"] and facts.items() <= opened.items() and facts.items() <= ended.items()
    assert least - 0.01 <= float(ended["duration"]) <= most
    counts = {name: int(ended[name]) for name in ("messages_in", "messages_out", "bytes_in", "bytes_out", "close_code")}
    assert counts == {"messages_in": 2, "messages_out": 2, "bytes_in": 8, "bytes_out": 8, "close_code": 4002}
    assert ended["closed_by"] == "client"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_numbers_are_numbers_in_the_json_log(backend, make_edge, transport):
    edge = make_edge(backend.port)
    converse(edge, transport)
    [ended] = edge.expect_events("session ended")
    for name in ("duration", "messages_in", "messages_out", "bytes_in", "bytes_out", "close_code"):
        assert type(ended[name]) in (int, float), name


# --- who closed, and why ---------------------------------------------------------------------------------------------

def hear_the_end(edge, path, say=None):
    async def run():
        async with dial(edge, path) as ws:
            if say:
                await ws.send(say)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 5)

    asyncio.run(run())


def say_nonsense(edge):
    raw = Raw(edge)
    raw.send(masked(3, b""))
    assert raw.close_code() == 1002
    raw.s.close()


def be_there_when_it_stops(edge):
    raw = Raw(edge)
    edge.process.send_signal(signal.SIGTERM)
    assert raw.close_code() == 1001
    raw.answer_close()


@pytest.mark.parametrize("live,code,closer", [
    (lambda edge: hear_the_end(edge, "/close"), 4321, "upstream"),
    (lambda edge: hear_the_end(edge, "/drop", "now"), 1006, "upstream"),
    (lambda edge: Raw(edge).s.close(), 1006, "client"),
    (say_nonsense, 1002, "culvert"),
    (be_there_when_it_stops, 1001, "culvert"),
], ids=["upstream closes", "upstream lost", "client lost", "client breaks the protocol", "server stops"])
def test_the_log_tells_who_ended_a_websocket_and_why(backend, make_edge, live, code, closer):
    assert how_it_ended(make_edge(backend.port), live) == (code, closer)


def poll_to_the_end(edge):
    with client(edge) as http:
        at = open_session(http, "/close")
        wait_for(lambda: http.get(at, params={"ack": 0}).json().get("close"), what="the Close")


def stop_while_polled(edge):
    with client(edge) as http:
        open_session(http)
    edge.process.send_signal(signal.SIGTERM)


def stay_away(edge):
    with client(edge) as http:
        open_session(http)


@pytest.mark.parametrize("live,code,closer", [
    (poll_to_the_end, 4321, "upstream"), (stay_away, 1001, "culvert"), (stop_while_polled, 1001, "culvert"),
], ids=["upstream closes", "client stays away", "server stops"])
def test_the_log_tells_who_ended_a_polled_session_and_why(backend, make_edge, live, code, closer):
    assert how_it_ended(make_edge(backend.port, session="resume: 500ms"), live) == (code, closer)


def how_it_ended(edge, live):
    live(edge)
    [ended] = edge.expect_events("session ended")
    return int(ended["close_code"]), ended["closed_by"]


# --- text, and secrets -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_text_log_says_the_same_for_people(backend, make_edge, transport):
    edge = make_edge(backend.port)
    restart(edge, ("log: { format: json }", "log: { format: text }"))
    converse(edge, transport)
    lines = whole_log(edge).splitlines()
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (info|notice|warning) culvert: \w", line), line
    [opened] = [line for line in lines if "culvert: session opened " in line]
    [ended] = [line for line in lines if "culvert: session ended " in line]
    [name] = re.findall(r" id=(\S+)", opened)
    for field in ("client=127.0.0.1", f"id={name}", "path=/", "route=/", "subject=alice", "token=alice",
                  f"transport={transport}"):
        assert field in opened.split()
    for field in (f"id={name}", "messages_in=2", "messages_out=2", "bytes_in=8", "bytes_out=8", "close_code=4002",
                  "closed_by=client", "subject=alice", "token=alice", f"transport={transport}"):
        assert field in ended.split()


def ways_in(edge, token):
    return {knock(edge, transport, token=token, carrier=carrier).status
            for transport in TRANSPORTS for carrier in CARRIERS}


def test_no_token_comes_into_the_log_whoever_brings_it(backend, make_edge):
    edge = make_edge(backend.port)
    restart(edge, ("log: { format: json }", "log: { format: json, level: trace }"))
    assert ways_in(edge, TOKEN) == {101, 201}
    assert ways_in(edge, "e2e-token-of-nobody") == {401}
    with client(edge) as http:
        session = open_session(http).rsplit("/", 1)[1]
    log = whole_log(edge)
    assert len(edge.events("session opened")) == 2 * len(CARRIERS) + 1
    # Of the session, too, there is only the beginning: with the rest of its name and a token one could take it over.
    for secret in ("e2e-token", digest(TOKEN), session):
        assert secret not in log


def test_the_log_has_no_line_of_the_library_that_starts_and_stops_services(backend, make_edge):
    edge = make_edge(backend.port)
    restart(edge, ("log: { format: json }", "log: { format: json, level: trace }"))
    whole_log(edge)
    assert [event for event in edge.events() if "service" in event["message"].lower()] == []


def test_no_token_comes_into_the_log_when_the_upstream_fails(make_edge):
    edge = make_edge(free_port())
    restart(edge, ("log: { format: json }", "log: { format: json, level: trace }"))
    assert ways_in(edge, TOKEN) == {502}
    log = whole_log(edge)
    assert len(edge.events("upstream failed")) == 2 * len(CARRIERS)
    assert "e2e-token" not in log

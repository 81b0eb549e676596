"""WebSocket lanes of the session protocol, as docs/protocol.md, section 7, promises them."""

import contextlib
import socket as sockets
import threading
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from kit.admin import Admin
from kit.edge import NARROW_TOKEN, OTHER_TOKEN, TOKEN, wait_for
from kit.lane import closing, joined, open_count, opened, session_of, socket, url
from kit.poll import batch, client, open_session
from kit.raw import Raw, masked


@pytest.fixture
def http(edge):
    with client(edge) as http:
        yield http


# --- opening ---------------------------------------------------------------------------------------------------------

def test_opening_says_what_a_post_would(edge, http):
    posted = http.post("/_poll").json()
    with opened(edge) as (hello, _):
        assert hello.keys() == posted.keys()
        assert {k: v for k, v in hello.items() if k != "session"} == {k: v for k, v in posted.items() if k != "session"}


def test_messages_go_both_ways_and_are_numbered(edge):
    with opened(edge) as (_, lane):
        lane.say("héllo", b"\0\1\xff")
        lane.say("third")
        assert lane.take_all(3) == ["héllo", b"\0\1\xff", "third"]
        wait_for(lambda: lane.acked == 3 or lane.take(), what="the acknowledgement")


def test_the_application_has_its_subprotocol_and_query(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    with opened(edge, "/chat", protocols=["chat.v2", "other"], query="?room=1") as (hello, lane):
        assert hello["protocol"] == "chat.v2"
        lane.say("x")
        assert lane.take_all(1) == ["x"]
    request = fresh_backend.requests[-1]
    assert request.path == "/chat?room=1"
    # Neither our own names nor the token.
    assert request.headers["Sec-WebSocket-Protocol"] == "chat.v2, other"
    assert TOKEN not in str(request.headers)


def test_the_backend_may_speak_first(edge):
    with opened(edge, "/close") as (_, lane):
        while not lane.close:
            lane.take()
        assert lane.close == (4321, "backend says bye")


def test_a_lane_without_its_subprotocol_is_refused(edge, http):
    at = open_session(http)
    for path in ["/_poll", at + "/socket", "/_poll/probe"]:
        with pytest.raises(InvalidStatus) as refused:
            connect(url(edge, path), ssl=edge.ssl, additional_headers=edge.auth)
        assert refused.value.response.status_code == 400


def test_the_gate_stands_before_every_lane(edge, http):
    session = session_of(open_session(http))
    for path in ["/_poll", f"/_poll/{session}/socket", "/_poll/probe"]:
        for token, status in [(None, 401), ("wrong", 401), (NARROW_TOKEN, 403)]:
            with pytest.raises(InvalidStatus) as refused, socket(edge, path, token):
                pass
            assert refused.value.response.status_code == status
        with pytest.raises(InvalidStatus) as refused, socket(edge, path, origin="https://evil.example"):
            pass
        assert refused.value.response.status_code == 403


def test_an_upstream_refusal_is_the_answer(edge):
    with pytest.raises(InvalidStatus) as refused, opened(edge, "/refuse"):
        pass
    assert refused.value.response.status_code == 503
    assert refused.value.response.headers["Retry-After"] == "7"


def test_a_route_for_websockets_only_has_lanes_and_no_polls(edge, http):
    assert http.post("/native-only/_poll").status_code == 404
    with opened(edge, "/native-only") as (hello, lane):
        lane.say("x")
        assert lane.take_all(1) == ["x"]
        assert http.get(f"/native-only/_poll/{hello['session']}").status_code == 404


def test_a_route_for_polls_only_has_no_lanes(make_edge, backend):
    edge = make_edge(backend.port, extra_routes="  - { path: /polls, upstream: echo, transports: [long-poll] }")
    with client(edge) as http:
        at = open_session(http, "/polls")
        for path in ["/polls/_poll", at + "/socket", "/polls/_poll/probe"]:
            with pytest.raises(InvalidStatus) as refused, socket(edge, path):
                pass
            assert refused.value.response.status_code == 404


@pytest.mark.parametrize("end", ["close", "cut", "wait"])
def test_a_session_whose_client_never_spoke_leaves_nothing(make_edge, fresh_backend, end):
    """So that a client which opens in another way after all has no second session at the backend."""
    edge = make_edge(fresh_backend.port, limits="handshake: 1s" if end == "wait" else "")
    with opened(edge) as (_, lane):
        if end == "cut":
            lane.ws.socket.shutdown(sockets.SHUT_RDWR)
        elif end == "close":
            lane.ws.close()
        else:
            assert closing(lane.ws)[0] == 4408
        wait_for(lambda: fresh_backend.closed, what="the backend's Close")
    assert fresh_backend.closed[0][1] == 1001
    wait_for(lambda: open_count(edge) == 0, what="no session to be left")


# --- joining ---------------------------------------------------------------------------------------------------------

def test_a_lost_lane_is_replaced_and_the_backend_notices_nothing(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    with opened(edge) as (hello, lane):
        lane.say("one")
        assert lane.take_all(1) == ["one"]
        lane.say("two")
        wait_for(lambda: edge.process.poll() is None and lane.take(), what="the echo")
        lane.ws.socket.shutdown(sockets.SHUT_RDWR)
    # "two" is not acknowledged, so it comes again, and is known by its number.
    with joined(edge, hello["session"], received=1, sent=2) as lane:
        lane.say("three")
        assert lane.take_all(2) == ["two", "three"]
    assert len(fresh_backend.requests) == 1 and not fresh_backend.closed


def test_what_is_sent_again_on_another_lane_is_taken_once(edge):
    with opened(edge) as (hello, lane):
        lane.say("one", "two")
        lane.take_all(2)
    with joined(edge, hello["session"], received=2) as lane:
        lane.say("one", "two", "three", first=1)
        assert lane.take_all(1) == ["three"]
        assert lane.acked == 3 or wait_for(lambda: lane.take() or lane.acked == 3)


def test_a_polled_session_moves_to_a_lane_and_back(edge, http):
    at = open_session(http)
    assert http.post(at, json={"first": 1, "messages": [{"text": "polled"}]}).json()["ack"] == 1
    parked = []
    poll = threading.Thread(target=lambda: parked.append(http.get(at, params={"ack": 0})))
    assert http.get(at, params={"ack": 0}).json()["messages"] == [{"text": "polled"}]
    poll = threading.Thread(target=lambda: parked.append(http.get(at, params={"ack": 1})))
    poll.start()
    with joined(edge, session_of(at), received=1, sent=1) as lane:
        # The poll waits on until the lane is known to work.
        assert not parked
        lane.say()
        assert lane.take() == []
        poll.join(10)
        assert parked[0].status_code == 204
        lane.say("on the lane")
        assert lane.take_all(1) == ["on the lane"]
    answer = http.post(at, json={"ack": 2, "first": 3, "messages": [{"text": "polled again"}]})
    assert answer.json()["ack"] == 3
    assert http.get(at, params={"ack": 2}).json() == {
        "ack": 3, "first": 3, "messages": [{"text": "polled again"}]}


def test_a_lane_that_says_nothing_takes_nothing_over(edge, http):
    at = open_session(http)
    with joined(edge, session_of(at)):
        assert http.post(at, json={"first": 1, "messages": [{"text": "x"}]}).status_code == 200
        assert http.get(at, params={"ack": 0}).json()["messages"] == [{"text": "x"}]


def test_a_later_lane_takes_over(edge):
    with opened(edge) as (hello, one):
        one.say("x")
        one.take_all(1)
        with joined(edge, hello["session"], received=1, sent=1) as two:
            two.say("y")
            assert two.take_all(1) == ["y"]
            assert closing(one.ws)[0] == 4409


def test_requests_may_stand_beside_a_lane(edge, http):
    with opened(edge) as (hello, lane):
        lane.say("x")
        lane.take_all(1)
        at = f"/_poll/{hello['session']}"
        assert http.post(at, json={"ack": 1, "first": 2, "messages": [{"text": "posted"}]}).json()["ack"] == 2
        assert lane.take_all(1) == ["posted"]
        assert http.get(at, params={"ack": 1}).json()["messages"] == [{"text": "posted"}]


def test_only_the_sessions_own_token_joins(edge, http):
    session = session_of(open_session(http))
    other = session[:10] + ("A" if session[10] != "A" else "B") + session[11:]
    for wrong in [other, "x", "A" * 28]:
        with joined(edge, wrong) as lane:
            assert closing(lane.ws) == (4404, "no such session")
    with joined(edge, session, token=OTHER_TOKEN) as lane:
        assert closing(lane.ws) == (4404, "no such session")
    with joined(edge, session, path="/other") as lane:
        assert closing(lane.ws) == (4404, "no such session")


def test_who_joins_an_ended_session_learns_how_it_ended(edge, http):
    at = open_session(http)
    assert http.delete(at, params={"code": 4000, "reason": "done"}).status_code == 204
    wait_for(lambda: http.get(at).status_code == 410, what="the end")
    with joined(edge, session_of(at)) as lane:
        lane.take()
        assert lane.close == (4000, "done")
        assert closing(lane.ws)[0] == 1000


# --- acknowledging ---------------------------------------------------------------------------------------------------

def test_what_a_silent_backend_takes_is_acknowledged(edge):
    with opened(edge, "/record") as (_, lane):
        lane.say("x")
        assert lane.take() == [] and lane.acked == 1
        lane.say("y", "z")
        while lane.acked < 3:
            assert lane.take() == []


def test_a_question_is_answered_at_once(edge):
    with opened(edge, "/record") as (_, lane):
        for _ in range(3):
            lane.say()
            assert lane.take() == []


def test_an_unacknowledged_window_holds_the_upstream(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port, session="buffer: 64KiB")
    with opened(edge, "/flood") as (_, lane):
        lane.say("2000 4096")
        wait_for(lambda: fresh_backend.sent > 16, what="the flood")
        got = lane.take_all(1)
        level = 0
        while level != fresh_backend.sent:
            level = fresh_backend.sent
            time.sleep(0.2)
        assert level < 2000
        while len(got) < 2000:
            got += lane.take()
            lane.say()
        assert [int.from_bytes(m[:8], "big") for m in got] == list(range(2000))


# --- closing ---------------------------------------------------------------------------------------------------------

def test_the_client_closes_in_an_envelope(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    with opened(edge) as (hello, lane):
        lane.say("last words", close=(4001, "bye"))
        while not lane.close:
            lane.take()
        assert lane.close == (4001, "bye")
        assert closing(lane.ws)[0] == 1000
    wait_for(lambda: fresh_backend.closed, what="the backend's Close")
    assert fresh_backend.closed[0][1:] == (4001, "bye")
    with client(edge) as http:
        gone = http.get(f"/_poll/{hello['session']}")
        assert (gone.status_code, gone.json()["code"]) == (410, 4001)


def test_the_upstreams_close_comes_behind_its_messages_and_stays_until_acknowledged(edge):
    with opened(edge, "/close") as (hello, lane):
        lane.say()
        while not lane.close:
            lane.take()
        assert lane.close == (4321, "backend says bye")
        lane.ws.socket.shutdown(sockets.SHUT_RDWR)
    with joined(edge, hello["session"], "/close") as lane:
        lane.say()
        while not lane.close:
            lane.take()
        assert lane.close == (4321, "backend says bye")
        lane.received += 1
        lane.say()
        assert closing(lane.ws)[0] == 1000


def test_a_dropped_upstream_is_told(edge):
    with opened(edge, "/drop") as (_, lane):
        lane.say("x")
        while not lane.close:
            lane.take()
        assert lane.close == (1011, "upstream lost")


def test_a_client_that_stays_away_loses_its_session(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port, session="resume: 500ms")
    with opened(edge) as (hello, lane):
        lane.say("x")
        lane.take_all(1)
    wait_for(lambda: fresh_backend.closed, what="the backend's Close")
    assert fresh_backend.closed[0][1:] == (1001, "client stayed away")


def test_a_lane_alone_keeps_its_session(make_edge, backend):
    edge = make_edge(backend.port, session="resume: 500ms, ping: 300ms")
    with opened(edge) as (hello, lane):
        lane.say("x")
        lane.take_all(1)
        with pytest.raises(TimeoutError):
            lane.ws.recv(2)
        lane.say("y")
        assert lane.take_all(1) == ["y"]


def test_a_stopping_edge_says_so_on_the_lane(make_edge, backend):
    edge = make_edge(backend.port)
    with opened(edge) as (_, lane):
        lane.say("x")
        lane.take_all(1)
        edge.process.terminate()
        while not lane.close:
            lane.take()
        assert lane.close == (1001, "server going away")
        lane.received += 1
        lane.say()
        assert closing(lane.ws)[0] == 1000
        assert edge.process.wait(5) == 0


# --- what is wrong ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("data, code", [
    (b"", 1002), (b"\0" * 15, 1002), ("text", 1003), (batch(1, []) + b"\x81\x05hel", 1002),
    (batch(1, ["x"]) + b"\x89\0", 1002), (batch(1, [b"x" * 2_000_000]), 1009), (batch(7, ["early"]), 1002),
    (batch(1, [], ack=9), 1002),
])
def test_what_is_no_envelope_ends_the_lane_and_not_the_session(edge, data, code):
    with opened(edge) as (hello, lane):
        lane.say("x")
        lane.take_all(1)
        with contextlib.suppress(ConnectionClosed):  # The Close may come before the whole message has gone.
            lane.ws.send(data)
        assert closing(lane.ws)[0] == code
    with joined(edge, hello["session"], received=1, sent=1) as lane:
        lane.say("y")
        assert lane.take_all(1) == ["y"]


def test_a_lane_that_never_speaks_is_closed(make_edge, backend):
    edge = make_edge(backend.port, limits="handshake: 1s")
    with client(edge) as http, joined(edge, session_of(open_session(http))) as lane:
        assert closing(lane.ws)[0] == 4408


def test_a_lane_whose_client_is_gone_without_a_word_is_noticed(make_edge, fresh_backend):
    """A box on the way that swallows everything: pings find out, and the session waits for another lane."""
    edge = make_edge(fresh_backend.port, session="ping: 300ms, resume: 1s")
    # It answers no ping.
    raw = Raw(edge, "/_poll", headers="Sec-WebSocket-Protocol: culvert.v1\r\n")
    raw.send(masked(2, batch(1, ["x"])))
    wait_for(lambda: fresh_backend.closed, what="the backend's Close")
    assert fresh_backend.closed[0][1:] == (1001, "client stayed away")
    raw.s.close()


# --- probing ---------------------------------------------------------------------------------------------------------

def test_a_probe_goes_no_further_than_the_edge(make_edge, fresh_backend):
    edge = make_edge(fresh_backend.port)
    with socket(edge, "/chat/_poll/probe") as ws:
        for data in ["there?", b"\0" * 1024, "", "last"]:
            ws.send(data)
            assert ws.recv(10) == data
        assert closing(ws)[0] == 1000
    with socket(edge, "/chat/_poll/probe") as ws:
        ws.send("x" * 1025)
        assert closing(ws)[0] == 1009
    assert not fresh_backend.requests and open_count(edge) == 0


# --- tokens ----------------------------------------------------------------------------------------------------------

def test_a_beacon_carries_its_token_in_its_body(edge, http):
    at = open_session(http)
    with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as bare:
        assert bare.post(at + "/close", params={"code": 1001}).status_code == 401
        assert bare.post(at + "/close", data={"access_token": OTHER_TOKEN}).status_code == 404
        # Nowhere else.
        assert bare.post(at, data={"access_token": TOKEN}).status_code == 401
        assert bare.post(at + "/close", params={"code": 1001}, data={"access_token": TOKEN}).status_code == 204
    assert http.get(at).json()["code"] == 1001


def test_a_dead_token_ends_the_session_on_its_lane(make_edge, backend, tmp_path):
    edge = make_edge(backend.port, sections=f"state: {tmp_path}/culvert.db")
    with Admin(edge) as admin:
        token = admin.mint()
        with opened(edge, token=token["secret"]) as (hello, lane):
            lane.say("x")
            lane.take_all(1)
            assert "expires" not in hello
            admin.post(f"/v1/tokens/{token['id']}/revoke").raise_for_status()
            while not lane.close:
                lane.take()
            assert lane.close == (4401, "token revoked")
            assert closing(lane.ws)[0] == 1000
        with pytest.raises(InvalidStatus) as refused, joined(edge, hello["session"], token=token["secret"]):
            pass
        assert refused.value.response.status_code == 401


def test_a_session_says_when_its_token_dies_and_lives_on_with_a_newer_one(make_edge, backend, tmp_path):
    edge = make_edge(backend.port, sections=f"state: {tmp_path}/culvert.db")
    with Admin(edge) as admin:
        token = admin.mint()
        with opened(edge, token=token["secret"]) as (hello, lane), client(edge, token=False) as http:
            lane.say("x")
            lane.take_all(1)
            rotated = admin.post(f"/v1/tokens/{token['id']}/rotate", json={"overlap": "20s"}).json()["secret"]
            # Opened with the secret that is on its way out.
            assert 0 < opened_expires(edge, token["secret"]) <= 20
            with joined(edge, hello["session"], token=rotated, received=1, sent=1) as other:
                other.say("y")
                assert other.take_all(1) == ["y"]
                put = http.put(f"/_poll/{hello['session']}/token", headers={"Authorization": f"Bearer {rotated}"})
                assert (put.status_code, put.json()) == (200, {})
                admin.post(f"/v1/tokens/{token['id']}/rotate", json={"overlap": "0s"}).raise_for_status()
                while not other.close:
                    other.take()
                assert other.close[0] == 4401


def opened_expires(edge, token):
    with opened(edge, token=token) as (hello, _):
        return hello["expires"]


@pytest.mark.parametrize("limits", [
    "session: { from_client: { messages: 20, message_burst: 5 } }",
    "session: { from_client: { bytes: 2KiB, byte_burst: 1KiB } }"])
def test_a_lane_that_sends_too_fast_is_not_read(make_edge, fresh_backend, limits):
    edge = make_edge(fresh_backend.port, limits=limits)
    with opened(edge) as (_, lane):
        began = time.monotonic()
        for n in range(40):
            lane.say(f"{n:0100}")
            assert lane.take_all(1, timeout=20) == [f"{n:0100}"]
        assert time.monotonic() - began > 1


def test_the_admin_api_shows_how_the_client_came_last(edge, http):
    at = open_session(http)
    with Admin(edge) as admin:
        def transport():
            return admin.get(f"/v1/sessions/{session_of(at)}").json()["transport"]

        assert transport() == "long-poll"
        with joined(edge, session_of(at)) as lane:
            lane.say()
            lane.take()
            assert transport() == "websocket"
        # The lane's end alone changes nothing: who can say how the client will come back.
        assert transport() == "websocket"
        http.post(at, json={"first": 1, "messages": [{"text": "x"}]})
        http.get(at)
        wait_for(lambda: transport() == "long-poll", what="the change")


# --- how it ends -----------------------------------------------------------------------------------------------------

def test_a_session_of_nobody_ends_by_what_ended_it(make_edge, fresh_backend, tmp_path):
    edge = make_edge(fresh_backend.port, sections=f"state: {tmp_path}/culvert.db")
    with Admin(edge) as admin:
        token = admin.mint()
        with opened(edge, token=token["secret"]) as (_, lane):
            admin.revoke(token)
            assert lane.take() == [] and lane.close == (4401, "token revoked")
    assert edge.expect_events("session ended")[0]["close_code"] == 4401
    wait_for(lambda: fresh_backend.closed, what="the backend's Close")
    assert fresh_backend.closed[0][1:] == (1001, "token revoked")


def test_nothing_follows_the_close(edge):
    with opened(edge, "/close") as (_, lane):
        lane.take()
        assert lane.close == (4321, "backend says bye")
        lane.say()
        lane.say()
        with pytest.raises(TimeoutError):
            lane.ws.recv(1)
        lane.received += 1
        lane.say()
        assert closing(lane.ws)[0] == 1000


def test_two_closes_that_cross_end_the_lane_at_once(edge):
    with opened(edge, "/close") as (_, lane):
        lane.take()
        lane.say(close=(4000, "mine"))
        assert closing(lane.ws, timeout=5)[0] == 1000


@pytest.mark.parametrize("spoken", [False, True])
def test_a_stopping_edge_waits_a_moment_for_lanes(make_edge, backend, spoken):
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        with joined(edge, session_of(at)) as lane:
            if spoken:
                lane.say()
                lane.take()
            edge.process.terminate()
            if spoken:
                # It says nothing to the Close.
                lane.take()
                assert lane.close[0] == 1001
            code, _ = closing(lane.ws)
            assert code == (1000 if spoken else 1001)
            assert edge.process.wait(8) == 0

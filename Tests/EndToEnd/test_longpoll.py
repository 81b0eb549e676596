"""The long-poll protocol, v1, as docs/protocol.md promises it."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import threading

import httpx
import pytest

from kit.edge import OTHER_TOKEN, TOKEN, wait_for
from kit.poll import BATCH, batch, client, open_session, unframe

BINARY = {"Content-Type": BATCH, "Accept": BATCH}


@pytest.fixture
def http(edge):
    with client(edge) as http:
        yield http


def send(http, at, first, *messages, ack=0, close=None):
    body = {"ack": ack, "first": first, "messages": [
        {"text": m} if isinstance(m, str) else {"binary": base64.b64encode(m).decode()} for m in messages]}
    if close:
        body["close"] = {"code": close[0], "reason": close[1]}
    return http.post(at, json=body)


def receive(http, at, ack, **options):
    """A batch as (first, messages, close); waits until there is one."""
    while True:
        answer = http.get(at, params={"ack": ack}, **options)
        if answer.status_code == 204:
            continue
        assert answer.status_code == 200, answer.text
        if answer.headers["content-type"] == BATCH:
            return unframe(answer.content)[1:]
        body = answer.json()
        messages = [m["text"] if "text" in m else base64.b64decode(m["binary"]) for m in body["messages"]]
        close = body.get("close")
        return body["first"], messages, close and (close["code"], close["reason"])


def receive_all(http, at, count, ack=0):
    messages = []
    while len(messages) < count:
        first, more, _ = receive(http, at, ack + len(messages))
        assert first == ack + len(messages) + 1
        messages += more
    return messages


def parked(http, at, ack=0):
    """A GET in a thread; `result()` of what comes of it. The edge tells of a parked poll by nothing but silence."""
    box = {}

    def run():
        try:
            box["answer"] = http.get(at, params={"ack": ack})
        except httpx.HTTPError as error:
            box["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result(timeout=10):
        thread.join(timeout)
        assert not thread.is_alive(), "the poll was never answered"
        if "error" in box:
            raise box["error"]
        return box["answer"]

    return result


# --- opening ---------------------------------------------------------------------------------------------------------

def test_opening_tells_what_a_client_needs(http):
    answer = http.post("/room/_poll?x=1")
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"session", "protocol", "hold", "resume", "max_message", "max_batch"}
    assert answer.headers["location"] == f"/room/_poll/{body['session']}"
    assert body["protocol"] is None and (body["hold"], body["resume"]) == (25, 60)
    assert body["max_message"] == body["max_batch"] == 1 << 20


def test_identifiers_are_random_and_long(http):
    ids = {http.post("/_poll").json()["session"] for _ in range(20)}
    assert len(ids) == 20
    # Beside what names the node: 128 bits are 22 characters of base64url.
    common = len(os.path.commonprefix(list(ids)))
    assert all(len(i) - common >= 22 for i in ids)


@pytest.mark.parametrize("options", [
    {"json": {"protocols": ["other", "chat.v2"]}}, {"headers": {"Sec-WebSocket-Protocol": "other, chat.v2"}},
    {"content": '{"protocols":["chat.v2"]}', "headers": {"Content-Type": "text/plain"}},
], ids=["json body", "header", "untyped body"])
def test_subprotocols_are_asked_for_in_body_or_header(http, options):
    assert http.post("/_poll", **options).json()["protocol"] == "chat.v2"


def test_the_upstream_sees_the_websocket_url(http, backend):
    http.post("/a/b/_poll?room=1&x=%20", headers={"User-Agent": "me/1", "X-Own": "kept"})
    request = backend.requests[-1]
    assert request.path == "/a/b?room=1&x=%20"
    assert request.headers["User-Agent"] == "me/1" and request.headers["X-Own"] == "kept"
    assert request.headers["X-Forwarded-User"] == "alice" and "Content-Length" not in request.headers


def test_the_upstreams_refusal_is_the_answer(http):
    answer = http.post("/refuse/_poll")
    assert (answer.status_code, answer.text, answer.headers["retry-after"]) == (503, "not today", "7")


def test_a_slow_upstream_is_504(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 1s")
    with client(edge) as http:
        assert http.post("/slow/_poll").status_code == 504


# --- messages --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("headers", [{}, BINARY], ids=["json", "binary"])
def test_messages_of_both_kinds_come_back_in_order(http, headers):
    at = open_session(http)
    messages = ["hello", "", b"", bytes(range(256)), "ünï\u0000", "x" * 70_000]
    if headers:
        assert http.post(at, content=batch(1, messages), headers=BINARY).status_code == 200
    else:
        assert send(http, at, 1, *messages).status_code == 200
    got = []
    while len(got) < len(messages):
        first, more, close = receive(http, at, len(got), headers=headers)
        assert first == len(got) + 1 and close is None
        got += more
    assert got == messages


def test_an_answer_acknowledges_what_was_taken(http):
    at = open_session(http)
    assert send(http, at, 1, "a", "b").json() == {"ack": 2, "first": 1, "messages": []}
    answer = http.post(at, content=batch(3, ["c"]), headers=BINARY)
    assert unframe(answer.content)[0] == 3


def test_a_repeated_get_returns_the_same(http):
    at = open_session(http)
    send(http, at, 1, "a", "b")
    # Not acknowledged meanwhile, for what is acknowledged is gone.
    wait_for(lambda: receive(http, at, 0)[1] == ["a", "b"], what="both messages")
    for _ in range(3):
        assert receive(http, at, 0) == (1, ["a", "b"], None)
    assert receive(http, at, 1) == (2, ["b"], None)


def test_a_batch_is_bounded_but_never_empty(backend, make_edge):
    edge = make_edge(backend.port, session="buffer: 4KiB")
    with client(edge) as http:
        at = open_session(http)
        messages = [str(n) * 1500 for n in range(8)]
        # A batch of the client's is bounded likewise: 4096 bytes, with 16 for each message.
        assert send(http, at, 1, *messages[:3]).status_code == 413
        for n in range(0, 8, 2):
            assert send(http, at, n + 1, *messages[n:n + 2]).json()["ack"] == n + 2
        got = []
        while len(got) < 8:
            _, more, _ = receive(http, at, len(got))
            assert 1 <= len(more) <= 2
            got += more
        assert got == messages
        send(http, at, 9, "y" * 9000)
        assert receive(http, at, 8) == (9, ["y" * 9000], None)


def test_a_repeated_or_overlapping_post_is_taken_once(http):
    at = open_session(http)
    for _ in range(3):
        assert send(http, at, 1, "a", "b").json()["ack"] == 2
    assert send(http, at, 2, "b", "c").json()["ack"] == 3
    assert send(http, at, 1, "a").json()["ack"] == 3
    send(http, at, 4, "end")
    assert receive_all(http, at, 4) == ["a", "b", "c", "end"]


def test_a_gap_is_409_and_names_what_is_missing(http):
    at = open_session(http)
    send(http, at, 1, "a")
    answer = send(http, at, 3, "c")
    assert answer.status_code == 409 and answer.json()["expected"] == 2
    assert send(http, at, 2, "b", "c").json()["ack"] == 3
    assert receive_all(http, at, 3) == ["a", "b", "c"]


def test_what_was_never_sent_cannot_be_acknowledged(http):
    at = open_session(http)
    answer = http.get(at, params={"ack": 5})
    assert answer.status_code == 409 and answer.json()["last"] == 0
    assert send(http, at, 1, "a", ack=9).status_code == 409
    assert send(http, at, 1, "a").json()["ack"] == 1
    assert receive(http, at, 0) == (1, ["a"], None)


@pytest.mark.parametrize("method,path,options,status", [
    ("POST", "", {"json": {"ack": 0, "first": 1, "messages": [{"text": "x" * ((1 << 20) + 1)}]}}, 413),
    ("POST", "", {"content": b"x" * (3 << 20), "headers": BINARY}, 413),
    ("POST", "", {"content": "{", "headers": {"Content-Type": "application/json"}}, 400),
    ("POST", "", {"content": b"", "headers": BINARY}, 400),
    ("POST", "", {"content": batch(1, [b"a"])[:-1], "headers": BINARY}, 400),
    ("POST", "", {"content": batch(1, []) + b"\x81\x01\xff", "headers": BINARY}, 400),
    ("POST", "", {"content": batch(1, []) + b"\x82\x81abcd\x00", "headers": BINARY}, 400),
    ("POST", "", {"json": {"ack": 0, "first": 1, "messages": [{"binary": "%"}]}}, 400),
    ("POST", "", {"json": {"ack": -1, "first": 1, "messages": []}}, 400),
    ("POST", "", {"json": {"ack": 0, "first": 1, "messages": [], "close": {"code": 1006, "reason": ""}}}, 400),
    ("POST", "", {"content": "<a/>", "headers": {"Content-Type": "text/xml"}}, 415),
    ("GET", "?ack=x", {}, 400), ("GET", "?ack=-1", {}, 400), ("GET", "?ack=18446744073709551616", {}, 400),
    ("DELETE", "?code=999", {}, 400), ("DELETE", "?code=1005", {}, 400), ("DELETE", "?code=x", {}, 400),
    ("PUT", "", {}, 405), ("PATCH", "", {}, 405),
])
def test_a_malformed_request_is_refused_and_costs_nothing(http, method, path, options, status):
    at = open_session(http)
    answer = http.request(method, at + path, **options)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]
    assert send(http, at, 1, "still here").status_code == 200
    assert receive(http, at, 0) == (1, ["still here"], None)


def test_the_backends_ping_is_answered_for_the_client(http):
    at = open_session(http, "/ping")
    assert receive(http, at, 0) == (1, ["ponged"], None)


# --- parking ---------------------------------------------------------------------------------------------------------

def test_an_idle_poll_is_answered_empty_after_hold(backend, make_edge):
    edge = make_edge(backend.port, session="hold: 300ms")
    with client(edge) as http:
        at = open_session(http)
        answer = http.get(at, params={"ack": 0})
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.elapsed.total_seconds() >= 0.3
        assert "content-length" not in answer.headers


def test_a_parked_poll_is_answered_by_the_message(http, edge):
    at = open_session(http)
    waiting = parked(http, at)
    with client(edge) as other:
        send(other, at, 1, "wake")
    assert waiting().json()["messages"] == [{"text": "wake"}]


def test_a_newer_get_supersedes_the_parked_one(http, edge):
    at = open_session(http)
    first = parked(http, at)
    with client(edge) as other:
        # Whichever of the two came first is superseded; the other stays parked.
        second = parked(other, at)
        with client(edge) as sender:
            done = wait_for(lambda: [r for r in (first, second) if not _alive(r)], what="one to be superseded")
            assert done[0]().status_code == 204
            send(sender, at, 1, "hi")
            rest = second if done[0] is first else first
            assert rest().json()["messages"] == [{"text": "hi"}]


def _alive(result):
    try:
        result(timeout=0)
        return False
    except AssertionError:
        return True


def test_an_abandoned_poll_loses_nothing(http, edge):
    at = open_session(http)
    with pytest.raises(httpx.ReadTimeout):
        http.get(at, params={"ack": 0}, timeout=0.2)
    send(http, at, 1, "kept")
    assert receive(http, at, 0) == (1, ["kept"], None)


# --- closing ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["delete", "beacon", "batch"])
def test_the_client_closes_and_the_backend_is_told(http, backend, how):
    path = f"/closed-by-{how}"
    at = open_session(http, path)
    if how == "delete":
        answer = http.delete(at, params={"code": 4001, "reason": "bye now"})
        assert answer.status_code == 204
    elif how == "beacon":
        # As navigator.sendBeacon does it.
        answer = http.post(at + "/close?code=4001&reason=bye%20now", content=b"", headers={"Content-Type": "text/plain"})
        assert answer.status_code == 204
    else:
        assert send(http, at, 1, "last words", close=(4001, "bye now")).status_code == 200
    wait_for(lambda: (path, 4001, "bye now") in backend.closed, what="the close upstream")
    for answer in (http.get(at, params={"ack": 0}), send(http, at, 2, "x"), http.delete(at)):
        assert answer.status_code == 410
        assert (answer.json()["code"], answer.json()["reason"]) == (4001, "bye now")


def test_a_close_without_a_code_is_a_normal_one(http, backend):
    at = open_session(http, "/plain-delete")
    assert http.delete(at).status_code == 204
    wait_for(lambda: ("/plain-delete", 1000, "") in backend.closed, what="the close upstream")


def test_the_backends_close_is_the_last_thing_received(http):
    at = open_session(http, "/close")
    assert receive(http, at, 0) == (1, [], (4321, "backend says bye"))
    # Until it is acknowledged it is there to be fetched again.
    assert receive(http, at, 0) == (1, [], (4321, "backend says bye"))
    answer = http.get(at, params={"ack": 1})
    assert answer.status_code == 410 and answer.json()["code"] == 4321
    assert send(http, at, 1, "late").status_code == 410


def test_messages_before_the_close_come_before_it(http):
    at = open_session(http, "/flood")
    send(http, at, 1, "3 100")
    assert [int.from_bytes(m[:8], "big") for m in receive_all(http, at, 3)] == [0, 1, 2]


def test_a_lost_upstream_ends_the_session_with_1006_class_code(http):
    at = open_session(http, "/drop")
    send(http, at, 1, "go")
    _, messages, close = receive(http, at, 0)
    assert messages == [] and close[0] == 1011


def test_after_its_end_a_session_is_gone_then_unknown(backend, make_edge):
    edge = make_edge(backend.port, session="resume: 1s")
    with client(edge) as http:
        at = open_session(http)
        http.delete(at)
        assert http.get(at).status_code == 410
        wait_for(lambda: http.get(at).status_code == 404, what="the session to be forgotten")


def test_a_client_that_stays_away_ends_the_session(backend, make_edge):
    edge = make_edge(backend.port, session="resume: 500ms")
    with client(edge) as http:
        at = open_session(http, "/stay-away")
        wait_for(lambda: [c for c in backend.closed if c[0] == "/stay-away"], what="the close upstream")
        assert [c[1] for c in backend.closed if c[0] == "/stay-away"] == [1001]
        answer = http.get(at, params={"ack": 0})
        assert answer.status_code in (410, 404)
        ended = edge.expect_events("session ended")
        assert ended[0]["close_code"] == 1001 and ended[0]["closed_by"] == "culvert"


# --- whose session it is ---------------------------------------------------------------------------------------------

def test_a_session_is_unknown_to_every_other_token_and_path(http, edge):
    at = open_session(http, "/mine")
    session = at.rsplit("/", 1)[1]
    with client(edge, token=False) as other:
        bob = {"Authorization": f"Bearer {OTHER_TOKEN}"}
        unknown = other.get("/mine/_poll/" + "A" * len(session), headers=bob)
        assert unknown.status_code == 404
        for answer in (
            other.get(at, headers=bob), other.post(at, json={}, headers=bob), other.delete(at, headers=bob),
            other.get(f"/other/_poll/{session}", headers=bob),
        ):
            # A batch that cannot be read is refused before anybody looks for the session.
            assert answer.status_code in (404, 400)
            if answer.status_code == 404:
                assert answer.json() == unknown.json()
        assert other.get(at).status_code == 401
    assert http.get(f"/other/_poll/{session}").status_code == 404
    assert http.get("/mine/_poll/nonsense").status_code == 404
    assert send(http, at, 1, "a").status_code == 200
    # And so is its end.
    http.delete(at)
    with client(edge, token=False) as other:
        assert other.get(at, headers=bob).status_code == 404


# --- dumb proxies ----------------------------------------------------------------------------------------------------

def test_every_answer_is_safe_from_caches_and_has_its_length(http):
    opened = http.post("/_poll")
    at = opened.headers["location"]
    answers = [opened, send(http, at, 1, "a"), http.get(at, params={"ack": 0}), send(http, at, 9, "gap"),
               http.delete(at), http.get(at), http.get("/_poll/none")]
    assert [a.status_code for a in answers] == [201, 200, 200, 409, 204, 410, 404]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store, no-transform"
        assert "transfer-encoding" not in answer.headers
        if answer.status_code != 204:
            assert int(answer.headers["content-length"]) == len(answer.content)


def test_a_whole_session_on_one_connection(edge):
    with client(edge, limits=httpx.Limits(max_connections=1)) as http:
        at = open_session(http)
        send(http, at, 1, "a")
        assert receive(http, at, 0) == (1, ["a"], None)
        assert http.delete(at).status_code == 204
        session = at.rsplit("/", 1)[1]
        [line] = wait_for(lambda: [e for e in edge.events("session opened") if session.startswith(e["id"])], what="the log")
        assert line["client"] == "127.0.0.1"


def test_no_header_of_ours_is_needed(edge):
    """A token in the query, an untyped body, no Accept: what an old HTML form or a dumb device can do."""
    with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
        answer = http.post(f"/_poll?access_token={TOKEN}")
        at = answer.headers["location"] + f"?access_token={TOKEN}"
        assert TOKEN not in answer.headers["location"]
        http.post(at, content='{"ack":0,"first":1,"messages":[{"text":"hi"}]}')
        assert http.get(at + "&ack=0").json()["messages"] == [{"text": "hi"}]


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_can_hold_a_conversation(edge, version):
    """HTTP/1.0 is what many a proxy speaks to the server behind it."""
    def curl(*arguments):
        return subprocess.run(
            ["curl", "-sS", version, "--fail-with-body", "--cacert", edge.cert, "-H", f"Authorization: Bearer {TOKEN}", *arguments],
            check=True, capture_output=True, text=True, timeout=30).stdout

    session = json.loads(curl("-X", "POST", f"{edge.https}/_poll"))["session"]
    at = f"{edge.https}/_poll/{session}"
    curl("-d", '{"ack":0,"first":1,"messages":[{"text":"hi"}]}', at)
    assert json.loads(curl(f"{at}?ack=0")) == {"ack": 1, "first": 1, "messages": [{"text": "hi"}]}
    curl("-X", "DELETE", at)


def test_requests_may_come_over_any_connection_at_once(edge):
    async def run():
        async with httpx.AsyncClient(base_url=edge.https, verify=edge.ssl, headers=edge.auth, timeout=40) as http:
            at = (await http.post("/_poll")).headers["location"]
            gets = [asyncio.create_task(http.get(at, params={"ack": 0})) for _ in range(5)]
            for n in range(5):
                answer = await http.post(at, json={"ack": 0, "first": n + 1, "messages": [{"text": str(n)}]})
                assert answer.status_code == 200
            await http.delete(at)
            assert {(await g).status_code for g in gets} <= {200, 204, 410}

    asyncio.run(run())

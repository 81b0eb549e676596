"""What an operator sees of openings that are refused, and of who a session is."""

import pytest

from kit.admin import Admin, used
from kit.attack import dial, read_answer, request
from kit.edge import NARROW_TOKEN, ORIGIN, TOKEN, free_port, wait_for
from kit.heads import KEY, ask
from kit.knock import TRANSPORTS, knock
from kit.poll import client, open_session
from kit.process import whole_log
from kit.raw import tls

REFUSED, REQUEST = "opening refused", "request refused"
AGENT = "Example/1.0 (a browser)"
EVIL = "https://evil.example"


def reasons(edge):
    with Admin(edge) as admin:
        return admin.get("/v1/limits").json()["denials"]["reasons"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("how,status,reason,route", [
    ({}, 401, "token_missing", "/"),
    ({"token": "wrong-secret-wrong-secret"}, 401, "invalid_token", "/"),
    ({"token": "wrong-secret-wrong-secret", "carrier": "query"}, 401, "invalid_token", "/"),
    ({"token": TOKEN, "origin": EVIL}, 403, "origin_not_allowed", "/"),
    ({"token": NARROW_TOKEN}, 403, "insufficient_scope", "/"),
    ({"path": "/strict/a"}, 403, "origin_not_allowed", "/strict"),
    ({"path": "/a;b/%2e%2e/c"}, 400, "bad_path", None),
    ({"path": "/open/refuse"}, 503, "upstream_refused", "/open"),
    ({"path": "/open/status/403"}, 403, "upstream_refused", "/open"),
], ids=["no token", "wrong token", "token in the query", "origin", "scope", "no origin", "path", "backend", "backend 403"])
def test_a_refused_opening_has_a_line_and_is_counted(edge, transport, how, status, reason, route):
    before = reasons(edge).get(reason, 0)
    path = how.get("path", "/room/" + transport)
    seen = len(edge.events(REFUSED))
    answer = knock(edge, transport, headers=[("User-Agent", AGENT)], **{"path": path, **how})
    assert answer.status == status
    event = edge.expect_events(REFUSED, count=seen + 1)[-1]
    assert (event["status"], event["reason"], event.get("route")) == (status, reason, route)
    assert event["host"].startswith(("127.0.0.1", "localhost"))
    # Parameters of a segment may hold a token, and are not shown.
    shown = path.partition(";")[0]
    assert event["path"] == shown + ("/_poll" if transport == "long-poll" and shown == path else "")
    assert (event["client"], event.get("origin"), event["level"]) == ("127.0.0.1", how.get("origin"), "notice")
    assert event["user_agent"].endswith(AGENT) or transport == "websocket"
    assert event["method"] == ("POST" if transport == "long-poll" else "GET")
    assert reasons(edge)[reason] == before + 1
    assert "wrong-secret" not in edge.text


@pytest.mark.parametrize("path,status,reason", [
    ("/", 426, "upgrade_required"), ("/native-only/_poll/probe", 404, None), ("/a/_poll/probe", 426, "upgrade_required"),
])
def test_a_plain_request_for_a_session_has_a_line(edge, path, status, reason):
    seen = len(edge.events(REFUSED))
    with client(edge) as http:
        assert http.get(path).status_code == status
    event = edge.expect_events(REFUSED, count=seen + 1)[-1]
    assert event["status"] == status and reason in (None, event["reason"])


AUTH = f"Authorization: Bearer {TOKEN}"
HANDSHAKE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}", AUTH,
             f"Origin: {ORIGIN}", f"User-Agent: {AGENT}"]
AT_THE_CONNECTION = {
    "a handshake with identity": (
        request("GET", "/room?access_token=secret", *HANDSHAKE, "Transfer-Encoding: identity"), 400, "bad_framing", True),
    "a handshake with a length and chunked": (
        request("GET", "/room", *HANDSHAKE, "Content-Length: 2", "Transfer-Encoding: chunked"), 400, "bad_framing", False),
    "an unknown coding": (
        request("POST", "/room/_poll", *HANDSHAKE[4:], "Transfer-Encoding: x, chunked"), 501, "unknown_transfer_coding",
        True),
    "a length of more than 64 bits": (
        request("POST", "/room/_poll", AUTH, "Content-Length: 99999999999999999999"), 400, "bad_framing", False),
    "an unknown method": (request("BREW", "/room", AUTH), 501, "method_not_implemented", False),
    "a long target": (request("GET", "/" + "x" * 20_000, AUTH), 414, "target_too_long", False),
    "a large head": (request("GET", "/room", AUTH, "X: " + "x" * 20_000), 431, "headers_too_large", False),
    "no HTTP": (b"\x16\x03\x01\x02\r\n\r\n", 400, "bad_request", False),
    "a long body": (request("POST", "/room/_poll", *HANDSHAKE[4:], "Content-Length: 9000000"), 413, "body_too_large", True),
    "an encoded body": (
        request("POST", "/room/_poll", *HANDSHAKE[4:], "Content-Encoding: gzip", body=b"{}").replace(
            b"Host:", b"Content-Length: 2\r\nHost:"), 415, "encoded_content", True),
}


@pytest.mark.parametrize("name", AT_THE_CONNECTION)
def test_what_the_connection_itself_refuses_has_a_line_and_is_counted(edge, name):
    """Anybody who looks for the reason of a 400 finds it, whatever part of Culvert has refused the request."""
    sent, status, reason, is_decoded = AT_THE_CONNECTION[name]
    before, seen = reasons(edge).get(reason, 0), len(edge.events(REFUSED))
    with dial(edge.plain_port) as s:
        s.sendall(sent)
        got, _, body, _ = read_answer(s)
        assert got == status and f"urn:culvert:problem:{reason}".encode() in body
    event = edge.expect_events(REFUSED, count=seen + 1)[-1]
    assert (event["status"], event["reason"], event["client"]) == (status, reason, "127.0.0.1")
    if is_decoded:
        assert (event["route"], event["origin"], event["user_agent"]) == ("/", ORIGIN, AGENT)
        assert event["path"].startswith("/room") and event["method"] in ("GET", "POST")
    else:
        assert not event.keys() & {"route", "path", "method", "origin"}
    assert reasons(edge)[reason] == before + 1
    assert TOKEN not in edge.text and "access_token" not in edge.text


def test_an_opening_whose_body_does_not_come_has_a_line(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 1s")
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", "/_poll", AUTH, "Content-Length: 9"))
        assert read_answer(s)[0] == 408
    [event] = edge.expect_events(REFUSED)
    assert (event["reason"], event["path"]) == ("request_timeout", "/_poll")
    assert reasons(edge) == {"request_timeout": 1}


def test_a_batch_that_is_too_long_is_a_matter_of_its_session(backend, make_edge):
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", at, AUTH, "Content-Length: 9000000"))
        assert read_answer(s)[0] == 413
    with dial(edge.plain_port) as s:
        # Its framing is not: no session is asked about it.
        s.sendall(request("POST", at, AUTH, "Transfer-Encoding: identity"))
        assert read_answer(s)[0] == 400
    [event] = edge.expect_events(REQUEST)
    assert (event["reason"], event["path"]) == ("bad_framing", "/_poll")
    assert reasons(edge) == {"bad_framing": 1}


def test_the_client_of_a_refused_head_is_the_one_that_a_trusted_proxy_names(backend, make_edge):
    edge = make_edge(backend.port, sections="trusted_proxies: [127.0.0.1]")
    with dial(edge.plain_port) as s:
        s.sendall(request("GET", "/", "X-Forwarded-For: 192.0.2.7", "Transfer-Encoding: identity"))
        assert read_answer(s)[0] == 400
    [event] = edge.expect_events(REFUSED)
    assert event["client"] == "192.0.2.7"


def test_an_opening_past_a_limit_has_a_line(backend, make_edge):
    edge = make_edge(backend.port, limits="address: { sessions: 1 }")
    with client(edge) as http:
        open_session(http)
        assert http.post("/_poll").status_code == 429
    [event] = edge.expect_events(REFUSED)
    assert (event["status"], event["reason"], event["route"]) == (429, "too_many_sessions", "/")
    assert reasons(edge) == {"too_many_sessions": 1}


def test_a_long_host_is_cut(backend, make_edge):
    edge = make_edge(backend.port)
    with client(edge, token=False) as http:
        assert http.post("/_poll", headers={"Host": "a." * 200 + "example"}).status_code == 401
    [event] = edge.expect_events(REFUSED)
    assert event["host"] == "a." * 128 + "…"


def test_a_refused_preflight_has_a_line_of_its_own_and_is_no_opening(backend, make_edge):
    edge = make_edge(backend.port)
    asked = {"Origin": EVIL, "Access-Control-Request-Method": "POST"}
    with client(edge, token=False) as http:
        assert http.options("/_poll", headers=asked).status_code == 403
        assert http.get("/", headers={"Origin": EVIL}).status_code in (403, 426)
    [event] = edge.expect_events("preflight refused")
    assert (event["reason"], event["origin"], event["method"]) == ("origin_not_allowed", EVIL, "OPTIONS")
    [opening] = edge.expect_events(REFUSED)
    assert opening["method"] == "GET"
    assert reasons(edge) == {"preflight_refused": 1, opening["reason"]: 1}


def test_an_upstream_that_cannot_be_reached_has_its_own_line_and_is_counted(make_edge):
    port = free_port()
    edge = make_edge(port)
    with client(edge) as http:
        assert http.post("/_poll").status_code == 502
    [failed] = edge.expect_events("upstream failed")
    assert (failed["server"], failed["client"]) == (f"ws://127.0.0.1:{port}", "127.0.0.1")
    assert reasons(edge) == {"upstream_unreachable": 1}
    whole_log(edge)
    assert edge.events(REFUSED) == []


@pytest.mark.parametrize("limits,scope,reason", [
    ("process: { rate: 1, burst: 1 }", "process", "too_many_openings"),
    ("address: { sessions: 1 }", "address", "too_many_sessions"), ("token: { sessions: 1 }", "token", "too_many_sessions"),
])
def test_the_line_of_a_limit_says_which_has_refused_and_whose_opening(backend, make_edge, limits, scope, reason):
    edge = make_edge(backend.port, limits=limits)
    with client(edge) as http:
        open_session(http)
        assert http.post("/_poll").status_code in (429, 503)
        http.post("/open/_poll")
    told = edge.expect_events(REFUSED)[0]
    assert (told["reason"], told["scope"], told["token"], told["subject"]) == (reason, scope, "alice", "alice")
    # Who shows no token has none in the line.
    assert all("token" not in event for event in edge.events(REFUSED, route="/open"))


def test_a_request_that_is_kept_out_of_its_session_has_a_line_without_the_sessions_identifier(backend, make_edge):
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http, "/room", headers={"Origin": ORIGIN})
        assert http.get(at, headers={"Origin": EVIL}).status_code == 403
        assert http.get("/room/_poll/" + "A" * 28).status_code == 404  # Of the session protocol: no line.
    session = at.rsplit("/", 1)[1]
    [event] = edge.expect_events(REQUEST)
    assert (event["status"], event["reason"], event["route"]) == (403, "origin_not_allowed", "/")
    assert (event["path"], event["origin"]) == ("/room/_poll", EVIL)
    assert reasons(edge) == {"origin_not_allowed": 1}
    assert session not in whole_log(edge)
    assert edge.events(REFUSED) == []


@pytest.mark.parametrize("target,path", [
    ("/chat/%5Fpoll/SECRET", "/chat/%5Fpoll"), ("/chat/%255Fpoll/SECRET", "/chat/%255Fpoll"),
    ("/chat/_poll%2FSECRET", "/chat/_poll"), ("/chat/_POLL/SECRET", "/chat/_POLL"), ("/chat/_poll;a/SECRET", "/chat/_poll"),
    ("/chat/_poll./SECRET", "/chat/_poll"), ("/chat#access_token=SECRET", "/chat"), ("/chat;access_token=SECRET", "/chat"),
    ("/chat%3Faccess_token=SECRET", "/chat"), ("/chat?access_token=SECRET", "/chat"), ("/chat/_polls/a", "/chat/_polls/a"),
])
def test_a_line_shows_no_sessions_identifier_and_no_token_whatever_form_the_path_has(edge, target, path):
    """Of a path that is refused, and of one that is none of the session protocol."""
    seen = len(edge.events(REFUSED))
    with tls(edge) as sock:
        sock.sendall(request("GET", target, f"Origin: {EVIL}"))
        assert read_answer(sock)[0] >= 400
    event = edge.expect_events(REFUSED, count=seen + 1)[-1]
    assert event["path"] == path and "SECRET" not in edge.text


def test_a_flood_for_one_reason_is_bounded_and_counted_and_hides_no_other_reason(backend, make_edge):
    edge = make_edge(backend.port)
    with client(edge, token=False) as http:
        for _ in range(300):
            assert http.post("/_poll").status_code == 401
        assert http.post("/_poll", headers={"Origin": EVIL, **edge.auth}).status_code == 403
    edge.expect_events(REFUSED, reason="origin_not_allowed")
    assert reasons(edge) == {"origin_not_allowed": 1, "token_missing": 300}
    whole_log(edge)
    lines = len(edge.events(REFUSED, reason="token_missing"))
    left_out = edge.events("log lines left out: too many of one message", of=f"{REFUSED}: token_missing")
    assert lines < 300 and lines + sum(event["left_out"] for event in left_out) == 300


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_is_told_by_its_path_origin_server_and_user_agent(backend, make_edge, transport):
    edge = make_edge(backend.port)
    facts = {"path": "/room/7", "origin": ORIGIN, "user_agent": AGENT, "server": f"ws://127.0.0.1:{backend.port}"}
    headers = {**edge.auth, "Origin": ORIGIN, "User-Agent": AGENT}
    listed = []
    if transport == "long-poll":
        with client(edge, token=False) as http:
            at = http.post("/room/7/_poll?secret=x", headers=headers).headers["location"]
            listed = Admin(edge).sessions()
            http.delete(at, headers=headers)
    else:
        from websockets.sync.client import connect
        with connect(edge.wss + "/room/7?secret=x", ssl=edge.ssl, origin=ORIGIN, user_agent_header=AGENT,
                     additional_headers=edge.auth):
            listed = Admin(edge).sessions()
    assert [facts.items() <= session.items() for session in listed] == [True]
    [opened], [ended] = edge.expect_events("session opened"), edge.expect_events("session ended")
    assert facts.items() <= opened.items() and facts.items() <= ended.items()
    assert "secret=x" not in edge.text


def test_what_a_client_says_of_itself_is_cut(backend, make_edge):
    edge = make_edge(backend.port)
    headers = {"User-Agent": "u" * 4000, **edge.auth}
    with client(edge) as http:
        at = open_session(http, "/" + "p" * 4000, headers=headers)
        [session] = Admin(edge).sessions()
        assert session["user_agent"] == "u" * 256 + "…" and session["path"] == "/" + "p" * 511 + "…"
        assert open_session(http, "/open") != at
    sessions = {session["path"]: session for session in Admin(edge).sessions()}
    assert sessions["/open"]["origin"] is None
    [opened, _] = edge.expect_events("session opened", count=2)
    assert opened["user_agent"] == "u" * 256 + "…" and opened["path"] == "/" + "p" * 511 + "…"


def test_a_byte_that_is_not_utf8_is_shown_as_a_question_mark(backend, make_edge):
    edge = make_edge(backend.port)
    fields = f"Authorization: Bearer {TOKEN}\r\n".encode() + b"User-Agent: caf\xe9 1.0\r\n"
    assert ask(edge.plain_port, "POST", "/_poll", fields).status == 201
    [session] = Admin(edge).sessions()
    [opened] = edge.expect_events("session opened")
    assert session["user_agent"] == opened["user_agent"] == "caf? 1.0"
    assert ask(edge.plain_port, "POST", "/_poll", fields + b"Origin: https://caf\xe9.example\r\n").status == 403
    [refused] = edge.expect_events(REFUSED)
    assert refused["origin"] == "https://caf?.example" and refused["user_agent"] == "caf? 1.0"


def test_what_sessions_keep_of_their_clients_counts_as_memory(backend, make_edge):
    edge = make_edge(backend.port)
    path = "/" + "p" * 2000
    # The first KiB of a session's text does not count.
    text = len(path) + len(f"localhost:{edge.tls_port}") - 1024
    with client(edge) as http:
        open_session(http, path, headers={"User-Agent": "a"})
        wait_for(lambda: used(edge) == text + 1, what="the session's text to count")
        open_session(http, path, headers={"User-Agent": "u" * 200})
        wait_for(lambda: used(edge) == 2 * text + 201, what="the user agent to count")

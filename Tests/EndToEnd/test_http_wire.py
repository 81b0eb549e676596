"""HTTP/1.1 on every listener: what a connection goes on with, where a request ends, and what our own answers say."""

import email.utils
import json
import re
import time

import pytest

from kit.admin import Admin
from kit.attack import dial, read_answer, request, rest_of
from kit.edge import ORIGIN, TOKEN, free_port, wait_for
from kit.heads import KEY, exchange
from kit.knock import TRANSPORTS, knock
from kit.raw import Raw, tls
from kit.script import ScriptedBackend, accept_key, switching

AUTH = f"Authorization: Bearer {TOKEN}"
HANDSHAKE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"]
H2C = ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEA"]
CHUNKED = "Transfer-Encoding: chunked"


def dial_admin(edge):
    return dial(edge.admin_port)


def dial_plain(edge):
    return dial(edge.plain_port)


LISTENERS = {"plain": dial_plain, "tls": tls, "admin": dial_admin}


# --- offers to go on with another protocol -----------------------------------------------------------------------------

OFFERS = {
    "h2c, as Java and Apache ask": request("POST", "/_poll", AUTH, *H2C, "Content-Length: 2", body=b"{}"),
    "h2c, as curl asks": request("GET", "/x", AUTH, *H2C),
    "h2c, with a body in chunks": request("POST", "/_poll", AUTH, *H2C, CHUNKED, body=b"2\r\n{}\r\n0\r\n\r\n"),
    "TLS": request("OPTIONS", "/x", AUTH, "Connection: Upgrade", "Upgrade: TLS/1.2"),
    "a WebSocket without a token": request("GET", "/x", *HANDSHAKE),
    "a WebSocket of an origin that is not let in": request("GET", "/x", AUTH, "Origin: https://evil.example", *HANDSHAKE),
    "a WebSocket of another version": request("GET", "/x", AUTH, *HANDSHAKE[:2], "Sec-WebSocket-Version: 8", HANDSHAKE[3]),
    "a WebSocket without a key": request("GET", "/x", AUTH, *HANDSHAKE[:3]),
    "a lane without its subprotocol": request("GET", "/_poll/probe", AUTH, *HANDSHAKE),
    "a WebSocket by another method": request("DELETE", "/x", AUTH, *HANDSHAKE),
    "a WebSocket that the backend refuses": request("GET", "/refuse", AUTH, *HANDSHAKE),
}


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name", OFFERS)
def test_a_connection_goes_on_when_an_offer_to_upgrade_is_not_taken(edge, name, listener):
    """RFC 9110 7.8: the server goes on as if the offer had not been made."""
    with LISTENERS[listener](edge) as s:
        rest = b""
        # The next offer is in the same packet, and another comes once the first is answered.
        s.sendall(2 * OFFERS[name])
        for _ in range(2):
            status, head, _, rest = read_answer(s, rest)
            assert status and "connection: close" not in head, head
        s.sendall(OFFERS[name])
        status, head, _, rest = read_answer(s, rest)
        assert status and "connection: close" not in head, head
        target = "/healthz" if listener == "admin" else "/x"
        s.sendall(request("GET", target, AUTH))
        status, _, _, rest = read_answer(s, rest)
        print(f"{name} on {listener}: later requests are answered, the last {status}")
        assert status == (200 if listener == "admin" else 426)
        if listener != "admin":
            s.sendall(request("GET", "/x", AUTH, *HANDSHAKE))
            assert read_answer(s, rest)[0] == 101


@pytest.mark.parametrize("change", [(b"websocket", b"h2c"), (b"Upgrade: websocket\r\n", b"")], ids=["h2c", "none"])
def test_a_connection_goes_on_when_the_upstream_switches_to_something_else(make_edge, change):
    upstream = ScriptedBackend(lambda c, h: c.sendall(switching(h).replace(*change)))
    edge = make_edge(upstream.port)
    try:
        with dial(edge.plain_port) as s:
            s.sendall(request("GET", "/x", AUTH, *HANDSHAKE))
            status, head, _, rest = read_answer(s)
            assert status == 502 and "connection: close" not in head
            s.sendall(request("GET", "/x", AUTH))
            assert read_answer(s, rest)[0] == 426
    finally:
        upstream.stop()


@pytest.mark.parametrize("listener", LISTENERS)
def test_connect_is_refused_and_ends_its_connection(edge, listener):
    """The client takes what follows for another protocol."""
    with LISTENERS[listener](edge) as s:
        s.sendall(b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n" + request("GET", "/healthz"))
        status, head, body, rest = read_answer(s)
        assert status == 501 and "connection: close" in head and json.loads(body)["type"].endswith("method_not_implemented")
        assert rest == b"" and rest_of(s) == 0


@pytest.mark.parametrize("field", ["Connection: close", "Upgrade: h2c\r\nConnection: upgrade, close"])
def test_a_trailer_says_nothing_of_the_connection(edge, field):
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", "/_poll", AUTH, CHUNKED, body=f"0\r\n{field}\r\n\r\n".encode()))
        status, _, _, rest = read_answer(s)
        assert status == 201
        s.sendall(request("GET", "/x", AUTH))
        assert read_answer(s, rest)[0] == 426


# --- blanks ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("blanks", [" ", "\t", " \t ", "\t\t"], ids=repr)
def test_blanks_at_the_end_of_a_value_are_no_part_of_it(edge, backend, blanks):
    """RFC 9110 5.5."""
    def padded(*lines):
        return [line.replace(": ", ":" + blanks) + blanks for line in lines]

    with dial(edge.plain_port) as s:
        s.sendall(request("GET", "/pad", *padded(
            *HANDSHAKE, AUTH, f"Origin: {ORIGIN}", "Sec-WebSocket-Protocol: chat.v2", "X-Own: kept as it is")))
        status, head, _, _ = read_answer(s)
        assert status == 101 and "sec-websocket-protocol: chat.v2\r\n" in head + "\r\n"
    sent = backend.requests[-1].headers
    assert backend.requests[-1].path == "/pad" and sent["X-Own"] == "kept as it is" and sent["Origin"] == ORIGIN
    with dial(edge.plain_port) as s:
        s.sendall(b"POST /_poll HTTP/1.1\r\n" + "\r\n".join(padded(
            "Host: localhost", AUTH, "Content-Length: 0", "Accept: application/json")).encode() + b"\r\n\r\n")
        status, _, body, rest = read_answer(s)
        assert status == 201
        path = "/_poll/" + json.loads(body)["session"]
        s.sendall(request("POST", path, *padded(
            AUTH, CHUNKED, "Content-Type: application/json", "Connection: close"), body=b"2\r\n{}\r\n0\r\n\r\n"))
        status, head, _, _ = read_answer(s, rest)
        assert status == 200 and "connection: close" in head


@pytest.mark.parametrize("field, body", [
    (b"Content-Length: 2", b"{}"), (b"Transfer-Encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n"),
], ids=["length", "chunked"])
def test_a_tab_behind_a_value_is_no_part_of_it_where_a_packet_ends_behind_the_tab(edge, field, body):
    with dial(edge.plain_port) as s:
        # The answer to the first request tells that the packet has been read.
        s.sendall(request("GET", "/_poll/probe", AUTH)
                  + f"POST /_poll HTTP/1.1\r\nHost: localhost\r\n{AUTH}\r\n".encode() + field + b"\t")
        status, _, _, rest = read_answer(s)
        assert status == 426
        s.sendall(b"\r\n\r\n" + body)
        assert read_answer(s, rest)[0] == 201


@pytest.mark.parametrize("blanks", [" ", "\t", " \t "], ids=repr)
def test_blanks_at_the_end_of_an_upstreams_value_are_no_part_of_it(make_edge, blanks):
    def answer(connection, head):
        if b"/refuse" in head:
            fields = f"HTTP/1.1 401 No\r\nX-Own: kept{blanks}\r\nContent-Length: 2{blanks}\r\n\r\nno"
        else:
            fields = (f"HTTP/1.1 101 Yes\r\nUpgrade: websocket{blanks}\r\nConnection: Upgrade{blanks}\r\n"
                      f"Sec-WebSocket-Accept: {accept_key(head)}{blanks}\r\nSec-WebSocket-Protocol: chat{blanks}\r\n\r\n")
        connection.sendall(fields.encode())

    upstream = ScriptedBackend(answer)
    edge = make_edge(upstream.port)
    try:
        raw = Raw(edge, headers="Sec-WebSocket-Protocol: chat\r\n")
        raw.s.close()
        got = exchange(edge.plain_port, request("GET", "/refuse", AUTH, *HANDSHAKE))
        assert got.status == 401 and got.body == b"no" and b"\r\nX-Own: kept\r\n" in got.head + b"\r\n"
    finally:
        upstream.stop()


@pytest.mark.parametrize("blanks", [" ", "\t"], ids=repr)
def test_blanks_at_the_end_of_an_admin_requests_value_are_no_part_of_it(edge, blanks):
    with Admin(edge) as admin, dial(edge.admin_port) as s:
        token = admin.headers["authorization"]
        s.sendall(request("GET", "/v1/version", f"Authorization: {token}{blanks}", f"Sec-Fetch-Site: none{blanks}"))
        assert read_answer(s)[0] == 200


# --- where a request ends ----------------------------------------------------------------------------------------------

CODINGS = {
    "identity": (["Transfer-Encoding: identity"], 400),
    "an empty field": (["Transfer-Encoding:"], 400),
    "an empty field beside a length": (["Transfer-Encoding:", "Content-Length: 4"], 400),
    "chunked beside a length": ([CHUNKED, "Content-Length: 4"], 400),
    "another coding alone": (["Transfer-Encoding: gzip"], 400),
    "another coding in front of chunked": (["Transfer-Encoding: gzip, chunked"], 501),
    "another coding in a line of its own": (["Transfer-Encoding: x-own", CHUNKED], 501),
    "identity in front of chunked": (["Transfer-Encoding: identity, chunked"], 501),
    "another coding behind chunked": (["Transfer-Encoding: chunked, gzip"], 400),
    "chunked twice": (["Transfer-Encoding: chunked, chunked"], 400),
    "chunked in two lines": ([CHUNKED, CHUNKED], 400),
    "chunked with a parameter": (["Transfer-Encoding: chunked;q=1"], 400),
    "a word like chunked": (["Transfer-Encoding: xchunked"], 400),
    "a quoted chunked": (['Transfer-Encoding: "chunked"'], 400),
}


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("offer", [[], HANDSHAKE, H2C], ids=["plain", "handshake", "h2c"])
@pytest.mark.parametrize("name", CODINGS)
def test_a_body_whose_end_is_not_told_ends_the_connection(edge, name, offer, listener):
    """RFC 9112 6.1 and 6.3. The bytes behind such a head are no request."""
    lines, status = CODINGS[name]
    with LISTENERS[listener](edge) as s:
        s.sendall(request("POST" if not offer else "GET", "/_poll", AUTH, *lines, *offer) + request("GET", "/healthz"))
        got, head, _, rest = read_answer(s)
        print(f"{name} on {listener}: {got}")
        assert got == status and "connection: close" in head
        assert rest == b"" and rest_of(s) == 0


def test_http_1_0_has_no_transfer_encoding(edge):
    """RFC 9112 6.1."""
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", "/_poll", AUTH, CHUNKED, body=b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"))
        status, head, _, rest = read_answer(s)
        assert status == 400 and "connection: close" in head and rest == b"" and rest_of(s) == 0


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("behind", [b"X", request("GET", "/healthz"), b"\0\xff" * 50], ids=["a byte", "a request", "garbage"])
def test_nothing_is_answered_behind_connection_close(edge, behind, listener):
    """RFC 9112 9.6."""
    method, target = ("GET", "/healthz") if listener == "admin" else ("POST", "/_poll")
    with LISTENERS[listener](edge) as s:
        s.sendall(request(method, target, AUTH, "Connection: close", "Content-Length: 0", body=behind))
        status, head, _, rest = read_answer(s)
        assert status in (200, 201) and "connection: close" in head
        assert rest == b"" and rest_of(s) == 0


def test_nothing_is_answered_behind_a_parked_poll_that_is_the_last(edge):
    with dial(edge.plain_port) as s, dial(edge.plain_port) as other:
        other.sendall(request("POST", "/_poll", AUTH, "Content-Length: 0"))
        _, _, body, rest = read_answer(other)
        path = "/_poll/" + json.loads(body)["session"]
        s.sendall(request("GET", path, AUTH, "Connection: close", body=b"X"))
        body = b'{"first":1,"messages":[{"text":"hi"}]}'
        other.sendall(request("POST", path, AUTH, f"Content-Length: {len(body)}", body=body))
        assert read_answer(other, rest)[0] == 200
        status, head, body, rest = read_answer(s)
        assert status == 200 and "connection: close" in head and json.loads(body)["messages"]
        assert rest == b"" and rest_of(s) == 0


LENGTHS = ["1000000000000", "9223372036854775807", "9223372036854775808", "18446744073709551615"]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("place", ["opening", "batch", "close", "form", "token", "poll", "admin"])
def test_a_body_that_is_too_long_is_413_at_once(edge, place, length):
    """Not a byte of it is sent. A body has 10 s to arrive, so an answer within 5 s does not wait for it."""
    line = f"Content-Length: {length}"
    with dial(edge.plain_port) as s, dial(edge.admin_port) as admin:
        s.sendall(request("POST", "/_poll", AUTH, "Content-Length: 0"))
        _, _, body, rest = read_answer(s)
        path = "/_poll/" + json.loads(body)["session"]
        s.settimeout(5)
        admin.settimeout(5)
        if place == "admin":
            with Admin(edge) as client:
                token = client.headers["authorization"]
            s, rest = admin, b""
            s.sendall(request("POST", "/v1/tokens", f"Authorization: {token}", "Content-Type: application/json", line))
        else:
            s.sendall({
                "opening": request("POST", "/_poll", AUTH, line),
                "batch": request("POST", path, AUTH, line),
                "close": request("DELETE", path, AUTH, line),
                "form": request("POST", path + "/close", "Content-Type: application/x-www-form-urlencoded", line),
                "token": request("PUT", path + "/token", AUTH, line),
                "poll": request("GET", path, AUTH, line),
            }[place])
        status, head, _, _ = read_answer(s, rest)
        assert status == 413 and "connection: close" in head
        s.close()


# --- what our own answers say ------------------------------------------------------------------------------------------

def date_of(head):
    dates = re.findall(r"\r\ndate: ([^\r\n]*)", head)
    assert len(dates) == 1, head
    return email.utils.parsedate_to_datetime(dates[0])


ANSWERS = {
    "201": request("POST", "/_poll", AUTH, "Content-Length: 0"),
    "400": request("GET", "/a%zz/../b", AUTH),
    "401": request("GET", "/x", *HANDSHAKE),
    "404": request("GET", "/_poll/" + "A" * 28, AUTH),
    "405": request("PUT", "/x", AUTH),
    "426": request("GET", "/x", AUTH),
    "101": request("GET", "/x", AUTH, *HANDSHAKE),
    "501": request("BREW", "/x", AUTH),
    "preflight": request("OPTIONS", "/_poll", f"Origin: {ORIGIN}", "Access-Control-Request-Method: POST"),
    "no HTTP": b"\x16\x03\x01\r\n\r\n",
    "the backend's": request("GET", "/refuse", AUTH, *HANDSHAKE),
}


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("name", ANSWERS)
def test_every_answer_has_a_date(edge, name, listener):
    """RFC 9110 6.6.1."""
    with LISTENERS[listener](edge) as s:
        before = int(time.time())
        s.sendall(ANSWERS[name])
        status, head, _, _ = read_answer(s)
        date = date_of(head)
        print(f"{name} on {listener}: {status}, {date}")
        assert before <= date.timestamp() <= time.time() and date.utcoffset().total_seconds() == 0
        assert re.search(r"\r\ndate: (mon|tue|wed|thu|fri|sat|sun), \d\d [a-z]{3} \d{4} \d\d:\d\d:\d\d gmt", head)


def test_the_date_moves_on(edge):
    with dial(edge.plain_port) as s:
        dates, rest = [], b""

        def ask():
            nonlocal rest
            s.sendall(request("GET", "/x", AUTH))
            _, head, _, rest = read_answer(s, rest)
            dates.append(date_of(head))
            return len(set(dates)) > 1

        wait_for(ask, what="the next second")
    assert dates == sorted(dates)


UPGRADES = {
    "a WebSocket URL": request("GET", "/x", AUTH),
    "the last of its connection": request("GET", "/x", AUTH, "Connection: close"),
    "a lane's URL": request("GET", "/_poll/probe", AUTH),
    "another version": request("GET", "/x", AUTH, *HANDSHAKE[:2], "Sec-WebSocket-Version: 8", HANDSHAKE[3]),
}


@pytest.mark.parametrize("name", UPGRADES)
def test_426_tells_the_connection_what_to_upgrade_to(edge, name):
    """RFC 9110 7.8."""
    with dial(edge.plain_port) as s:
        s.sendall(UPGRADES[name])
        status, head, _, _ = read_answer(s)
        last = "close, " if "close" in UPGRADES[name].decode() else ""
        assert status == 426 and "\r\nupgrade: websocket" in head and head.count("\r\nconnection: ") == 1
        assert f"\r\nconnection: {last}upgrade\r\n" in head + "\r\n"


@pytest.mark.parametrize("upgrade", ["Upgrade: websocket", "Upgrade: x-chat/2, websocket\r\nUpgrade: y", ""])
@pytest.mark.parametrize("request_of", [
    request("GET", "/x", AUTH, *HANDSHAKE), request("POST", "/_poll", AUTH, "Content-Length: 0")], ids=["websocket", "poll"])
def test_a_backends_426_keeps_its_upgrade(make_edge, upgrade, request_of):
    """RFC 9110 15.5.22: a 426 has the field."""
    fields = f"Connection: Upgrade, X-Hop\r\nX-Hop: 1\r\nSec-WebSocket-Version: 13, 8\r\n{upgrade}"
    text = f"HTTP/1.1 426 Upgrade Required\r\n{fields.strip()}\r\nContent-Length: 4\r\n\r\nnope"
    upstream = ScriptedBackend(lambda connection, head: connection.sendall(text.encode()))
    edge = make_edge(upstream.port)
    try:
        with dial(edge.plain_port) as s:
            s.sendall(request_of)
            status, head, body, _ = read_answer(s)
            offered = re.findall(r"\r\nupgrade: ([^\r]*)", head)
            assert status == 426 and body == b"nope" and "sec-websocket-version: 13, 8" in head and "x-hop" not in head
            assert offered == (re.findall(r"Upgrade: ([^\r]*)", upgrade) or ["websocket"])
            assert "\r\nconnection: upgrade\r\n" in head + "\r\n"
    finally:
        upstream.stop()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("status", [600, 700, 999])
def test_an_upstreams_status_of_no_class_is_502(make_edge, transport, status):
    """RFC 9110 15."""
    text = f"HTTP/1.1 {status} What\r\nContent-Length: 4\r\n\r\nnope"
    upstream = ScriptedBackend(lambda connection, head: connection.sendall(text.encode()))
    edge = make_edge(upstream.port)
    try:
        assert knock(edge, transport, "/open").status == 502
    finally:
        upstream.stop()


@pytest.mark.parametrize("request_of", [
    request("GET", "/x", AUTH, *HANDSHAKE), request("POST", "/_poll", AUTH, "Content-Length: 0")], ids=["websocket", "poll"])
def test_an_upstream_that_is_not_reached_has_a_time_to_come_back(make_edge, request_of):
    edge = make_edge(free_port())
    with dial(edge.plain_port) as s:
        s.sendall(request_of)
        status, head, _, _ = read_answer(s)
        assert status == 502 and re.search(r"\r\nretry-after: [1-9]\d*(\r\n|$)", head)


METHODS = ["BREW", "get", "GETS", "G", "X-OWN", "PROPFINDING"]


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_nobody_knows_is_501(edge, method, listener):
    """RFC 9110 15.6.2."""
    with LISTENERS[listener](edge) as s:
        s.sendall(request(method, "/x", AUTH))
        status, head, body, _ = read_answer(s)
        assert status == 501 and "connection: close" in head and json.loads(body)["status"] == 501


@pytest.mark.parametrize("line", [b"\x16\x03\x01\x02", b"GET\t/ HTTP/1.1", b"(GET) / HTTP/1.1", b" GET / HTTP/1.1"])
def test_a_line_without_a_method_is_400(edge, line):
    answer = exchange(edge.plain_port, line + b"\r\nHost: localhost\r\n\r\n")
    assert answer.status == 400


@pytest.mark.parametrize("listener", LISTENERS)
@pytest.mark.parametrize("end", [b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b""], ids=["whole", "on its way"])
def test_a_target_that_is_too_long_is_414(edge, listener, end):
    with LISTENERS[listener](edge) as s:
        s.sendall(b"GET /" + b"x" * 20_000 + end)
        status, head, _, _ = read_answer(s)
        assert status == 414 and "connection: close" in head
    with LISTENERS[listener](edge) as s:
        s.sendall(request("GET", "/" + "x" * 9000, "X-Own: " + "x" * 9000))
        assert read_answer(s)[0] == 431


# --- bodies that are encoded -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("coding", ["gzip", "br", "identity, deflate", "x-own"])
@pytest.mark.parametrize("place", ["opening", "batch", "close", "form", "token", "admin"])
def test_a_body_with_a_content_encoding_is_415(edge, place, coding):
    """RFC 9110 15.5.16: with what would be taken."""
    lines = [f"Content-Encoding: {coding}", "Content-Length: 2"]
    with dial(edge.plain_port) as s, dial(edge.admin_port) as admin:
        s.sendall(request("POST", "/_poll", AUTH, "Content-Length: 0"))
        _, _, body, rest = read_answer(s)
        path = "/_poll/" + json.loads(body)["session"]
        if place == "admin":
            with Admin(edge) as client:
                token = client.headers["authorization"]
            admin.sendall(request(
                "POST", "/v1/tokens", f"Authorization: {token}", "Content-Type: application/json", *lines, body=b"{}"))
            status, head, body, _ = read_answer(admin)
        else:
            s.sendall({
                "opening": request("POST", "/_poll", AUTH, *lines, body=b"{}"),
                "batch": request("POST", path, AUTH, *lines, body=b"{}"),
                "close": request("DELETE", path, AUTH, *lines, body=b"{}"),
                "form": request("POST", path + "/close", "Content-Type: application/x-www-form-urlencoded", *lines, body=b"a="),
                "token": request("PUT", path + "/token", AUTH, *lines, body=b"{}"),
            }[place])
            status, head, body, _ = read_answer(s, rest)
        assert status == 415 and "\r\naccept-encoding: identity" in head
        assert json.loads(body)["type"] == "urn:culvert:problem:encoded_content"


@pytest.mark.parametrize("lines", [
    ["Content-Encoding: identity"], ["Content-Encoding: Identity, identity"], ["Content-Encoding:"]])
def test_identity_is_no_encoding(edge, lines):
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", "/_poll", AUTH, *lines, "Content-Length: 2", body=b"{}"))
        assert read_answer(s)[0] == 201


def test_no_body_is_not_encoded(edge):
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", "/_poll", AUTH, "Content-Encoding: gzip", "Content-Length: 0"))
        assert read_answer(s)[0] == 201


# --- control characters in a target ------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", ["%0d%0a", "%0D", "%00", "%1f", "%7F", "%09", "%250d", "%25%30%64"])
@pytest.mark.parametrize("place", ["/a{}b", "/{}", "/a{}/_poll", "/a;x{}"])
@pytest.mark.parametrize("host", ["", "http://localhost"], ids=["origin form", "absolute form"])
def test_an_encoded_control_character_in_a_path_is_refused(edge, code, place, host):
    target = host + place.format(code)
    asks = [request("POST", target, AUTH, "Content-Length: 0")] if "_poll" in target else [
        request("GET", target, AUTH, *HANDSHAKE), request("GET", target, AUTH)]
    for ask in asks:
        answer = exchange(edge.plain_port, ask)
        assert answer.status == 400 and answer.problem[0] in ("bad_path", "ambiguous_path")


@pytest.mark.parametrize("control", [b"\0", b"\1", b"\x7f", b"\x0b"], ids=repr)
@pytest.mark.parametrize("place", [b"/a%sb", b"/a?b=%s"])
def test_a_control_character_in_a_target_is_refused(edge, control, place):
    target = place.replace(b"%s", control)
    answer = exchange(edge.plain_port, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n" + AUTH.encode() + b"\r\n\r\n")
    assert answer.status == 400

"""Connections of which one direction has ended: what is to be said in the other is said, and the end has a deadline."""

import secrets
import socket
import struct
import threading
import time

import pytest

from kit.edge import TOKEN, Edge, wait_for
from kit.half import Half, half_server
from kit.jwt import Key, section
from kit.lane import open_count
from kit.poll import BATCH, batch, client, open_session, unframe
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, frames, messages, switching

CLOSE = struct.pack("!H", 1000)
LANE = "Sec-WebSocket-Protocol: culvert.v1\r\n"
WAYS = [("plain", "fin"), ("tls", "close_notify"), ("tls", "fin without close_notify")]
ways = pytest.mark.parametrize("scheme, how", WAYS)


def server_frame(opcode, payload):
    return bytes([0x80 | opcode, len(payload)]) + payload


LAST_WORDS = server_frame(1, b"last word") + server_frame(8, CLOSE)


def until_close(connection):
    """Reads until there is a Close without a reason."""
    got = b""
    while got[-8:-6] != b"\x88\x82":
        part = connection.recv(4096)
        if not part:
            # Of another client, which has said no Close.
            return
        got += part


# --- behind a client's Close -----------------------------------------------------------------------------------------

@ways
def test_what_a_backend_says_behind_a_clients_half_close_arrives(make_edge, scheme, how):
    """RFC 6455 7.1.1 describes just this: shut the sending side, and read to the end."""
    may_answer = threading.Event()

    def script(connection, head):
        connection.sendall(switching(head))
        until_close(connection)
        may_answer.wait(20)
        connection.sendall(LAST_WORDS)

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="handshake: 10s")
    half = Half(edge, scheme).upgrade()
    half.send(masked(1, b"a message"), masked(8, CLOSE))
    half.end(how)
    # The edge has seen the end: it has read what comes with it, and serves another client meanwhile.
    Raw(edge, "/open").s.close()
    may_answer.set()
    assert half.rest() == LAST_WORDS
    half.close()
    ends = edge.expect_events("session ended", 2)
    assert (1000, "client") in {(e["close_code"], e["closed_by"]) for e in ends}
    wait_for(lambda: open_count(edge) == 0, what="nothing to be counted")
    backend.stop()


def test_keepalive_leaves_a_closing_session_alone(make_edge):
    """The client answers no ping behind its Close, and the server gets none behind ours (RFC 6455 5.5.1). Both were cut
    as silent after two periods."""
    def script(connection, head):
        connection.sendall(switching(head))
        until_close(connection)
        time.sleep(0.6)
        connection.sendall(LAST_WORDS)

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="handshake: 10s", session="ping: 100ms")
    half = Half(edge).upgrade()
    half.send(masked(8, CLOSE))
    # A slow machine may have had time for a ping in front of the Close.
    assert half.rest().endswith(LAST_WORDS)
    half.close()
    backend.stop()


# --- behind a server's Close -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("together", [True, False], ids=["in the packet of the 101", "later"])
@pytest.mark.parametrize("scheme, how", [("ws", "fin"), ("wss", "close_notify"), ("wss", "fin without close_notify")])
def test_what_a_client_says_behind_a_servers_half_close_arrives(make_edge, tmp_path, scheme, how, together):
    got, done = [], threading.Event()

    def script(connection, head):
        said = server_frame(1, b"hello") + server_frame(8, CLOSE)
        connection.sendall(switching(head) + said if together else switching(head))
        if not together:
            connection.recv(4096)
            connection.sendall(said)
        connection.end(how)
        got.append(connection.rest())
        done.set()

    with half_server(tmp_path, scheme, script) as server:
        edge = make_edge(0, upstream=server.upstream, limits="handshake: 10s")
        raw = Raw(edge)
        if not together:
            raw.send(masked(1, b"go"))
        assert raw.frame() == (1, b"hello")
        assert raw.close_code() == 1000
        raw.send(masked(1, b"last word"), masked(8, CLOSE))
        assert done.wait(20)
        assert [opcode for opcode, _ in frames(got[0])] == [1, 8]
        assert frames(got[0])[0][1] == b"last word"
        [event] = edge.expect_events("session ended")
        assert (event["close_code"], event["closed_by"]) == (1000, "upstream")
        wait_for(lambda: open_count(edge) == 0, what="nothing to be counted")


def test_a_server_that_half_closes_behind_a_full_window_is_answered(make_edge):
    """Its Close waits behind messages that the polled client has no room for, and its end comes first."""
    got, done = [], threading.Event()

    def script(connection, head):
        connection.sendall(switching(head) + messages(b"z" * 60_000, 10) + server_frame(8, CLOSE))
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(4096):
            got.append(part)
        done.set()

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, session="buffer: 64KiB", limits="handshake: 10s")
    with client(edge) as http:
        at = open_session(http)
        received, close = 0, None
        while close is None:
            answer = http.get(at, params={"ack": received}, headers={"Accept": BATCH})
            assert answer.status_code == 200, answer.text
            _, first, new, close = unframe(answer.content)
            received = first + len(new) - 1
        assert (received, close) == (10, (1000, ""))
    assert done.wait(20)
    assert frames(b"".join(got)) == [(8, CLOSE)]
    backend.stop()


# --- lanes and probes ------------------------------------------------------------------------------------------------

@ways
def test_a_lane_that_half_closes_behind_its_close_is_answered(backend, make_edge, scheme, how):
    """In front of the Close are more messages than a turn of the loop takes: it is read later than the end."""
    edge = make_edge(backend.port)
    half = Half(edge, scheme).upgrade("/_poll", LANE)
    half.until(b"}")
    many = batch(1, ["m"] * 10_000)
    half.send(masked(2, many), masked(8, CLOSE))
    half.end(how)
    assert half.rest().endswith(server_frame(8, CLOSE))
    half.close()


@ways
@pytest.mark.parametrize("path", ["/_poll", "/_poll/probe"])
def test_a_lane_or_probe_without_a_close_ends_with_its_clients_direction(backend, make_edge, scheme, how, path):
    edge = make_edge(backend.port, limits="handshake: 60s")
    half = Half(edge, scheme).upgrade(path, LANE)
    if path == "/_poll":
        half.until(b"}")
    half.end(how)
    # Not even a Close, with which the deadlines of both begin.
    assert half.rest().removeprefix(b"\n") == b""
    half.close()


# --- requests --------------------------------------------------------------------------------------------------------

def request(edge, target, method="GET", body=b"", more=""):
    return (f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


@ways
def test_a_poll_that_waits_is_answered_when_its_client_half_closes(backend, make_edge, scheme, how):
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        half = Half(edge, scheme)
        half.send(request(edge, at))
        half.end(how)
        assert half.rest().startswith(b"HTTP/1.1 204 ")
        half.close()
        assert http.delete(at).status_code == 204


@ways
def test_the_requests_of_a_client_that_half_closes_are_all_answered(backend, make_edge, scheme, how):
    """More of them than are begun in a turn of the loop."""
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
        half = Half(edge, scheme)
        half.send(b"".join(
            request(edge, at, "POST", batch(n, [f"{n}"]), f"Content-Type: {BATCH}\r\n") for n in range(1, 21)))
        half.end(how)
        assert half.rest().count(b"HTTP/1.1 200 ") == 20
        half.close()


@ways
@pytest.mark.parametrize("part", [
    b"", b"POST /_poll HT", b"POST /_poll HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf",
], ids=["nothing", "half a head", "half a body"])
def test_half_a_request_ends_with_its_clients_direction(backend, make_edge, scheme, how, part):
    edge = make_edge(backend.port, limits="handshake: 60s, http: { first_byte: 60s }")
    half = Half(edge, scheme)
    half.send(part)
    half.end(how)
    # The head is refused at once where it tells that it is to be.
    assert half.rest() == b"" or b"half" in part
    half.close()


ABANDONED = b"urn:culvert:problem:client_half_closed"


@pytest.mark.parametrize("scheme, how", [("plain", "fin"), ("tls", "fin without close_notify")])
def test_an_opening_ends_with_its_clients_direction(make_edge, scheme, how):
    """Nothing tells a client that reads on from a client that is gone, and the session would be nobody's. A close_notify
    without a FIN is read when the opening has been answered: nothing is read of a connection meanwhile."""
    gone = threading.Event()

    def script(connection, head):
        if connection.recv(1) == b"":
            gone.set()

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="handshake: 60s")
    half = Half(edge, scheme)
    half.send(request(edge, "/_poll", "POST"))
    wait_for(lambda: backend.heads, what="the server to be asked")
    half.end(how)
    answer = half.rest()
    assert answer.startswith(b"HTTP/1.1 400 ") and ABANDONED in answer
    assert gone.wait(20)
    half.close()
    [event] = edge.expect_events("opening refused")
    assert event["reason"] == "client_half_closed"
    wait_for(lambda: open_count(edge) == 0, what="nothing to be counted")
    backend.stop()


UPGRADE = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
OPENINGS = {
    "a polled session": ("POST", "/_poll", b"", ""),
    "a polled session with a body": ("POST", "/_poll", b"{}", ""),
    "a WebSocket": ("GET", "/", b"", UPGRADE),
    "a session on a lane": ("GET", "/_poll", b"", UPGRADE + LANE),
    "a lane": ("GET", "{at}/socket", b"", UPGRADE + LANE),
    "a probe": ("GET", "/_poll/probe", b"", UPGRADE + LANE),
}
tokens = pytest.mark.parametrize("is_fresh", [False, True], ids=["known token", "fresh JWT"])


@pytest.fixture(scope="module")
def issuers(backend, tmp_path_factory):
    """An edge, and a function that makes JWTs of its issuer. Each is verified outside of the loop at first."""
    key = Key("ES256")
    edge = Edge(tmp_path_factory.mktemp("issuers"), backend.port, authentication=section(
        routes=["/"], keys=[{"id": "es", "algorithm": "ES256", "pem": key.pem}]))
    yield edge, lambda: key.token(jti=secrets.token_hex(8))
    edge.end()


def behind_a_poll(half, edge, at, sent, how):
    """Sends a request behind a poll that waits, and the end: the poll is answered with it, and the request begins when
    the end has come for sure."""
    half.send(request(edge, at), sent)
    half.end(how)
    first, _, rest = half.rest().partition(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 204 ")
    return rest


@ways
@tokens
@pytest.mark.parametrize("name", OPENINGS)
def test_nothing_begins_for_a_client_whose_direction_has_ended(issuers, name, is_fresh, scheme, how):
    """A session was left to nobody, or a server asked in vain, where a JWT was looked at or a body came meanwhile."""
    edge, jwt = issuers
    method, target, body, more = OPENINGS[name]
    with client(edge) as http:
        at = open_session(http)
        before = open_count(edge)
        sent = request(edge, target.format(at=at), method, body, more)
        half = Half(edge, scheme)
        answer = behind_a_poll(half, edge, at, sent.replace(TOKEN.encode(), jwt().encode()) if is_fresh else sent, how)
        assert answer.startswith(b"HTTP/1.1 400 ") and ABANDONED in answer
        half.close()
        assert open_count(edge) == before
        assert http.delete(at).status_code == 204


@ways
@tokens
def test_a_poll_of_a_client_whose_direction_has_ended_does_not_wait(issuers, is_fresh, scheme, how):
    edge, jwt = issuers
    with client(edge) as http:
        at = open_session(http)
        headers = {"Authorization": f"Bearer {jwt()}"} if is_fresh else {}
        other = open_session(http, headers=headers)
        sent = request(edge, other)
        half = Half(edge, scheme)
        # The hold is longer than the client waits.
        rest = behind_a_poll(half, edge, at, sent.replace(TOKEN.encode(), jwt().encode()) if is_fresh else sent, how)
        assert rest.startswith(b"HTTP/1.1 204 ")
        half.close()
        assert [http.delete(at).status_code, http.delete(other, headers=headers).status_code] == [204, 204]


@pytest.mark.parametrize("last", ["", "Connection: close\r\n"], ids=["kept", "the last"])
def test_an_answer_that_the_end_brings_about_is_followed_by_close_notify(backend, make_edge, last):
    """Without it nothing tells the client that the answer is whole (RFC 8446 6.1); OpenSSL reports an unexpected EOF.
    NIOSSL sends none to a client that has sent none itself before its FIN."""
    edge = make_edge(backend.port)
    with client(edge) as http:
        at = open_session(http)
    half = Half(edge, "tls")
    half.send(request(edge, at, more=last))
    half.end("close_notify")
    answer = half.rest()
    assert answer.startswith(b"HTTP/1.1 204 ") and half.has_close_notify
    half.close()


# --- after a violation -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", ["plain", "tls"])
@pytest.mark.parametrize("path, bad", [
    ("/open", b"\x81\x01x"), ("/open", masked(3, b"x")), ("/open", masked(8, b"\x03\xed")),
    ("/_poll", masked(0, b"x")), ("/_poll", masked(1, b"no envelope")), ("/_poll", masked(2, b"no envelope")),
    ("/_poll/probe", masked(0, b"x")),
], ids=["unmasked", "opcode", "close code", "lane", "lane's text", "lane's envelope", "probe"])
def test_a_violation_is_followed_by_the_end_at_once(backend, make_edge, scheme, path, bad):
    """The Close, the end of our direction, and then reading until the client's end: whatever it sends on, nothing is
    reset before it has read why (RFC 6455 7.1.1). The end came a second late, and took both directions with it."""
    edge = make_edge(backend.port)
    half = Half(edge, scheme).upgrade(path, LANE if "_poll" in path else "")
    half.send(bad, masked(2, b"z" * 40_000))
    assert b"\x88" in half.rest()
    assert half.is_read()
    half.close()
    wait_for(lambda: open_count(edge) == 0, what="nothing to be counted")


def test_a_servers_violation_is_followed_by_the_end_at_once(make_edge, tmp_path):
    seen = []

    def script(connection, head):
        connection.sendall(switching(head) + b"\x83\x00")
        got = connection.rest()
        seen.append((frames(got)[-1][0], connection.is_read()))

    with half_server(tmp_path, "ws", script) as server:
        edge = make_edge(0, upstream=server.upstream)
        raw = Raw(edge)
        assert raw.close_code() == 1011
        wait_for(lambda: seen, what="the end of the connection")
        assert seen == [(8, True)]


def test_half_a_frame_is_followed_by_the_end_at_once_and_arrives(make_edge):
    """Its sender has gone, so no Close can stand behind it. The client has bytes under way, and may not be reset."""
    def script(connection, head):
        connection.sendall(switching(head) + b"\x82\x7e\x10\x00half of it")
        connection.recv(1)
        connection.close()

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port)
    half = Half(edge).upgrade()
    half.until(b"half of it")
    half.send(masked(1, b"x"))
    assert half.rest() == b""
    assert half.is_read()
    half.close()
    backend.stop()

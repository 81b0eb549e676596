"""Attacks on the deadlines of docs/architecture.md that no other file attacks: a peer lets the edge wait."""

import contextlib
import statistics
import threading
import time

import pytest

from kit.admin import Admin
from kit.attack import descriptors, dial, is_closed, read_answer, request
from kit.edge import Edge, wait_for
from kit.lane import opened
from kit.pace import within
from kit.pools import shown, upstream
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, switching
from kit.slow import HELLO
from kit.stray import plain

CLOSE = (1000).to_bytes(2, "big")


@contextlib.contextmanager
def scripted(script):
    backend = ScriptedBackend(script)
    try:
        yield backend
    finally:
        backend.stop()


def until_closed(s, drip=b"", pause=0.05, most=40):
    """Seconds until the other end has closed, while `drip` is sent now and then."""
    begun, stop = time.monotonic(), threading.Event()

    def run():
        with contextlib.suppress(OSError):
            while drip and not stop.wait(pause):
                s.sendall(drip)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert is_closed(s, most), "still open"
        return time.monotonic() - begun
    finally:
        stop.set()
        thread.join(10)


# --- requests --------------------------------------------------------------------------------------------------------

DRIPS = {"empty lines": (b"", b"\r\n"), "a target": (b"GET /", b"a"), "a field": (b"GET / HTTP/1.1\r\nX: ", b"a")}


@pytest.fixture(scope="module")
def hasty(backend, tmp_path_factory):
    edge = Edge(tmp_path_factory.mktemp("hasty"), backend.port,
                limits="handshake: 1s, http: { first_byte: 60s, idle: 60s }")
    yield edge
    edge.end()


@pytest.mark.parametrize("is_second", [False, True], ids=["first", "second"])
@pytest.mark.parametrize("begin, drip", DRIPS.values(), ids=DRIPS)
def test_a_head_that_drips_has_the_time_of_a_head(hasty, begin, drip, is_second):
    with dial(hasty.plain_port) as s:
        if is_second:
            s.sendall(request("GET", "/"))
            assert read_answer(s)[0] == 426
        s.sendall(begin)
        took = until_closed(s, drip)
    print(f"a byte or two now and then of a head: closed after {took:.1f} s")
    assert 0.8 < took < within(5)


def test_a_tls_handshake_that_drips_has_the_time_of_a_first_byte(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 60s, http: { first_byte: 1s }")
    with dial(edge.tls_port) as s:
        s.sendall(HELLO)
        took = until_closed(s, b"\0")
    print(f"a ClientHello byte by byte: closed after {took:.1f} s")
    assert 0.8 < took < within(5)


@pytest.mark.parametrize("length", [60_000, 9_000_000], ids=["goes on", "last"])
def test_the_rest_of_a_refused_request_has_a_deadline(backend, make_edge, length):
    """A client sends a body that is discarded, a byte now and then, behind its 401."""
    edge = make_edge(backend.port, limits="handshake: 1s, http: { idle: 60s, body_rate: 1B }")
    with dial(edge.plain_port) as s:
        s.sendall(request("POST", "/_poll", f"Content-Length: {length}"))
        status, head, _, _ = read_answer(s)
        assert status == 401 and ("connection: close" in head) == (length > 65536)
        # The edge may close its own direction at once. It has closed the other when bytes are not taken any more.
        begun = time.monotonic()

        def is_gone():
            try:
                s.sendall(b"x")
            except OSError:
                return True

        wait_for(is_gone, 40, "the connection to be closed")
        took = time.monotonic() - begun
    print(f"the rest of {length} bytes behind a 401: closed after {took:.1f} s")
    assert 0.8 < took < within(5)


# --- the end of a session --------------------------------------------------------------------------------------------

def stubborn(connection, head):
    """An upstream that says Close at once if it is told to, and answers none."""
    connection.sendall(switching(head))
    if b"/says" in head:
        connection.sendall(b"\x88\x02" + CLOSE)


@pytest.mark.parametrize("who", ["the client", "the upstream", "both"])
def test_a_close_that_is_not_answered_has_a_deadline(make_edge, who):
    with scripted(stubborn) as backend:
        edge = make_edge(backend.port, limits="handshake: 1s")
        base = descriptors(edge)
        raw = Raw(edge, "/says" if who == "the client" else "/")
        begun = time.monotonic()
        if who == "the upstream":
            raw.send(masked(8, CLOSE))
        elif who == "both":
            with Admin(edge) as admin:
                assert admin.delete("/v1/sessions?subject=alice").status_code in (200, 202, 204)
        wait_for(lambda: edge.events("session ended"), 40, "the end")
        wait_for(lambda: descriptors(edge) <= base + 1, 40, "the connections to be closed")
        took = time.monotonic() - begun
        print(f"{who} answers no Close: gone after {took:.1f} s")
        assert 0.8 < took < within(6)
        raw.s.close()


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_a_close_that_waits_for_the_end_of_a_frame_has_a_deadline(make_edge, who):
    """Half a frame is on its way to a peer, whose sender says no more: no Close can stand there."""
    def half(connection, head):
        connection.sendall(switching(head))
        if who == "client":
            connection.sendall(b"\x82\x7e\x10\x00half of it")

    with scripted(half) as backend:
        edge = make_edge(backend.port, limits="handshake: 1s")
        base = descriptors(edge)
        raw = Raw(edge)
        if who == "client":
            assert raw.exactly(14) == b"\x82\x7e\x10\x00half of it"
        else:
            raw.send(masked(2, bytes(4096))[:100])
            wait_for(lambda: len(backend.sent) == 100, what="the half to arrive")
        begun = time.monotonic()
        with Admin(edge) as admin:
            assert admin.delete("/v1/sessions?subject=alice").status_code in (200, 202, 204)
        wait_for(lambda: descriptors(edge) <= base + 1, 40, "the connections to be closed")
        took = time.monotonic() - begun
        print(f"half a frame towards the {who}, and the session is closed: gone after {took:.1f} s")
        assert took < within(6)
        raw.s.close()


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_a_peer_that_broke_the_protocol_has_a_second_after_its_close(make_edge, who):
    """It is told why and that nothing more comes, and keeps its side open."""
    done = threading.Event()

    def script(connection, head):
        connection.sendall(switching(head))
        if who == "upstream":
            # Masked, as no server's frame is.
            connection.sendall(b"\x81\x81" + bytes(4) + b"a")
            while connection.recv(4096):
                pass
            done.wait(40)

    with scripted(script) as backend:
        edge = make_edge(backend.port, limits="handshake: 60s")
        base = descriptors(edge)
        raw = Raw(edge)
        if who == "client":
            raw.send(b"\x81\x01a")
            assert raw.close_code() == 1002
        else:
            assert raw.close_code() == 1011
            raw.answer_close(1011)
        begun = time.monotonic()
        wait_for(lambda: descriptors(edge) <= base + 1, 40, "the connections to be closed")
        took = time.monotonic() - begun
        done.set()
        print(f"the {who} broke the protocol: cut after {took:.1f} s")
        assert took < within(5)
        raw.s.close()


@pytest.mark.parametrize("reads", [True, False])
def test_a_client_whose_token_died_has_half_a_second_after_its_close(make_edge, reads):
    flood = b"\x82\x7f" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20)

    def script(connection, head):
        connection.sendall(switching(head))
        with contextlib.suppress(OSError):
            while not reads:
                connection.sendall(flood)

    with scripted(script) as backend:
        edge = make_edge(backend.port, limits="handshake: 60s, message: 2MiB", session="stall: none")
        base = descriptors(edge)
        with Admin(edge) as admin:
            token = admin.mint()
            s = plain(edge, "/", headers=f"Authorization: Bearer {token['secret']}\r\n")
            base = descriptors(edge) - 2
            admin.revoke(token)
            begun = time.monotonic()
            if reads:
                assert s.recv(4)[:1] == b"\x88"
            wait_for(lambda: descriptors(edge) <= base + 1, 40, "the connections to be closed")
        took = time.monotonic() - begun
        print(f"a token died, and its client {'answers no Close' if reads else 'reads nothing'}: gone after {took:.1f} s")
        assert took < within(5)
        s.close()


# --- acknowledgements and checks -------------------------------------------------------------------------------------

def test_what_comes_on_a_lane_is_acknowledged_soon(fresh_backend, make_edge):
    """The upstream says nothing with which an acknowledgement could go."""
    edge = make_edge(fresh_backend.port)
    took = []
    with opened(edge, "/record") as (_, lane):
        lane.say("first")
        lane.take()
        for n in range(7):
            begun = time.monotonic()
            lane.say(str(n))
            while lane.acked < lane.sent:
                assert lane.take() == []
            took.append(time.monotonic() - begun)
    print(f"acknowledged after {statistics.median(took) * 1000:.0f} ms")
    assert statistics.median(took) < within(0.4)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_check_that_is_not_answered_has_a_deadline(make_edge, kind):
    """The server takes the request, and sends a byte of a head now and then."""
    over = []

    def drip(connection, head):
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                connection.sendall(b"a")
                time.sleep(0.05)
        over.append(time.monotonic() - begun)

    with scripted(drip) as backend:
        edge = make_edge(0, upstream=upstream(backend.port, health={
            "type": kind, "interval": "100ms", "timeout": "500ms", "fall": 1}))
        with Admin(edge) as admin:
            wait_for(lambda: over and shown(admin)["servers"][0]["healthy"] is False, 40, "the check to fail")
            print(f"a check of {kind}: given up after {over[0]:.1f} s, "
                  f"{shown(admin)['servers'][0]['last_check']['reason']!r}")
        assert over[0] < within(4)


def test_a_probe_has_ten_seconds(edge):
    """It says nothing but pings, which are answered."""
    raw = Raw(edge, "/_poll/probe", headers="Sec-WebSocket-Protocol: culvert.v1\r\n")
    begun = time.monotonic()
    took = until_closed(raw.s, masked(9, b""), pause=0.2)
    print(f"a probe that pings now and then: closed after {took:.1f} s")
    assert 9 < took < within(16)

"""Attacks with pings and pongs: they cost what data costs, count where data counts, and only the latest is answered."""

import contextlib
import socket
import statistics
import threading
import time

import pytest
from websockets.sync.client import connect

from kit.admin import Admin
from kit.edge import wait_for
from kit.poll import client, open_session
from kit.pools import shown, upstream
from kit.push import push
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, say_back, switching

MIB = 1 << 20
LANE = "Sec-WebSocket-Protocol: culvert.v1\r\n"


@contextlib.contextmanager
def scripted(script):
    backend = ScriptedBackend(script)
    try:
        yield backend
    finally:
        backend.stop()


def echo_pings(connection, head):
    """A backend that takes everything and says nothing."""
    connection.sendall(switching(head))


def growth(edge, before, seconds):
    """Most MiB by which the process has grown while so much time went by."""
    peak, end = before, time.monotonic() + seconds
    while time.monotonic() < end:
        peak = max(peak, edge.rss)
        time.sleep(0.05)
    return (peak - before) / MIB


def warnings(edge, side):
    return edge.expect_events("too many pings and pongs", side=side)


# --- pings that the edge answers -------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [0, 125])
def test_an_upstream_that_pings_and_reads_nothing(make_edge, size):
    """Each ping was answered, whether or not the upstream took anything: 1.4 GiB in 6 s."""
    sent = []

    def script(connection, head):
        connection.sendall(switching(head))
        blob = (bytes([0x89, size]) + b"p" * size) * (65536 // (2 + size))
        sent.append(push(connection, blob, 2.5))

    with scripted(script) as backend:
        edge = make_edge(backend.port, limits="memory: 64MiB")
        before = edge.rss
        with client(edge) as http:
            open_session(http)
            grown = growth(edge, before, 3)
        wait_for(lambda: sent, what="the attack to end")
        print(f"{sent[0] / MIB:.1f} MiB of pings with {size} bytes each: grown by {grown:.1f} MiB")
        assert grown < 40
        [event] = warnings(edge, "upstream")
        assert event["level"] == "warning" and event["rate"] == 1000


def test_of_many_pings_the_latest_is_answered(make_edge):
    """And an upstream that asks once gets its answer (RFC 6455 5.5.2 and 5.5.3)."""
    def script(connection, head):
        connection.sendall(switching(head) + b"".join(b"\x89\x04%04d" % n for n in range(900)))

    with scripted(script) as backend:
        edge = make_edge(backend.port)
        with client(edge) as http:
            at = open_session(http)
            wait_for(lambda: (10, b"0899") in backend.frames(), what="the answer to the last")
            assert http.delete(at).status_code == 204
        backend.ended.wait(10)
        pongs = [payload for opcode, payload in backend.frames() if opcode == 10]
        print(f"{len(pongs)} answers to 900 pings, the last of them {pongs[-1]}")
        assert len(pongs) <= 50 and pongs == sorted(pongs) and pongs[-1] == b"0899"


@pytest.mark.parametrize("path, side", [("/_poll", "lane"), ("/_poll/probe", "probe")])
def test_a_lane_or_probe_that_pings_and_reads_nothing(backend, make_edge, path, side):
    edge = make_edge(backend.port, limits="memory: 64MiB, handshake: 5s")
    raw = Raw(edge, path, receive_buffer=4096, headers=LANE)
    before, sent = edge.rss, []
    blob = masked(9, b"p" * 125) * 500
    thread = threading.Thread(target=lambda: sent.append(push(raw.s, blob, 2)))
    thread.start()
    grown = growth(edge, before, 2.5)
    thread.join()
    print(f"{side}: {sent[0] / MIB:.1f} MiB of pings: grown by {grown:.1f} MiB")
    assert grown < 40 and sent[0] < 40 * MIB
    if side == "lane":
        warnings(edge, "client")


def test_a_check_of_a_server_that_floods_it_with_pings_fails(make_edge):
    sent = []

    def script(connection, head):
        connection.sendall(switching(head))
        sent.append(push(connection, b"\x89\x00" * 30000, 2))

    with scripted(script) as backend:
        edge = make_edge(0, upstream=upstream(backend.port, retries=0, health={
            "type": "websocket", "ping": True, "interval": "100ms", "timeout": "5s", "rise": 2, "fall": 2}))
        with Admin(edge) as admin:
            def reason():
                return (shown(admin)["servers"][0].get("last_check") or {}).get("reason")

            wait_for(reason, what="the check to fail")
            print(f"the check fails with {reason()!r} after {sent[:1]} bytes of pings")
            assert "too many pings and pongs" in reason()


# --- pings that pass -------------------------------------------------------------------------------------------------

def test_runs_of_pings_and_pongs_pass_as_they_came(make_edge):
    """Among fragments, cut anywhere; only a pong to the edge's own ping stays."""
    own = masked(10, b"culvert-keepalive\x01\x7f")
    parts = [masked(1, b"frag", fin=False), masked(9, b"a"), masked(10, b""), own, masked(9, b""), masked(0, b"ment")]
    with scripted(echo_pings) as backend:
        edge = make_edge(backend.port)
        raw = Raw(edge)
        stream = b"".join(parts * 100)
        for at in range(0, len(stream), 997):
            raw.send(stream[at:at + 997])
        expected = b"".join(p for p in parts * 100 if p is not own)
        wait_for(lambda: len(backend.sent) >= len(expected), what="the frames")
        assert backend.sent == expected


RATES = "session: {{ from_client: {{ messages: 100, bytes: 64KiB, excess: {} }} }}"


@pytest.mark.parametrize("path", ["/", "/_poll"], ids=["native", "lane"])
@pytest.mark.parametrize("opcode", [9, 10], ids=["pings", "pongs"])
def test_they_count_in_the_rates_of_a_session(backend, make_edge, path, opcode):
    edge = make_edge(backend.port, limits="handshake: 1s, " + RATES.format("close"))
    raw = Raw(edge, path, headers="" if path == "/" else LANE)
    if path == "/_poll":
        # The session takes a lane's word from its first envelope on.
        raw.send(masked(2, bytes(8) + (1).to_bytes(8, "big")))
    raw.send(masked(opcode, b"x") * 500)
    [event] = edge.expect_events("session ended")
    print(f"after 500 frames of opcode {opcode}: {event['close_code']} {event['close_reason']}")
    assert (event["close_code"], event["close_reason"]) == (1008, "too many messages")


def test_they_count_in_the_rate_of_a_token(backend, make_edge):
    """400 pings are 4 s of a token's 100 messages a second, of which one is free; what comes next waits."""
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        token = admin.mint(limits={"messages_per_second": 100})
    with connect(edge.wss, ssl=edge.ssl, additional_headers={"Authorization": f"Bearer {token['secret']}"},
                 compression=None) as ws:
        ws.send("first")
        assert ws.recv(10) == "first"
        began = time.monotonic()
        for n in range(400):
            ws.ping(str(n))
        for text in ("with them", "next"):
            ws.send(text)
            assert ws.recv(30) == text
        took = time.monotonic() - began
        print(f"400 pings and two messages at 100 a second: {took:.1f} s")
        assert took > 1.5


# A message that has begun, and of which nothing comes: frames without payload that do not end it.
BEGUN, EMPTY = masked(2, b"", fin=False), masked(0, b"", fin=False)


@pytest.mark.parametrize("path", ["/", "/_poll"], ids=["native", "lane"])
def test_empty_fragments_count_in_the_rates_of_a_session(backend, make_edge, path):
    edge = make_edge(backend.port, limits="handshake: 1s, " + RATES.format("close"))
    raw = Raw(edge, path, headers="" if path == "/" else LANE)
    if path == "/_poll":
        raw.send(masked(2, bytes(8) + (1).to_bytes(8, "big")))
    raw.send(BEGUN + EMPTY * 500)
    [event] = edge.expect_events("session ended")
    print(f"after 501 empty fragments: {event['close_code']} {event['close_reason']}")
    assert (event["close_code"], event["close_reason"]) == (1008, "too many messages")


@pytest.mark.parametrize("role", ["native client", "lane", "native upstream", "polled upstream"])
def test_empty_fragments_are_bounded_without_any_limit(make_edge, role):
    """They are no messages, no payload and no pings: 1.2 GB of them passed in 5 s."""
    sent = []

    def script(connection, head):
        connection.sendall(switching(head))
        if "upstream" in role:
            connection.sendall(b"\x02\x00")
            sent.append(push(connection, b"\x00\x00" * 30000, 3))

    with scripted(script) as backend:
        edge = make_edge(backend.port)
        with client(edge) as http:
            if role == "polled upstream":
                open_session(http)
            else:
                raw = Raw(edge, "/_poll" if role == "lane" else "/", headers=LANE if role == "lane" else "")
            if role == "lane":
                raw.send(masked(2, bytes(8) + (1).to_bytes(8, "big")))
            if role in ("native client", "lane"):
                raw.send(BEGUN)
                sent.append(push(raw.s, EMPTY * 10000, 3))
            wait_for(lambda: sent, what="the attack to end")
            print(f"{role}: {sent[0] / MIB:.1f} MiB of empty fragments were taken")
            # What one read brings, now and then, and what the kernel's buffers take.
            assert sent[0] < 24 * MIB
            warnings(edge, "upstream" if "upstream" in role else "client")


def test_a_probe_that_sends_empty_fragments_ends(backend, make_edge):
    edge = make_edge(backend.port)
    raw = Raw(edge, "/_poll/probe", headers=LANE)
    raw.send(BEGUN + EMPTY * 3000)
    code = raw.close_code()
    print(f"after 3,001 empty fragments a probe ends with {code}")
    assert code == 1008


def test_a_few_empty_fragments_pass(make_edge):
    """They are allowed (RFC 6455 5.4): a sender may begin a message before it knows what is in it."""
    with scripted(echo_pings) as backend:
        edge = make_edge(backend.port)
        raw = Raw(edge)
        stream = (BEGUN + EMPTY * 3 + masked(0, b"x")) * 100
        raw.send(stream)
        wait_for(lambda: len(backend.sent) >= len(stream), what="the frames")
        assert backend.sent == stream


def test_they_are_bounded_without_any_limit(make_edge):
    """A native session with no limit set: what a client may send is bounded all the same, and pauses it."""
    with scripted(echo_pings) as backend:
        edge = make_edge(backend.port)
        raw = Raw(edge)
        sent = push(raw.s, masked(9, b"") * 10000, 3)
        passed = len(backend.sent)
        print(f"{sent} bytes of pings sent, {passed} passed")
        # A burst, three seconds of the rate, and what one read brings; one more read after each longest wait.
        assert passed <= 6 * (1000 + 3 * 1000) + 2 * 4 * 65536
        edge.catch_up()
        assert len(warnings(edge, "client")) == 1
        # Its data behind them is late, not lost.
        assert edge.events("session ended") == []


def echo(connection, head):
    """Takes everything; sends the small messages of a client back that did not ask for a sink."""
    connection.sendall(switching(head))
    while b"/sink" not in head and (got := connection.recv(4096)):
        say_back(connection, got)


def test_others_are_served_while_ten_clients_send_nothing_but_pings(make_edge):
    backend = ScriptedBackend(echo)
    edge = make_edge(backend.port, limits=RATES.format("pause"))

    def trips(ws, seconds):
        """Milliseconds of each round trip."""
        found, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            ws.send("x")
            ws.recv(20)
            found.append((time.monotonic() - began) * 1000)
            time.sleep(0.02)
        return found

    options = {"ssl": edge.ssl, "additional_headers": edge.auth, "compression": None, "ping_interval": None}
    with connect(edge.wss, **options) as ws:
        calm = statistics.median(trips(ws, 0.7))
        attackers = [Raw(edge, "/sink") for _ in range(10)]
        blob, sent = masked(9, b"") * 40000, []
        threads = [threading.Thread(target=lambda s=a.s: sent.append(push(s, blob, 2))) for a in attackers]
        for thread in threads:
            thread.start()
        busy = statistics.median(trips(ws, 2))
        for thread in threads:
            thread.join()
        print(f"{sum(sent) / MIB:.1f} MiB of pings taken; a round trip takes {busy:.1f} ms, {calm:.1f} without them")
        assert busy < max(200, 20 * calm)
    for attacker in attackers:
        attacker.s.close()
    backend.stop()


# --- what waits ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("what", ["pings at once", "messages one by one"])
def test_small_frames_to_clients_that_read_nothing_cost_what_is_counted(make_edge, what):
    """Two-byte pings held 10.9 MiB of a session where 0.5 were counted: each was an entry of a queue."""
    # The kernel takes more or less by itself: in some of the sessions the small frames wait in the edge.
    count, step = 16, 128 << 10
    sizes = iter(range(2 * MIB + step, 1 << 40, step))
    lock, go, stay = threading.Lock(), threading.Event(), threading.Event()
    filled, done = [], []
    big = b"\x82\x7f" + (65536).to_bytes(8, "big") + b"z" * 65536

    def script(connection, head):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(switching(head))
        with lock:
            size = next(sizes)
        connection.settimeout(1)
        with contextlib.suppress(TimeoutError):
            for _ in range(size // len(big)):
                connection.sendall(big)
        filled.append(1)
        go.wait(20)
        if what == "pings at once":
            push(connection, b"\x89\x00" * 30000, 3)
        else:
            push(connection, b"\x82\x13tick-tick-tick-tick", 3)
        done.append(1)
        stay.wait(20)

    with scripted(script) as backend:
        edge = make_edge(backend.port, session="stall: none", limits="memory: 1GiB, message: 1MiB")
        clients = []
        for _ in range(count):
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", edge.plain_port))
            s.sendall((f"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       f"Authorization: {edge.auth['Authorization']}\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
            assert b" 101 " in s.recv(200)
            clients.append(s)
        wait_for(lambda: len(filled) == count, timeout=20, what="the kernel's buffers to be full")
        with Admin(edge) as admin:
            def used():
                return admin.get("/v1/memory").json()["used"] / MIB

            before, counted = edge.rss / MIB, used()
            go.set()
            wait_for(lambda: len(done) == count, timeout=20, what="the attack to end")
            grown, counted = edge.rss / MIB - before, used() - counted
        stay.set()
        print(f"{what}: grown by {grown:.1f} MiB in {count} sessions, of which {counted:.1f} are counted")
        assert grown < 40 and grown < 2 * max(counted, 0) + 16
    for s in clients:
        s.close()

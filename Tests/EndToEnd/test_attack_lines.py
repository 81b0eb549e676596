"""Attacks by a client that fills the line of a loop's slices in which others wait: other clients have their turns among its
own, and timers, operators and the memory's relief wait for none of them. Others come from an address of their own."""

import collections
import contextlib
import json
import socket
import ssl
import struct
import time

import pytest

from kit.admin import Admin, memory
from kit.attack import MiB, Peak, dial, is_closed, read_answer, request
from kit.edge import OTHER_TOKEN, TOKEN, wait_for
from kit.poll import BATCH
from kit.script import ScriptedBackend, switching
from kit.pour import pouring
from kit.tls import first_message
from kit.turns import SPAWN, Attack, Turns

pytestmark = pytest.mark.alone
# As many as max_batch of 1 MiB allows, each counted with 16 bytes.
MOST = (1 << 20) // 16 - 1
BODIES = {
    BATCH: struct.pack(">QQ", 0, 1) + b"\x82\x00" * MOST,
    "application/json": b'{"first":1,"messages":[' + b",".join([b'{"text":""}'] * MOST) + b"]}",
}
SECONDS = 5
OTHERS = "127.0.0.9"
EDGE = {"limits": "handshake: 20s, http: { first_byte: 1s, idle: 60s, requests: 100000 }", "session": "hold: 1s"}


def take(connection, head):
    connection.sendall(switching(head))
    while connection.recv(1 << 18):
        pass


@pytest.fixture
def sink():
    backend = ScriptedBackend(take)
    yield backend
    backend.stop()


def open_session(s, token):
    s.sendall(request("POST", "/_poll", "Content-Length: 0", token=token))
    status, _, body, rest = read_answer(s)
    assert status == 201, body
    return json.loads(body)["session"], rest


def ready(port, number=0):
    """A connection that has had an answer, and may wait for as long as the edge keeps it; from an address by its number."""
    s = dial(port, timeout=60, source=f"127.0.1.{1 + number}")
    s.sendall(request("GET", "/x"))
    read_answer(s)
    return s


def flooding(port, kind, count):
    """Connections that post the same batch to one session, again and again. Nothing is taken twice."""
    with dial(port) as first:
        session, _ = open_session(first, OTHER_TOKEN)
    body = BODIES[kind]
    packet = request("POST", f"/_poll/{session}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", body=body,
                     token=OTHER_TOKEN)
    held = [ready(port) for _ in range(count)]
    for s in held:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(packet))

    def attack():
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for s in list(held):
                # A body that a busy machine brings too slowly is refused.
                try:
                    s.sendall(packet)
                except OSError:
                    held.remove(s)
            for s in held:
                read_answer(s)
        assert len(held) > count / 2

    return attack


def posts(s, path):
    """Sends batches of one message of 1 KiB, which go in slices while the loop is busy."""
    session, rest = open_session(s, TOKEN)
    for number in range(1, 1 << 30):
        body = struct.pack(">QQ", 0, number) + b"\x82\x7e\x04\x00" + bytes(1024)
        s.sendall(request("POST", f"{path}/{session}", f"Content-Type: {BATCH}", f"Content-Length: {len(body)}",
                          body=body, token=TOKEN))
        status, _, _, rest = read_answer(s, rest)
        yield status == 200


@pytest.mark.parametrize("kind", BODIES)
def test_large_batches_of_a_client_leave_other_clients_their_turns(make_edge, sink, kind):
    """With one line for all, a batch of others waited for all of the attacker's: 0.12 s, and seconds for JSON."""
    edge = make_edge(sink.port, **EDGE)
    with Attack(flooding, edge.plain_port, kind, 100) as attack:
        with Turns(edge, asks=posts, path="/_poll", source=OTHERS) as turns:
            attack.go.set()
            attack.process.join(120)
        assert attack.process.exitcode == 0
    print(f"100 connections that post {MOST} empty messages, {kind}: {turns}")
    assert turns.long < 0.05


def _idle(port, opened, results):
    """Opens connections that say nothing, and tells when the last of them was closed, and how long a poll was held."""
    opened.wait(60)
    with dial(port, timeout=60, source=OTHERS) as s:
        session, _ = open_session(s, TOKEN)
        idle = [dial(port, timeout=60, source=OTHERS) for _ in range(500)]
        begin = time.monotonic()
        s.sendall(request("GET", f"/_poll/{session}", token=TOKEN))
        status = read_answer(s)[0]
        held = time.monotonic() - begin
        closed = [is_closed(connection, 30) for connection in idle]
        results.put((status, held, all(closed), time.monotonic() - begin))


@pytest.mark.parametrize("kind", BODIES)
def test_timers_wait_for_no_line_of_clients(make_edge, sink, kind):
    """One timer fired behind each round of all that waited: a hold, a deadline and a token's end were late by minutes."""
    edge = make_edge(sink.port, **EDGE)
    opened, results = SPAWN.Event(), SPAWN.Queue()
    watch = SPAWN.Process(target=_idle, args=(edge.plain_port, opened, results), daemon=True)
    watch.start()
    with Attack(flooding, edge.plain_port, kind, 100) as attack:
        attack.go.set()
        time.sleep(0.5)
        opened.set()
        status, held, closed, until = results.get(timeout=90)
    watch.join(10)
    print(f"100 connections that post {MOST} empty messages, {kind}: a poll of 1 s was held for {held:.2f} s, and 500 "
          f"connections that said nothing for 1 s were closed within {until:.2f} s")
    assert status == 200 or status == 204
    assert closed and held < 3 and until < 4


@pytest.mark.parametrize("kind", BODIES)
def test_a_revocation_waits_for_no_line_of_clients(make_edge, sink, kind):
    """With a round of all that waited for each session, a thousand sessions took minutes to end."""
    edge = make_edge(sink.port, **EDGE)
    admin = Admin(edge)
    token = admin.mint(subject="many")
    s, rest = dial(edge.plain_port), b""
    for _ in range(1000):
        s.sendall(request("POST", "/_poll", "Content-Length: 0", token=token["secret"]))
        status, _, _, rest = read_answer(s, rest)
        assert status == 201
    with Attack(flooding, edge.plain_port, kind, 100) as attack:
        attack.go.set()
        time.sleep(0.5)
        begin = time.monotonic()
        admin.revoke(token)
        answered = time.monotonic() - begin
        while len(edge.events("session ended")) < 1000:
            assert time.monotonic() - begin < 30, "the sessions did not end"
            time.sleep(0.05)
        ended = time.monotonic() - begin
    s.close()
    print(f"100 connections that post {MOST} empty messages, {kind}: a revocation of 1000 sessions was answered within "
          f"{answered:.2f} s, and they had ended within {ended:.2f} s")
    assert ended < 4


def ahead(port, count):
    """Connections, and requests that are sent ahead of their answers on each."""
    return [ready(port) for _ in range(count)], request("GET", "/x") * 200_000


def _asking(port, count, addresses=1):
    held = [ready(port, number % addresses) for number in range(count)]
    packet = request("GET", "/x") * 4

    def attack():
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for s in held:
                with contextlib.suppress(OSError):
                    s.sendall(packet)
            for s in held:
                rest = b""
                for _ in range(4):
                    *_, rest = read_answer(s, rest)

    return attack


def test_requests_of_very_many_connections_leave_the_others_their_turns(make_edge, sink):
    """Each read began four requests, however many reads there were in the same turn."""
    edge = make_edge(sink.port, **EDGE)
    with Attack(_asking, edge.plain_port, 3000) as attack:
        with Turns(edge, source=OTHERS) as turns:
            attack.go.set()
            attack.process.join(120)
        assert attack.process.exitcode == 0
    print(f"3000 connections with four requests each: {turns}")
    assert turns.long < 0.15


def connects(s, path):
    """Opens a connection for each request."""
    port = s.getpeername()[1]
    while True:
        with dial(port, timeout=60, source=OTHERS) as new:
            new.sendall(request("GET", path))
            yield read_answer(new)[0] == 426


def _connecting(port, rate):
    """Opens connections that say nothing, and keeps the last 2,000 of them."""
    held = collections.deque()

    def attack():
        begin, count = time.monotonic(), 0
        while time.monotonic() < begin + SECONDS:
            while count < rate * (time.monotonic() - begin):
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(("127.0.0.1", port))
                held.append(s)
                count += 1
                if len(held) > 2000:
                    held.popleft().close()
            time.sleep(0.005)

    return attack


def test_very_many_new_connections_leave_other_new_ones_their_turn(make_edge, sink):
    """A loop accepted four connections a turn, while other work made the turns long: the kernel's queue was full, and
    others waited for 2 to 5 s. The processor's time of a loop until then was 0.7 to 2 s."""
    edge = make_edge(sink.port, **EDGE)
    with Attack(_connecting, edge.plain_port, 3000) as attack:
        with pouring(*ahead(edge.plain_port, 100)), Turns(edge, asks=connects, source=OTHERS) as turns:
            attack.go.set()
            attack.process.join(120)
    print(f"3000 new connections a second beside 100 with requests ahead: {turns}")
    assert turns.long < 0.15


def test_a_burst_of_very_many_addresses_is_a_round_to_others(make_edge, sink):
    """Reads begin few requests in front of requests that wait already, so that a burst does not pass by a single client."""
    edge = make_edge(sink.port, **EDGE)
    with Attack(_asking, edge.plain_port, 2000, 250) as attack:
        with Turns(edge, source=OTHERS) as turns:
            attack.go.set()
            attack.process.join(120)
        assert attack.process.exitcode == 0
    print(f"2000 connections of 250 addresses with four requests each: {turns}")
    assert turns.long < 0.15


def _posting(port, count, results):
    """Sessions of a connection each, which post a large batch again and again; tells how many were taken."""
    body = struct.pack(">QQ", 0, 1) + b"\x82\x00" * 60_000
    held = []
    for _ in range(count):
        s = dial(port, timeout=60)
        session, _ = open_session(s, OTHER_TOKEN)
        held.append((s, request("POST", f"/_poll/{session}", f"Content-Type: {BATCH}", f"Content-Length: {len(body)}",
                                body=body, token=OTHER_TOKEN)))

    def attack():
        for s, packet in held:
            s.sendall(packet)
        results.put([read_answer(s)[0] for s, _ in held])

    return attack


@pytest.mark.parametrize("ceiling", ["128MiB", None])
def test_large_batches_of_many_sessions_of_a_client_pass_one_after_the_other(make_edge, sink, ceiling):
    """They passed a part of each in turn, so that all were in memory before the first was done: of 600 batches none was
    taken, and the process had 1.4 GiB, or refused all of them below its ceiling."""
    edge = make_edge(sink.port, limits="handshake: 30s" + (f", memory: {ceiling}" if ceiling else ""))
    results = SPAWN.Queue()
    with Attack(_posting, edge.plain_port, 400, results) as attack, Peak(edge) as peak:
        attack.go.set()
        statuses = results.get(timeout=90)
    taken = statuses.count(200)
    print(f"400 sessions with a batch of 60,000 messages each, ceiling {ceiling}: {taken} were taken, {peak}")
    assert taken > 350
    assert peak.most < 250 * MiB


def test_bodies_that_wait_give_way_where_memory_is_short(make_edge, sink):
    """They were out of the relief's reach: other clients' bodies and answers went in their place."""
    edge = make_edge(sink.port, limits="memory: 96MiB, handshake: 20s")
    before = memory(edge)["used"]
    with Attack(flooding, edge.plain_port, "application/json", 300) as attack:
        attack.go.set()
        most, refused = 0, []
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            most = max(most, memory(edge)["used"])
            with dial(edge.plain_port, timeout=60, source=OTHERS) as s:
                s.sendall(request("POST", "/_poll", "Content-Length: 0", token=TOKEN))
                refused.append(read_answer(s)[0] != 201)
            time.sleep(0.05)
    print(f"300 bodies of {len(BODIES['application/json']) / MiB:.1f} MiB: {(most - before) / MiB:.0f} MiB held at most, "
          f"{sum(refused)} of {len(refused)} openings of others were refused")
    assert most < 136 * MiB
    assert sum(refused) < len(refused) / 2


@pytest.mark.parametrize("addresses", [200, 1])
def test_handshakes_that_are_not_ended_have_a_quarter_of_the_memory(make_edge, sink, addresses):
    """TLS kept 35 KiB of each, and nothing of it was counted: 8,000 of them took 200 MiB where 64 were allowed."""
    edge = make_edge(sink.port, limits="memory: 64MiB, handshake: 60s, http: { first_byte: 60s }")
    begun, held, others = first_message(), [], []

    def handshake():
        with dial(edge.tls_port, source=OTHERS) as other, edge.ssl.wrap_socket(other, server_hostname="localhost") as tls:
            tls.sendall(request("GET", "/x"))
            return read_answer(tls)[0]

    with Peak(edge) as peak:
        for number in range(4000):
            s = dial(edge.tls_port, source=f"127.0.2.{1 + number % addresses}")
            s.sendall(begun)
            held.append(s)
            if number % 200 == 199:
                others.append(handshake())
        used = memory(edge)["used"]
    cut = sum(is_closed(s, 0) for s in held)
    print(f"4000 handshakes of {addresses} addresses that are not ended: {used / MiB:.1f} MiB are counted, {peak}; {cut} "
          f"were cut; {others.count(426)} of {len(others)} handshakes of others were ended")
    assert others == [426] * len(others)
    # As many first messages may wait for a place.
    assert used <= 18 * MiB and peak.most < 60 * MiB
    assert edge.expect_events("TLS handshakes cut for newer ones: together they may hold a quarter of limits.memory")
    for s in held:
        s.close()
    wait_for(lambda: memory(edge)["used"] == 0, what="nothing to count any more")


def _beginning(port, addresses):
    """Begins handshakes without an end, and keeps the last 3,000 of them."""
    begun, held = first_message(), collections.deque()

    def attack():
        end, count = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            s = socket.socket()
            s.bind((f"127.0.2.{1 + count % addresses}", 0))
            s.connect(("127.0.0.1", port))
            s.sendall(begun)
            held.append(s)
            count += 1
            if len(held) > 3000:
                held.popleft().close()
        print(f"{count} handshakes were begun")

    return attack


def slow_handshake(edge, trip):
    """A handshake of a client whose answers take `trip` seconds; tells how long it took until an answer came."""
    arrived, made = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = edge.ssl.wrap_bio(arrived, made, server_hostname="localhost")
    begin = time.monotonic()
    with dial(edge.tls_port, timeout=30, source=OTHERS) as s:
        def receive():
            part = s.recv(65536)
            if not part:
                raise ConnectionResetError
            arrived.write(part)

        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                s.sendall(made.read())
                receive()
                time.sleep(trip)
        tls.write(request("GET", "/x"))
        s.sendall(made.read())
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                if tls.read(65536).startswith(b"HTTP/1.1 426"):
                    return time.monotonic() - begin
            receive()


@pytest.mark.parametrize("addresses", [5, 200])
def test_handshakes_that_are_not_ended_leave_slow_clients_their_time(make_edge, sink, addresses):
    """The oldest handshake was cut for each new one: with five addresses no client with a round trip of 0.1 s got in."""
    edge = make_edge(sink.port, limits="memory: 32MiB, handshake: 20s, http: { first_byte: 20s }")
    took, lost = [], 0
    with Attack(_beginning, edge.tls_port, addresses) as attack:
        attack.go.set()
        while attack.process.is_alive():
            try:
                took.append(slow_handshake(edge, 0.2))
            except OSError:
                lost += 1
    print(f"beside handshakes of {addresses} addresses {len(took)} of others came to their end, {lost} did not; the "
          f"longest took {max(took, default=0):.1f} s")
    assert lost == 0 and len(took) > 1


def _dripping(port, addresses, rest):
    """Keeps 600 handshakes, of each of which `rest` follows the first message in parts, a part every 0.3 s."""
    begun = first_message()

    def attack():
        end, held, count = time.monotonic() + 3 * SECONDS, {}, 0
        while time.monotonic() < end:
            while len(held) < 600:
                s = socket.socket()
                s.bind((f"127.0.2.{1 + count % addresses}", 0))
                s.connect(("127.0.0.1", port))
                s.sendall(begun)
                held[s] = iter(rest)
                count += 1
            time.sleep(0.3)
            for s, parts in list(held.items()):
                try:
                    s.sendall(next(parts))
                    if is_closed(s, 0):
                        raise BrokenPipeError
                except (OSError, StopIteration):
                    s.close()
                    del held[s]
        print(f"{count} handshakes were begun")

    return attack


@pytest.mark.parametrize("rest", [
    [bytes([byte]) for byte in b"\x17\x03\x03\x40\x00" + bytes(1000)], [b"\x14\x03\x03\x00\x01\x01"] * 1000,
], ids=["a record in bytes", "ChangeCipherSpec"])
def test_handshakes_that_drip_keep_their_places_no_longer(make_edge, sink, rest):
    """Each byte gave its client another second, so that handshakes of eight addresses kept all others out for 10 s."""
    edge = make_edge(sink.port, limits="memory: 32MiB, handshake: 30s, http: { first_byte: 30s }")
    took, lost = [], 0
    with Attack(_dripping, edge.tls_port, 8, rest) as attack:
        attack.go.set()
        while attack.process.is_alive():
            try:
                took.append(slow_handshake(edge, 0))
            except OSError:
                lost += 1
            time.sleep(0.05)
    took.sort()
    print(f"beside 600 handshakes that drip {len(took)} of others came to their end, {lost} did not; they took "
          f"{took[len(took) // 2]:.2f} s, the longest {took[-1]:.2f} s")
    assert lost == 0
    assert took[-1] < 5


def test_heads_that_do_not_end_leave_bodies_room(make_edge, sink):
    """They stayed just below the ceiling, where nothing gives way, and every body of more than 16 KiB was refused."""
    edge = make_edge(sink.port, limits="memory: 16MiB, handshake: 30s, http: { first_byte: 30s }")
    head = request("GET", "/x")[:-2] + b"A: " + b"a" * 15_000
    held = []
    while memory(edge)["used"] < 15 * MiB and len(held) < 2000:
        for _ in range(20):
            held.append(dial(edge.plain_port))
            held[-1].sendall(head)
        time.sleep(0.02)
    used = memory(edge)["used"]
    statuses = []
    with dial(edge.plain_port, timeout=30, source=OTHERS) as s:
        session, rest = open_session(s, TOKEN)
        body = struct.pack(">QQ", 0, 1) + b"\x82\x7e\x9c\x40" + bytes(40_000)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            s.sendall(request("POST", f"/_poll/{session}", f"Content-Type: {BATCH}", f"Content-Length: {len(body)}",
                              body=body, token=TOKEN))
            status, _, _, rest = read_answer(s, rest)
            statuses.append(status)
            if status == 503:
                s.close()
                s = dial(edge.plain_port, timeout=30, source=OTHERS)
                rest = b""
            time.sleep(0.05)
        s.close()
    print(f"{len(held)} heads without an end hold {used / MiB:.1f} MiB: {statuses.count(200)} of {len(statuses)} batches "
          f"were taken, the last refusal was number {max((n for n, s in enumerate(statuses) if s != 200), default=-1)}")
    assert statuses.count(200) > len(statuses) * 3 / 4
    for s in held:
        s.close()

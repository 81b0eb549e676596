"""Attacks on the bounds of docs/architecture.md that no other file attacks: a peer sends on without end."""

import contextlib
import resource
import select
import socket
import ssl
import struct
import threading
import time

import pytest

from kit.admin import memory, used
from kit.attack import MiB, Peak, descriptors, dial, is_closed, read_answer, read_head, request
from kit.edge import Edge, make_certificate, wait_for
from kit.pace import within
from kit.poll import BATCH, client, open_session, unframe
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, listen, switching
from kit.script import read_head as request_head
from kit.stray import end, launch_with_pipe

KiB = 1 << 10
LANE = "Sec-WebSocket-Protocol: culvert.v1\r\n"
# No end of anything here comes from a deadline.
PATIENT = "handshake: 60s"


@pytest.fixture(scope="module")
def patient(backend, tmp_path_factory):
    edge = Edge(tmp_path_factory.mktemp("patient"), backend.port,
                limits=f"header: 16KiB, {PATIENT}, http: {{ first_byte: 60s, idle: 60s }}")
    yield edge
    edge.end()


def pump(s, begin, again, most=96 * MiB, seconds=20):
    """Sends `begin`, and `again` over and over; the bytes that were taken before the other end had enough, or `most`."""
    s.settimeout(1)
    blob, sent, end = again * max(1, 64 * KiB // len(again)), 0, time.monotonic() + seconds
    with contextlib.suppress(OSError):
        s.sendall(begin)
        while sent < most and time.monotonic() < end:
            sent += s.send(blob)
    return sent


# --- messages --------------------------------------------------------------------------------------------------------

PART = b"x" * 8000


def test_an_upstreams_message_without_end_is_not_assembled(make_edge):
    """A polled session's upstream sends fragments, none of which is the last."""
    sent = []

    def script(connection, head):
        connection.sendall(switching(head))
        # A text that begins, and continuations.
        sent.append(pump(connection, b"\x01\x00", b"\x00\x7e" + len(PART).to_bytes(2, "big") + PART))

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits=f"message: 256KiB, {PATIENT}")
    with client(edge) as http, Peak(edge) as peak:
        at = open_session(http)
        answer = http.get(at, headers={"Accept": BATCH})
        close = unframe(answer.content)[3]
        wait_for(lambda: sent, 30, "the upstream to be cut")
    print(f"{sent[0] / MiB:.1f} MiB of one message: {peak}, its client is told {close}")
    assert close[0] == 1011 and peak.most < 20 * MiB and sent[0] < 48 * MiB
    assert b"\x03\xf1" in [payload[:2] for opcode, payload in backend.frames() if opcode == 8]
    backend.stop()


@pytest.mark.parametrize("path", ["/record", "/record/_poll"], ids=["message", "envelope"])
def test_a_clients_message_without_end_is_1009(fresh_backend, make_edge, path):
    """A native message is not assembled, but counted over its fragments; an envelope is assembled."""
    edge = make_edge(fresh_backend.port, session="buffer: 64KiB", limits=f"message: 64KiB, {PATIENT}")
    raw = Raw(edge, path, headers="" if path == "/record" else LANE)
    if path != "/record":
        raw.frame()
    # No frame's own length tells.
    raw.send(masked(2, b"", fin=False), *[masked(0, PART, fin=False)] * 60)
    code = raw.close_code()
    print(f"{path}: a message of {60 * len(PART)} bytes so far is closed with {code}")
    assert code == 1009 and fresh_backend.received == []
    raw.s.close()


def test_an_envelope_without_end_ends_the_lane_alone(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="buffer: 64KiB", limits=f"message: 64KiB, {PATIENT}")
    with client(edge) as http:
        at = open_session(http)
        raw = Raw(edge, at + "/socket", headers=LANE)
        # Twice what a body may have, in fragments, so that no frame's own length tells.
        raw.send(masked(2, b"", fin=False), *[masked(0, PART, fin=False)] * 60)
        code = raw.close_code()
        answer = http.post(at, json={"first": 1, "messages": [{"text": "here"}]})
        print(f"an envelope of {60 * len(PART)} bytes so far: the lane ends with {code}, a POST has {answer.status_code}")
        assert (code, answer.status_code) == (1009, 200)
        raw.s.close()


# --- requests --------------------------------------------------------------------------------------------------------

HEADS = {
    "target": (b"GET /", b"a"),
    "method": (b"", b"G"),
    "field's name": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X"),
    "field": (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", b"a"),
    "fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"),
    "chunk's extension": (b"POST /_poll HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"e"),
    "trailers": (b"POST /_poll HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n"),
}


@pytest.mark.parametrize("begin, again", HEADS.values(), ids=HEADS)
def test_a_head_without_end_is_not_kept(patient, begin, again):
    with dial(patient.plain_port) as s, Peak(patient) as peak:
        sent = pump(s, begin, again)
        closed = is_closed(s, 10)
    print(f"{sent / MiB:.1f} MiB: {peak}, closed {closed}")
    assert closed and sent < 48 * MiB and peak.most < 20 * MiB


@pytest.mark.parametrize("size, status", [(15 * KiB, 426), (17 * KiB, 431)])
def test_a_head_has_so_many_bytes_whole_and_in_pieces(patient, size, status):
    head = request("GET", "/", "X: " + "x" * size)
    for step in (len(head), 1000):
        with dial(patient.plain_port) as s:
            with contextlib.suppress(OSError):
                for at in range(0, len(head), step):
                    s.sendall(head[at:at + step])
            got = read_answer(s)[0]
            print(f"a head of {len(head)} bytes, {step} at a time: {got}")
            assert got == status


@pytest.mark.parametrize("length", [b"Content-Length: 900000000\r\n", b"Transfer-Encoding: chunked\r\n"],
                         ids=["length", "chunked"])
def test_a_refused_body_without_end_is_discarded_so_far_and_no_further(patient, length):
    """Its client has no token, and reads its answer late or never."""
    again = b"x" * 4096 if length.startswith(b"Content") else b"1000\r\n" + b"x" * 4096 + b"\r\n"
    with dial(patient.plain_port) as s, Peak(patient) as peak:
        sent = pump(s, b"POST /_poll HTTP/1.1\r\nHost: a\r\n" + length + b"\r\n", again)
    print(f"{sent / MiB:.1f} MiB of a refused body were taken: {peak}")
    # 16 MiB, and what the kernel holds.
    assert sent < 48 * MiB and peak.most < 20 * MiB


# --- connections -----------------------------------------------------------------------------------------------------

def test_connections_that_idle_are_kept_up_to_a_number(backend, make_edge):
    """Each asks once, and stays: past twice `limits.connections` and 256 an answer is its connection's last."""
    edge = make_edge(backend.port, limits="connections: 2, process: { handshakes: 1000 }, http: { idle: 60s }")
    before = descriptors(edge)
    with contextlib.ExitStack() as stack:
        kept = 0
        for _ in range(300):
            s = stack.enter_context(dial(edge.plain_port))
            s.sendall(request("GET", "/"))
            status, head, _, _ = read_answer(s)
            assert status == 426
            kept += "connection: close" not in head
        held = descriptors(edge) - before
        print(f"300 connections that ask once and stay: {kept} are kept, {held} descriptors")
        assert kept == 2 * 2 + 256
        wait_for(lambda: descriptors(edge) - before <= kept + 2, what="the others to be closed")


def test_a_polled_sessions_upstream_that_reads_nothing_costs_a_queue(make_edge):
    """Batches are refused, and nothing of them is kept, once the upstream's queue is full."""
    def script(connection, head):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(switching(head))
        stop.wait(30)


    stop = threading.Event()
    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, session="stall: none, buffer: 1MiB")
    with client(edge) as http, Peak(edge) as peak:
        at, taken, refused = open_session(http), 0, 0
        frame = b"\x82\x7f" + (900 * KiB).to_bytes(8, "big") + b"z" * (900 * KiB)
        for _ in range(60):
            body = bytes(8) + (taken + 1).to_bytes(8, "big") + frame
            status = http.post(at, content=body, headers={"Content-Type": BATCH}).status_code
            assert status in (200, 503)
            taken += status == 200
            refused += status == 503
        print(f"60 batches of 900 KiB to an upstream that reads nothing: {taken} taken, {refused} refused, {peak}")
    assert refused > 30 and peak.most < 20 * MiB
    stop.set()
    backend.stop()


# --- what waits to be whole -------------------------------------------------------------------------------------------

FIELDS = b"".join(b"X%d: %s\r\n" % (i, b"y" * 1000) for i in range(62))
UNFINISHED_ANSWERS = {
    "head": b"HTTP/1.1 101 Switching Protocols\r\n" + FIELDS,
    "body": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 70000\r\n\r\n" + bytes(62_000),
    "body behind a long head": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n" + FIELDS + b"\r\n.",
}


def answered(connections):
    """Those that have bytes or an end to read."""
    poll = select.poll()
    for s in connections:
        poll.register(s, select.POLLIN)
    ready = {number for number, _ in poll.poll(0)}
    return [s for s in connections if s.fileno() in ready]


@pytest.mark.parametrize("answer", UNFINISHED_ANSWERS.values(), ids=UNFINISHED_ANSWERS)
def test_answers_of_servers_that_do_not_end_hold_a_part_of_memory_and_keep_nobody_out(make_edge, answer):
    stop = threading.Event()

    def script(connection, head):
        with contextlib.suppress(OSError):
            if head.startswith(b"GET /open/other"):
                connection.sendall(switching(head))
            else:
                connection.sendall(answer)
            stop.wait(60)

    backend = ScriptedBackend(script)
    upstream = f'{{ servers: [ {{ url: "ws://127.0.0.1:{backend.port}" }} ], handshake_timeout: 60s }}'
    edge = make_edge(backend.port, limits=f"memory: 8MiB, {PATIENT}", upstream=upstream)
    with contextlib.ExitStack() as stack, Peak(edge) as peak:
        clients = []
        for _ in range(150):
            s = stack.enter_context(dial(edge.plain_port))
            s.sendall(request("POST", "/open/_poll", "Content-Length: 0"))
            clients.append(s)
        # Some 60 KiB of each, at twice that.
        wait_for(lambda: len(answered(clients)) >= 100, what="openings to be refused")
        wait_for(lambda: used(edge) <= 2 * MiB, what="the refused to be let go of")
        most, refused = used(edge), answered(clients)
        answers = [read_answer(s) for s in refused]
        print(f"150 openings: {len(answers)} refused, {most / MiB:.1f} MiB counted for the others, {peak}")
        # An eighth of the ceiling, and some that have more to come.
        assert MiB / 2 < most <= 2 * MiB and peak.most < 24 * MiB and memory(edge)["closed"] == 0
        assert {status for status, *_ in answers} == {503}
        # The server has not failed: the edge lacks memory.
        assert any(b"out_of_resources" in body for _, _, body, _ in answers) and not edge.events("server ejected")
        # The openings last for a minute, and others are let in meanwhile.
        with dial(edge.plain_port) as s:
            s.sendall(request("POST", "/open/other/_poll", "Content-Length: 0"))
            assert read_answer(s)[0] == 201
    wait_for(lambda: used(edge) == 0, what="nothing to be counted")
    stop.set()
    backend.stop()


def hello(edge):
    """Begins TLS with a record that lacks its end."""
    s = dial(edge.tls_port)
    message = b"\x01" + (16_000).to_bytes(3, "big") + b"\x03\x03" + bytes(15_990)
    s.sendall(b"\x16\x03\x01" + struct.pack(">H", 16_384) + message)
    return s


def record(edge):
    """Has had an answer, and sends a record that lacks its end."""
    s, incoming, outgoing = dial(edge.tls_port), ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context(cafile=str(edge.cert))
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")

    def patiently(step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                s.sendall(outgoing.read())
                got = s.recv(65536)
                if not got:
                    raise ConnectionResetError("cut in the middle of its handshake")
                incoming.write(got)

    patiently(tls.do_handshake)
    tls.write(request("GET", "/"))
    assert b" 426 " in patiently(lambda: tls.read(65536))
    tls.write(bytes(16_384))
    s.sendall(outgoing.read()[:-1])
    return s


@pytest.mark.parametrize("begin", [hello, record])
def test_records_of_tls_that_do_not_end_count_and_end_where_memory_does(backend, make_edge, begin):
    edge = make_edge(backend.port, limits=f"memory: 4MiB, {PATIENT}, http: {{ first_byte: 60s, idle: 60s }}")
    with contextlib.ExitStack() as stack, Peak(edge) as peak:
        kept = []
        for number in range(300):
            with contextlib.suppress(OSError):
                kept.append(stack.enter_context(begin(edge)))
            if number == 49:
                wait_for(lambda: used(edge) > 50 * 30_000, what="the records to be counted")
                assert not answered(kept)
        # Each is 16 KiB, at twice that.
        wait_for(lambda: len(answered(kept)) >= 100, what="connections to be cut")
        wait_for(lambda: used(edge) <= 4 * MiB, what="the relief")
        print(f"300 {begin.__name__}s without end: {len(answered(kept))} cut, {used(edge) / MiB:.1f} MiB, {peak}")
        assert used(edge) > 1 * MiB and peak.most < 24 * MiB and memory(edge)["closed"] == 0
    wait_for(lambda: used(edge) == 0, what="nothing to be counted")


# --- buffers ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_burst_leaves_no_more_than_is_counted(make_edge, tmp_path, scheme):
    """A connection kept a buffer as large as the largest message that TLS ever sent: 1 MiB for one of 1 MiB."""
    cert, key = make_certificate(tmp_path, "upstream")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    done = []

    def serve(plain):
        with context.wrap_socket(plain, server_side=True) if scheme == "wss" else plain as s:
            s.sendall(switching(request_head(s)))
            count = 0
            while count < MiB and (part := s.recv(65536)):
                count += len(part)
            done.append(count)
            s.recv(1)

    server = listen(serve)
    options = f'ca: "{cert}", sni: upstream' if scheme == "wss" else "retries: 0"
    edge = make_edge(0, limits="message: 2MiB, memory: 64MiB", session="buffer: 2MiB", upstream=(
        f'{{ servers: [ {{ url: "{scheme}://127.0.0.1:{server.getsockname()[1]}" }} ], {options} }}'))
    message = struct.pack("!QQ", 0, 1) + b"\x82\x7f" + struct.pack("!Q", MiB) + bytes(MiB)
    with client(edge) as http, Peak(edge) as peak:
        for number in range(40):
            at = open_session(http)
            assert http.post(at, content=message, headers={"Content-Type": BATCH}).status_code == 200
            wait_for(lambda: len(done) > number, what="the server to have the message")
        wait_for(lambda: used(edge) <= 40 * 96 * 1024, what="no message to be held")
        peak.look()
        print(f"40 sessions over {scheme} had a message of 1 MiB each: {peak}, {used(edge) / MiB:.1f} MiB count")
        assert peak.most < used(edge) + 20 * MiB
    server.close()


# --- sets of keys ----------------------------------------------------------------------------------------------------

SETS = {
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "reason phrase": (b"HTTP/1.1 200 ", b"a"),
    "field": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "fields": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "chunk's extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"e"),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
}


def test_a_set_of_keys_without_end_is_kept_nowhere_and_has_a_deadline(backend, make_edge):
    """Each server of a set sends an answer that does not end, as fast as it is read."""
    spent = {}

    def endless(name, begin, again):
        def serve(connection):
            with connection, contextlib.suppress(OSError):
                connection.recv(4096)
                begun = time.monotonic()
                pump(connection, begin, again, most=1 << 40)
                spent.setdefault(name, time.monotonic() - begun)

        return listen(serve)

    servers = [endless(name, *parts) for name, parts in SETS.items()]
    sources = ", ".join(f'{{ url: "http://127.0.0.1:{s.getsockname()[1]}/", refresh: 1s, timeout: 1s }}' for s in servers)
    edge = make_edge(backend.port, authentication=f"jwt: {{ issuer: i, audience: a, jwks: [ {sources} ] }}")
    with Peak(edge) as peak:
        # Once more each, now that the process has started.
        edge.expect_events("jwt keys not read; this set has none yet", 2 * len(SETS), timeout=30)
    wait_for(lambda: len(spent) == len(SETS), 30, "every answer to be cut")
    print(f"answers without end: {peak}, cut after {max(spent.values()):.1f} s at the latest")
    assert peak.most < 20 * MiB and max(spent.values()) < within(5)
    for server in servers:
        server.close()


# --- the admin listener ----------------------------------------------------------------------------------------------

def test_admin_connections_over_tls_hold_no_more_descriptors_than_plain_ones(backend, make_edge, tmp_path):
    """Each is closed for a later one, and does not answer the close handshake of TLS."""
    cert, key = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(cert))

    def tls_dial(edge):
        return context.wrap_socket(dial(edge.admin_port), server_hostname="localhost")

    def is_healthy(edge):
        try:
            with tls_dial(edge) as s:
                s.sendall(request("GET", "/healthz"))
                return read_answer(s)[0] == 200
        except OSError:
            return False

    edge = make_edge(backend.port, admin=f", tls: {{ certificates: [ {{ certificate: {cert}, key: {key} }} ] }}",
                     healthy=is_healthy)
    # With few descriptors there are eight connections, which are soon exceeded on a slow machine too.
    edge.stop()
    pipe = launch_with_pipe(edge, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200)))
    pipe.drain(lambda text: b"admin listening" in text)
    wait_for(lambda: is_healthy(edge), what="the edge to be healthy")
    before, most, held, stop = descriptors(edge), 0, [], threading.Event()

    def flood():
        while not stop.is_set() and len(held) < 100:
            with contextlib.suppress(OSError):
                held.append(tls_dial(edge))

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    while time.monotonic() < begun + 15 and any(thread.is_alive() for thread in threads):
        most = max(most, descriptors(edge) - before)
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join(20)
    print(f"{len(held)} TLS connections of nobody to the admin listener: {most} descriptors at most")
    for s in held:
        s.close()
    # Eight, and the few that are being opened and closed.
    assert len(held) > 8 and most < 8 + 12
    assert is_healthy(edge)
    assert end(edge.process) == 0

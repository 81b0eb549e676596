"""Attacks of a server, and of a server's name, on the edge and on the clients of other servers."""

import contextlib
import os
import resource
import select
import socket
import ssl
import threading
import time

import pytest

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import TOKEN, free_port, make_certificate, wait_for
from kit.names import Names
from kit.pools import upstream
from kit.script import ScriptedBackend, listen, switching

MIB = 1 << 20
# Long, so that what ends at once does not end for another reason.
PATIENT = dict(connect_timeout="60s", handshake_timeout="60s", retries=0, eject={"failures": 1})
TRANSPORTS = ["websocket", "long-poll"]


# --- a client that asks by hand ---------------------------------------------------------------------------------------

def asking(edge, path="/open", transport="websocket", connection=None):
    """A connection on which an opening has been asked for."""
    s = connection or socket.create_connection(("127.0.0.1", edge.plain_port), 20)
    s.settimeout(30)
    if transport == "websocket":
        s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   f"Authorization: Bearer {TOKEN}\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
    else:
        s.sendall((f"POST {path.rstrip('/')}/_poll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                   f"Authorization: Bearer {TOKEN}\r\n\r\n").encode())
    return s


def answer(s):
    """(status, head) of what comes next."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        got = s.recv(1)
        assert got, f"the connection ended behind {head!r}"
        head += got
    return int(head.split()[1]), head.decode()


def opened(edge, path="/open", transport="websocket"):
    """The status of an opening, and how long it took."""
    begin = time.monotonic()
    with asking(edge, path, transport) as s:
        return answer(s)[0], time.monotonic() - begin


def said(edge, message):
    return [(event.get("server"), event.get("reason")) for event in edge.events(message)]


def unsaid(edge, *messages):
    edge.catch_up()
    return not any(said(edge, message) for message in messages)


# --- names that hang --------------------------------------------------------------------------------------------------

OTHER = """
  other:
    servers: [ {{ url: "ws://b.fast.test:{port}" }} ]
    connect_timeout: 5s
    retries: 0
    eject: {{ failures: 1 }}
    health: {{ type: tcp, interval: 100ms, timeout: 5s, fall: 1 }}
"""
OTHER_ROUTE = "  - { path: /other, upstream: other, authentication: none }\n"


@pytest.fixture
def names(tmp_path, monkeypatch):
    names = Names(tmp_path, monkeypatch)
    yield names
    names.let_go()


def with_other(port, echo):
    """`echo` as it is given, and an upstream beside it whose name answers."""
    return echo + OTHER.format(port=port)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_name_that_hangs_holds_up_no_other_name(backend, make_edge, names, transport):
    hanging = upstream(connect_timeout="2s", retries=0, eject={"failures": 0}, health={
        "type": "tcp", "interval": "50ms", "timeout": "1s"}).replace(
            "[]", f'[{{"url": "ws://a.hang.test:{backend.port}"}}]')
    edge = make_edge(0, upstream=with_other(backend.port, hanging), extra_routes=OTHER_ROUTE)
    calm = sorted(opened(edge, "/other", transport)[1] for _ in range(5))[2]
    names.hold()
    wait_for(lambda: names.asked("a.hang.test"), what="a look-up that hangs")
    before = names.asked("a.hang.test")
    stuck = [asking(edge, "/open", transport) for _ in range(8)]
    got = [opened(edge, "/other", transport) for _ in range(9)]
    median = sorted(took for _, took in got)[4]
    print(f"8 openings hang; beside them {[status for status, _ in got]}, median {median * 1000:.0f} ms, "
          f"calm {calm * 1000:.0f} ms")
    assert {status for status, _ in got} <= {101, 201}
    assert median < 0.2 + 10 * calm
    # Each has its answer when its time is up, and all of them, and the checks, are one look-up.
    assert {answer(s)[0] for s in stuck} == {504}
    assert names.asked("a.hang.test") <= before + 1
    edge.catch_up()
    assert [server for server, _ in said(edge, "server ejected") + said(edge, "server unhealthy")
            if "fast.test" in server] == []
    names.let_go()
    wait_for(lambda: opened(edge, "/open", transport)[0] in (101, 201), what="the name to answer again")


def test_many_names_that_hang_hold_up_no_name_that_answers(backend, make_edge, names):
    count = 100
    servers = ", ".join(f'{{ url: "ws://n{n}.hang.test:{backend.port}" }}' for n in range(count))
    hanging = (f"{{ servers: [ {servers} ], retries: 0, "
               "health: { type: tcp, interval: 100ms, timeout: 300ms, fall: 1 } }")
    names.hold()
    edge = make_edge(0, upstream=with_other(backend.port, hanging), extra_routes=OTHER_ROUTE)
    before = edge.rss
    wait_for(lambda: all(names.asked(f"n{n}.hang.test") for n in range(count)), 20, "all names to be asked for")
    wait_for(lambda: len(said(edge, "server unhealthy")) >= count, 20, "all of them to count as unhealthy")
    status, took = opened(edge, "/other")
    threads = threads_of(edge)
    print(f"{count} names hang: {threads} threads, +{(edge.rss - before) / MIB:.1f} MiB; another took {took * 1000:.0f} ms")
    assert status == 101 and took < 3
    # A name that hangs has one look-up, however often it is asked for.
    assert sum(names.asked(f"n{n}.hang.test") for n in range(count)) == count
    assert threads < count + 100 and edge.rss - before < 40 * MIB
    edge.catch_up()
    assert all("hang.test" in server for server, _ in said(edge, "server unhealthy"))


def threads_of(edge):
    for line in open(f"/proc/{edge.process.pid}/status"):
        if line.startswith("Threads"):
            return int(line.split()[1])


# --- answers without end ----------------------------------------------------------------------------------------------

class Endless:
    """Sends `begin`, then `again` for as long as the edge takes it; `sent` is the most of one connection."""

    def __init__(self, begin, again, limit=256 * MIB):
        self.sent, self.begin, self.again, self.limit = 0, begin, again, limit
        self.backend = ScriptedBackend(self._run)
        self.port = self.backend.port

    def _run(self, connection, head):
        sent = 0
        blob = self.again * max(1, 65536 // len(self.again))
        with contextlib.suppress(OSError):
            connection.sendall(self.begin.encode("latin-1"))
            while sent < self.limit:
                connection.sendall(blob.encode("latin-1"))
                sent += len(blob)
                self.sent = max(self.sent, sent)
        connection.close()


ENDLESS = {
    "interim answers": ("", "HTTP/1.1 100 Continue\r\n\r\n", 502),
    "interim answers with fields": ("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 502),
    "reason phrase": ("HTTP/1.1 200 ", "a", 502),
    "field": ("HTTP/1.1 101 Switching Protocols\r\nX: ", "a", 502),
    "fields": ("HTTP/1.1 101 Switching Protocols\r\n", "X: y\r\n", 502),
    "no http": ("SSH-2.0", "x", 502),
    "body of a refusal": ("HTTP/1.1 404 No\r\n\r\n", "a", 404),
    "chunks of a refusal": ("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n", 502),
    "chunk extension": ("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n1;", "a", 502),
    "trailers": ("HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "X: y\r\n", 502),
}


@pytest.mark.parametrize("begin, again, status", ENDLESS.values(), ids=ENDLESS)
def test_an_answer_without_end_is_read_no_further_than_it_may_go(make_edge, begin, again, status):
    endless = Endless(begin, again)
    try:
        edge = make_edge(endless.port, upstream=upstream(
            endless.port, handshake_timeout="30s", retries=0, eject={"failures": 0}))
        before = edge.rss
        got = [opened(edge, transport=TRANSPORTS[n % 2]) for n in range(6)]
        print(f"{[g[0] for g in got]} after {max(g[1] for g in got):.2f} s, {endless.sent / MIB:.1f} MiB were sent, "
              f"+{(edge.rss - before) / MIB:.1f} MiB")
        assert {g[0] for g in got} == {status}
        # It was not the deadline that ended them.
        assert max(g[1] for g in got) < 15
        # These figures include the bytes that the sockets hold.
        assert endless.sent < 32 * MIB and edge.rss - before < 40 * MIB
    finally:
        endless.backend.stop()


# --- refusals over TLS ------------------------------------------------------------------------------------------------

class Refuser:
    """Refuses each session over TLS (`how` "status"), or breaks TLS off, and closes no connection by itself."""

    def __init__(self, folder, how):
        self.ca, key = make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, key)
        self.stopping, self.refused = threading.Event(), 0

        def serve(connection):
            with contextlib.suppress(OSError):
                connection.settimeout(20)
                if how == "no tls":
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                else:
                    connection = context.wrap_socket(connection, server_side=True)
                    connection.recv(65536)
                    connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                self.refused += 1
                # Its close_notify is never read, and so not answered.
                self.stopping.wait(30)
            connection.close()

        self.server = listen(serve)
        self.port = self.server.getsockname()[1]

    def stop(self):
        self.stopping.set()
        self.server.close()


@pytest.mark.parametrize("how, status", [("status", 403), ("no tls", 502)])
def test_a_server_that_refuses_over_tls_keeps_no_connections(make_edge, tmp_path, how, status):
    """Each lived until the server answered the end of TLS, or for a second, and counted nowhere."""
    refuser = Refuser(tmp_path, how)
    try:
        edge = make_edge(0, upstream=upstream(ca=str(refuser.ca), retries=0, eject={"failures": 0}).replace(
            "[]", f'[{{"url": "wss://localhost:{refuser.port}"}}]'))
        base, most, got, clients = descriptors_of(edge), 0, set(), 12
        end = time.monotonic() + 3

        def ask():
            with socket.create_connection(("127.0.0.1", edge.plain_port), 20) as s:
                while time.monotonic() < end:
                    asking(edge, transport="long-poll", connection=s)
                    code, head = answer(s)
                    got.add(code)
                    length = int(head.lower().split("content-length:")[1].split()[0]) if "ontent-" in head else 0
                    while length:
                        length -= len(s.recv(length))
                    if "connection: close" in head.lower():
                        return

        threads = [threading.Thread(target=ask, daemon=True) for _ in range(clients)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            most = max(most, descriptors_of(edge) - base)
            time.sleep(0.01)
        print(f"{how}: {refuser.refused} refusals in 3 s to {clients} clients: {most} descriptors at most")
        assert got == {status} and refuser.refused
        # A client's, and its opening's, and the connections that wait for the end of TLS.
        assert most <= 2 * clients + 64 + 4
        wait_for(lambda: descriptors_of(edge) <= base + 1, 5, "the connections to be closed")
    finally:
        refuser.stop()


def descriptors_of(edge):
    return len(os.listdir(f"/proc/{edge.process.pid}/fd"))


def test_heads_in_single_bytes_are_read(make_edge):
    def drip(connection, head):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        for byte in hints * 2 + switching(head, "X: " + "a" * 5000 + "\r\n"):
            connection.sendall(bytes([byte]))

    dripping = ScriptedBackend(drip)
    try:
        edge = make_edge(dripping.port)
        assert [opened(edge, transport=transport)[0] for transport in TRANSPORTS] == [101, 201]
    finally:
        dripping.stop()


CHECKED_ENDLESS = {
    "interim answers, http": ("http", {}, "", "HTTP/1.1 100 Continue\r\n\r\n", "interim answers"),
    "interim answers, websocket": ("websocket", {}, "", "HTTP/1.1 100 Continue\r\n\r\n", "interim answers"),
    "reason phrase, http": ("http", {}, "HTTP/1.1 200 ", "a", "KiB"),
    "pongs": ("websocket", {"ping": True}, None, "\x8a\x7d" + "x" * 125, "pong"),
}


@pytest.mark.parametrize("kind, options, begin, again, reason", CHECKED_ENDLESS.values(), ids=CHECKED_ENDLESS)
def test_a_check_reads_no_further_than_it_may_go(make_edge, kind, options, begin, again, reason):
    endless = Endless(begin or "", again)
    if begin is None:
        run = endless.backend.script

        def behind_a_handshake(connection, head):
            connection.sendall(switching(head))
            run(connection, head)

        endless.backend.script = behind_a_handshake
    try:
        edge = make_edge(endless.port, upstream=upstream(endless.port, health={
            "type": kind, "interval": "200ms", "timeout": "30s", "fall": 2, **options}))
        before = edge.rss
        wait_for(lambda: said(edge, "server unhealthy"), 20, "checks that fail")
        print(f"{said(edge, 'server unhealthy')}, {endless.sent / MIB:.1f} MiB, +{(edge.rss - before) / MIB:.1f} MiB")
        assert reason in said(edge, "server unhealthy")[0][1]
        assert endless.sent < 32 * MIB and edge.rss - before < 40 * MIB
    finally:
        endless.backend.stop()


# --- out of descriptors -----------------------------------------------------------------------------------------------

def descriptors_end(edge):
    """The process gets no more, as things are: a new one would have the lowest number that is free."""
    taken = {int(name) for name in os.listdir(f"/proc/{edge.process.pid}/fd")}
    free = next(number for number in range(len(taken) + 1) if number not in taken)
    _, hard = resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, (free, hard))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_without_a_descriptor_no_server_has_failed(backend, make_edge, transport, host):
    edge = make_edge(0, upstream=upstream(
        backend.port, retries=0, eject={"failures": 1},
        health={"type": "tcp", "interval": "50ms", "timeout": "2s", "fall": 1}).replace("127.0.0.1", host))
    connections = [socket.create_connection(("127.0.0.1", edge.plain_port), 20) for _ in range(4)]
    # Accepted, each: an answer has come.
    for s in connections:
        s.sendall(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        _, head = answer(s)
        length = int(head.lower().split("content-length:")[1].split()[0])
        while length:
            length -= len(s.recv(length))
    limits = resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE)

    def not_checked():
        # A check that was under way has given its descriptor back since.
        descriptors_end(edge)
        return said(edge, "server not checked")

    try:
        wait_for(not_checked, what="a check for which there is no descriptor")
        for s in connections:
            descriptors_end(edge)
            status, head = answer(asking(edge, "/open", transport, connection=s))
            print(head.splitlines())
            assert status == 503 and "\r\nretry-after: 1\r\n" in head.lower()
            assert "out_of_resources" in s.recv(4096).decode()
            # A connection that is closed behind its refusal gives its descriptor back.
            while "connection: close" in head.lower() and s.recv(4096):
                pass
        wait_for(lambda: len(said(edge, "upstream failed")) >= 4, what="the log's lines")
        assert all("descriptor" in reason for _, reason in said(edge, "upstream failed"))
        assert len(said(edge, "upstream failed")) == 4
    finally:
        resource.prlimit(edge.process.pid, resource.RLIMIT_NOFILE, limits)
    status = wait_for(lambda: opened(edge, "/open", transport)[0], what="an answer")
    assert status in (101, 201)
    assert unsaid(edge, "server ejected", "server unhealthy")
    # Not with each check.
    assert len(said(edge, "server not checked")) < 4


# --- a client that has gone ---------------------------------------------------------------------------------------------

@contextlib.contextmanager
def full_backlog():
    """A port whose queue of connections is full: one more is not answered."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    port = server.getsockname()[1]
    fillers = []
    try:
        for _ in range(20):
            s = socket.socket()
            s.setblocking(False)
            fillers.append(s)
            s.connect_ex(("127.0.0.1", port))
            if not select.select([], [s], [], 0.3)[1]:
                break
        else:
            pytest.fail("every connection was answered")
        yield port
    finally:
        for s in fillers + [server]:
            s.close()


def leaves(edge, admin, transport, what, has_come=lambda: True):
    """A client asks for a session, and goes when a server has been chosen for it."""
    s = asking(edge, "/open", transport)
    wait_for(lambda: admin.upstream_sessions() == 1 and has_come(), what=f"an opening at {what}")
    s.close()
    wait_for(lambda: admin.upstream_sessions() == 0 and admin.get("/healthz").json()["sessions"] == 0, what="its end")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_opening_ends_with_its_client_while_the_server_says_nothing(make_edge, transport):
    over = threading.Event()

    def silent(connection, head):
        # Until the edge hangs up.
        with contextlib.suppress(OSError):
            while connection.recv(4096):
                pass
        over.set()

    backend = ScriptedBackend(silent)
    try:
        edge = make_edge(backend.port, upstream=upstream(backend.port, **PATIENT))
        with Admin(edge) as admin:
            leaves(edge, admin, transport, "a server that says nothing", lambda: backend.heads)
        assert over.wait(10)
        assert unsaid(edge, "server ejected")
    finally:
        backend.stop()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_opening_ends_with_its_client_while_it_connects(make_edge, transport):
    with full_backlog() as port:
        edge = make_edge(port, upstream=upstream(port, **PATIENT))
        with Admin(edge) as admin:
            leaves(edge, admin, transport, "a server that does not accept", lambda: connecting(port, edge))
            wait_for(lambda: not connecting(port, edge), what="the connect to be called off")
        assert unsaid(edge, "server ejected")


def connecting(port, edge):
    """Whether a socket of this machine, other than the test's own one, is in SYN_SENT towards the port."""
    inodes = set()
    for number in os.listdir(f"/proc/{edge.process.pid}/fd"):
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(f"/proc/{edge.process.pid}/fd/{number}").removeprefix("socket:[").rstrip("]"))
    rows = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
    return any(row[2].endswith(f":{port:04X}") and row[3] == "02" and row[9] in inodes for row in rows)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_opening_ends_with_its_client_while_the_name_hangs(make_edge, names, transport):
    edge = make_edge(0, upstream=upstream(free_port(), **PATIENT).replace("127.0.0.1", "a.hang.test"))
    names.hold()
    with Admin(edge) as admin:
        leaves(edge, admin, transport, "a name that hangs", lambda: names.asked("a.hang.test"))
    assert unsaid(edge, "server ejected")

"""Attacks by what costs TLS more than its bytes: steps of handshakes, new keys, and records of a byte, on many connections at
once, none of which has a token. All of it is made ahead, and sent in one moment."""

import contextlib
import socket
import ssl
import struct
import threading
import time

import pytest

from kit.attack import dial, request
from kit.edge import make_certificate, wait_for
from kit.flights import TLS_1_2, Flights
from kit.pools import upstream
from kit.raw import masked
from kit.script import ScriptedBackend, listen, switching
from kit.turns import Turns
from test_attack_crowds import UPGRADE, unsent
from test_tls import certificate

pytestmark = pytest.mark.alone
LIMITS = "handshake: 60s, http: { first_byte: 60s, idle: 60s }"


def take(connection, head):
    """A backend that reads all there is of a WebSocket."""
    connection.sendall(switching(head))
    while connection.recv(65536):
        pass


@contextlib.contextmanager
def crowd(count, make):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(make()) for _ in range(count)]


def send(messages):
    """Sends each of the messages on its socket, as far as the socket takes them, all in one moment."""
    rest = {s: memoryview(message) for s, message in messages}
    for s in rest:
        s.setblocking(False)
    deadline = time.monotonic() + 30
    while rest:
        assert time.monotonic() < deadline, f"{len(rest)} messages are not taken"
        for s in list(rest):
            try:
                rest[s] = rest[s][s.send(rest[s]):]
            except BlockingIOError:
                continue
            except ConnectionError:
                del rest[s]
                continue
            if not rest[s]:
                del rest[s]
    for s, _ in messages:
        s.settimeout(20)


def attack(edge, name, messages, until=None, bound=0.2):
    """What a loop does before it answers others, while the messages are sent and for a second behind them."""
    wait_for(lambda: sum(unsent(s) for s, _ in messages) == 0, 20, "what was sent before to be with the edge")
    with Turns(edge) as turns:
        send(messages)
        if until:
            until()
        # The last bytes may be in the sockets still.
        time.sleep(1)
    print(f"{name}: {len(messages)} connections, {sum(len(message) for _, message in messages)} bytes at once: {turns}")
    assert turns.samples[-1] < bound


@pytest.fixture
def rsa(tmp_path):
    """For the name rsa.example. Clients of TLS 1.2 that speak P-384 alone take no ECDSA key of P-256."""
    return certificate(tmp_path, "RSA")


@pytest.mark.parametrize("name", ["localhost", "rsa.example"])
def test_first_messages_of_which_one_byte_has_come_hold_up_nobody(backend, make_edge, rsa, name):
    """All of a handshake but the first byte was in one turn of the loop. With several certificates, the choice of one
    interrupts it."""
    edge = make_edge(backend.port, limits=LIMITS, certs=[rsa] if name == "rsa.example" else ())
    with (Flights(edge.tls_port, groups="P-384", name=name) as client,
          crowd(600, lambda: dial(edge.tls_port)) as held):
        for s in held:
            s.send(client.first[:1])
        attack(edge, "the rest of the first message", [(s, client.first[1:]) for s in held],
               lambda: [s.recv(1) for s in held])


def test_first_messages_that_were_sent_back_hold_up_nobody(backend, make_edge):
    """HelloRetryRequest: the group that the client has guessed is not spoken, and it sends its message again."""
    edge = make_edge(backend.port, limits=LIMITS)
    with crowd(600, lambda: Flights(edge.tls_port, groups="P-521:P-384")) as clients:
        for client in clients:
            client.socket.sendall(client.first)
        seconds = [client.answer() for client in clients]
        attack(edge, "second first messages", [(c.socket, m) for c, m in zip(clients, seconds)],
               lambda: [client.socket.recv(1) for client in clients])


def test_last_messages_of_handshakes_of_tls_1_2_hold_up_nobody(backend, make_edge, rsa):
    """The server agrees on the key when it has the client's second message."""
    edge = make_edge(backend.port, limits=LIMITS, certs=[rsa])
    with crowd(900, lambda: Flights(edge.tls_port, "P-384", TLS_1_2, "rsa.example")) as clients:
        for client in clients:
            client.socket.sendall(client.first)
        seconds = [client.answer() for client in clients]
        attack(edge, "second messages of TLS 1.2", [(c.socket, m) for c, m in zip(clients, seconds)],
               lambda: [client.socket.recv(1) for client in clients])


def test_first_messages_at_the_admin_listener_hold_up_no_client(backend, make_edge, tmp_path):
    cert, key = make_certificate(tmp_path, "admin")
    edge = make_edge(backend.port, limits=LIMITS, healthy=lambda edge: "admin listening" in edge.text,
                     admin=f", tls: {{ certificates: [ {{ certificate: {cert}, key: {key} }} ] }}")
    with Flights(edge.admin_port, groups="P-384") as client, crowd(110, lambda: dial(edge.admin_port)) as held:
        # Half of them are more than 110 ms of a loop.
        attack(edge, "first messages to the admin listener", [(s, client.first) for s in held],
               lambda: [s.recv(1) for s in held], bound=0.06)


def key_updates(client, count):
    """TLS takes 32 in a row at most, and then wants content."""
    made = []
    while count > 0:
        made += [client.key_update() for _ in range(min(30, count))] + [client.record(b"x")]
        count -= 30
    return b"".join(made)


def small_records(client, count):
    return b"".join(client.record(b"x") for _ in range(count))


@pytest.mark.parametrize("kind, make, count", [
    ("new keys", key_updates, 1200), ("records of a byte", small_records, 4000)])
@pytest.mark.parametrize("phase", ["a head that does not end", "the body of a refused request", "a WebSocket"])
def test_small_records_hold_up_nobody(make_edge, kind, make, count, phase):
    """TLS decrypts all of a read before anything behind it has a say."""
    backend = ScriptedBackend(take)
    edge = make_edge(backend.port, limits=LIMITS)
    begin = {
        "a head that does not end": b"GET /nothing HTTP/1.1\r\nHost: localhost\r\nA: ",
        "the body of a refused request": request("POST", "/nothing/_poll/AAAA", "Content-Length: 900000"),
        "a WebSocket": UPGRADE}[phase]
    with crowd(150, lambda: Flights(edge.tls_port).shake()) as clients:
        for client in clients:
            client.socket.sendall(client.record(begin))
        if phase == "a WebSocket":
            for client in clients:
                assert b" 101 " in client.read()
                # The content is that of one message of which the edge is told the length.
                client.socket.sendall(client.record(b"\x82\xff" + struct.pack(">QI", 900_000, 0)))
        attack(edge, f"{kind} in {phase}", [(client.socket, make(client, count)) for client in clients])
    backend.stop()


def test_what_is_sent_in_many_small_records_arrives_whole_and_in_order(make_edge):
    """In front of the end of the client's direction too, which TLS is told behind them."""
    sent = []

    def keep(connection, head):
        connection.sendall(switching(head))
        got = head.partition(b"\r\n\r\n")[2]
        while len(got) < len(whole) and (part := connection.recv(65536)):
            got += part
        sent.append(got)

    backend = ScriptedBackend(keep)
    edge = make_edge(backend.port, limits=LIMITS)
    frames = [masked(1, f"message {number}".encode()) for number in range(3000)]
    whole = b"".join(frames)
    with Flights(edge.tls_port) as client:
        client.shake()
        # Some of it is behind the request in the same packet, and waits for the session.
        client.socket.sendall(client.record(UPGRADE) + b"".join(client.record(frame) for frame in frames[:300]))
        assert b" 101 " in client.read()
        client.socket.sendall(b"".join(client.record(frame) for frame in frames[300:]))
        client.socket.shutdown(socket.SHUT_WR)
        wait_for(lambda: sent, 20, "the end of the session")
    print(f"{len(frames)} frames in a record each: {len(sent[0])} bytes have come to the backend")
    # A Close of the edge's may follow.
    assert sent[0].startswith(whole)
    backend.stop()


class Held:
    """A server of wss whose messages a test sends, with the group that costs most."""

    def __init__(self, folder):
        cert, key = make_certificate(folder, "backend")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.context.set_ecdh_curve("secp384r1")
        self.flights, self.ready, self.failed = [], [], []
        self.released = threading.Event()
        self.listener = listen(self._serve)
        self.upstream = upstream({"port": self.listener.getsockname()[1], "scheme": "wss"}, ca=str(cert),
                                 handshake_timeout="60s", connect_timeout="60s")

    def _serve(self, connection):
        try:
            self._shake(connection)
        except (OSError, AssertionError) as error:
            self.failed.append(error)

    @staticmethod
    def _receive(connection):
        got = connection.recv(65536)
        assert got, "the edge has ended the connection"
        return got

    def _shake(self, connection):
        connection.settimeout(60)
        arrived, made = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(arrived, made, server_side=True)
        # The client guesses another group, and is asked for this one.
        for is_last in (False, True):
            while not made.pending:
                arrived.write(self._receive(connection))
                with contextlib.suppress(ssl.SSLWantReadError):
                    tls.do_handshake()
            if is_last:
                self.flights.append((connection, made.read()))
                assert self.released.wait(60)
            else:
                connection.sendall(made.read())
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
                break
            arrived.write(self._receive(connection))
        head = b""
        while b"\r\n\r\n" not in head:
            with contextlib.suppress(ssl.SSLWantReadError):
                head += tls.read(65536)
                continue
            arrived.write(self._receive(connection))
        # A message that does not end, in records of a byte.
        tls.write(switching(head) + b"\x82\x7f" + struct.pack(">Q", 900_000))
        connection.sendall(made.read())
        for _ in range(4000):
            tls.write(b"x")
        self.ready.append((connection, made.read()))


def test_what_servers_send_over_tls_at_once_holds_up_nobody(backend, make_edge, tmp_path):
    """The last messages of their handshakes first, and then records of a byte."""
    server = Held(tmp_path)
    edge = make_edge(backend.port, upstream=server.upstream, limits=LIMITS)
    with crowd(250, lambda: dial(edge.plain_port)) as clients:
        for client in clients:
            client.sendall(UPGRADE)
        wait_for(lambda: len(server.flights) == len(clients) or server.failed, 60, "the openings to be held")
        assert not server.failed
        attack(edge, "last messages of servers", server.flights,
               lambda: (server.released.set(), [client.recv(1) for client in clients]))
        wait_for(lambda: len(server.ready) == len(clients) or server.failed, 60, "the sessions to begin")
        assert not server.failed
        attack(edge, "records of a byte from servers", server.ready)
    server.listener.close()

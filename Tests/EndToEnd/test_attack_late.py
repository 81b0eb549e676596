"""Attacks with what comes too late: for an opening that was given up, for a session that closes."""

import socket
import ssl
import threading

import pytest

from kit.attack import MiB, Peak, dial, request
from kit.edge import TOKEN, make_certificate, wait_for
from kit.poll import client, open_session
from kit.pools import upstream
from kit.push import push
from kit.script import ScriptedBackend, listen, read_head, switching
from kit.stray import cpu


class LateServer:
    """Over TLS. It answers a handshake only when the edge has said close_notify, and goes on without end."""

    def __init__(self, folder):
        self.cert, key = make_certificate(folder, "late")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.cert, key)
        self.asked, self.sent = [], []
        self.listener = listen(self.serve)
        self.port = self.listener.getsockname()[1]

    def serve(self, plain):
        # What the kernel takes by itself is little beside what the edge took.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        plain.settimeout(20)
        with self.context.wrap_socket(plain, server_side=True) as s:
            head = read_head(s)
            if not head:
                return
            self.asked.append(head)
            while s.recv(65536):
                pass
            sent = 0
            try:
                s.sendall(switching(head))
                while sent < 256 * MiB:
                    s.sendall(bytes(65536))
                    sent += 65536
            except OSError:
                pass
            self.sent.append(sent)

    def stop(self):
        self.listener.close()


@pytest.fixture
def late(tmp_path):
    server = LateServer(tmp_path)
    yield server
    server.stop()


OPENING = request("GET", "/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", token=TOKEN)


@pytest.mark.parametrize("given_up", ["by its client", "at its deadline", "as a check"])
def test_what_a_server_sends_for_an_opening_that_was_given_up_is_not_kept(make_edge, late, given_up):
    """TLS decodes on while it closes, and all that came behind a late 101 was kept: 107 MiB in a second."""
    count, options = 6, {"retries": 0, "ca": str(late.cert), "eject": {"failures": 0}}
    if given_up == "at its deadline":
        options["handshake_timeout"] = "1s"
    if given_up == "as a check":
        options["health"] = {"type": "websocket", "interval": "100ms", "timeout": "500ms"}
    edge = make_edge(0, upstream=upstream({"port": late.port, "scheme": "wss"}, **options),
                     healthy=lambda edge: _listens(edge))
    clients = []
    with Peak(edge) as peak:
        if given_up != "as a check":
            for _ in range(count):
                clients.append(dial(edge.plain_port))
                clients[-1].sendall(OPENING)
            wait_for(lambda: len(late.asked) >= count, what="the server to be asked")
            if given_up == "by its client":
                for s in clients:
                    s.close()
        wait_for(lambda: len(late.sent) >= count, timeout=30, what="the connections to be cut")
    sent = late.sent[:count]
    print(f"{given_up}: {[round(n / MiB, 1) for n in sent]} MiB were taken of each, the process had {peak}")
    assert max(sent) < 4 * MiB
    assert peak.most < 32 * MiB
    for s in clients:
        s.close()


def _listens(edge):
    try:
        dial(edge.plain_port).close()
        return True
    except OSError:
        return False


@pytest.mark.parametrize("frames", ["pings", "pongs"])
def test_pings_for_a_polled_session_that_closes_are_read_slowly(make_edge, frames):
    """The bound of pings ended with the session's Close, and an upstream could keep a loop busy until the deadline."""
    deleted, sent = threading.Event(), []
    blob = {"pings": b"\x89\0", "pongs": b"\x8a\0"}[frames] * 32768

    def script(connection, head):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.sendall(switching(head))
        deleted.wait(20)
        sent.append(push(connection, blob, 4))

    backend = ScriptedBackend(script)
    edge = make_edge(backend.port, limits="handshake: 2s")
    with client(edge) as http:
        assert http.delete(open_session(http)).status_code == 204
    before = cpu(edge.process)
    deleted.set()
    wait_for(lambda: sent, timeout=20, what="the connection to be cut")
    used = cpu(edge.process) - before
    print(f"{sent[0] / MiB:.1f} MiB of {frames} were taken in the 2 s until the deadline, most by the kernel; {used:.2f} s of CPU")
    # A MiB in 50 ms, where each of them counts 16 bytes beside its own.
    assert used < 0.7
    backend.stop()

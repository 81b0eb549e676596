"""The PROXY protocol: from a balancer in front that passes TLS through, and to servers behind."""

import asyncio
import contextlib
import http.client
import json
import socket
import ssl
import struct
import threading
import time

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from kit.admin import Admin
from kit.edge import make_certificate, wait_for
from kit.knock import TRANSPORTS
from kit.process import restart
from kit.proxied import LOCAL, SIGNATURE, HeaderReader, header, tcp

VERSIONS = ["v1", "v2"]
SOURCES = ["203.0.113.9", "2001:db8::9"]


def accepting(make_edge, port, trusted=("127.0.0.1",), log="", **options):
    """An edge whose TLS listener wants a header; the other one takes none."""
    edge = make_edge(port, sections=f"trusted_proxies: {json.dumps(trusted)}", **options)
    restart(edge, ("    tls:\n", "    proxy_protocol: true\n    tls:\n"), ("format: json", f"format: json{log}"))
    return edge


@contextlib.contextmanager
def opened(edge, transport, sock, headers=None):
    """A session over a connection that has been begun, which has talked."""
    headers = {**edge.auth, **(headers or {})}
    if transport == "long-poll":
        with contextlib.closing(http.client.HTTPSConnection("localhost", edge.tls_port, timeout=20)) as connection:
            connection.sock = edge.ssl.wrap_socket(sock, server_hostname="localhost")
            connection.request("POST", "/_poll", headers=headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 201
            yield
            # The connection goes on, with no header any more.
            connection.request("DELETE", answer.headers["location"], headers=headers)
            assert connection.getresponse().status == 204
        return
    sock.setblocking(False)
    done, ready, failed = threading.Event(), threading.Event(), []

    async def run():
        try:
            async with asyncio.timeout(30):
                async with connect(edge.wss, sock=sock, ssl=edge.ssl, server_hostname="localhost",
                                   additional_headers=headers) as ws:
                    await ws.send("x")
                    assert await ws.recv() == "x"
                    ready.set()
                    await asyncio.to_thread(done.wait, 20)
        except Exception as error:
            failed.append(error)
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(30) and not failed, failed
        yield
    finally:
        done.set()
        thread.join(30)


def forwarded_for(backend):
    return backend.requests[-1].headers["X-Forwarded-For"]


def is_closed(s):
    """Whether the edge closes it now, without a word."""
    try:
        return s.recv(1) == b""
    except ConnectionResetError:
        return True


# --- from a balancer -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_client_is_whom_the_header_names(backend, make_edge, transport, source):
    edge = accepting(make_edge, backend.port)
    with Admin(edge) as admin:
        for version in VERSIONS:
            # What the client itself claims is worth no more than on a connection of its own.
            claim = {"X-Forwarded-For": "192.0.2.66", "Forwarded": "for=192.0.2.67"}
            with opened(edge, transport, tcp(edge, header(version, source)), claim):
                assert forwarded_for(backend) == source
                assert source in backend.requests[-1].headers["Forwarded"]
                assert {s["address"] for s in admin.sessions()} == {source}
        wait_for(lambda: [e["client"] for e in edge.events("session opened")] == [source] * 2, what="the log")


def test_the_listener_beside_takes_no_header(backend, make_edge):
    edge = accepting(make_edge, backend.port)
    with tcp(edge, header("v1", SOURCES[0]), port=edge.plain_port) as s:
        # PROXY is then a method that the edge does not know.
        assert s.recv(100).startswith(b"HTTP/1.1 501")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_proxy_that_the_header_names_is_believed_about_its_client(backend, make_edge, version):
    edge = accepting(make_edge, backend.port, trusted=("127.0.0.1", "10.0.0.0/8"))
    claim = {"X-Forwarded-For": "192.0.2.66, 203.0.113.77"}
    with opened(edge, "websocket", tcp(edge, header(version, "10.1.2.3")), claim):
        assert forwarded_for(backend) == "203.0.113.77, 10.1.2.3"


@pytest.mark.parametrize("first", [
    LOCAL["v1"], LOCAL["v2"], b"PROXY UNKNOWN 1.2.3.4 what ever\r\n", SIGNATURE + b"\x21\x00\x00\x00",
    SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216)], ids=["v1", "v2", "v1-more", "unspecified", "unix"])
def test_without_an_address_in_the_header_it_is_the_proxys_own(backend, make_edge, first):
    edge = accepting(make_edge, backend.port)
    # The balancer that passes TLS through has not written these.
    for claim in ({}, {"X-Forwarded-For": "7.7.7.7"}, {"Forwarded": "for=7.7.7.7"}):
        with opened(edge, "long-poll", tcp(edge, first), claim):
            assert forwarded_for(backend) == "127.0.0.1"


def tls_hello(edge):
    """The first bytes of a TLS connection, and what goes on with it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = edge.ssl.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing


@pytest.mark.parametrize("version", VERSIONS)
def test_header_and_tls_may_come_at_once_or_byte_by_byte(backend, make_edge, version):
    edge = accepting(make_edge, backend.port)
    more = b"\x04\x00\x03pad" + b"\xea\x00\x0a0123456789" if version == "v2" else b""
    for step in (100_000, 1):
        tls, incoming, outgoing = tls_hello(edge)
        first = header(version, SOURCES[0], more=more) + outgoing.read()
        with tcp(edge) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(first), step):
                s.sendall(first[at:at + step])
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    s.sendall(outgoing.read())
                    got = s.recv(65536)
                    assert got
                    incoming.write(got)
            tls.write(f"POST /_poll HTTP/1.1\r\nHost: localhost\r\nAuthorization: {edge.auth['Authorization']}\r\n\r\n"
                      .encode())
            s.sendall(outgoing.read())
            answer = b""
            while b"\r\n\r\n" not in answer:
                try:
                    answer += tls.read()
                except ssl.SSLWantReadError:
                    got = s.recv(65536)
                    assert got
                    incoming.write(got)
            assert answer.startswith(b"HTTP/1.1 201")
            assert forwarded_for(backend) == SOURCES[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_listener_without_tls_takes_headers_too(backend, make_edge, version):
    edge = make_edge(backend.port, sections="trusted_proxies: [127.0.0.1]")
    listener = f"  - address: 127.0.0.1:{edge.plain_port}\n"
    restart(edge, (listener, listener + "    proxy_protocol: true\n"))
    request = b"POST /open/_poll HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with tcp(edge, header(version, SOURCES[1]) + request, port=edge.plain_port) as s:
        assert s.recv(100).startswith(b"HTTP/1.1 201")
    assert forwarded_for(backend) == SOURCES[1]
    with opened(edge, "long-poll", tcp(edge)):
        assert forwarded_for(backend) == "127.0.0.1"


def test_who_is_no_trusted_proxy_is_refused_at_once(backend, make_edge):
    edge = accepting(make_edge, backend.port, log=", level: debug")
    begin = time.monotonic()
    # Nothing that it says helps it.
    for first in (b"", header("v1", "127.0.0.1"), header("v2", "127.0.0.1"), tls_hello(edge)[2].read()):
        with contextlib.suppress(ConnectionError), tcp(edge, first, host="127.0.0.2") as s:
            assert is_closed(s)
    assert time.monotonic() - begin < 5
    told = edge.expect_events("connection closed before its PROXY header")
    assert (told[0]["peer"], told[0]["reason"]) == ("127.0.0.2", "no trusted proxy")
    with opened(edge, "websocket", tcp(edge, header("v2", SOURCES[0]))):
        pass


@pytest.mark.parametrize("first", [b"", b"PROXY TCP4 203.0.113.9 198", header("v2", SOURCES[1])[:-1]],
                         ids=["none", "v1", "v2"])
def test_a_header_that_does_not_come_to_its_end_is_not_waited_for(backend, make_edge, first):
    edge = accepting(make_edge, backend.port, limits="handshake: 1s")
    begin = time.monotonic()
    with tcp(edge, first) as s:
        assert is_closed(s)
    assert 0.9 < time.monotonic() - begin < 8
    [told] = edge.expect_events("connection closed before its PROXY header")
    assert (told["peer"], told["reason"]) == ("127.0.0.1", "no PROXY header in time")


@pytest.mark.parametrize("first, reason", [
    (None, "not a PROXY header"),
    (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not a PROXY header"),
    (b"PROXY TCP4 203.0.113.9 nowhere 1 2\r\n", "a malformed PROXY line"),
    (b"PROXY UNKNOWN " + b"x" * 100, "a PROXY line that does not end"),
    (SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12), "a PROXY header of an unknown kind"),
    (SIGNATURE + b"\x21\x11" + struct.pack("!H", 5000), "a PROXY header that is too long"),
], ids=["tls", "http", "malformed", "endless", "version-3", "too-long"])
def test_what_is_no_header_ends_the_connection(backend, make_edge, first, reason):
    edge = accepting(make_edge, backend.port)
    with tcp(edge, tls_hello(edge)[2].read() if first is None else first) as s:
        assert is_closed(s)
    [told] = edge.expect_events("connection closed before its PROXY header")
    assert told["reason"] == reason


# --- to servers ------------------------------------------------------------------------------------------------------

@pytest.fixture
def reader(backend):
    reader = HeaderReader(backend.port)
    yield reader
    reader.stop()
    assert not reader.errors


def sending(port, version, scheme="ws", **options):
    return json.dumps({"servers": [{"url": f"{scheme}://localhost:{port}"}], "proxy_protocol": version, **options})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_is_told_the_client_and_where_it_connected(reader, make_edge, transport, version):
    edge = make_edge(0, upstream=sending(reader.port, version))
    for _ in range(2):
        s = tcp(edge)
        port = s.getsockname()[1]
        with opened(edge, transport, s):
            assert reader.headers[-1] == (version, 4, "127.0.0.1", port, "127.0.0.1", edge.tls_port)
    assert len(reader.headers) == 2


@pytest.mark.parametrize("version", VERSIONS)
def test_what_one_header_says_the_next_one_says(reader, make_edge, version):
    edge = accepting(make_edge, 0, upstream=sending(reader.port, version))
    with opened(edge, "websocket", tcp(edge, header("v2", SOURCES[0], 1234))):
        assert reader.headers[-1] == (version, 4, SOURCES[0], 1234, "127.0.0.1", edge.tls_port)
    # Both ends are of one family.
    with opened(edge, "websocket", tcp(edge, header("v1", SOURCES[1], 65535))):
        said = reader.headers[-1]
        assert said[:4] == (version, 6, SOURCES[1], 65535)
        assert said[4] in ("::ffff:127.0.0.1", "::ffff:7f00:1") and said[5] == edge.tls_port


@pytest.mark.parametrize("version", VERSIONS)
def test_of_a_client_that_a_request_told_of_no_port_is_known(reader, make_edge, version):
    edge = make_edge(0, upstream=sending(reader.port, version), sections="trusted_proxies: [127.0.0.1]")
    with opened(edge, "websocket", tcp(edge), {"X-Forwarded-For": SOURCES[0]}):
        assert reader.headers[-1] == (version, 4, SOURCES[0], 0, "127.0.0.1", edge.tls_port)


class SecureEcho:
    """`websockets` with TLS, in a thread."""

    def __init__(self, folder):
        self.cert, key = make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, key)
        self.loop, ready = asyncio.new_event_loop(), threading.Event()

        async def echo(ws):
            async for message in ws:
                await ws.send(message)

        async def main():
            self.finish = asyncio.Event()
            async with serve(echo, "127.0.0.1", 0, ssl=context) as server:
                self.port = server.sockets[0].getsockname()[1]
                ready.set()
                await self.finish.wait()

        threading.Thread(target=lambda: self.loop.run_until_complete(main()), daemon=True).start()
        assert ready.wait(10)

    def stop(self):
        self.loop.call_soon_threadsafe(self.finish.set)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_header_stands_before_tls(make_edge, tmp_path, version):
    (tmp_path / "server").mkdir()
    secure = SecureEcho(tmp_path / "server")
    reader = HeaderReader(secure.port)
    try:
        edge = make_edge(0, upstream=sending(reader.port, version, "wss", ca=str(secure.cert)))
        with opened(edge, "websocket", tcp(edge)):
            assert reader.headers[-1][:3] == (version, 4, "127.0.0.1")
    finally:
        reader.stop()
        secure.stop()
    assert not reader.errors

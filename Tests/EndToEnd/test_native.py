"""Native WebSocket through the edge, with a client and a backend that know nothing of it."""

import asyncio
import os
import socket
import ssl
import struct

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.edge import free_port, wait_for
from kit.raw import Raw


def dial(edge, path="/", **options):
    options.setdefault("additional_headers", edge.auth)
    return connect(edge.wss + path, ssl=edge.ssl, max_size=None, **options)


async def _echo(edge, message, compression):
    async with dial(edge, compression=compression) as ws:
        assert bool(ws.protocol.extensions) == (compression == "deflate")
        await ws.send(message)
        assert await asyncio.wait_for(ws.recv(), 10) == message


@pytest.mark.parametrize("message", ["hello", "", b"", b"\x00\xff", "ü" * 500, "x" * 65536, os.urandom((1 << 20) - 4096)],
                         ids=["text", "empty text", "empty binary", "binary", "utf-8", "64 KiB", "nearly 1 MiB"])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_messages_come_back_as_they_went(edge, message, compression):
    asyncio.run(_echo(edge, message, compression))


def test_a_16_mib_fragmented_message_passes(backend, make_edge):
    edge = make_edge(backend.port, limits="message: 32MiB")
    parts = [os.urandom(1 << 20) for _ in range(16)]

    async def run():
        async with dial(edge, compression=None) as ws:
            await ws.send(parts)
            assert await asyncio.wait_for(ws.recv(), 30) == b"".join(parts)

    asyncio.run(run())


def test_the_upstream_chooses_the_subprotocol_and_sees_who_it_is(edge, backend):
    async def run():
        headers = {**edge.auth, "X-Forwarded-User": "mallory", "X-Forwarded-For": "6.6.6.6", "X-Own": "kept",
                   "Cookie": "culvert_token=e2e-token-of-alice; a=b"}
        async with dial(edge, "/a/b?room=1&x=%20y", subprotocols=["other", "chat.v2"], additional_headers=headers) as ws:
            assert ws.subprotocol == "chat.v2"

    asyncio.run(run())
    request = backend.requests[-1]
    assert request.path == "/a/b?room=1&x=%20y"
    h = request.headers
    assert h["X-Forwarded-User"] == "alice"
    assert h["X-Forwarded-For"] == "127.0.0.1"
    assert h["X-Forwarded-Proto"] == "https"
    assert h["X-Forwarded-Host"] == f"localhost:{edge.tls_port}"
    assert h["Forwarded"] == f'for=127.0.0.1;proto=https;host="localhost:{edge.tls_port}"'
    assert h["X-Own"] == "kept" and h["Cookie"] == "a=b" and "Authorization" not in h


def test_a_close_passes_through_both_ways(edge, backend):
    async def run():
        async with dial(edge, "/close") as ws:
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (4321, "backend says bye")
        async with dial(edge, "/bye-from-client") as ws:
            await ws.close(4002, "client says bye")

    asyncio.run(run())
    wait_for(lambda: ("/bye-from-client", 4002, "client says bye") in backend.closed, what="the close upstream")


def test_an_upstream_refusal_reaches_the_client(edge):
    async def run():
        with pytest.raises(InvalidStatus) as refused:
            await dial(edge, "/refuse")
        response = refused.value.response
        assert (response.status_code, response.body) == (503, b"not today")
        assert response.headers["Retry-After"] == "7"

    asyncio.run(run())


def status_of(edge, path="/"):
    async def run():
        with pytest.raises(InvalidStatus) as refused:
            await dial(edge, path)
        return refused.value.response.status_code

    return asyncio.run(run())


def test_an_unreachable_upstream_is_502(make_edge):
    assert status_of(make_edge(free_port())) == 502


def test_a_slow_upstream_is_504(backend, make_edge):
    assert status_of(make_edge(backend.port, limits="handshake: 1s"), "/slow") == 504


def test_application_pings_pass_and_ours_disturb_nobody(backend, make_edge):
    edge = make_edge(backend.port, session="ping: 200ms")

    async def run():
        async with dial(edge, "/ping", ping_interval=None) as ws:
            assert await asyncio.wait_for(ws.recv(), 5) == "ponged"
        async with dial(edge, ping_interval=None) as ws:
            await asyncio.wait_for(await ws.ping(b"mine"), 5)
            # Several periods of our keepalive in which neither side says anything: it holds the connection.
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ws.recv(), 1.5)
            await asyncio.wait_for(await ws.ping(b"mine again"), 5)
            await ws.send("still here")
            assert await asyncio.wait_for(ws.recv(), 5) == "still here"

    asyncio.run(run())


def test_a_lost_upstream_is_1011_and_a_lost_client_1001(edge, backend):
    async def run():
        async with dial(edge, "/drop") as ws:
            await ws.send("now")
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 5)
            assert ws.close_code == 1011
        ws = await dial(edge, "/client-lost")
        ws.transport.abort()

    asyncio.run(run())
    wait_for(lambda: any(c[:2] == ("/client-lost", 1001) for c in backend.closed), what="1001 upstream")


# --- frames no library would send -----------------------------------------------------------------------------------


ZERO = b"\0\0\0\0"


@pytest.mark.parametrize("sent,code", [
    (b"\x81\x01a", 1002),
    (b"\xc1\x81" + ZERO + b"a", 1002),
    (b"\x83\x81" + ZERO + b"a", 1002),
    (b"\x80\x81" + ZERO + b"a", 1002),
    (b"\x09\x80" + ZERO, 1002),
    (b"\x89\xfe\x00\x7e" + ZERO, 1002),
    (b"\x81\xfe\x00\x01" + ZERO + b"a", 1002),
    (b"\x88\x81" + ZERO + b"a", 1002),
    (b"\x88\x82" + ZERO + b"\x03\xed", 1002),
    (b"\x82\xff\x80\0\0\0\0\0\0\0" + ZERO, 1002),
], ids=["unmasked", "rsv", "opcode", "continuation", "fragmented ping", "long ping", "not minimal", "short close",
        "close 1005", "length msb"])
def test_a_violation_gets_its_close_code(edge, sent, code):
    raw = Raw(edge)
    raw.send(sent)
    assert raw.close_code() == code


def test_text_is_checked_where_the_route_asks(edge):
    raw = Raw(edge, "/text")
    raw.send(b"\x81\x82" + ZERO + b"\xc3\x28")
    assert raw.close_code() == 1007


def test_a_client_that_stops_sending_mid_frame_takes_nothing_down(edge, backend):
    raw = Raw(edge, "/mid-frame")
    raw.send(b"\x82\xfe\x10\x00" + ZERO + b"half of it")
    raw.s.close()
    wait_for(lambda: any(c[0] == "/mid-frame" for c in backend.closed), what="the upstream to be closed")
    assert Raw(edge)


def test_a_half_closed_socket_ends_its_session(edge, backend):
    raw = Raw(edge, "/half")
    raw.send(b"\x81\x82" + ZERO + b"hi")
    assert raw.frame() == (1, b"hi")
    raw.s.shutdown(socket.SHUT_WR)
    wait_for(lambda: any(c[0] == "/half" for c in backend.closed), what="the upstream to be closed")


def test_the_upgrade_may_follow_long_polling_on_one_connection(edge):
    plain = socket.create_connection(("localhost", edge.tls_port), timeout=10)
    s = edge.ssl.wrap_socket(plain, server_hostname="localhost")
    auth = f"Host: localhost\r\nAuthorization: {edge.auth['Authorization']}\r\n"
    s.sendall(f"POST /_poll HTTP/1.1\r\n{auth}Content-Length: 0\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"}\n"):
        head += s.recv(4096)
    assert head.startswith(b"HTTP/1.1 201")
    # The first frame rides behind the handshake, before its answer.
    s.sendall((f"GET / HTTP/1.1\r\n{auth}Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
               "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n").encode()
              + b"\x81\x85" + ZERO + b"early")
    data = b""
    while not data.endswith(b"\x81\x05early"):
        got = s.recv(4096)
        assert got, data
        data += got
    assert data.startswith(b"HTTP/1.1 101")


def test_a_wss_upstream_is_verified(backend, make_edge, tmp_path):
    """The edge in front of another edge: its certificate is trusted only with its CA file."""
    inner = make_edge(backend.port)
    url = f"wss://localhost:{inner.tls_port}"
    trusting = make_edge(0, upstream=f'{{ servers: [ {{ url: "{url}" }} ], ca: {inner.cert} }}')
    doubting = make_edge(0, upstream=f'{{ servers: [ {{ url: "{url}" }} ] }}')

    async def run():
        async with connect(trusting.wss + "/open", ssl=trusting.ssl) as ws:
            await ws.send("through two")
            assert await asyncio.wait_for(ws.recv(), 5) == "through two"

    asyncio.run(run())
    assert status_of(doubting, "/open") == 502


def test_the_certificate_is_chosen_by_sni(backend, make_edge, tmp_path):
    from kit.edge import make_certificate
    second = make_certificate(tmp_path, "second.example")
    edge = make_edge(backend.port, certs=[second])
    for name, expected in [("second.example", second[0]), ("localhost", edge.cert), (None, edge.cert)]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", edge.tls_port)) as plain:
            with context.wrap_socket(plain, server_hostname=name) as s:
                assert s.getpeercert(True) == ssl.PEM_cert_to_DER_cert(expected.read_text())

"""Whatever way a session ends, or fails to begin, it is counted off: with room for one, the next gets in."""

import asyncio
import socket
import ssl

import httpx
import pytest
from websockets.asyncio.client import connect

from kit.edge import TOKEN, free_port, wait_for
from kit.knock import TRANSPORTS, knock
from kit.lane import open_count


@pytest.fixture
def edge(backend, make_edge):
    # Only the upstream's answer has a short deadline: a client's own handshake may take long on a busy machine.
    upstream = f'{{ servers: [ {{ url: "ws://127.0.0.1:{backend.port}" }} ], handshake_timeout: 2s }}'
    return make_edge(0, upstream=upstream, limits="connections: 1", session="resume: 300ms")


def assert_room(edge):
    wait_for(lambda: knock(edge, "websocket", token=TOKEN).status == 101, what="room for a session")
    wait_for(lambda: open_count(edge) == 0, what="no session to be counted")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("path,status", [("/refuse", 503), ("/slow", 504)])
def test_one_that_the_upstream_refuses(edge, transport, path, status):
    assert knock(edge, transport, path, TOKEN).status == status
    assert_room(edge)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_whose_upstream_is_not_there(make_edge, transport):
    edge = make_edge(free_port(), limits="connections: 1")
    for _ in range(3):
        assert knock(edge, transport, token=TOKEN).status == 502
    wait_for(lambda: open_count(edge) == 0, what="no session to be counted")


@pytest.mark.parametrize("how", ["close", "cut", "upstream closes", "upstream cuts", "violation"])
def test_a_native_one(edge, how):
    async def run():
        path = {"upstream closes": "/close", "upstream cuts": "/drop"}.get(how, "/")
        ws = await connect(edge.wss + path, ssl=edge.ssl, additional_headers=edge.auth)
        if how == "cut":
            ws.transport.abort()
        elif how == "violation":
            ws.transport.write(b"\xff\xff\xff")
        elif how == "upstream cuts":
            await ws.send("go")
        elif how == "close":
            await ws.close()
        await ws.wait_closed()

    asyncio.run(run())
    assert_room(edge)


@pytest.mark.parametrize("how", ["delete", "close in a batch", "stay away", "upstream closes", "upstream cuts"])
def test_a_polled_one(edge, how):
    path = {"upstream closes": "/close", "upstream cuts": "/drop"}.get(how, "")
    with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30, headers=edge.auth) as http:
        at = http.post(path + "/_poll").headers["location"]
        if how == "delete":
            assert http.delete(at).status_code == 204
        elif how == "close in a batch":
            http.post(at, json={"first": 1, "close": {"code": 1000}})
        elif how == "upstream cuts":
            http.post(at, json={"first": 1, "messages": [{"text": "go"}]})
    assert_room(edge)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_one_whose_client_leaves_while_the_upstream_is_dialled(edge, backend, transport):
    """The dial ends with its client."""
    seen = len(backend.requests)
    head = "GET /slow HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" \
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" if transport == "websocket" else "POST /slow/_poll HTTP/1.1\r\n"
    context: ssl.SSLContext = edge.ssl
    with socket.create_connection(("127.0.0.1", edge.tls_port)) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as tls:
            tls.sendall(f"{head}Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
            wait_for(lambda: len(backend.requests) > seen, what="the upstream to be dialled")
    assert_room(edge)

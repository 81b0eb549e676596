"""The process: how it stops, and whether it is well."""

import asyncio
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedOK

from kit.admin import Admin
from kit.edge import BIN, TOKEN, Edge, wait_for
from kit.poll import client, open_session
from kit.process import begin_request, begin_stop, health, wait_until_read
from kit.raw import Raw, masked, tls
from kit.stray import ENVIRONMENT, bye, echoes, end, plain, wait_until_healthy

TERM, INT = signal.SIGTERM, signal.SIGINT
BOTH = pytest.mark.parametrize("sign", [TERM, INT], ids=["SIGTERM", "SIGINT"])
SOON = 5  # Seconds within which what waits for nobody is done.


def dial(edge, path="/", **options):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=edge.auth, compression=None, **options)


# --- stopping --------------------------------------------------------------------------------------------------------

@BOTH
def test_a_stop_says_1001_on_both_legs_and_leaves_with_0(fresh_backend, make_edge, sign):
    edge = make_edge(fresh_backend.port)

    async def run():
        async with dial(edge, "/native") as ws:
            edge.process.send_signal(sign)
            with pytest.raises(ConnectionClosedOK):
                await asyncio.wait_for(ws.recv(), SOON)
            return ws.close_code

    assert asyncio.run(run()) == 1001
    assert edge.process.wait(SOON) == 0
    wait_for(lambda: [c[:2] for c in fresh_backend.closed] == [("/native", 1001)], what="1001 upstream")


@BOTH
def test_a_parked_poll_is_answered_when_the_server_stops(fresh_backend, make_edge, sign):
    edge = make_edge(fresh_backend.port)
    with client(edge) as http:
        at = open_session(http, "/polled")
        poll = begin_request(edge, "GET", at)
        edge.process.send_signal(sign)
        answer = poll.getresponse()
        assert answer.status == 200
        assert json.load(answer)["close"]["code"] == 1001
    poll.close()
    assert edge.process.wait(SOON) == 0
    wait_for(lambda: [c[:2] for c in fresh_backend.closed] == [("/polled", 1001)], what="1001 upstream")


@BOTH
def test_a_server_without_clients_stops_at_once(backend, make_edge, sign):
    edge = make_edge(backend.port, limits="handshake: 60s")
    with client(edge) as http:
        open_session(http)  # A session, and a connection kept for the next request.
        edge.process.send_signal(sign)
        assert edge.process.wait(SOON) == 0


@BOTH
def test_new_connections_are_refused_while_the_server_stops(backend, make_edge, sign):
    edge = make_edge(backend.port)
    raw = Raw(edge)
    begin_stop(edge, sign)
    for port in (edge.tls_port, edge.plain_port):
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) != 0, what="a refusal")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
    assert edge.process.poll() is None
    assert raw.close_code() == 1001
    raw.answer_close()
    assert edge.process.wait(SOON) == 0


def test_a_stop_amid_a_fragmented_message_breaks_no_frame(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, limits="message: 512MiB")

    async def run():
        async def fragments():
            for n in range(1 << 14):
                if n == 64:
                    edge.process.send_signal(TERM)
                await asyncio.sleep(0)  # The client's turn to see what has come meanwhile.
                yield bytes(1 << 16)

        async with dial(edge, "/record") as ws:
            with pytest.raises(ConnectionClosedOK):
                await asyncio.wait_for(ws.send(fragments()), SOON)
            return ws.close_code

    assert asyncio.run(run()) == 1001
    assert edge.process.wait(SOON) == 0
    # 1002 or 1006, had a Close come to stand within a frame.
    wait_for(lambda: [c[:2] for c in fresh_backend.closed] == [("/record", 1001)], what="1001 upstream")


def test_a_clients_frame_in_flight_is_carried_to_its_end(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port)
    raw = Raw(edge, "/record")
    payload = os.urandom(100_000)
    frame = masked(2, payload)
    raw.send(frame[:50_000])
    wait_until_read(raw.s)
    begin_stop(edge, TERM)
    assert raw.close_code() == 1001
    raw.send(frame[50_000:])
    raw.answer_close()
    assert edge.process.wait(SOON) == 0
    wait_for(lambda: [c[:2] for c in fresh_backend.closed] == [("/record", 1001)], what="1001 upstream")
    assert fresh_backend.received == [payload]


def test_an_upstreams_frame_in_flight_is_carried_to_its_end(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, limits="message: 32MiB")
    raw = Raw(edge, receive_buffer=1 << 16)
    payload = os.urandom(24 << 20)
    raw.send(masked(2, payload))
    assert raw.header() == (0x82, len(payload))
    begin_stop(edge, TERM)
    assert raw.exactly(len(payload)) == payload
    assert raw.close_code() == 1001
    raw.answer_close()
    assert edge.process.wait(SOON) == 0


def half_a_frame(edge):
    raw = Raw(edge)
    raw.send(masked(2, bytes(1000))[:500])
    return raw


def half_a_request(edge):
    sock = tls(edge)
    sock.sendall(b"POST /_poll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
    return sock


def an_answer_never_read(edge):
    """More than the sockets' buffers take, for a client that reads none of it."""
    with client(edge) as http:
        at = open_session(http, "/flood")
        http.post(at, json={"first": 1, "messages": [{"text": "24 1000000"}]})
        wait_for(lambda: len(http.get(at).content) > 24_000_000, what="the messages")
        return begin_request(edge, "GET", at, receive_buffer=4096)


@pytest.mark.parametrize("stubborn", [
    Raw, half_a_frame, half_a_request, lambda edge: socket.create_connection(("127.0.0.1", edge.tls_port)),
    an_answer_never_read,
], ids=["no Close in return", "half a frame", "half a request", "no TLS handshake", "an answer never read"])
def test_no_client_holds_the_process_beyond_its_deadline(backend, make_edge, stubborn):
    edge = make_edge(backend.port, limits="handshake: 2s, message: 32MiB", session="buffer: 32MiB")
    held = stubborn(edge)
    edge.process.send_signal(TERM)
    assert edge.process.wait(2 + SOON) == 0
    held.s.close() if isinstance(held, Raw) else held.close()


@pytest.mark.parametrize("first,second", [(TERM, TERM), (INT, INT), (TERM, INT)])
def test_a_second_signal_ends_the_process_at_once(backend, make_edge, first, second):
    edge = make_edge(backend.port, limits="handshake: 60s")
    raw = Raw(edge)
    begin_stop(edge, first)
    assert raw.close_code() == 1001
    edge.process.send_signal(second)
    assert edge.process.wait(SOON) > 0


def test_a_server_that_accepts_connections_can_be_stopped(edge):
    process = start_beside(edge)
    try:
        assert any("listening" in line for line in process.stderr)
        process.send_signal(TERM)
        assert process.wait(SOON) == 0
    finally:
        process.kill()
        process.stderr.close()


def start_beside(edge):
    """Another process with the configuration of `edge`, at ports of the system's choice."""
    text = edge.config.read_text()
    for port in (edge.tls_port, edge.plain_port, edge.admin_port):
        text = text.replace(f"127.0.0.1:{port}", "127.0.0.1:0")
    config = edge.folder / "beside.yaml"
    config.write_text(text)
    return subprocess.Popen([BIN, "serve", "--config", str(config)], stderr=subprocess.PIPE, text=True)


def test_a_session_that_opens_while_the_server_stops_is_closed_too(make_edge):
    upstream = socket.create_server(("127.0.0.1", 0))
    edge = make_edge(upstream.getsockname()[1])
    sock = tls(edge)
    sock.sendall((f"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
    dialled, _ = upstream.accept()
    key = re.search(rb"(?i)sec-websocket-key: (.+)\r\n", dialled.recv(65536)).group(1)
    begin_stop(edge, TERM)
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    dialled.sendall(b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
                    + accept + b"\r\n\r\n")
    dialled.settimeout(SOON)
    # Whatever becomes of the client, a Close or the end of its connection, neither it nor its upstream is left hanging.
    assert dialled.recv(65536)[:1] in (b"\x88", b"")
    sock.close()
    dialled.close()
    assert edge.process.wait(10 + SOON) == 0


# --- health ----------------------------------------------------------------------------------------------------------

def test_the_admin_listener_tells_whether_the_process_is_well(backend, make_edge):
    edge = make_edge(backend.port)
    assert health(edge) == (200, {"status": "ok", "sessions": 0})
    with client(edge) as http:
        at = open_session(http)
        raw = Raw(edge)
        wait_for(lambda: health(edge) == (200, {"status": "ok", "sessions": 2}), what="both sessions to count")
        http.delete(at)
    wait_for(lambda: health(edge)[1]["sessions"] == 1, what="the end of one to count")
    edge.process.send_signal(TERM)
    wait_for(lambda: health(edge) == (503, {"status": "draining", "sessions": 1}), what="the edge to be draining")
    raw.answer_close()
    assert edge.process.wait(SOON) == 0


def test_the_admin_listener_has_nothing_else(edge):
    with Admin(edge) as http:
        assert {http.get(path).status_code for path in ("/", "/healthz/", "/health", "/metrics", "/_poll")} == {404}
        assert http.post("/healthz").status_code == 405
        assert http.head("/healthz").status_code == 200
    with client(edge) as http:
        assert http.get("/healthz").status_code == 426  # Clients' listeners know it not.


# --- the user that it runs as ----------------------------------------------------------------------------------------

def test_a_process_that_is_not_root_serves_every_transport(backend):
    """Some options of sockets are root's alone. Every connection was reset where the edge had a user of its own."""
    nobody = 65534
    with tempfile.TemporaryDirectory() as folder:
        edge = Edge(folder, backend.port)
        edge.stop()
        binary = shutil.copy(BIN, folder)
        os.chown(folder, nobody, nobody)
        for path in pathlib.Path(folder).iterdir():
            os.chown(path, nobody, nobody)
        process = subprocess.Popen([binary, "serve", "--config", str(edge.config)], user=nobody, group=nobody,
                                   extra_groups=[], stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        edge.process = process
        try:
            wait_until_healthy(edge)
            s = plain(edge)
            assert echoes(s)
            bye(s)
            with client(edge) as http:
                at = open_session(http)
                assert http.post(at, json={"first": 1, "messages": [{"text": "x"}]}).status_code == 200
                assert [m["text"] for m in http.get(at, params={"ack": 0}).json()["messages"]] == ["x"]
                assert http.delete(at).status_code == 204
            with Admin(edge) as admin:
                assert admin.mint()["secret"]
        finally:
            assert end(process) == 0

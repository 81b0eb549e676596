"""The other side: what an upstream may do, and what it sees."""

import asyncio
import struct

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.edge import TOKEN, free_port, wait_for
from kit.knock import TRANSPORTS, knock
from kit.raw import Raw
from kit.script import ScriptedBackend, accept_key, switching


@pytest.fixture
def scripted(make_edge):
    """An edge in front of a backend that plays a script."""
    backends = []

    def make(script, **options):
        options.setdefault("limits", "handshake: 1s")
        backends.append(ScriptedBackend(script))
        return make_edge(backends[-1].port, **options), backends[-1]

    yield make
    for backend in backends:
        backend.stop()


def reply(text):
    return lambda connection, head: connection.sendall(text.replace("\n", "\r\n").encode())


# --- the handshake ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("script", [
    lambda c, h: c.sendall(switching(h).replace(accept_key(h).encode(), b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=")),
    lambda c, h: c.sendall(switching(h, "Sec-WebSocket-Protocol: never-asked\r\n")),
    lambda c, h: c.sendall(switching(h, "Sec-WebSocket-Extensions: never-asked\r\n")),
    lambda c, h: c.sendall(switching(h).replace(b"Upgrade: websocket\r\n", b"")),
    reply("HTTP/1.1 200 OK\nContent-Length: 2\n\nhi"),
    reply("HTTP/1.1 204 No Content\n\n"),
    reply("SSH-2.0-OpenSSH\n"),
    lambda c, h: c.close(),
], ids=["wrong accept", "protocol", "extension", "no upgrade", "200", "204", "no http", "hangs up"])
def test_an_upstream_that_does_not_shake_hands_is_502(scripted, transport, script):
    edge, _ = scripted(script)
    assert knock(edge, transport, "/open").status == 502


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_refusal_is_passed_on_without_what_concerns_one_connection(scripted, transport):
    edge, _ = scripted(reply(
        "HTTP/1.1 401 Unauthorized\nWWW-Authenticate: Basic realm=x\nKeep-Alive: timeout=5\nConnection: close, X-Hop\n"
        "X-Hop: 1\nX-Own: kept\nContent-Type: text/plain\nContent-Length: 4\n\nnope"))
    answer = knock(edge, transport, "/open")
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Basic realm=x" and answer.headers["x-own"] == "kept"
    assert "x-hop" not in answer.headers and "keep-alive" not in answer.headers
    body = answer.body.body if transport == "websocket" else answer.body.content
    assert body == b"nope"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_long_refusal_is_cut(scripted, transport):
    edge, _ = scripted(reply("HTTP/1.1 500 Oh\nContent-Length: 100000\n\n" + "x" * 100000))
    answer = knock(edge, transport, "/open")
    body = answer.body.body if transport == "websocket" else answer.body.content
    assert (answer.status, len(body)) == (500, 65536)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_refusal_that_never_ends_is_504(scripted, transport):
    edge, _ = scripted(reply("HTTP/1.1 500 Oh\nContent-Length: 10\n\nhalf"), limits="handshake: 1s")
    assert knock(edge, transport, "/open").status == 504


def test_the_next_server_is_tried_when_one_is_down(backend, make_edge):
    servers = f'[ {{ url: "ws://127.0.0.1:{free_port()}" }}, {{ url: "ws://127.0.0.1:{backend.port}/behind/" }} ]'
    edge = make_edge(0, upstream=f"{{ servers: {servers} }}")
    assert knock(edge, "websocket", "/open/x").status == 101
    assert backend.requests[-1].path == "/behind/open/x"


def test_what_concerns_one_connection_goes_no_further(edge, backend):
    headers = [("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "300"), ("TE", "trailers"),
               ("Proxy-Authorization", "Basic x"), ("Proxy-Connection", "keep-alive"), ("X-Own", "kept"),
               ("X_Forwarded_User", "mallory"), ("Forwarded", "for=6.6.6.6"), ("X-Forwarded-Proto", "gopher")]
    assert knock(edge, "websocket", "/hop", TOKEN, headers=headers).status == 101
    sent = {name.lower(): value for name, value in backend.requests[-1].headers.raw_items()}
    assert sent["x-own"] == "kept" and sent["connection"] == "Upgrade" and sent["x-forwarded-proto"] == "https"
    assert sent["x-forwarded-user"] == "alice" and "6.6.6.6" not in str(sent)
    gone = {"x-hop", "keep-alive", "te", "proxy-authorization", "proxy-connection", "x_forwarded_user"}
    assert not gone & set(sent)


# --- frames ----------------------------------------------------------------------------------------------------------

def test_a_clients_frames_arrive_with_its_own_mask(scripted):
    edge, upstream = scripted(lambda c, h: c.sendall(switching(h)))
    raw = Raw(edge)
    sent = b"\x01\x83abcd" + b"xyz" + b"\x89\x80efgh" + b"\x80\x82ijkl" + b"uv"
    raw.send(sent)
    wait_for(lambda: len(upstream.sent) >= len(sent), what="the frames upstream")
    assert upstream.sent == sent


def test_frames_that_ride_behind_the_handshake_are_not_lost(scripted):
    edge, _ = scripted(lambda c, h: c.sendall(switching(h) + b"\x81\x05early\x82\x01!"))

    async def run():
        async with connect(edge.wss + "/open", ssl=edge.ssl) as ws:
            assert [await asyncio.wait_for(ws.recv(), 5) for _ in range(2)] == ["early", b"!"]

    asyncio.run(run())


@pytest.mark.parametrize("sent,code", [
    (b"\x81\x81\0\0\0\0a", 1002), (b"\xc1\x01a", 1002), (b"\x83\x00", 1002), (b"\x80\x00", 1002),
    (b"\x88\x02\x03\xee", 1002),
], ids=["masked", "rsv", "opcode", "continuation", "close 1006"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_upstream_that_breaks_the_protocol_is_told_and_its_client_gets_1011(scripted, transport, sent, code):
    edge, upstream = scripted(lambda c, h: c.sendall(switching(h) + b"\x81\x02ok" + sent))
    if transport == "websocket":
        async def run():
            async with connect(edge.wss + "/open", ssl=edge.ssl, compression=None) as ws:
                assert await asyncio.wait_for(ws.recv(), 5) == "ok"
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(ws.recv(), 5)
                assert (ws.close_code, ws.close_reason) == (1011, "upstream broke the protocol")

        asyncio.run(run())
    else:
        with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
            at = http.post("/open/_poll").headers["location"]

            def ended():
                answer = http.get(at).json()
                assert answer["messages"] == [{"text": "ok"}]
                return answer.get("close")

            assert wait_for(ended)["code"] == 1011
    assert upstream.close_code() == code


def test_text_from_an_upstream_is_checked_for_a_polled_client(scripted):
    edge, upstream = scripted(lambda c, h: c.sendall(switching(h) + b"\x81\x02\xc3\x28"))
    assert knock(edge, "long-poll", "/open").status == 201
    assert upstream.close_code() == 1007


def test_a_close_without_a_code_stays_without_one(scripted):
    edge, upstream = scripted(lambda c, h: c.sendall(switching(h) + b"\x88\x00"))

    async def run():
        async with connect(edge.wss + "/open", ssl=edge.ssl) as ws:
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 5)
            assert ws.close_code == 1005

    asyncio.run(run())
    assert upstream.ended.wait(10) and upstream.frames() == [(8, b"")]


@pytest.mark.parametrize("interim", ["", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"], ids=["at once", "103 first"])
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_upstream_that_says_why_and_hangs_up_is_heard(scripted, transport, interim):
    def script(connection, head):
        connection.sendall(interim.encode() + switching(head) + b"\x81\x02no\x88\x05\x0f\xa1why")
        connection.shutdown(1)

    edge, _ = scripted(script)
    if transport == "websocket":
        async def run():
            async with connect(edge.wss + "/open", ssl=edge.ssl) as ws:
                assert await asyncio.wait_for(ws.recv(), 5) == "no"
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(ws.recv(), 5)
                assert (ws.close_code, ws.close_reason) == (4001, "why")

        asyncio.run(run())
    else:
        with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
            at = http.post("/open/_poll").headers["location"]
            answer = http.get(at).json()
            assert answer["messages"] == [{"text": "no"}] and answer["close"] == {"code": 4001, "reason": "why"}


def test_an_upstream_that_vanishes_within_a_frame_does_not_end_it(scripted):
    """A Close within a frame would be read as its payload: the client sees its connection end instead."""
    def script(connection, head):
        connection.sendall(switching(head) + b"\x82\x0ahalf")
        connection.shutdown(1)

    edge, _ = scripted(script)
    raw = Raw(edge, "/open")
    assert raw.exactly(6) == b"\x82\x0ahalf"
    assert raw.s.recv(10) == b""


# --- silence ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_silent_upstream_is_pinged_and_then_lost(scripted, transport):
    edge, upstream = scripted(lambda c, h: c.sendall(switching(h)), session="ping: 200ms")
    if transport == "websocket":
        async def run():
            async with connect(edge.wss + "/open", ssl=edge.ssl, ping_interval=None) as ws:
                with pytest.raises(ConnectionClosed):
                    await asyncio.wait_for(ws.recv(), 10)
                assert ws.close_code == 1011

        asyncio.run(run())
    else:
        with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
            at = http.post("/open/_poll").headers["location"]
            assert http.get(at).json()["close"]["code"] == 1011
    assert upstream.ended.wait(10)
    assert upstream.frames()[0][0] == 9
    ended = edge.expect_events("session ended")
    assert (ended[0]["close_code"], ended[0]["closed_by"]) == (1006, "upstream")


def test_a_silent_client_is_pinged_and_then_lost(fresh_backend, make_edge):
    edge = make_edge(fresh_backend.port, session="ping: 200ms")
    raw = Raw(edge, "/silent")
    assert raw.frame()[0] == 9
    wait_for(lambda: [c[:2] for c in fresh_backend.closed] == [("/silent", 1001)], what="the upstream to be told")


# --- proxies in front ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("trusted", "client"), [("127.0.0.0/8", "198.51.100.7"), ("10.0.0.0/8", "127.0.0.1")])
def test_the_clients_address_is_that_which_a_trusted_proxy_saw(backend, make_edge, transport, trusted, client):
    edge = make_edge(backend.port, sections=f'trusted_proxies: ["{trusted}"]')
    headers = [("X-Forwarded-For", "203.0.113.1, 198.51.100.7"), ("Forwarded", "for=203.0.113.2, for=198.51.100.7")]
    assert knock(edge, transport, "/open", headers=headers).status in (101, 201)
    seen = backend.requests[-1].headers
    chain = [client] + (["127.0.0.1"] if client != "127.0.0.1" else [])
    assert seen.get_all("X-Forwarded-For") == [", ".join(chain)]
    assert seen["Forwarded"].startswith(f"for={client};proto=https;") and "203.0.113" not in seen["Forwarded"]
    assert edge.expect_events("session opened")[-1]["client"] == client

"""Services that nobody here wrote, and their own clients, with Culvert between: as WebSockets, and by polling.

docs/services.md says what each service needs. This file has the light ones; test_services_pages.py the others, which
serve pages.
"""

import asyncio
import json
import queue
import urllib.parse

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.edge import ORIGIN, TOKEN
from kit.mqtt import Peer
from kit.services import OTHER_ORIGIN, ServiceEdge, Way, channels, graphql, mosquitto, nats

HEADERS = {"Authorization": f"Bearer {TOKEN}", "Origin": ORIGIN}
TRANSPORT_WS = "graphql-transport-ws"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts a service and the edge in front of it, once for the module."""
    started, ends = {}, []

    def start(service):
        """(edge, another way to the service)"""
        if service not in started:
            folder = tmp_path_factory.mktemp(service.__name__)
            running = service(folder / "service")
            port, other = running.__enter__()
            ends.append(lambda: running.__exit__(None, None, None))
            edge = ServiceEdge(folder, service, port)
            ends.append(edge.end)
            started[service] = edge, other
        return started[service]

    yield start
    for end in reversed(ends):
        end()


@pytest.fixture(params=["native", "polled"])
def go(request):
    """Makes the way of a test through an edge."""
    ways = []

    def go(edge):
        ways.append(Way(request.param, edge))
        return ways[-1]

    yield go
    for way in ways:
        way.stop()


def finish(coroutine):
    async def bounded():
        async with asyncio.timeout(60):
            await coroutine

    asyncio.run(bounded())


async def no_way_in(edge, path, protocols=None):
    """Neither without a token nor from another origin does anybody reach the service."""
    for headers, status in (({"Origin": ORIGIN}, 401), ({**HEADERS, "Origin": "https://evil.example"}, 403)):
        with pytest.raises(InvalidStatus) as refused:
            await connect(edge.wss + path, ssl=edge.ssl, additional_headers=headers, subprotocols=protocols)
        assert refused.value.response.status_code == status


# --- GraphQL (Strawberry on aiohttp; gql) ---------------------------------------------------------------------------
def test_graphql_queries_and_subscriptions(start, go):
    edge, _ = start(graphql)
    way = go(edge)

    async def run():
        from gql import Client, gql
        from gql.transport.websockets import WebsocketsTransport

        transport = WebsocketsTransport(
            url=way.url + "/graphql", headers=HEADERS, ssl=way.ssl or False, subprotocols=[TRANSPORT_WS])
        async with Client(transport=transport) as session:
            assert await session.execute(gql('{ shout(text: "grüße 👋") }')) == {"shout": "GRÜSSE 👋"}
            got = [answer["count"] async for answer in session.subscribe(gql("subscription { count(to: 300) }"))]
            assert got == list(range(300))
            # A subscription that is left does not hold the others.
            endless = session.subscribe(gql("subscription { forever }"))
            assert await anext(endless) == {"forever": "begun"}
            await endless.aclose()
            assert await session.execute(gql('{ shout(text: "after") }')) == {"shout": "AFTER"}
        await no_way_in(edge, "/graphql", [TRANSPORT_WS])

    finish(run())
    way.check(1)


def test_graphql_close_codes_of_the_service_pass(start, go):
    """4401 is the protocol's "Unauthorized", and Culvert's for a token that has died: the reason tells them apart."""
    edge, _ = start(graphql)
    way = go(edge)

    async def ended_by(*messages):
        async with connect(way.url + "/graphql", ssl=way.ssl, additional_headers=HEADERS,
                           subprotocols=[TRANSPORT_WS]) as ws:
            assert ws.subprotocol == TRANSPORT_WS
            for message in messages:
                await ws.send(json.dumps(message))
            with pytest.raises(ConnectionClosed):
                while True:
                    await ws.recv()
            return ws.close_code, ws.close_reason

    async def run():
        subscribe = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { forever }"}}
        begin = {"type": "connection_init"}
        assert await ended_by(subscribe) == (4401, "Unauthorized")
        assert await ended_by(begin, begin) == (4429, "Too many initialisation requests")
        assert await ended_by(begin, subscribe, subscribe) == (4409, "Subscriber for 1 already exists")

    finish(run())


# --- Django Channels (Daphne) ---------------------------------------------------------------------------------------
def test_channels_rooms_are_shared_by_clients_of_both_transports(start, go):
    edge, _ = start(channels)
    way = go(edge)

    async def run():
        # The path ends with a slash, as Django's do.
        path = "/ws/chat/lobby/"
        async with connect(edge.wss + path, ssl=edge.ssl, additional_headers=HEADERS) as other:
            async with connect(way.url + path, ssl=way.ssl, additional_headers=HEADERS, subprotocols=["chat.v2"]) as ws:
                assert ws.subprotocol == "chat.v2"
                for message in ("hello", "grüße 👋", "x" * 300_000, b"\0\xff" * 1000):
                    await ws.send(message)
                    assert await ws.recv() == message
                    assert await other.recv() == message
                await other.send("and back")
                assert await ws.recv() == "and back"
                await ws.close(4001)
            # Django's own consumer is told how its client went, whatever the transport.
            assert await other.recv() == "and back"
            assert await other.recv() == "left with 4001"
        await no_way_in(edge, path)

    finish(run())
    way.check(1)


def test_channels_sees_the_user_the_address_and_the_host_and_its_close_code_passes(start, go):
    edge, _ = start(channels)
    way = go(edge)

    async def run():
        claim = {**HEADERS, "X-Forwarded-For": "203.0.113.66", "X-Forwarded-User": "root"}
        async with connect(way.url + "/ws/chat/own/", ssl=way.ssl, additional_headers=claim) as ws:
            await ws.send("who am I")
            assert await ws.recv() == f"alice of 127.0.0.1 at localhost:{edge.tls_port}"
            await ws.send("end")
            with pytest.raises(ConnectionClosed):
                await ws.recv()
            assert (ws.close_code, ws.close_reason) == (4123, "")

    finish(run())


# --- NATS (nats-server's WebSockets; nats-py) -----------------------------------------------------------------------
async def settled(client):
    """Returns when the server knows of the client's subscriptions. nats-py's PING overtakes a subscription that waits to
    be sent; a second PING does not."""
    await client.flush()
    await client.flush()


@pytest.mark.filterwarnings("ignore:parameter 'timeout':DeprecationWarning")
def test_nats_publishes_subscribes_and_answers(start, go):
    edge, tcp_port = start(nats)
    way = go(edge)

    async def run():
        import nats as client

        headers = {name: [value] for name, value in HEADERS.items()}
        plain = await client.connect(f"nats://127.0.0.1:{tcp_port}")
        through = await client.connect(
            way.url + "/nats", ws_connection_headers=headers, allow_reconnect=False, tls=way.ssl)
        try:
            heard = await through.subscribe("to.client")
            await settled(through)
            said = [b"", b"hello", bytes(range(256)), b"x" * 900_000, *(b"%d" % n for n in range(500))]
            for message in said:
                await plain.publish("to.client", message)
            assert [(await heard.next_msg(20)).data for _ in said] == said

            async def answer(message):
                await message.respond(message.data.upper())

            await plain.subscribe("service", cb=answer)
            await settled(plain)
            assert (await through.request("service", b"question", timeout=20)).data == b"QUESTION"
            received = await plain.subscribe("to.server")
            await settled(plain)
            for message in said:
                await through.publish("to.server", message)
            assert [(await received.next_msg(20)).data for _ in said] == said
        finally:
            await through.close()
            await plain.close()
        await no_way_in(edge, "/nats")

    finish(run())
    way.check(1)


def test_nats_compresses_end_to_end(start):
    edge, _ = start(nats)

    async def run():
        async with connect(edge.wss + "/nats", ssl=edge.ssl, additional_headers=HEADERS) as ws:
            assert "permessage-deflate" in ws.response.headers["Sec-WebSocket-Extensions"]
            assert (await ws.recv()).startswith(b"INFO ")
            await ws.send(b"CONNECT {}\r\nSUB a 1\r\nPUB a 5000\r\n" + b"z" * 5000 + b"\r\nPING\r\n")
            got = b""
            while b"PONG\r\n" not in got:
                got += await ws.recv()
            assert b"MSG a 1 5000\r\n" + b"z" * 5000 in got

    finish(run())


# --- mosquitto (Paho; test_third_party.py has a library in a page) ---------------------------------------------------
def test_mosquitto_carries_messages_both_ways(start, go):
    edge, broker = start(mosquitto)
    from paho.mqtt import client as mqtt

    way = go(edge)
    heard, told = queue.Queue(), queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="paho", transport="websockets")
    client.ws_set_options("/mqtt", HEADERS)
    if way.ssl:
        client.tls_set_context(way.ssl)
    client.on_message = lambda client, data, message: heard.put((message.topic, message.payload))
    client.on_subscribe = lambda client, data, number, reasons, properties: told.put(reasons)
    address = urllib.parse.urlsplit(way.url)
    client.connect(address.hostname, address.port)
    client.loop_start()
    peer = Peer(broker, "to/peer")
    try:
        client.subscribe("to/page", qos=1)
        told.get(timeout=20)
        said = [b"", b"hello", bytes(range(256)), b"x" * 300_000, *(b"%d" % n for n in range(100))]
        for message in said:
            peer.publish("to/page", message)
        assert [heard.get(timeout=20) for _ in said] == [("to/page", message) for message in said]
        for message in said:
            client.publish("to/peer", message, qos=1)
        assert [peer.receive() for _ in said] == said
        client.disconnect()
    finally:
        client.loop_stop()
        peer.close()
    finish(no_way_in(edge, "/mqtt", ["mqtt"]))
    way.check(1)


def test_mosquitto_checks_no_origin(start):
    edge, _ = start(mosquitto)

    async def run():
        headers = {**HEADERS, "Origin": OTHER_ORIGIN}
        async with connect(edge.wss + "/mqtt", ssl=edge.ssl, additional_headers=headers, subprotocols=["mqtt"]) as ws:
            assert ws.subprotocol == "mqtt"

    finish(run())


# --- each ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("service,path,protocol", [
    (graphql, "/graphql", TRANSPORT_WS), (channels, "/ws/chat/lobby/", None), (nats, "/nats", None)],
    ids=["graphql", "channels", "nats"])
def test_the_service_still_checks_origins_itself(start, go, service, path, protocol):
    """Culvert lets this origin in, and the service does not: the client is told 403."""
    edge, _ = start(service)
    way = go(edge)

    async def run():
        with pytest.raises(InvalidStatus) as refused:
            await connect(way.url + path, ssl=way.ssl, additional_headers={**HEADERS, "Origin": OTHER_ORIGIN},
                          subprotocols=[protocol] if protocol else None)
        assert refused.value.response.status_code == 403

    finish(run())

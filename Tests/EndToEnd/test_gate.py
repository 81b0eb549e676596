"""The gate: one answer on every transport, however the token travels, and before any upstream is dialled."""

import asyncio
import itertools
import socket

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from kit.edge import EXPIRED_TOKEN, NARROW_TOKEN, ORIGIN, OTHER_TOKEN, TOKEN, free_port
from kit.knock import CARRIERS, TRANSPORTS, knock, problem

EVERYWHERE = pytest.mark.parametrize("transport", TRANSPORTS)
EVERY_WAY = pytest.mark.parametrize("transport,carrier", list(itertools.product(TRANSPORTS, CARRIERS)))
OPENED = {"websocket": 101, "long-poll": 201}


@EVERY_WAY
def test_a_valid_token_opens(edge, transport, carrier):
    assert knock(edge, transport, token=TOKEN, carrier=carrier, origin=ORIGIN).status == OPENED[transport]


@EVERY_WAY
@pytest.mark.parametrize("token", ["wrong", "", EXPIRED_TOKEN], ids=["unknown", "empty", "expired"])
def test_an_invalid_token_is_refused(edge, transport, carrier, token):
    answer = knock(edge, transport, token=token, carrier=carrier)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="culvert", error="invalid_token"'
    # Nothing tells one that was in force from one that never was.
    assert problem(answer)["detail"] == "The token is not valid."


@EVERYWHERE
def test_no_token_is_refused_without_an_error_attribute(edge, transport):
    answer = knock(edge, transport)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="culvert"'
    assert problem(answer)["detail"]


@EVERY_WAY
def test_a_token_of_another_path_is_refused(edge, transport, carrier):
    assert knock(edge, transport, "/narrow/x", NARROW_TOKEN, carrier).status == OPENED[transport]
    answer = knock(edge, transport, "/narrower", NARROW_TOKEN, carrier)
    assert answer.status == 403
    assert "insufficient_scope" in answer.headers["www-authenticate"]


@EVERYWHERE
@pytest.mark.parametrize("one,other", list(itertools.combinations(CARRIERS, 2)))
def test_two_carriers_must_agree(edge, transport, one, other):
    def both(second):
        headers = {"header": ("Authorization", f"Bearer {second}"), "cookie": ("Cookie", f"culvert_token={second}")}
        return knock(
            edge, transport, token=TOKEN, carrier=one, headers=[headers[other]] if other in headers else [],
            query=f"access_token={second}" if other == "query" else "",
            protocols=["culvert.auth", f"bearer.{second}"] if other == "subprotocol" else [])

    assert both(TOKEN).status == OPENED[transport]
    answer = both(OTHER_TOKEN)
    assert answer.status == 400 and "invalid_request" in answer.headers["www-authenticate"]
    assert problem(answer)["detail"] == "The request carries two different tokens."


@EVERYWHERE
@pytest.mark.parametrize("origin,passes", [
    (ORIGIN, True), (ORIGIN.upper().replace("HTTPS", "https"), True), (ORIGIN + ":443", True), (None, True),
    ("https://a.wild.example", True), ("https://b.a.wild.example", True), ("https://wild.example", False),
    ("https://evilwild.example", False), ("http://app.example.com", False), (ORIGIN + ":8443", False),
    ("https://app.example.com.evil", False), ("null", False), ("https://app.example.com/", False),
])
def test_the_origin_allowlist_holds(edge, transport, origin, passes):
    answer = knock(edge, transport, token=TOKEN, origin=origin)
    assert answer.status == (OPENED[transport] if passes else 403)
    if not passes:
        assert problem(answer)["detail"] == "This origin may not connect here."


@EVERYWHERE
def test_a_route_may_insist_on_an_origin(edge, transport):
    assert knock(edge, transport, "/strict", TOKEN).status == 403
    assert knock(edge, transport, "/strict", TOKEN, origin=ORIGIN).status == OPENED[transport]


@EVERYWHERE
def test_two_origins_are_none(edge, transport):
    assert knock(edge, transport, token=TOKEN, origin=ORIGIN, headers=[("Origin", ORIGIN)]).status == 403


@EVERYWHERE
def test_the_origin_is_asked_before_the_token(edge, transport):
    assert knock(edge, transport, token="wrong", origin="https://evil.example").status == 403
    assert knock(edge, transport, origin="https://evil.example").status == 403


@EVERYWHERE
def test_what_is_refused_never_reaches_the_upstream(edge, backend, transport):
    seen = len(backend.requests)
    knock(edge, transport, "/reach-me")
    knock(edge, transport, "/reach-me", "wrong")
    knock(edge, transport, "/reach-me", TOKEN, origin="https://evil.example")
    assert len(backend.requests) == seen
    knock(edge, transport, "/reach-me", TOKEN)
    assert [r.path for r in backend.requests[seen:]] == ["/reach-me"]


@EVERY_WAY
def test_a_token_goes_no_further(edge, backend, transport, carrier):
    answer = knock(edge, transport, "/strip", TOKEN, carrier, query="a=1&b=%20", protocols=["chat.v2"])
    assert answer.status == OPENED[transport]
    request = backend.requests[-1]
    assert request.path == "/strip?a=1&b=%20"
    assert TOKEN not in str(request.path) + str(request.headers)
    assert request.headers["Sec-WebSocket-Protocol"] == "chat.v2"
    assert request.headers.get("Cookie") == ("theme=dark" if carrier == "cookie" else None)
    assert request.headers["X-Forwarded-User"] == "alice"
    assert TOKEN not in str(answer.headers)
    edge.catch_up()
    assert TOKEN not in edge.text


def test_a_browsers_token_is_answered_by_the_auth_protocol_alone(edge):
    answer = knock(edge, "websocket", token=TOKEN, carrier="subprotocol")
    assert answer.headers["sec-websocket-protocol"] == "culvert.auth"
    answer = knock(edge, "websocket", token=TOKEN, carrier="subprotocol", protocols=["chat.v2"])
    assert answer.headers["sec-websocket-protocol"] == "chat.v2"


@EVERYWHERE
def test_a_route_without_authentication_needs_no_token(edge, transport, backend):
    assert knock(edge, transport, "/open/x").status == OPENED[transport]
    assert "X-Forwarded-User" not in backend.requests[-1].headers
    # A token of the upstream's own is its business; one of ours is not.
    assert knock(edge, transport, "/open/x", "of-the-upstream").status == OPENED[transport]
    assert backend.requests[-1].headers["Authorization"] == "Bearer of-the-upstream"
    assert knock(edge, transport, "/open/x", TOKEN).status == OPENED[transport]
    assert "Authorization" not in backend.requests[-1].headers


@EVERYWHERE
def test_no_route_is_404_with_or_without_a_token(backend, make_edge, transport):
    edge = make_edge(backend.port, route="host: only.example")
    for token in [None, "wrong", TOKEN]:
        answer = knock(edge, transport, "/nowhere", token)
        assert answer.status == 404 and problem(answer)["detail"] == "Nothing is served here."


def test_a_route_of_a_host_serves_that_host(backend, make_edge):
    edge = make_edge(backend.port, route="host: only.example")

    async def status(name):
        try:
            uri = f"ws://{name}/x"
            async with connect(uri, host="127.0.0.1", port=edge.plain_port, additional_headers=edge.auth) as ws:
                return ws.response.status_code
        except InvalidStatus as refused:
            return refused.response.status_code

    assert asyncio.run(status("only.example")) == 101
    assert asyncio.run(status("ONLY.example")) == 101
    assert asyncio.run(status("other.example")) == 404


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "other"]])
def test_a_request_has_one_host(edge, hosts):
    with socket.create_connection(("127.0.0.1", edge.plain_port)) as raw:
        lines = "".join(f"Host: {h}\r\n" for h in hosts)
        raw.sendall(f"POST /_poll HTTP/1.1\r\n{lines}Content-Length: 0\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_transport_that_a_route_does_not_have_is_404(edge):
    assert knock(edge, "websocket", "/native-only", TOKEN).status == 101
    assert knock(edge, "long-poll", "/native-only", TOKEN).status == 404


def test_a_plain_get_is_told_to_upgrade(edge):
    with httpx.Client(verify=edge.ssl, timeout=30) as http:
        answer = http.get(edge.https + "/chat")
        assert answer.status_code == 426
        assert answer.headers["upgrade"] == "websocket"
        assert http.post(edge.https + "/chat").status_code == 405


@EVERYWHERE
def test_too_many_sessions_are_told_to_come_back(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="connections: 1")
    with httpx.Client(verify=edge.ssl, timeout=30) as http:
        opened = http.post(edge.https + "/_poll", headers=edge.auth)
        assert opened.status_code == 201
        answer = knock(edge, transport, token=TOKEN)
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
        # Who has no token is told nothing of it.
        assert knock(edge, transport).status == 401
        # What is open goes on.
        at = edge.https + opened.headers["location"]
        assert http.post(at, json={"ack": 0, "first": 1, "messages": [{"text": "hi"}]}, headers=edge.auth).status_code == 200
        assert http.delete(at, headers=edge.auth).status_code == 204


@EVERYWHERE
def test_a_dead_upstream_is_502(make_edge, transport):
    edge = make_edge(free_port())
    answer = knock(edge, transport, token=TOKEN)
    assert answer.status == 502 and problem(answer)["detail"]


@EVERYWHERE
def test_a_path_that_means_another_behind_the_edge_is_400(edge, transport):
    suffix = "/_poll" if transport == "long-poll" else ""
    upgrade = "" if suffix else "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    for path in ["/open/../x", "/open/%2e%2e/x", "/open//x", "/open/..;/x", "/open%2f..%2fx"]:
        with socket.create_connection(("127.0.0.1", edge.tls_port)) as raw:
            with edge.ssl.wrap_socket(raw, server_hostname="localhost") as tls:
                method = "POST" if suffix else "GET"
                tls.sendall(f"{method} {path}{suffix} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n".encode())
                assert tls.recv(100).startswith(b"HTTP/1.1 400 "), path


# --- CORS ------------------------------------------------------------------------------------------------------------

def preflight(edge, origin, method="POST", path="/_poll"):
    with httpx.Client(verify=edge.ssl, timeout=30) as http:
        return http.options(edge.https + path, headers={
            "Origin": origin, "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,content-type"})


@pytest.mark.parametrize("path", ["/_poll", "/room/_poll/some-session", "/_poll/some-session/close"])
def test_a_preflight_needs_no_token_and_names_its_origin(edge, path):
    answer = preflight(edge, ORIGIN, path=path)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Origin" in answer.headers["vary"]
    methods = answer.headers["access-control-allow-methods"]
    assert all(m in methods for m in ["GET", "POST", "DELETE"]) and "*" not in methods
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed and "content-type" in allowed and "*" not in allowed


def test_a_preflight_of_another_origin_allows_nothing(edge):
    answer = preflight(edge, "https://evil.example")
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("token,status", [(TOKEN, 201), ("wrong", 401)])
def test_a_page_may_read_every_answer_meant_for_it(edge, token, status):
    answer = knock(edge, "long-poll", token=token, origin=ORIGIN)
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Origin" in answer.headers["vary"]
    assert "location" in answer.headers["access-control-expose-headers"].lower()


def test_without_an_origin_there_is_no_cors_but_vary(edge):
    answer = knock(edge, "long-poll", token=TOKEN)
    assert "access-control-allow-origin" not in answer.headers
    assert "Origin" in answer.headers["vary"]


def test_the_log_holds_no_token_of_any_refusal(edge):
    for carrier in CARRIERS:
        for transport in TRANSPORTS:
            knock(edge, transport, "/refuse", OTHER_TOKEN, carrier)
            knock(edge, transport, "/x", "never-log-this", carrier)
    edge.catch_up()
    assert OTHER_TOKEN not in edge.text and "never-log-this" not in edge.text

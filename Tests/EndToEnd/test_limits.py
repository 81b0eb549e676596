"""The limits that are applied before a session exists: by address, token, route and for the process."""

import contextlib
import socket
import threading
import time

import httpx
import pytest

from kit.admin import Admin
from kit.edge import OTHER_TOKEN, TOKEN, free_port, wait_for
from kit.held import Held, Refused, refusal
from kit.knock import TRANSPORTS
from kit.process import restart
from kit.proxied import LOCAL, header, tcp
from kit.raw import tls
from kit.script import ScriptedBackend, switching

EVERYWHERE = pytest.mark.parametrize("transport", TRANSPORTS)
PROXY = "trusted_proxies: [127.0.0.1]"
STATUS = {"address": 429, "token": 429, "route": 503, "process": 503}
# Who is not concerned when that scope is full.
OTHERS = {
    "address": {"headers": {"X-Forwarded-For": "192.0.2.9"}}, "token": {"token": OTHER_TOKEN},
    "route": {"path": "/open", "token": None},
}
SCOPES = pytest.mark.parametrize("scope", OTHERS)


def numbers(edge):
    with Admin(edge) as admin:
        answer = admin.get("/v1/limits")
        assert answer.status_code == 200
        return answer.json()


def wait_until_empty(edge):
    def empty():
        now = numbers(edge)
        return now["sessions"] == now["handshakes"] == 0

    wait_for(empty, what="every place to be given back")


@SCOPES
@EVERYWHERE
def test_sessions_of_a_scope_count_on_every_transport(backend, make_edge, scope, transport):
    edge = make_edge(backend.port, limits=f"{scope}: {{ sessions: 2 }}", sections=PROXY)
    held = [Held(edge, each) for each in TRANSPORTS]
    for _ in range(2):
        assert refusal(edge, transport) == (STATUS[scope], "too_many_sessions", scope, 5)
    Held(edge, transport, **OTHERS[scope]).close()
    for each in held:
        each.close()
        # The place is free as soon as the session has ended, and is one place.
        wait_for(lambda: numbers(edge)["sessions"] == 1, what="the session to end")
        held.append(Held(edge, transport))
        assert refusal(edge, transport)[1] == "too_many_sessions"
        if len(held) == 4:
            break
    denials = numbers(edge)["denials"]
    assert denials[scope] == {"sessions": 4, "rate": 0, "handshakes": 0}


@pytest.mark.parametrize("scope", STATUS)
@EVERYWHERE
def test_who_waits_as_long_as_retry_after_says_is_let_in(backend, make_edge, scope, transport):
    edge = make_edge(backend.port, limits=f"{scope}: {{ rate: 1, burst: 2 }}", sections=PROXY)
    for each in TRANSPORTS:
        Held(edge, each).close()
    # On a busy machine an opening may take as long as it takes a bucket to get another token.
    status, code, where, seconds = refusal(edge, transport, attempts=50)
    assert (status, code, where, seconds) == (STATUS[scope], "too_many_openings", scope, 1)
    if scope in OTHERS:
        Held(edge, transport, **OTHERS[scope]).close()
    time.sleep(seconds)
    Held(edge, transport).close()
    assert numbers(edge)["denials"][scope]["rate"] == 1


@EVERYWHERE
def test_a_route_has_limits_of_its_own(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="route: { sessions: 2 }", route="limits: { sessions: 1 }")
    held = Held(edge, transport)
    assert refusal(edge, transport)[2] == "route"
    others = [Held(edge, transport, path="/open", token=None) for _ in range(2)]
    assert refusal(edge, transport, path="/open", token=None)[2] == "route"
    for each in [held, *others]:
        each.close()
    shown = {route["name"]: route["limits"]["sessions"] for route in numbers(edge)["limits"]["routes"]}
    assert (shown["/"], shown["/open"]) == (1, 2)


@EVERYWHERE
def test_the_smaller_of_two_limits_of_a_token_holds(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="token: { sessions: 2 }")
    with Admin(edge) as admin:
        for own, most in ((1, 1), (5, 2)):
            secret = admin.mint(limits={"sessions": own})["secret"]
            held = [Held(edge, transport, token=secret) for _ in range(most)]
            assert refusal(edge, transport, token=secret)[:3] == (429, "too_many_sessions", "token")
            for each in held:
                each.close()


@EVERYWHERE
def test_a_session_that_moves_to_another_token_counts_there(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="token: { sessions: 1 }")
    with Admin(edge) as admin:
        old = admin.mint(expires="2037-01-01T00:00:00Z")["secret"]
        new = admin.mint()["secret"]
        moved = Held(edge, transport, token=old)
        target = moved.location if moved.http else "/_poll/" + moved.ws.response.headers["Culvert-Session"]
        with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
            answer = http.put(target + "/token", headers={"Authorization": f"Bearer {new}"})
            assert answer.status_code == 200, answer.text
        assert refusal(edge, transport, token=new)[1:3] == ("too_many_sessions", "token")
        Held(edge, transport, token=old).close()
        if moved.http:
            moved.http.headers["Authorization"] = f"Bearer {new}"
        moved.close()
        wait_until_empty(edge)
        Held(edge, transport, token=new).close()


@EVERYWHERE
def test_a_session_does_not_move_to_a_token_that_has_no_place_for_it(backend, make_edge, transport):
    """Otherwise a client with two tokens would open sessions on the first and move them to the second without end."""
    edge = make_edge(backend.port, limits="token: { sessions: 3 }")
    with Admin(edge) as admin, httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
        for own, most in ((2, 2), (9, 3)):
            old = admin.mint(expires="2037-01-01T00:00:00Z", limits={"sessions": own})["secret"]
            new = admin.mint(limits={"sessions": own})["secret"]

            def move(held):
                target = held.location if held.http else "/_poll/" + held.ws.response.headers["Culvert-Session"]
                return http.put(target + "/token", headers={"Authorization": f"Bearer {new}"})

            held = [Held(edge, transport, token=old) for _ in range(most)]
            for each in held:
                assert move(each).status_code == 200
            held += [Held(edge, transport, token=old) for _ in range(most)]
            for each in held[most:]:
                answer = move(each)
                print(f"{own} of its own: {answer.status_code} {answer.text}")
                assert (answer.status_code, answer.json()["type"], answer.json()["scope"]) == (
                    429, "urn:culvert:problem:too_many_sessions", "token")
                assert int(answer.headers["Retry-After"]) > 0
                # The session is as it was, and a request with the newer token is served.
                assert not each.http or http.post(
                    each.location, json={"first": 1, "messages": [{"text": "x"}]}, headers={"Authorization": f"Bearer {new}"}
                ).status_code == 200
            assert refusal(edge, transport, token=old)[:3] == (429, "too_many_sessions", "token")
            # A session that was moved already moves no further, and one has room when another ends.
            assert move(held[0]).status_code == 200
            held[0].close()
            wait_for(lambda: move(held[-1]).status_code == 200, what="a place to be free")
            for each in held[1:]:
                each.close()
            wait_until_empty(edge)


@EVERYWHERE
def test_a_token_that_is_rotated_takes_all_its_sessions_along(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="token: { sessions: 2 }")
    with Admin(edge) as admin, httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
        token = admin.mint(limits={"sessions": 2})
        held = [Held(edge, transport, token=token["secret"]) for _ in range(2)]
        later = admin.rotate(token)["secret"]
        for each in held:
            target = each.location if each.http else "/_poll/" + each.ws.response.headers["Culvert-Session"]
            answer = http.put(target + "/token", headers={"Authorization": f"Bearer {later}"})
            assert answer.status_code == 200, answer.text
            if each.http:
                each.http.headers["Authorization"] = f"Bearer {later}"
        assert refusal(edge, transport, token=later)[:3] == (429, "too_many_sessions", "token")
        for each in held:
            each.close()


@EVERYWHERE
def test_an_ipv6_network_is_one_address(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="address: { sessions: 1 }", sections=PROXY)

    def at(address):
        return {"headers": {"X-Forwarded-For": address}}

    held = Held(edge, transport, **at("2001:db8:0:1::1"))
    assert refusal(edge, transport, **at("2001:db8:0:1:ffff::2"))[2] == "address"
    Held(edge, transport, **at("2001:db8:0:2::1")).close()
    held.close()


@EVERYWHERE
def test_what_a_client_claims_of_its_address_changes_nothing(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="address: { sessions: 1 }")
    held = Held(edge, transport, headers={"X-Forwarded-For": "192.0.2.1"})
    assert refusal(edge, transport, headers={"X-Forwarded-For": "192.0.2.2"})[2] == "address"
    held.close()


@EVERYWHERE
def test_who_may_not_come_in_is_told_nothing_of_limits_and_uses_none_up(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="address: { rate: 1, burst: 1 }, process: { rate: 1, burst: 1 }")
    for _ in range(5):
        with pytest.raises(Refused) as refused:
            Held(edge, transport, token="no such token")
        assert refused.value.status == 401
    Held(edge, transport).close()


def test_requests_of_open_sessions_are_never_refused(backend, make_edge):
    limits = "{ sessions: 1, rate: 1, burst: 1, handshakes: 1 }"
    edge = make_edge(backend.port, limits=f"address: {limits}, token: {limits}, route: {limits}, connections: 1")
    held = Held(edge, "long-poll")
    for n in range(1, 30):
        body = {"ack": 0, "first": n, "messages": [{"text": "x"}]}
        assert held.http.post(held.location, json=body).status_code == 200
    assert held.http.get(held.location).status_code == 200
    held.close()


# --- handshakes ------------------------------------------------------------------------------------------------------

class Hesitant(ScriptedBackend):
    """Answers handshakes when told to."""

    def __init__(self):
        self.answer = threading.Event()
        super().__init__(self._hesitate)

    def _hesitate(self, connection, head):
        assert self.answer.wait(20)
        connection.sendall(switching(head))


@pytest.fixture
def hesitant():
    backend = Hesitant()
    yield backend
    backend.answer.set()
    backend.stop()


@SCOPES
@EVERYWHERE
def test_openings_are_handshakes_until_the_upstream_has_answered(hesitant, make_edge, scope, transport):
    edge = make_edge(hesitant.port, limits=f"{scope}: {{ handshakes: 2 }}", sections=PROXY)
    held = []

    def opening(each, **options):
        thread = threading.Thread(target=lambda: held.append(Held(edge, each, **options)))
        thread.start()
        return thread

    threads = [opening(each) for each in TRANSPORTS]
    wait_for(lambda: len(hesitant.heads) == 2, what="both to be under way")
    assert refusal(edge, transport) == (STATUS[scope], "too_many_handshakes", scope, 1)
    threads.append(opening(transport, **OTHERS[scope]))
    wait_for(lambda: len(hesitant.heads) == 3, what="the one that is not concerned to be under way")
    hesitant.answer.set()
    for thread in threads:
        thread.join(20)
    assert len(held) == 3
    Held(edge, transport)
    assert numbers(edge)["denials"][scope]["handshakes"] == 1


@pytest.mark.parametrize("scope", ["address", "process"])
def test_a_connection_is_a_handshake_until_its_first_answer(backend, make_edge, scope):
    # The admin listener is none of it.
    edge = make_edge(backend.port, limits=f"{scope}: {{ handshakes: 3 }}, handshake: 20s")
    silent = [socket.create_connection(("127.0.0.1", edge.plain_port), 10)]
    silent += [tls(edge) for _ in range(2)]
    wait_for(lambda: numbers(edge)["handshakes"] == 3, what="three handshakes")
    with socket.create_connection(("127.0.0.1", edge.plain_port), 10) as refused:
        refused.settimeout(5)
        try:
            assert refused.recv(1) == b""
        except ConnectionResetError:
            pass
    assert numbers(edge)["denials"][scope]["handshakes"] == 1
    # One is answered, and stays as a connection.
    silent[1].sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert silent[1].recv(100).startswith(b"HTTP/1.1 4")
    held = Held(edge, "websocket")
    # One goes.
    silent[0].close()
    wait_for(lambda: numbers(edge)["handshakes"] == 1, what="the handshake to be given back")
    held.close()
    for each in silent:
        each.close()
    wait_until_empty(edge)


def test_connections_of_a_trusted_proxy_are_counted_by_its_clients(backend, make_edge):
    edge = make_edge(backend.port, limits="address: { handshakes: 1 }", sections=PROXY)
    silent = [tls(edge) for _ in range(5)]
    wait_for(lambda: numbers(edge)["handshakes"] == 5, what="five handshakes")
    Held(edge, "websocket").close()
    for each in silent:
        each.close()


def test_a_websocket_that_leads_nowhere_is_a_handshake_on_a_connection_that_has_had_an_answer(backend, make_edge):
    edge = make_edge(backend.port, limits="address: { handshakes: 3 }")
    held, statuses = [], []
    for _ in range(5):
        s = socket.create_connection(("127.0.0.1", edge.plain_port), 10)
        held.append(s)
        s.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 4")
    for n, s in enumerate(held):
        path = "/open/_poll/probe" if n % 2 else "/open/_poll/abc/socket"
        s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                   "Sec-WebSocket-Protocol: culvert.v1\r\n\r\n").encode())
        statuses.append(int(s.recv(4096).split()[1]))
    print(f"five upgrades on connections that had an answer: {statuses}")
    assert statuses == [101, 101, 101, 429, 429]
    assert numbers(edge)["denials"]["address"]["handshakes"] == 2
    for each in held:
        each.close()
    wait_until_empty(edge)


def test_connections_with_a_proxy_header_are_counted_by_the_client_that_it_names(backend, make_edge):
    edge = make_edge(
        backend.port, limits="address: { handshakes: 3 }, handshake: 60s", sections='trusted_proxies: ["127.0.0.1"]')
    restart(edge, (f"address: 127.0.0.1:{edge.plain_port}\n",
                   f"address: 127.0.0.1:{edge.plain_port}\n    proxy_protocol: true\n"))

    def begun(first):
        return tcp(edge, first, port=edge.plain_port)

    crowd = [header("v2", "203.0.113.9"), header("v1", "203.0.113.9") + b"GET / HTTP/1.1\r\nHost: l"]
    held = [begun(crowd[n % 2]) for n in range(20)]
    wait_for(lambda: numbers(edge)["denials"]["address"]["handshakes"] == 17, what="17 of 20 to be refused")
    wait_for(lambda: numbers(edge)["handshakes"] == 3, what="three handshakes to be left")
    # Other clients, the proxy's own connections, and another trusted proxy that carries clients of its own.
    others = [begun(header("v1", "203.0.113.10")) for _ in range(3)]
    others += [begun(LOCAL["v1"]) for _ in range(5)] + [begun(header("v1", "127.0.0.1")) for _ in range(5)]
    wait_for(lambda: numbers(edge)["handshakes"] == 16, what="all others to be let in")
    assert numbers(edge)["denials"]["address"]["handshakes"] == 17
    for each in held + others:
        each.close()
    wait_until_empty(edge)


@EVERYWHERE
def test_a_client_that_leaves_gives_back_what_its_opening_took(hesitant, make_edge, transport):
    """Its dial ends with it, though the server has not answered."""
    edge = make_edge(hesitant.port, limits="address: { handshakes: 1 }", session="resume: 1s")
    gone = begin(edge, transport)
    wait_for(lambda: hesitant.heads, what="the opening to be under way")
    gone.close()
    wait_until_empty(edge)
    hesitant.answer.set()
    Held(edge, transport)


# --- places are given back -------------------------------------------------------------------------------------------

ONE = "{ sessions: 1, handshakes: 1 }"
STRICT = f"connections: 1, process: {{ handshakes: 1 }}, address: {ONE}, token: {ONE}, route: {ONE}"


def begin(edge, transport, path="/"):
    """A raw opening that nobody waits for."""
    connection = tls(edge)
    target = path.rstrip("/") + "/_poll" if transport == "long-poll" else path
    upgrade = "" if transport == "long-poll" else (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
    connection.sendall((f"{'POST' if transport == 'long-poll' else 'GET'} {target} HTTP/1.1\r\nHost: localhost\r\n"
                        f"Authorization: {edge.auth['Authorization']}\r\nContent-Length: 0\r\n{upgrade}\r\n").encode())
    return connection


def ended_by_client(edge, transport):
    Held(edge, transport).close()


def ended_by_upstream(edge, transport):
    held = Held(edge, transport, path="/close")
    if held.http:
        assert held.http.get(held.location).json()["close"]["code"] == 4321
        held.http.close()
    else:
        held.close()


def cut_by_client(edge, transport):
    if transport == "long-poll":
        held = Held(edge, transport)
        with Admin(edge) as admin:
            assert admin.delete(f"/v1/sessions/{held.location.rsplit('/', 1)[1]}").status_code in (200, 202, 204)
        held.http.close()
    else:
        held = Held(edge, transport)
        held.ws.socket.shutdown(socket.SHUT_RDWR)


def refused_by_upstream(edge, transport):
    with pytest.raises(Refused) as refused:
        Held(edge, transport, path="/refuse")
    assert refused.value.status == 503 and refused.value.headers["Retry-After"] == "7"


def timed_out(edge, transport):
    with pytest.raises(Refused) as refused:
        Held(edge, transport, path="/slow")
    assert refused.value.status == 504


def gone_while_dialling(edge, transport):
    begin(edge, transport, "/slow").close()


def malformed(edge, transport):
    headers = {"Sec-WebSocket-Version": "7"} if transport == "websocket" else {"Content-Type": "x"}
    with contextlib.suppress(Refused, Exception):
        Held(edge, transport, headers=headers).close()


ENDS = [ended_by_client, ended_by_upstream, cut_by_client, refused_by_upstream, timed_out, gone_while_dialling,
        malformed]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
@EVERYWHERE
def test_places_are_given_back_after_every_kind_of_end(fresh_backend, make_edge, end, transport):
    # Only the upstream's answer has a short deadline: a client's own handshake may take long on a busy machine.
    upstream = f'{{ servers: [ {{ url: "ws://127.0.0.1:{fresh_backend.port}" }} ], handshake_timeout: 2s }}'
    edge = make_edge(0, upstream=upstream, limits=STRICT, session="resume: 3s")
    for _ in range(2):
        end(edge, transport)
        wait_until_empty(edge)
    held = Held(edge, transport)
    held.close()
    wait_until_empty(edge)


@EVERYWHERE
def test_places_are_given_back_when_the_upstream_is_down(make_edge, transport):
    edge = make_edge(free_port(), limits=STRICT)
    for _ in range(3):
        with pytest.raises(Refused) as refused:
            Held(edge, transport)
        assert refused.value.status == 502
    wait_until_empty(edge)


def test_what_one_scope_refuses_is_taken_from_none(backend, make_edge):
    # The route refuses; the buckets of the address and the token are as they were.
    edge = make_edge(backend.port, limits="address: { rate: 1, burst: 2 }, token: { rate: 1, burst: 2 }",
                     route="limits: { sessions: 1 }")
    held = Held(edge, "websocket")
    for _ in range(5):
        assert refusal(edge, "websocket")[1:3] == ("too_many_sessions", "route")
    Held(edge, "websocket", path="/text").close()
    held.close()


# --- what the operator sees ------------------------------------------------------------------------------------------

def test_the_limits_in_force_are_shown(backend, make_edge):
    edge = make_edge(backend.port, limits="connections: 50, process: { rate: 9 }, address: { sessions: 3 }")
    shown = numbers(edge)
    assert shown["limits"]["process"] == {"sessions": 50, "rate": 9, "burst": 9, "handshakes": 100}
    assert shown["limits"]["address"] == {"sessions": 3, "rate": None, "burst": None, "handshakes": None}
    assert shown["limits"]["routes"] == []
    held = [Held(edge, each) for each in TRANSPORTS]
    shown = numbers(edge)
    assert (shown["sessions"], shown["handshakes"], shown["addresses"], shown["tokens"]) == (2, 0, 1, 0)
    for each in held:
        each.close()
    wait_for(lambda: numbers(edge)["addresses"] == 0, what="the address to be forgotten")


@EVERYWHERE
def test_a_full_process_says_so(backend, make_edge, transport):
    edge = make_edge(backend.port, limits="connections: 1")
    held = Held(edge, transport)
    assert refusal(edge, transport, token=TOKEN) == (503, "too_many_sessions", "process", 5)
    held.close()

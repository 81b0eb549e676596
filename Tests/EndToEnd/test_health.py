"""Servers that are looked at: each kind of check, against servers that turn bad and good again."""

import asyncio
import contextlib
import socket
import ssl
import threading

import pytest

from kit.admin import Admin
from kit.backend import Backend
from kit.echo import EchoProcess
from kit.edge import TOKEN, free_port, make_certificate, wait_for
from kit.jwks import key_server
from kit.knock import knock
from kit.pools import dial, echoes, health, opened, shown, upstream, url
from kit.script import ScriptedBackend, accept_key, switching

FAST = {"interval": "50ms", "timeout": "400ms", "rise": 2, "fall": 2}
CHECKS = {
    "tcp": {"type": "tcp"},
    "http": {"type": "http", "path": "/healthz"},
    "http with a status": {"type": "http", "status": 426},
    "websocket": {"type": "websocket"},
    "websocket with a ping": {"type": "websocket", "ping": True},
}


def checked(*servers, check, **options):
    """Nothing else tells a bad server: no retry, no ejection."""
    options = {"retries": 0, "eject": {"failures": 0}, "balance": "round_robin", **options}
    return upstream(*servers, health={**FAST, **check}, **options)


def expect(admin, healths, timeout=10):
    wait_for(lambda: health(admin) == healths, timeout, f"health to be {healths}")


def last_reason(admin, index=0):
    return shown(admin)["servers"][index]["last_check"]["reason"]


@contextlib.contextmanager
def hung_server():
    """Accepts, and says nothing; its port."""
    held = []
    server = socket.create_server(("127.0.0.1", 0))

    def accept():
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for connection in held:
            connection.close()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_server_that_dies_is_passed_over_and_used_again_when_it_is_back(make_edge, check):
    dying, other = EchoProcess(free_port()), EchoProcess(free_port())
    # A dead one refuses at once; one that lives may take its time on a busy machine.
    edge = make_edge(0, upstream=checked(dying.port, other.port, check={**check, "timeout": "3s"}))
    try:
        with Admin(edge) as admin:
            expect(admin, {dying.port: True, other.port: True})
            dying.kill()
            expect(admin, {dying.port: False, other.port: True})
            event = edge.expect_events("server unhealthy")[0]
            assert (event["upstream"], event["server"]) == ("echo", url(dying))
            assert "refused" in event["reason"] and "refused" in last_reason(admin)
            assert [knock(edge, "websocket", token=TOKEN).status for _ in range(6)] == [101] * 6
            dying = EchoProcess(dying.port)
            expect(admin, {dying.port: True, other.port: True})
            assert [e["server"] for e in edge.expect_events("server healthy")] == [url(dying)]
            assert last_reason(admin) is None

            async def run():
                async with contextlib.AsyncExitStack() as stack:
                    await opened(stack, edge, 4)
                    return {s["server"] for s in admin.sessions()}

            assert asyncio.run(run()) == {url(dying), url(other)}
    finally:
        dying.kill()
        other.kill()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_a_server_that_accepts_and_says_nothing_passes_only_tcp(make_edge, check):
    with hung_server() as port:
        edge = make_edge(0, upstream=checked(port, check=check))
        with Admin(edge) as admin:
            expect(admin, {port: check["type"] == "tcp"})
            if check["type"] != "tcp":
                assert last_reason(admin) == "no answer within 400ms"
        # With a check under way.
        assert edge.stop() == 0


@pytest.mark.parametrize("check", [CHECKS["tcp"], CHECKS["websocket"]], ids=["tcp", "websocket"])
def test_without_a_tls_handshake_no_check_of_wss_is_passed(make_edge, check):
    with hung_server() as port:
        edge = make_edge(0, upstream=checked({"port": port, "scheme": "wss"}, check=check))
        with Admin(edge) as admin:
            expect(admin, {port: False})


def test_a_certificate_of_somebody_else_fails_every_check(make_edge, tmp_path):
    cert, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    backend = Backend(ssl=context)
    try:
        for ca, healthy in ({"ca": str(cert)}, True), ({}, False):
            for kind in "tcp", "websocket":
                edge = make_edge(0, upstream=checked(
                    {"port": backend.port, "scheme": "wss"}, check={"type": kind}, **ca))
                with Admin(edge) as admin:
                    expect(admin, {backend.port: healthy})
    finally:
        backend.stop()


@pytest.mark.parametrize("check, answers", [
    ({}, {200: True, 204: True, 302: True, 400: False, 503: False}),
    ({"status": 404}, {404: True, 200: False}),
], ids=["any that is no error", "one"])
def test_the_status_decides(make_edge, check, answers):
    with key_server() as server:
        edge = make_edge(0, upstream=checked(server.port, check={"type": "http", "path": "/up?deep=1", **check}))
        with Admin(edge) as admin:
            for status, healthy in answers.items():
                server.say("", status)
                reason = None if healthy else f"status {status}"
                wait_for(lambda: last_reason(admin) == reason, what=f"a check that finds {status}")
                expect(admin, {server.port: healthy})
            assert set(server.paths) == {"/up?deep=1"}


def drain_only(connection, head):
    connection.sendall(switching(head))


def pong_of_another(connection, head):
    connection.sendall(switching(head) + b"\x8a\x01x")


def wrong_accept(connection, head):
    connection.sendall(switching(head).replace(accept_key(head).encode(), b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="))


def refuse(connection, head):
    connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


def nonsense(connection, head):
    connection.sendall(switching(head) + b"\xff\xff\xff")


@pytest.mark.parametrize("script, ping, reason", [
    (drain_only, False, None),
    (drain_only, True, "no answer within 400ms"),
    (pong_of_another, True, "no answer within 400ms"),
    (wrong_accept, False, "wrong Sec-WebSocket-Accept"),
    (refuse, False, "status 503"),
    (nonsense, True, "(1002)"),
    (lambda c, h: c.sendall(switching(h) + b"\x88\x02\x03\xe9"), True, "Close in place of a pong"),
    (lambda c, h: c.close(), False, "the connection ended without an answer"),
], ids=["silent", "no pong", "another pong", "wrong key", "refusal", "nonsense", "close", "hangs up"])
def test_a_websocket_is_more_than_a_port(make_edge, script, ping, reason):
    server = ScriptedBackend(script)
    edge = make_edge(0, upstream=checked(server.port, check={"type": "websocket", "ping": ping}))
    try:
        with Admin(edge) as admin:
            expect(admin, {server.port: reason is None})
            # A check that a busy machine was late for says that instead; the next is soon.
            wait_for(lambda: reason is None or reason in (last_reason(admin) or ""), what=f"the reason {reason}")
    finally:
        server.stop()


def test_a_check_is_a_session_like_any_other_to_the_server(make_edge):
    backend = Backend()
    edge = make_edge(0, upstream=checked(
        backend.port, check={"type": "websocket", "ping": True, "path": "/alive", "host": "chat.example"}))
    try:
        wait_for(lambda: len(backend.closed) > 2, what="some checks")
        assert set(backend.closed) == {("/alive", 1000, "")}
        request = backend.requests[0]
        assert request.headers["Host"] == "chat.example"
        assert request.headers["User-Agent"].startswith("culvert-health/")
        with Admin(edge) as admin:
            assert admin.sessions() == [] and admin.get("/healthz").json()["sessions"] == 0
            assert shown(admin)["servers"][0]["sessions"] == 0
    finally:
        backend.stop()


def test_sessions_of_a_server_that_is_unhealthy_stay_and_new_ones_go_elsewhere(make_edge):
    well = threading.Event()
    well.set()

    def script(connection, head):
        if head.startswith(b"GET /healthz"):
            status = b"200 OK" if well.is_set() else b"500 Oops"
            connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.sendall(switching(head))
            while b"\x81" not in connection.recv(100):
                pass
            connection.sendall(b"\x81\x01x")
            connection.recv(100)
            connection.sendall(b"\x88\x02\x03\xe8")

    sick, other = ScriptedBackend(script), EchoProcess(free_port())
    edge = make_edge(0, upstream=checked(
        sick.port, {"port": other.port, "max_sessions": 2}, check=CHECKS["http"], balance="least_sessions"))

    async def run():
        with Admin(edge) as admin:
            expect(admin, {sick.port: True, other.port: True})
            async with dial(edge) as first, dial(edge) as second:
                well.clear()
                expect(admin, {sick.port: False, other.port: True})
                # In whatever order they were placed, one is at each.
                assert {s["server"] for s in admin.sessions()} == {url(sick), url(other)}
                assert await echoes(first) and await echoes(second)
                async with dial(edge) as third:
                    assert await echoes(third)
                    assert len(admin.sessions(server=url(other))) == 2
                    # The one that is well is full: better that one than none.
                    async with dial(edge) as fourth:
                        assert await echoes(fourth)
                        assert len(admin.sessions(server=url(sick))) == 2

    try:
        asyncio.run(run())
    finally:
        sick.stop()
        other.kill()


def test_with_all_of_them_unhealthy_it_is_as_if_none_were(make_edge):
    echoers = [EchoProcess(free_port()) for _ in range(2)]
    edge = make_edge(0, upstream=checked(*(e.port for e in echoers), check={"type": "http", "status": 204}))
    try:
        with Admin(edge) as admin:
            expect(admin, {e.port: False for e in echoers})
            assert [knock(edge, "websocket", token=TOKEN).status for _ in range(4)] == [101] * 4
    finally:
        for echo in echoers:
            echo.kill()


def test_without_checks_nothing_is_known(make_edge):
    edge = make_edge(0, upstream=upstream(free_port()))
    with Admin(edge) as admin:
        server = shown(admin)["servers"][0]
        assert (server["healthy"], server["last_check"]) == (None, None)

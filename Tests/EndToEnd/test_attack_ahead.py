"""Attacks by requests that are sent ahead of their answers, where a connection goes on from a task of its loop: behind an
offer to upgrade, a trailer, a signature that is verified, an answer of another loop.

NIO runs tasks until none is left, and gives the sockets no turn before that."""

import base64
import contextlib
import socket

import pytest

from kit.attack import dial, request
from kit.jwt import Key, base64url, section
from kit.poll import client, open_session
from kit.turns import Attack, Turns

COUNT = 100
PACKET = 16_000
HS = Key("HS256", "h")
FORGED = ".".join(base64url(part) for part in (b'{"alg":"HS256","kid":"h"}', b"{}", b"x" * 32))
PLAIN = request("GET", "/x")
END = request("GET", "/x", "Connection: close")
CAUSES = {
    "offer": request("GET", "/x", "Upgrade: x"),
    "trailer": request("POST", "/x", "Transfer-Encoding: chunked", body=b"0\r\nA: b\r\n\r\n"),
    "signature": request("POST", "/_poll", f"Authorization: Bearer {FORGED}"),
}

EDGE = dict(authentication=section(
    keys=[{"id": "h", "algorithm": "HS256", "secret": HS.private}], audience="edge"))


def sending(port, asks, most, ends):
    """Connections, and what sends a packet on each and takes the answers."""
    held = [dial(port, timeout=60) for _ in range(COUNT)]
    packet = asks * ((most - len(END)) // len(asks)) + END

    def attack():
        for s in held:
            with contextlib.suppress(OSError):
                s.sendall(packet)
                if ends:
                    s.shutdown(socket.SHUT_WR)
        for s in held:
            with contextlib.suppress(OSError):
                while s.recv(1 << 20):
                    pass

    return attack


def worst(edge, what, port, asks, most=PACKET, ends=False):
    """Seconds of the processor that the busiest loop worked while an echo of others was on its way, at most."""
    with Attack(sending, port, asks, most, ends) as attack:
        with Turns(edge, echo="/others") as turns:
            attack.go.set()
            attack.process.join(60)
        assert attack.process.exitcode == 0, "the answers did not come"
    print(f"{COUNT} connections with {most} bytes of requests, {what}: {turns}")
    return turns.samples[-1]


def bound(edge, port, most=PACKET):
    return max(0.2, 3 * worst(edge, "plain", port, PLAIN, most))


@pytest.mark.parametrize("cause", CAUSES)
def test_requests_that_go_on_from_tasks_hold_up_nobody(edge, cause):
    """All of all connections were answered in one turn of the loop, in 2 s and more."""
    assert worst(edge, cause, edge.plain_port, CAUSES[cause]) < bound(edge, edge.plain_port)


def test_requests_ahead_of_an_end_hold_up_nobody(edge):
    """A socket that has come to its end is read empty."""
    asks = CAUSES["offer"]
    assert worst(edge, "offer, end", edge.plain_port, asks, 60_000, True) < bound(edge, edge.plain_port, 60_000)


def test_requests_for_sessions_of_another_loop_hold_up_nobody(edge):
    with client(edge) as http:
        known = bytearray(base64.urlsafe_b64decode(open_session(http, "/open").rsplit("/", 1)[1]))
    asks = b""
    for loop in (0, 1):
        # The same identifier but for the loop, and a bit that was random.
        known[3], known[4] = loop, known[4] ^ 1
        asks += request("GET", "/open/_poll/" + base64.urlsafe_b64encode(known).decode())
    assert worst(edge, "another loop", edge.plain_port, asks) < bound(edge, edge.plain_port)


@pytest.mark.parametrize("cause", ["offer", "answer"])
def test_requests_to_the_admin_listener_hold_up_no_client(edge, cause):
    """It shares the loops; its own answers come with a task."""
    asks = {"offer": CAUSES["offer"], "answer": request("GET", "/healthz")}[cause]
    assert worst(edge, f"admin, {cause}", edge.admin_port, asks) < bound(edge, edge.plain_port)

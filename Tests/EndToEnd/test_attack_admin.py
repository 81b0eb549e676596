"""Attacks on the admin listener, by anybody who reaches it."""

import contextlib
import time

import pytest

from kit.admin import Admin
from kit.attack import MiB, Peak, descriptors, dial, is_closed, read_answer, read_head, request
from kit.edge import wait_for

HEALTH = request("GET", "/healthz")


def test_answers_that_nobody_reads_are_not_made(edge):
    with dial(edge.admin_port, 4096, timeout=2) as s, Peak(edge) as peak:
        sent, end = 0, time.monotonic() + 4
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                sent += s.send(HEALTH * 2000)
        begun = time.monotonic()
        with Admin(edge) as admin:
            assert admin.get("/healthz").status_code == 200
        print(f"{sent / MiB:.1f} MiB of GET /healthz, no answer read: {peak}; "
              f"another waits {(time.monotonic() - begun) * 1000:.0f} ms")
        assert peak.most < 20 * MiB


def test_requests_in_a_packet_are_answered_in_order(edge):
    with dial(edge.admin_port) as s:
        s.sendall(HEALTH * 50 + request("GET", "/nothing") + HEALTH)
        rest, statuses = b"", []
        for _ in range(52):
            status, _, _, rest = read_answer(s, rest)
            statuses.append(status)
        assert statuses == [200] * 50 + [401, 200]


def test_a_connection_that_drips_ends(edge):
    before = descriptors(edge)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(dial(edge.admin_port)) for _ in range(60)]
        for s in sockets:
            s.sendall(b"GET / HTTP/1.1\r\nX: ")
        begun = time.monotonic()

        def left():
            for s in sockets:
                with contextlib.suppress(OSError):
                    s.send(b"a")
            return descriptors(edge) - before

        wait_for(lambda: left() < 5, 30, "the connections to be closed")
        print(f"60 connections that send a byte now and then: gone after {time.monotonic() - begun:.0f} s")


def test_so_many_connections_of_nobody_do_not_keep_an_operator_out(edge):
    before = descriptors(edge)
    with contextlib.ExitStack() as stack:
        with Admin(edge) as operator:
            assert operator.get("/v1/version").status_code == 200
            sockets = [stack.enter_context(dial(edge.admin_port)) for _ in range(400)]
            # The newest stay, and so do connections that have shown the token; the oldest without it have gone.
            wait_for(lambda: descriptors(edge) - before < 300, what="the oldest to be closed")
            assert operator.get("/v1/version").status_code == 200
            with Admin(edge) as other:
                assert other.get("/v1/version").status_code == 200
            assert is_closed(sockets[0], 10)
    edge.expect_events("admin connections closed: too many, and the oldest had not shown the token")


@pytest.mark.parametrize("expects", [True, False], ids=["expect", "silent"])
@pytest.mark.parametrize("lines,status", [
    ([], 401), (["Authorization: Bearer x"], 401), (["Origin: https://evil.example"], 403), (["Host: evil"], 403),
], ids=["no token", "wrong token", "origin", "hosts"])
def test_what_has_no_token_is_refused_at_the_head(edge, lines, status, expects):
    with dial(edge.admin_port) as s:
        s.sendall(request("POST", "/v1/tokens", "Content-Type: application/json", "Content-Length: 60000", *lines,
                          *(["Expect: 100-continue"] if expects else [])))
        assert read_answer(s)[0] == status


def test_bodies_have_a_bound_and_a_deadline(edge):
    secret = (edge.folder / "culvert.admin-token").read_text().strip()
    with dial(edge.admin_port, timeout=30) as slow, dial(edge.admin_port) as s:
        slow.sendall(request("POST", "/v1/tokens", "Content-Type: application/json", "Content-Length: 60000",
                             token=secret))
        begun = time.monotonic()
        s.sendall(request("POST", "/v1/tokens", "Content-Length: 70000", "Expect: 100-continue", token=secret))
        assert read_answer(s)[0] == 413
        assert read_answer(slow)[0] == 408
        assert time.monotonic() - begun < 25


def test_a_body_that_is_wanted_is_asked_for(edge):
    secret = (edge.folder / "culvert.admin-token").read_text().strip()
    body = b'{"subject": "x", "routes": ["/"]}'
    with dial(edge.admin_port) as s:
        s.sendall(request("POST", "/v1/tokens", "Content-Type: application/json", f"Content-Length: {len(body)}",
                          "Expect: 100-continue", token=secret))
        status, _, rest = read_head(s)
        assert status == 100
        s.sendall(body)
        assert read_answer(s, rest)[0] == 201

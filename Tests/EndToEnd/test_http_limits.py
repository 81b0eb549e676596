"""Limits of HTTP: how long things may take to arrive, and how much one connection and the process may ask."""

import socket
import threading
import time

import httpx
import pytest

from kit.admin import Admin
from kit.edge import wait_for
from kit.poll import client, open_session
from kit.raw import tls

WEBSOCKET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


def plain(edge):
    return socket.create_connection(("127.0.0.1", edge.plain_port), 20)


def tcp_to_tls(edge):
    return socket.create_connection(("127.0.0.1", edge.tls_port), 20)


def read_to_end(connection):
    connection.settimeout(15)
    out = b""
    try:
        while got := connection.recv(65536):
            out += got
    except (ConnectionResetError, OSError) as error:
        assert not isinstance(error, TimeoutError), f"still open, after {out!r}"
    return out


def read_answer(connection):
    """One whose body is a problem document."""
    out = b""
    while not out.endswith(b"}\n"):
        got = connection.recv(65536)
        assert got, out
        out += got
    return out


def elapsed(since):
    return time.monotonic() - since


@pytest.mark.parametrize("dial", [plain, tcp_to_tls, tls], ids=["plain", "tls not begun", "tls"])
def test_a_connection_that_says_nothing_ends(backend, make_edge, dial):
    edge = make_edge(backend.port, limits="http: { first_byte: 500ms }, handshake: 15s")
    begun = time.monotonic()
    silent, speaking = dial(edge), tls(edge)
    speaking.sendall(b"G")
    assert read_to_end(silent) == b""
    assert 0.4 < elapsed(begun) < 10
    # One that has begun has the time of a handshake.
    speaking.sendall(b"ET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert read_to_end(speaking).startswith(b"HTTP/1.1 426 ")


@pytest.mark.parametrize("request_number", [1, 2])
def test_slow_headers_end_whichever_request_they_are_of(backend, make_edge, request_number):
    edge = make_edge(backend.port, limits="handshake: 1s, http: { idle: 60s, first_byte: 60s }")
    with tls(edge) as connection:
        if request_number == 2:
            connection.sendall(WEBSOCKET + b"\r\n")
            assert read_answer(connection).startswith(b"HTTP/1.1 426 ")
        begun = time.monotonic()
        connection.sendall(WEBSOCKET)
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.1):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            read_to_end(connection)
            assert 0.9 < elapsed(begun) < 10
        finally:
            stop.set()
            thread.join(10)


def test_a_connection_without_requests_ends(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 20s, http: { idle: 500ms }")
    with tls(edge) as connection:
        begun = time.monotonic()
        for _ in range(3):
            connection.sendall(WEBSOCKET + b"\r\n")
            assert read_answer(connection).startswith(b"HTTP/1.1 426 ")
        read_to_end(connection)
        assert 0.4 < elapsed(begun) < 10


def test_a_parked_poll_is_no_idle_connection(backend, make_edge):
    edge = make_edge(backend.port, session="hold: 1500ms", limits="http: { idle: 300ms, first_byte: 300ms }")
    with client(edge) as http:
        assert http.get(open_session(http)).status_code == 204


# --- bodies ----------------------------------------------------------------------------------------------------------

def post(edge, location, length, chunked=False):
    """Everything but the body."""
    connection = tls(edge)
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
    connection.sendall((f"POST {location} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        f"Authorization: {edge.auth['Authorization']}\r\nConnection: close\r\n"
                        f"{framing}\r\n\r\n").encode())
    return connection


@pytest.mark.parametrize("pace", [0, 200], ids=["stalled", "slow"])
def test_a_body_that_comes_too_slowly_is_408(backend, make_edge, pace):
    edge = make_edge(backend.port, limits="handshake: 1s, http: { body_rate: 2KiB }")
    with client(edge) as http, post(edge, open_session(http), 100_000) as connection:
        begun = time.monotonic()
        stop = threading.Event()

        def trickle():
            while not stop.wait(0.1):
                try:
                    connection.sendall(b" " * (pace // 10))
                except OSError:
                    return

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            answer = read_to_end(connection)
        finally:
            stop.set()
            thread.join(10)
        assert answer.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in answer
        assert 0.9 < elapsed(begun) < 10


def test_a_large_body_that_keeps_the_rate_may_take_longer(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 500ms, http: { body_rate: 1KiB }")
    with client(edge) as http:
        location = open_session(http)
        body = b'{"ack": 0, "first": 1, "messages": [{"text": "' + b"x" * 24_000 + b'"}]}'
        begun = time.monotonic()
        with post(edge, location, len(body)) as connection:
            for at in range(0, len(body), 1024):
                connection.sendall(body[at:at + 1024])
                time.sleep(0.1)
            assert elapsed(begun) > 2
            assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")
        assert http.get(location).json()["messages"] == [{"text": "x" * 24_000}]


def test_a_body_without_end_is_413_however_fast_it_comes(backend, make_edge):
    edge = make_edge(backend.port, limits="handshake: 1s, message: 1KiB", session="buffer: 1KiB")
    with client(edge) as http, post(edge, open_session(http), 0, chunked=True) as connection:
        begun = time.monotonic()
        chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        with pytest.raises(OSError):
            while elapsed(begun) < 15:
                connection.sendall(chunk * 4)
                time.sleep(0.02)
        assert 0.9 < elapsed(begun) < 10


# --- how much --------------------------------------------------------------------------------------------------------

def test_a_connection_has_so_many_requests(backend, make_edge):
    edge = make_edge(backend.port, limits="http: { requests: 3 }")
    with tls(edge) as connection:
        for n in (1, 2, 3):
            connection.sendall(WEBSOCKET + b"\r\n")
            if n < 3:
                assert b"connection: close" not in read_answer(connection).lower()
        assert b"connection: close" in read_to_end(connection).lower()
    # A client that knows HTTP notices nothing.
    with client(edge) as http:
        location = open_session(http)
        for n in range(1, 12):
            body = {"ack": 0, "first": n, "messages": [{"text": "x"}]}
            assert http.post(location, json=body).status_code == 200


def parked(edge):
    with Admin(edge) as admin:
        return admin.get("/v1/limits").json()["parked"]


def test_so_many_polls_are_parked(backend, make_edge):
    edge = make_edge(backend.port, session="hold: 20s", limits="http: { parked: 1 }")
    answers = []

    def poll(location):
        thread = threading.Thread(target=lambda: answers.append(
            httpx.get(edge.https + location, verify=edge.ssl, headers=edge.auth, timeout=30).status_code))
        thread.start()
        return thread

    with client(edge) as http, Admin(edge) as admin:
        first, second = open_session(http), open_session(http)
        threads = [poll(first)]
        wait_for(lambda: parked(edge) == 1, what="the poll to be parked")
        answer = http.get(second)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:culvert:problem:too_many_polls")
        assert int(answer.headers["retry-after"]) > 0
        # A session's later poll takes the place of its own.
        threads.append(poll(first))
        wait_for(lambda: answers == [204], what="the earlier poll to be answered")
        # What the session is sent goes on, and frees the place.
        body = {"ack": 0, "first": 1, "messages": [{"text": "x"}]}
        assert http.post(first, json=body).status_code == 200
        for thread in threads:
            thread.join(20)
        assert answers == [204, 200]
        threads = [poll(second)]
        wait_for(lambda: parked(edge) == 1, what="the other to be parked")
        assert http.post(second, json=body).status_code == 200
        threads[0].join(20)
        assert answers == [204, 200, 200] and parked(edge) == 0
        assert admin.get("/v1/limits").json()["denials"]["http"] == {"parked": 1}


def test_a_poll_whose_client_leaves_is_parked_no_more(backend, make_edge):
    edge = make_edge(backend.port, session="hold: 20s", limits="http: { parked: 1 }")
    with client(edge) as http:
        location = open_session(http)
        with tls(edge) as connection:
            connection.sendall((f"GET {location} HTTP/1.1\r\nHost: localhost\r\n"
                                f"Authorization: {edge.auth['Authorization']}\r\n\r\n").encode())
            wait_for(lambda: parked(edge) == 1, what="the poll to be parked")
        wait_for(lambda: parked(edge) == 0, what="the poll to be forgotten")
        http.delete(location)

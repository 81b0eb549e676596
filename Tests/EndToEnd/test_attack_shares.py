"""Attacks by one kind of work on the turns of another kind: what strangers fill a loop with leaves handshakes of TLS their
share of it, towards clients and towards servers, and no handshake holds what a client has filled its socket with."""

import contextlib
import socket
import ssl
import threading
import time

import pytest

from kit.admin import memory
from kit.attack import MiB, descriptors, dial, request
from kit.backend import Backend
from kit.edge import TOKEN, make_certificate, wait_for
from kit.pour import pouring, running
from kit.stray import cpu
from kit.tls import first_message

pytestmark = pytest.mark.alone
SECONDS = 4
# Requests that are sent ahead of their answers, on connections that are not counted as handshakes once they have had one.
AHEAD = request("GET", "/x") * 200_000
LIMITS = "handshake: 20s, http: { first_byte: 20s, requests: 1000000 }"
OPENING = request("GET", "/echo", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                  "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==", token=TOKEN)


def _greet(port, rate, message, most, ends):
    held = []
    while True:
        for _ in range(rate // 10):
            if len(held) >= most:
                held.pop(0).close()
            s = socket.create_connection(("127.0.0.1", port))
            s.settimeout(0.01)
            # A socket that takes no more, or is closed already, is as good.
            with contextlib.suppress(OSError):
                s.sendall(message)
            if ends:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_WR)
            held.append(s)
        time.sleep(0.1)


def greeting(port, rate, message, most=400, ends=False):
    """A process that opens `rate` connections a second, sends the message on each, and keeps `most` of them."""
    return running(_greet, port, rate, message, most, ends)


def during(count, once):
    """The results of `once`, which `count` threads call for some seconds."""
    results, end = [], time.monotonic() + SECONDS

    def run():
        while time.monotonic() < end:
            try:
                results.append(once())
            except OSError as error:
                results.append(repr(error))
            time.sleep(0.01)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return {kind: results.count(kind) for kind in set(results)}


def shaken(edge):
    with dial(edge.tls_port) as s, edge.ssl.wrap_socket(s, server_hostname="localhost"):
        return "done"


@contextlib.contextmanager
def strangers(edge, count, rate):
    """`count` connections with requests ahead of their answers, and `rate` first messages of TLS a second."""
    with greeting(edge.tls_port, rate, first_message()), pouring([dial(edge.plain_port) for _ in range(count)], AHEAD):
        time.sleep(1.5)
        yield


def test_requests_ahead_of_their_answers_leave_handshakes_their_share(backend, make_edge):
    edge = make_edge(backend.port, limits=LIMITS)
    calm = during(3, lambda: shaken(edge))
    with strangers(edge, 1000, 100):
        before = cpu(edge.process)
        done = during(3, lambda: shaken(edge))
        used = cpu(edge.process) - before
    print(f"handshakes in {SECONDS} s: calm {calm}, beside 1000 connections with requests ahead {done}, of {used:.1f} s")
    assert set(done) == {"done"}
    # They have a third of the loops' time at least. One of a hundred was done.
    assert done["done"] > calm["done"] / 15


@pytest.fixture
def secure(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    cert, key = make_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server = Backend(ssl=context)
    server.cert = cert
    yield server
    server.stop()


def opened(edge):
    with dial(edge.plain_port, timeout=40) as s:
        s.sendall(OPENING)
        return s.recv(4096)[9:12].decode()


def test_strangers_leave_handshakes_with_servers_their_share(secure, make_edge):
    """Neither requests nor handshakes of strangers come in front of them, and a healthy server is not ejected."""
    edge = make_edge(secure.port, limits=LIMITS, upstream=(
        f'{{ servers: [ {{ url: "wss://localhost:{secure.port}" }} ], ca: "{secure.cert}", handshake_timeout: 5s }}'))
    calm = during(4, lambda: opened(edge))
    with strangers(edge, 1000, 100):
        done = during(4, lambda: opened(edge))
    print(f"openings in {SECONDS} s: calm {calm}, beside strangers {done}")
    assert set(done) == {"101"}
    assert done["101"] > calm["101"] / 15
    edge.catch_up()
    assert not edge.events("server ejected")


def test_what_fills_sockets_in_front_of_tls_is_not_held_and_keeps_no_opening_out(backend, make_edge):
    """Each sends a first message, 54 KB of small records that are none of application data, and its end. While steps of
    handshakes wait, a socket is read empty at its end."""
    edge = make_edge(backend.port, limits=f"{LIMITS}, memory: 32MiB".replace("first_byte: 20s", "first_byte: 60s"))
    message = first_message() + (b"\x16\x03\x03\x00\x04" + b"\0" * 4) * 6000
    found, most, open_files = [], 0, 0
    before = descriptors(edge)
    with strangers(edge, 500, 200), greeting(edge.tls_port, 1500, message, most=1000, ends=True):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            most = max(most, memory(edge)["used"])
            open_files = max(open_files, descriptors(edge) - before)
            found.append(opened(edge))
            time.sleep(0.02)
    print(f"{most / MiB:.1f} MiB were held of 32, {open_files} descriptors, openings {dict.fromkeys(found)}")
    assert most < 36 * MiB
    assert found.count("101") > len(found) / 2 and len(found) > 5
    # Half of the ends that have come are not waited for.
    assert open_files < 500 + 400 + 1000 + 100
    wait_for(lambda: memory(edge)["used"] < 2 * MiB, 30, what="what was held to be given back")

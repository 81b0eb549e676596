"""Attacks by the place of a set of keys: what its name or its server does holds up no other set, and nobody whose key is
known; what it sends is bounded."""

import concurrent.futures
import contextlib
import json
import socket
import threading
import time

import pytest

from kit.attack import MiB, Peak
from kit.edge import TOKEN, wait_for
from kit.jwks import jwks, key_server
from kit.jwt import Key, section
from kit.knock import knock
from kit.names import Names
from kit.pace import within
from kit.script import listen

# Of each fetch. What is held up by one takes as long.
TIMEOUT = 4


def drip(connection, key):
    """A good set, a byte now and then."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for byte in json.dumps(jwks(key)):
        connection.sendall(f"1\r\n{byte}\r\n".encode())
        time.sleep(0.5)


def endless(head, again):
    def script(connection, key):
        connection.sendall(head.encode())
        while True:
            connection.sendall(again.encode() * (65536 // len(again)))

    return script


def redirect(connection, key):
    """To itself, for ever."""
    port = connection.getsockname()[1]
    connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/on\r\nContent-Length: 0\r\n\r\n".encode())


def silent(connection, key):
    connection.recv(1)
    while connection.recv(65536):
        pass


OK = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
# For each what the log says of it.
HOSTS = {
    "silent": (silent, "took too long"),
    "silent in TLS": (silent, "took too long"),
    "drips": (drip, "took too long"),
    "redirects": (redirect, "answered 302"),
    "a body without end": (endless(OK + "\r\n", "[" * 64), "more than 1MiB"),
    "chunks without end": (endless(OK + "Transfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"), ""),
    "a field without end": (endless(OK + "X: ", "a" * 64), ""),
    "fields without end": (endless(OK, "X: y\r\n"), ""),
    "interim answers without end": (endless("", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), ""),
}


class Hostile:
    """Serves each connection with `script` once `is_hostile` is set; `asked` counts those."""

    def __init__(self, script, key):
        self.script, self.key, self.asked = script, key, 0
        # A good set first, so that the start does not wait for it. The other TLS never speaks.
        self.is_hostile = False
        self.server = listen(self._serve)
        self.port = self.server.getsockname()[1]

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            if not self.is_hostile:
                if connection.recv(65536).startswith(b"GET "):
                    body = json.dumps(jwks(self.key)).encode()
                    connection.sendall(f"{OK}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                return
            if self.script is not silent:
                connection.recv(65536)
            self.asked += 1
            self.script(connection, self.key)

    def stop(self):
        self.server.close()


def issued(key, **claims):
    return key.token(iss="https://id.example.com", **claims)


def status(edge, key):
    return knock(edge, "long-poll", token=issued(key)).status


def hold_up_nobody(edge, good, old, url):
    """With the other set's host being asked in vain: known keys count, and so do new ones of the good set."""
    began = time.monotonic()
    # The sets were read at the start; they are asked again for an unknown key alone, and not at once.
    wait_for(lambda: time.monotonic() > began + 1.2, what="the cooldown since the start")
    # Before anybody has the good set read: it is not read again until its cooldown is over.
    new = Key("ES256", "new")
    good.serve(old, new)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        strange = [pool.submit(status, edge, Key("ES256", f"strange {n}")) for n in range(4)]
        asked = time.monotonic()
        assert status(edge, old) == 201
        known = time.monotonic() - asked
        assert knock(edge, "long-poll", token=TOKEN).status == 201
        asked = time.monotonic()
        wait_for(lambda: status(edge, new) == 201, 2 * TIMEOUT, "a new key of the good set to count")
        took = time.monotonic() - asked
        print(f"{url}: a token of a known key takes {known:.2f} s, one of a new key {took:.2f} s")
        # Whatever waits for the other set waits for all of its time.
        assert known < within(TIMEOUT * 3 / 4) and took < within(TIMEOUT * 3 / 4)
        assert {answer.result() for answer in strange} <= {401, 503}


@pytest.mark.parametrize("name", HOSTS)
def test_the_host_of_a_set_holds_up_no_other(backend, make_edge, name):
    script, reason = HOSTS[name]
    old = Key("ES256", "old")
    hostile = Hostile(script, old)
    url = f"{'https' if 'TLS' in name else 'http'}://127.0.0.1:{hostile.port}/keys?secret"
    try:
        with key_server(keys=[old]) as good:
            edge = make_edge(backend.port, authentication=section(
                issuer=["https://id.example.com"],
                jwks=[{"url": url, "cooldown": "1s", "timeout": f"{TIMEOUT}s"}, good.source(cooldown="1s")]))
            hostile.is_hostile = True
            with Peak(edge) as peak:
                hold_up_nobody(edge, good, old, name)
            print(f"{name}: asked {hostile.asked} times, {peak}")
            assert hostile.asked
            assert peak.most < 40 * MiB
            # The host that speaks TLS has never had a set for the edge.
            said = "jwt keys not read; " + ("this set has none yet" if "TLS" in name else "the last good ones stay")
            reasons = {event["reason"] for event in edge.expect_events(said, timeout=2 * TIMEOUT)}
            print(reasons)
            assert any(reason in text for text in reasons) and not any("secret" in text for text in reasons)
    finally:
        hostile.stop()


def test_a_host_of_a_set_whose_name_hangs_holds_up_no_other(backend, make_edge, tmp_path, monkeypatch):
    names, old = Names(tmp_path, monkeypatch), Key("ES256", "old")
    with key_server(keys=[old]) as good:
        try:
            edge = make_edge(backend.port, authentication=section(
                issuer=["https://id.example.com"],
                jwks=[{"url": "https://a.hang.test:1/keys", "cooldown": "1s", "timeout": f"{TIMEOUT}s"},
                      good.source(cooldown="1s")]))
            before = names.asked("a.hang.test")
            names.hold()
            hold_up_nobody(edge, good, old, "a name that hangs")
            assert names.asked("a.hang.test") > before
        finally:
            names.let_go()

"""Connections that trickle the beginning of a request and never end it, as a process of its own:
python slow.py PLAIN_PORT TLS_PORT COUNT TLS_COUNT. Those that are cut come again."""

import collections
import os
import pathlib
import resource
import select
import socket
import ssl
import subprocess
import sys
import time

PERIOD = 4.0
# Connections that are being opened at a time, fewer than a listener's backlog.
STEP = 250
HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


class SlowProcess:
    def __init__(self, edge, count, tls_count):
        self.process = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__), str(edge.plain_port), str(edge.tls_port), str(count),
             str(tls_count)], stdout=subprocess.PIPE, text=True)

    def wait_until_ready(self):
        assert self.process.stdout.readline() == "ready\n"

    def kill(self):
        self.process.kill()
        self.process.wait(10)


class Slow:
    def __init__(self, plain_port, tls_port):
        self.ports = {"plain": plain_port, "hello": tls_port, "tls": tls_port}
        self.poll = select.epoll()
        self.connections = {}
        self.turns = collections.deque()
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def open(self, kind):
        connection = socket.create_connection(("127.0.0.1", self.ports[kind]), 20)
        if kind == "tls":
            connection = self.tls.wrap_socket(connection, server_hostname="localhost")
        connection.setblocking(False)
        self.poll.register(connection, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
        number = connection.fileno()
        self.connections[number] = (connection, kind)
        self.turns.append((time.monotonic() + PERIOD, number, connection, 0))

    def renew(self, number):
        connection, kind = self.connections.pop(number)
        self.poll.unregister(number)
        connection.close()
        self.open(kind)

    def trickle(self):
        now = time.monotonic()
        while self.turns and self.turns[0][0] <= now:
            _, number, connection, sent = self.turns.popleft()
            if self.connections.get(number, (None,))[0] is not connection:
                continue
            text = HELLO if self.connections[number][1] == "hello" else HEAD
            try:
                connection.send(text[sent:sent + 1] or b"x")
            except OSError:
                self.renew(number)
                continue
            self.turns.append((now + PERIOD, number, connection, sent + 1))

    def run(self, timeout):
        for number, _ in self.poll.poll(timeout, STEP):
            if number in self.connections:
                self.renew(number)
        self.trickle()


def main(plain_port, tls_port, count, tls_count):
    # Somebody else's machine, in truth.
    os.nice(15)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    slow = Slow(plain_port, tls_port)
    kinds = ["tls"] * (tls_count // 2) + ["hello"] * (tls_count - tls_count // 2) + ["plain"] * (count - tls_count)
    for n, kind in enumerate(kinds):
        slow.open(kind)
        if n % STEP == 0:
            slow.run(0)
    print("ready", flush=True)
    while True:
        slow.run(0.05)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

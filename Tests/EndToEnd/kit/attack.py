"""Shared by attacks: raw connections, figures of the process, and how long others wait meanwhile."""

import contextlib
import os
import socket
import statistics
import threading
import time

MiB = 1 << 20


def dial(port, receive_buffer=None, timeout=20, source=None):
    """`source` is the address of the loopback network that the connection comes from."""
    s = socket.socket()
    if source:
        s.bind((source, 0))
    s.settimeout(timeout)
    if receive_buffer:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    s.connect(("127.0.0.1", port))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def request(method, path, *lines, body=b"", token=None):
    head = [f"{method} {path} HTTP/1.1", "Host: localhost", *lines]
    if token:
        head.append(f"Authorization: Bearer {token}")
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


def read_head(s, rest=b""):
    """(status, head in lower case, what follows); status 0 for a connection that ended."""
    while b"\r\n\r\n" not in rest:
        try:
            got = s.recv(65536)
        except ConnectionResetError:
            got = b""
        if not got:
            return 0, "", rest
        rest += got
    head, _, rest = rest.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), rest


def read_answer(s, rest=b""):
    """(status, head, body, what follows) of an answer with a length."""
    status, head, rest = read_head(s, rest)
    length = next((int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")), 0)
    while len(rest) < length:
        got = s.recv(65536)
        if not got:
            return status, head, rest, b""
        rest += got
    return status, head, rest[:length], rest[length:]


def is_closed(s, timeout):
    """Whether the other end closes within `timeout`."""
    s.settimeout(timeout)
    try:
        while s.recv(65536):
            pass
    except (TimeoutError, BlockingIOError):
        return False
    except OSError:
        pass
    return True


def rest_of(s, timeout=20):
    """The number of bytes until the connection's end, which must come."""
    s.settimeout(timeout)
    got = 0
    with contextlib.suppress(ConnectionResetError):
        while part := s.recv(65536):
            got += len(part)
    return got


def descriptors(edge):
    return len(os.listdir(f"/proc/{edge.process.pid}/fd"))


class Peak:
    """The most that the process has grown by while the attack went on."""

    def __init__(self, edge):
        self.edge, self.before, self.most = edge, edge.rss, 0
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopped.wait(0.02):
            self.look()

    def look(self):
        self.most = max(self.most, self.edge.rss - self.before)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.look()
        self.stopped.set()
        self.thread.join(5)

    def __str__(self):
        return f"{self.before / MiB:.0f} MiB and {self.most / MiB:.1f} more"


class Bystanders:
    """Others, who send small requests on connections that they keep, on every event loop."""

    def __init__(self, port, ask=request("GET", "/nothing-but-426"), count=8):
        self.port, self.ask, self.count = port, ask, count

    def during(self, action):
        """(what `action` returns, the times of others while it ran)."""
        times, stop = [], threading.Event()

        def run():
            with contextlib.suppress(OSError), dial(self.port) as s:
                rest = b""
                while not stop.is_set():
                    begun = time.perf_counter()
                    s.sendall(self.ask)
                    status, _, _, rest = read_answer(s, rest)
                    if not status:
                        return
                    times.append(time.perf_counter() - begun)
                    time.sleep(0.005)

        threads = [threading.Thread(target=run, daemon=True) for _ in range(self.count)]
        for thread in threads:
            thread.start()
        try:
            return action(), times
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)


def report(name, times):
    cuts = statistics.quantiles(times, n=100)
    print(f"{name}: median {cuts[49] * 1000:.1f} ms, p99 {cuts[98] * 1000:.1f} ms, worst {max(times) * 1000:.0f} ms, "
          f"n={len(times)}")
    return cuts[49]

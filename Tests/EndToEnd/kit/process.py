"""The command as its operator sees it, and clients that do as they please with their bytes."""

import fcntl
import http.client
import socket
import struct
import subprocess
import termios

import httpx

from kit.edge import BIN, wait_for

ZERO = b"\0\0\0\0"


def culvert(*arguments, timeout=20, **options):
    """Runs the command to its end; one that does not end by itself fails the test."""
    return subprocess.run([BIN, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options)


def health(edge):
    """(status, body) of the admin listener; (None, None) when nobody is there any more."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{edge.admin_port}/healthz", timeout=5)
    except httpx.TransportError:
        return None, None
    return answer.status_code, answer.json()


def begin_stop(edge, sign):
    """Sends the signal and waits until the edge acts on it; it still has somebody to wait for."""
    edge.process.send_signal(sign)
    wait_for(lambda: health(edge)[0] == 503, what="the edge to be draining")
    assert edge.process.poll() is None


def restart(edge, *changes):
    """Starts the edge again with other words in its configuration, and an empty log."""
    edge.stop()
    text = edge.config.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    edge.config.write_text(text)
    edge.lines = []
    edge.start()


def whole_log(edge):
    """The log of an edge that is stopped for it."""
    assert edge.stop() == 0
    wait_for(lambda: "stopped" in edge.text, what="the end of the log")
    return edge.text


def wait_until_read(sock):
    """The process at the other end, on this machine, has read all that was sent: the system holds none of it back."""
    def is_read():
        unsent = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
        return unsent == 0 and _unread(*sock.getpeername()[:2], sock.getsockname()[1]) == 0

    wait_for(is_read, what="the edge to read what was sent")


def _unread(host, port, peer_port):
    local = socket.inet_aton(host)[::-1].hex().upper() + f":{port:04X}"
    for line in open("/proc/net/tcp"):
        fields = line.split()
        if fields[1] == local and fields[2].endswith(f":{peer_port:04X}"):
            return int(fields[4].split(":")[1], 16)
    raise AssertionError("the connection is gone")


def tls(edge, receive_buffer=None):
    plain = socket.socket()
    plain.settimeout(20)
    if receive_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.connect(("127.0.0.1", edge.tls_port))
    return edge.ssl.wrap_socket(plain, server_hostname="localhost")


def begin_request(edge, method, path, receive_buffer=None, body=None):
    """A request that the edge has read; its answer is had by `getresponse()`."""
    connection = http.client.HTTPSConnection("127.0.0.1", edge.tls_port, timeout=20)
    connection.sock = tls(edge, receive_buffer)
    connection.request(method, path, body, {"Host": "localhost", **edge.auth})
    wait_until_read(connection.sock)
    return connection


def masked(opcode, payload, fin=True):
    """A client's frame. Masked with zeros, its payload is seen as it is."""
    n = len(payload)
    size = bytes([0x80 | n]) if n < 126 else struct.pack("!BH", 0xFE, n) if n < 65536 else struct.pack("!BQ", 0xFF, n)
    return bytes([(0x80 if fin else 0) | opcode]) + size + ZERO + payload


class Raw:
    """A WebSocket by hand, for what no library would do."""

    def __init__(self, edge, path="/", receive_buffer=None):
        self.s = tls(edge, receive_buffer)
        self.s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Authorization: {edge.auth['Authorization']}\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.exactly(1)
        assert head.startswith(b"HTTP/1.1 101"), head

    def send(self, *parts):
        self.s.sendall(b"".join(parts))

    def exactly(self, n):
        out = bytearray()
        while len(out) < n:
            got = self.s.recv(min(n - len(out), 65536))
            assert got, f"the connection ended {n - len(out)} bytes early"
            out += got
        return bytes(out)

    def header(self):
        """(first byte, length) of the next frame."""
        first, n = self.exactly(2)
        if n == 126:
            (n,) = struct.unpack("!H", self.exactly(2))
        elif n == 127:
            (n,) = struct.unpack("!Q", self.exactly(8))
        return first, n

    def close_code(self):
        """Of the Close that must come next."""
        first, n = self.header()
        assert first == 0x88, f"not a Close: {first:#x}"
        return int.from_bytes(self.exactly(n)[:2], "big")

    def answer_close(self, code=1001):
        self.send(masked(8, code.to_bytes(2, "big")))

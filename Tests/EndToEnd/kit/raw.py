"""A WebSocket client by hand, for what no library would send."""

import socket
import struct

ZERO = b"\0\0\0\0"


def tls(edge, receive_buffer=None):
    plain = socket.socket()
    plain.settimeout(20)
    if receive_buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    plain.connect(("127.0.0.1", edge.tls_port))
    return edge.ssl.wrap_socket(plain, server_hostname="localhost")


def masked(opcode, payload, fin=True):
    """A client's frame. Masked with zeros, its payload is seen as it is."""
    n = len(payload)
    size = bytes([0x80 | n]) if n < 126 else struct.pack("!BH", 0xFE, n) if n < 65536 else struct.pack("!BQ", 0xFF, n)
    return bytes([(0x80 if fin else 0) | opcode]) + size + ZERO + payload


class Raw:
    """A WebSocket by hand, for what no library would do."""

    def __init__(self, edge, path="/", receive_buffer=None, headers=""):
        self.s = tls(edge, receive_buffer)
        self.s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Authorization: {edge.auth['Authorization']}\r\nSec-WebSocket-Version: 13\r\n{headers}"
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

    def frame(self):
        """(opcode, payload) of the next frame."""
        first, n = self.header()
        return first & 15, self.exactly(n)

    def close_code(self):
        """Of the Close that must come next."""
        first, n = self.header()
        assert first == 0x88, f"not a Close: {first:#x}"
        return int.from_bytes(self.exactly(n)[:2], "big")

    def answer_close(self, code=1001):
        self.send(masked(8, code.to_bytes(2, "big")))

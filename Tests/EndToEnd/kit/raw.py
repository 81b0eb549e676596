"""A WebSocket client by hand, for what no library would send."""

import socket
import struct


class Raw:
    def __init__(self, edge, path="/"):
        plain = socket.create_connection(("localhost", edge.tls_port), timeout=10)
        self.s = edge.ssl.wrap_socket(plain, server_hostname="localhost")
        auth = edge.auth["Authorization"]
        self.s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        f"Authorization: {auth}\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        head = b""
        while b"\r\n\r\n" not in head:
            got = self.s.recv(1)
            assert got, head
            head += got
        assert head.startswith(b"HTTP/1.1 101"), head

    def send(self, *parts):
        self.s.sendall(b"".join(parts))

    def exactly(self, n):
        out = b""
        while len(out) < n:
            got = self.s.recv(n - len(out))
            if not got:
                raise EOFError
            out += got
        return out

    def frame(self):
        first, n = self.exactly(2)
        if n == 126:
            (n,) = struct.unpack("!H", self.exactly(2))
        return first & 15, self.exactly(n)

    def close_code(self):
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                return int.from_bytes(payload[:2], "big")

"""The PROXY protocol by hand: what a balancer writes in front of a connection, and what a server reads there."""

import ipaddress
import re
import socket
import struct
import threading

from kit.script import listen

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = {"v1": b"PROXY UNKNOWN\r\n", "v2": SIGNATURE + b"\x20\x00\x00\x00"}


def header(version, source, port=4711, destination=None, more=b""):
    """`more`: TLVs, of version 2."""
    source = ipaddress.ip_address(source)
    destination = ipaddress.ip_address(destination or ("198.51.100.80" if source.version == 4 else "2001:db8::80"))
    if version == "v1":
        return f"PROXY TCP{source.version} {source} {destination} {port} 443\r\n".encode()
    body = source.packed + destination.packed + struct.pack("!HH", port, 443) + more
    return SIGNATURE + bytes([0x21, 0x11 if source.version == 4 else 0x21]) + struct.pack("!H", len(body)) + body


def tcp(edge, first=b"", host="127.0.0.1", port=None):
    """A connection to the edge whose first bytes are these."""
    s = socket.create_connection(("127.0.0.1", port or edge.tls_port), 20, (host, 0))
    s.sendall(first)
    return s


def read_header(connection):
    """(version, family, source, source port, destination, destination port); all but the version None without any."""
    def exactly(n):
        out = b""
        while len(out) < n:
            got = connection.recv(n - len(out))
            assert got, f"the connection ended within the header: {out}"
            out += got
        return out

    start = exactly(12)
    if start != SIGNATURE:
        while not start.endswith(b"\r\n"):
            start += exactly(1)
            assert len(start) <= 107
        if start == LOCAL["v1"]:
            return ("v1", None, None, None, None, None)
        family, source, destination, port, other = re.fullmatch(
            r"PROXY TCP([46]) (\S+) (\S+) (\d+) (\d+)\r\n", start.decode()).groups()
        return ("v1", int(family), source, int(port), destination, int(other))
    command, family, length = struct.unpack("!BBH", exactly(4))
    body = exactly(length)
    assert command == 0x21
    if family == 0:
        return ("v2", None, None, None, None, None)
    width = {0x11: 4, 0x21: 16}[family]
    source, destination = (str(ipaddress.ip_address(body[n * width:(n + 1) * width])) for n in range(2))
    port, other = struct.unpack("!HH", body[2 * width:])
    return ("v2", 4 if width == 4 else 6, source, port, destination, other)


class HeaderReader:
    """In front of a backend that knows nothing of headers: takes them off, and keeps them in `headers`."""

    def __init__(self, backend_port):
        self.headers, self.errors = [], []
        self.backend_port = backend_port
        self.server = listen(self._serve)
        self.port = self.server.getsockname()[1]

    def _serve(self, connection):
        connection.settimeout(30)
        try:
            self.headers.append(read_header(connection))
        except Exception as error:  # Whatever it is, a test looks at it.
            self.errors.append(error)
            connection.close()
            return
        behind = socket.create_connection(("127.0.0.1", self.backend_port), 30)
        threading.Thread(target=self._pass, args=(behind, connection), daemon=True).start()
        self._pass(connection, behind)

    @staticmethod
    def _pass(one, other):
        try:
            while got := one.recv(65536):
                other.sendall(got)
        except OSError:
            pass
        for s in (one, other):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        self.server.close()

"""By hand, on both sides of the edge: requests that no library would send, and an upstream that keeps what it was sent."""

import json
import socket

from kit.script import listen, read_head, switching

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
UPGRADE = ("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
           f"Sec-WebSocket-Key: {KEY}\r\n").encode()


class Upstream:
    """Answers 101 to every handshake, with `fields` more, and keeps its head. Says nothing else, and hangs up at a Close."""

    def __init__(self, fields=b""):
        self.heads, self.fields, self.connections = [], fields, []
        self.listener = listen(self._serve)
        self.port = self.listener.getsockname()[1]

    def _serve(self, connection):
        head = read_head(connection).split(b"\r\n\r\n")[0]
        if not head:
            return connection.close()
        self.heads.append(head)
        self.connections.append(connection)
        connection.sendall(switching(head, self.fields.decode("latin-1")))
        try:
            while (data := connection.recv(65536)) and data[0] & 15 != 8:
                pass
        except OSError:
            pass
        connection.close()

    def field(self, name, head=None):
        """The values of a field, of the last handshake unless told."""
        lines = (self.heads[-1] if head is None else head).split(b"\r\n")[1:]
        return [line.split(b":", 1)[1].strip() for line in lines if line.split(b":", 1)[0].lower() == name.lower()]

    def stop(self):
        self.listener.close()
        for connection in self.connections:
            connection.close()


class Answer:
    def __init__(self, data):
        head, _, self.body = data.partition(b"\r\n\r\n")
        self.head = head
        try:
            self.status = int(head.split(b" ", 2)[1])
        except IndexError:
            self.status = 0

    @property
    def problem(self):
        """(code, detail) of the problem document (RFC 9457)."""
        document = json.loads(self.body)
        assert document["status"] == self.status
        return document["type"].rsplit(":", 1)[1], document["detail"]


def ask(port, method, target, fields=b"", body=b"", host=b"localhost", timeout=20):
    """Sends a request on a connection of its own. Behind a 101 it reads no further."""
    line = b" ".join(part if isinstance(part, bytes) else part.encode() for part in (method, target, "HTTP/1.1"))
    hosts = b"".join(b"Host: " + name + b"\r\n" for name in ([host] if isinstance(host, bytes) else host))
    length = b"Content-Length: %d\r\n" % len(body) if body or method != "GET" else b""
    return exchange(port, line + b"\r\n" + hosts + length + fields + b"\r\n" + body, timeout)


def exchange(port, request, timeout=20):
    """The answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout) as connection:
        connection.sendall(request)
        data = b""
        while True:
            head, found, rest = data.partition(b"\r\n\r\n")
            if found:
                size = [int(field.split(b":")[1]) for field in head.split(b"\r\n") if field.lower().startswith(b"content-length:")]
                if head.startswith(b"HTTP/1.1 101") or len(rest) >= (size or [0])[0]:
                    return Answer(data)
            part = connection.recv(65536)
            if not part:
                return Answer(data)
            data += part


def upgrade(port, target="/", fields=b"", host=b"localhost"):
    """The answer to a WebSocket handshake."""
    return ask(port, "GET", target, UPGRADE + fields, host=host)

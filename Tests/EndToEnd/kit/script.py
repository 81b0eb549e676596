"""A backend that does what no library would: a script for each connection."""

import base64
import hashlib
import re
import socket
import struct
import threading


def accept_key(head):
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)[1]
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


def switching(head, more=""):
    return ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept_key(head)}\r\n{more}\r\n").encode("latin-1")


def say_back(connection, got):
    """Says the small text frame that a client has sent back, without its mask."""
    n = got[1] & 0x7F
    payload = bytes(b ^ got[2 + i % 4] for i, b in enumerate(got[6:6 + n]))
    if got[0] & 15 == 1:
        connection.sendall(bytes([0x81, n]) + payload)


def frames(sent):
    """(opcode, unmasked payload) of what a client has sent, small frames only."""
    at, frames = 0, []
    while at < len(sent):
        opcode, n = sent[at] & 15, sent[at + 1]
        assert n & 0x80 and n & 0x7F < 126
        mask, n = sent[at + 2:at + 6], n & 0x7F
        frames.append((opcode, bytes(b ^ mask[i % 4] for i, b in enumerate(sent[at + 6:at + 6 + n]))))
        at += 6 + n
    return frames


def read_head(connection):
    """The head of a message, and what came with it; b"" when the connection ends before."""
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65536)
        if not part:
            return b""
        head += part
    return head


def listen(serve):
    """A listening socket, each of whose connections is given to `serve` on a thread of its own until it is closed."""
    server = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    return server


class ScriptedBackend:
    """Runs `script(connection, head)` for each request; `sent` is what came behind the request until its end."""

    def __init__(self, script):
        self.script = script
        self.heads, self.sent, self.errors = [], b"", []
        self.ended = threading.Event()
        self.server = listen(self._serve)
        self.port = self.server.getsockname()[1]

    def _serve(self, connection):
        with connection:
            connection.settimeout(20)
            head = read_head(connection)
            if not head:
                return
            self.heads.append(head)
            try:
                self.script(connection, head)
                self._drain(connection)
            except OSError as error:
                self.errors.append(error)
            finally:
                self.ended.set()

    def _drain(self, connection):
        while got := connection.recv(65536):
            self.sent += got

    def stop(self):
        self.server.close()

    def frames(self):
        """(opcode, unmasked payload) of what the edge sent, small frames only."""
        return frames(self.sent)

    def close_code(self):
        assert self.ended.wait(10)
        opcode, payload = self.frames()[-1]
        assert opcode == 8
        return int.from_bytes(payload[:2], "big")


def messages(payload, count):
    """`count` binary messages as a server frames them. The payload has 64 KiB at most."""
    n = len(payload)
    head = b"\x82" + (bytes([n]) if n < 126 else b"\x7e" + struct.pack("!H", n))
    return (head + payload) * count


def flooding(data, then=b""):
    """A backend that sends `data` to each session and reads until its end."""
    def script(connection, head):
        connection.sendall(switching(head))
        connection.sendall(data + then)
        while connection.recv(65536):
            pass

    return ScriptedBackend(script)

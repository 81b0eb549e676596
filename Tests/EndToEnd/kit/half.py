"""Connections whose two directions end one by one, plain or over TLS, at the client's side and at the server's."""

import contextlib
import socket
import ssl
import struct
import types

from kit.edge import make_certificate
from kit.pools import upstream
from kit.script import listen, read_head


class Stream:
    """A socket, with TLS or without, of which one direction may end and the other go on."""

    def __init__(self, s, context=None, **options):
        self.s, self.tls, self.buffer = s, None, b""
        # Whether the peer has ended its direction by close_notify, once it has.
        self.has_close_notify = False
        s.settimeout(20)
        if context:
            self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self.tls = context.wrap_bio(self.incoming, self.outgoing, **options)
            self._do(self.tls.do_handshake)

    def _flush(self):
        if out := self.outgoing.read():
            self.s.sendall(out)

    def _do(self, call):
        while True:
            try:
                result = call()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                if part := self.s.recv(65536):
                    self.incoming.write(part)
                else:
                    self.incoming.write_eof()

    def sendall(self, data):
        if self.tls:
            self.tls.write(data)
            self._flush()
        else:
            self.s.sendall(data)

    def send(self, *parts):
        self.sendall(b"".join(parts))

    def end(self, how):
        """Ends our direction: `fin` and `fin without close_notify` that of TCP, `close_notify` that of TLS alone."""
        if how == "close_notify":
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.unwrap()
            self._flush()
        else:
            self.s.shutdown(socket.SHUT_WR)

    def recv(self, size=65536):
        """The next bytes; b"" at the end."""
        if not self.tls:
            return self.s.recv(size)
        try:
            return self._do(lambda: self.tls.read(size))
        except ssl.SSLZeroReturnError:
            self.has_close_notify = True
            return b""
        except ssl.SSLEOFError:
            return b""

    def rest(self):
        """Everything to the end."""
        got, self.buffer = self.buffer, b""
        while part := self.recv():
            got += part
        return got

    def until(self, end):
        """Everything up to `end`."""
        while end not in self.buffer:
            part = self.recv()
            assert part, f"the connection ended behind {self.buffer!r}"
            self.buffer += part
        at = self.buffer.index(end) + len(end)
        got, self.buffer = self.buffer[:at], self.buffer[at:]
        return got

    def is_read(self):
        """Whether the peer, which has ended its direction, still reads. Loopback brings a reset at once; the FIN may come
        a moment later than close_notify."""
        self.s.sendall(b"x")
        [state] = struct.unpack("B", self.s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))
        return state in (1, 8)  # TCP_ESTABLISHED, TCP_CLOSE_WAIT

    def close(self):
        self.s.close()


class Half(Stream):
    """A client of the edge; `scheme` is plain or tls."""

    def __init__(self, edge, scheme="plain"):
        self.edge = edge
        s = socket.socket()
        s.settimeout(20)
        s.connect(("127.0.0.1", edge.plain_port if scheme == "plain" else edge.tls_port))
        if scheme == "plain":
            super().__init__(s)
        else:
            super().__init__(s, edge.ssl, server_hostname="localhost")

    def upgrade(self, path="/", headers=""):
        self.send((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   f"Authorization: {self.edge.auth['Authorization']}\r\nSec-WebSocket-Version: 13\r\n{headers}"
                   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n").encode())
        head = self.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head
        return self


@contextlib.contextmanager
def half_server(folder, scheme, script):
    """A backend that runs `script(stream, head)` for each request; `scheme` is ws or wss."""
    context, options = None, {}
    if scheme == "wss":
        cert, key = make_certificate(folder, "backend")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        options["ca"] = str(cert)

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            stream = Stream(connection, context, **({"server_side": True} if context else {}))
            if head := read_head(stream):
                script(stream, head)

    listener = listen(serve)
    port = listener.getsockname()[1]
    try:
        yield types.SimpleNamespace(upstream=upstream({"port": port, "scheme": scheme}, **options))
    finally:
        listener.close()

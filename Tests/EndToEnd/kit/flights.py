"""A TLS client whose messages are made ahead and sent when a test says: with the groups of its choice, and with KeyUpdates,
which no library of Python makes. It calls OpenSSL, which Python's own `ssl` needs as well."""

import ctypes
import ctypes.util
import functools

from kit.attack import dial

P256, P384, X25519 = 415, 715, 1034
TLS_1_2 = 0x303
_MOST_VERSION, _NAME, _GROUPS, _GROUP = 124, 55, 92, 134


@functools.cache
def _library():
    tls = ctypes.CDLL(ctypes.util.find_library("ssl"))
    pointer = ctypes.c_void_p
    for function, result, arguments in (
            ("TLS_client_method", pointer, []), ("SSL_CTX_new", pointer, [pointer]), ("SSL_new", pointer, [pointer]),
            ("SSL_CTX_ctrl", ctypes.c_long, [pointer, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]),
            ("SSL_CTX_free", None, [pointer]), ("SSL_free", None, [pointer]),
            ("SSL_ctrl", ctypes.c_long, [pointer, ctypes.c_int, ctypes.c_long, ctypes.c_char_p]),
            ("SSL_set_bio", None, [pointer] * 3), ("SSL_set_connect_state", None, [pointer]),
            ("SSL_do_handshake", ctypes.c_int, [pointer]), ("SSL_key_update", ctypes.c_int, [pointer, ctypes.c_int]),
            ("SSL_write", ctypes.c_int, [pointer, ctypes.c_char_p, ctypes.c_int]),
            ("SSL_read", ctypes.c_int, [pointer, pointer, ctypes.c_int]),
            # libcrypto's, which libssl has loaded.
            ("BIO_s_mem", pointer, []), ("BIO_new", pointer, [pointer]),
            ("BIO_read", ctypes.c_int, [pointer, pointer, ctypes.c_int]),
            ("BIO_write", ctypes.c_int, [pointer, ctypes.c_char_p, ctypes.c_int])):
        call = getattr(tls, function)
        call.restype, call.argtypes = result, arguments
    return tls


class Flights:
    """`first` is the client's first message. Certificates are not looked at."""

    def __init__(self, port, groups=None, version=None, name="localhost"):
        self.lib = _library()
        context = self.lib.SSL_CTX_new(self.lib.TLS_client_method())
        if groups:
            assert self.lib.SSL_CTX_ctrl(context, _GROUPS, 0, groups.encode()) == 1
        if version:
            self.lib.SSL_CTX_ctrl(context, _MOST_VERSION, version, None)
        self.tls = self.lib.SSL_new(context)
        self.lib.SSL_CTX_free(context)
        self.lib.SSL_ctrl(self.tls, _NAME, 0, name.encode())
        self.arrived, self.made = (self.lib.BIO_new(self.lib.BIO_s_mem()) for _ in range(2))
        self.lib.SSL_set_bio(self.tls, self.arrived, self.made)
        self.lib.SSL_set_connect_state(self.tls)
        self.socket = dial(port)
        self.is_ready = False
        self.first = self._step()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.lib.SSL_free(self.tls)

    def _step(self):
        self.is_ready = self.lib.SSL_do_handshake(self.tls) == 1
        return self._take()

    def _take(self):
        taken, part = b"", ctypes.create_string_buffer(1 << 16)
        while (n := self.lib.BIO_read(self.made, part, len(part))) > 0:
            taken += part.raw[:n]
        return taken

    def answer(self):
        """The client's message to what the server sends next; nothing is sent."""
        while True:
            got = self.socket.recv(65536)
            assert got, "the server has ended the handshake"
            self.lib.BIO_write(self.arrived, got, len(got))
            made = self._step()
            if made or self.is_ready:
                return made

    def shake(self):
        made = self.first
        while True:
            self.socket.sendall(made)
            if self.is_ready:
                return self
            made = self.answer()

    @property
    def group(self):
        """The number of the group that was agreed on."""
        return self.lib.SSL_ctrl(self.tls, _GROUP, 0, None)

    def record(self, content):
        assert self.lib.SSL_write(self.tls, content, len(content)) == len(content)
        return self._take()

    def key_update(self):
        assert self.lib.SSL_key_update(self.tls, 0) == 1
        self.lib.SSL_do_handshake(self.tls)
        return self._take()

    def read(self):
        """The content of the server's next record."""
        content = ctypes.create_string_buffer(1 << 16)
        while (n := self.lib.SSL_read(self.tls, content, len(content))) <= 0:
            got = self.socket.recv(65536)
            assert got, "the server has ended the connection"
            self.lib.BIO_write(self.arrived, got, len(got))
        return content.raw[:n]

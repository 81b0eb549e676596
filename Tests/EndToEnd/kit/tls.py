"""Bytes of TLS handshakes, for clients that do not go through with them."""

import contextlib
import ssl


def first_message():
    arrived, made = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl._create_unverified_context().wrap_bio(arrived, made)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return made.read()

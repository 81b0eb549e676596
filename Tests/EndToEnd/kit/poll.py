"""A long-poll client written from docs/protocol.md, over httpx."""

import struct

import httpx

BATCH = "application/vnd.culvert.batch"


def frame(opcode, payload):
    n = len(payload)
    if n < 126:
        head = struct.pack("!BB", 0x80 | opcode, n)
    elif n < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 126, n)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, n)
    return head + payload


def unframe(body):
    """(ack, first, messages, close) of a binary batch; text is str, binary is bytes."""
    ack, first = struct.unpack_from("!QQ", body)
    at, messages, close = 16, [], None
    while at < len(body):
        opcode, n = body[at] & 15, body[at + 1]
        assert body[at] & 0x80 and not n & 0x80
        at += 2
        if n == 126:
            (n,) = struct.unpack_from("!H", body, at)
            at += 2
        elif n == 127:
            (n,) = struct.unpack_from("!Q", body, at)
            at += 8
        payload, at = body[at:at + n], at + n
        if opcode == 8:
            close = (int.from_bytes(payload[:2], "big"), payload[2:].decode())
        else:
            messages.append(payload.decode() if opcode == 1 else payload)
    return ack, first, messages, close


def batch(first, messages, ack=0):
    return struct.pack("!QQ", ack, first) + b"".join(
        frame(1, m.encode()) if isinstance(m, str) else frame(2, m) for m in messages)


def client(edge, token=True, **options):
    headers = dict(edge.auth) if token else {}
    return httpx.Client(base_url=edge.https, verify=edge.ssl, headers=headers, timeout=40, **options)


def open_session(http, path="/", **options):
    response = http.post(path.rstrip("/") + "/_poll", **options)
    assert response.status_code == 201, response.text
    return response.headers["location"]

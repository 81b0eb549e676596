"""Nothing that a peer sends brings the process down, or leaves anything behind in it."""

import random
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from kit.edge import TOKEN, wait_for
from kit.knock import knock
from kit.poll import BATCH, batch, client, open_session
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, switching

SEED = 20261124


@pytest.fixture
def resume():
    """Soon, for what is opened here and left."""
    return "500ms"


@pytest.fixture
def handshake():
    """Late: of the clients here, and of the backend beside them, none is slow but for the machine's sake."""
    return "10s"


@pytest.fixture
def edge(backend, make_edge, resume, handshake):
    edge = make_edge(backend.port, limits=f"handshake: {handshake}", session=f"resume: {resume}, buffer: 64KiB")
    yield edge
    assert edge.process.poll() is None, edge.text[-2000:]
    assert knock(edge, "websocket", token=TOKEN).status == 101
    health = f"http://127.0.0.1:{edge.admin_port}/healthz"
    wait_for(lambda: httpx.get(health, timeout=20).json()["sessions"] == 0, what="no session to be left")


def mutate(rng, data):
    """The same with some bytes changed, left out, put in or said twice."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[at:at] = rng.randbytes(rng.randint(1, 8))
        elif kind == 1:
            del data[at:at + rng.randint(1, 8)]
        elif kind == 2 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data[at:at] = data[at:at + rng.randint(1, 200)]
        elif at < len(data):
            data[at] = rng.choice([0, 10, 13, 32, 37, 58, 127, 128, 255])
    return bytes(data)


def all_at_once(work, count):
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(work, range(count)):
            pass


def say(port, data):
    """Sends, and reads what comes until the other end has had enough."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as s:
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except OSError:
            pass


REQUESTS = [
    f"GET /chat?a=%20&access_token={TOKEN} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a, \"b,c\"\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; x=\"\\\"\"\r\nOrigin: https://app.example.com\r\n\r\n\x81\x80abcd",
    f"POST /_poll HTTP/1.1\r\nHost: localhost\r\nCookie: a=b; culvert_token={TOKEN}; c\r\nContent-Length: 25\r\n\r\n"
    '{"protocols":["chat.v2"]}',
    f"DELETE /_poll/AQAB?code=1000&reason=%F0%9F HTTP/1.1\r\nHost: [::1]:1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n",
    "OPTIONS /a/_poll HTTP/1.1\r\nHost: h\r\nOrigin: https://x.wild.example:443\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n4\r\nabcd\r\n0\r\nX: y\r\n\r\n",
]


# Soon, for what does not come to its end.
@pytest.mark.parametrize("handshake", ["2s"])
def test_broken_requests(edge):
    def work(n):
        rng = random.Random(SEED + n)
        say(edge.plain_port, mutate(rng, rng.choice(REQUESTS).encode("latin-1")))

    all_at_once(work, 2000)


def test_noise_where_tls_is_expected(edge):
    def work(n):
        rng = random.Random(SEED + n)
        say(edge.tls_port, rng.choice([b"", b"\x16\x03\x01", b"\x80\x2e\x01"]) + rng.randbytes(rng.randint(1, 600)))

    all_at_once(work, 300)


FRAMES = masked(1, b"hello") + masked(2, bytes(300), fin=False) + masked(9, b"ping") + masked(0, b"end") + masked(
    8, b"\x03\xe8bye")


def test_broken_frames_from_clients(edge):
    def work(n):
        rng = random.Random(SEED + n)
        raw = Raw(edge, "/text" if n % 2 else "/")
        try:
            raw.send(mutate(rng, FRAMES * rng.randint(1, 3)))
            if n % 3:
                raw.frame()
        except (OSError, AssertionError):
            pass
        finally:
            raw.s.close()

    all_at_once(work, 500)


@pytest.mark.parametrize("transport", ["websocket", "long-poll"])
def test_broken_answers_and_frames_from_upstreams(make_edge, transport):
    rng = random.Random(SEED)
    frames = b"\x81\x05hello\x02\x7e\x01\x2c" + bytes(300) + b"\x89\x02hi\x80\x03end\x88\x05\x03\xe8bye"

    def script(connection, head):
        answer = switching(head, "X-More: 1\r\n")
        if rng.random() < 0.3:
            answer = mutate(rng, answer)
        connection.sendall(answer + mutate(rng, frames))
        connection.shutdown(socket.SHUT_WR)

    backend = ScriptedBackend(script)
    server = f'{{ servers: [ {{ url: "ws://127.0.0.1:{backend.port}" }} ], handshake_timeout: 300ms }}'
    edge = make_edge(0, upstream=server, session="resume: 300ms")
    with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
        def work(n):
            if transport == "long-poll":
                at = http.post("/open/_poll").headers.get("location")
                if at:
                    http.get(at)
            else:
                try:
                    Raw(edge, "/open").frame()
                except (OSError, AssertionError):
                    pass

        all_at_once(work, 300)
    assert edge.process.poll() is None, edge.text[-2000:]
    health = f"http://127.0.0.1:{edge.admin_port}/healthz"
    wait_for(lambda: httpx.get(health, timeout=20).json()["sessions"] == 0, what="no session to be left")
    backend.stop()


JSON = b'{"ack":0,"first":1,"messages":[{"text":"h\\u00e9"},{"binary":"AAEC/w=="}],"close":{"code":1000,"reason":"x"}}'


# Late enough that a session that has ended is still known as one (410) when a slow machine comes back to it.
@pytest.mark.parametrize("resume", ["60s"])
def test_broken_batches(edge):
    with client(edge) as http:
        def work(n):
            rng = random.Random(SEED + n)
            at = open_session(http)
            for _ in range(8):
                if rng.random() < 0.5:
                    answer = http.post(at, content=mutate(rng, JSON), headers={"Content-Type": "application/json"})
                else:
                    body = mutate(rng, batch(1, ["héllo", b"\0\1", "x" * 200]) + b"\x88\x05\x03\xe8bye")
                    answer = http.post(at, content=body, headers={"Content-Type": BATCH})
                # A change may leave a batch that is right, for one message or for the end of the session.
                assert answer.status_code in (200, 400, 409, 410, 413), answer.text
            assert http.delete(at).status_code in (204, 410)

        all_at_once(work, 60)

"""Attacks on the processor: requests whose fields, lists, paths and queries are chosen to cost much to look at.

Each is compared with a plain request of as many bytes in the same run, by the processor time that the process has spent
for it. Text that is compared as Unicode has it, and lists that are made before they are looked at, cost a hundred times as
much and more."""

import contextlib
import os
import socket
import ssl

import pytest

from kit.admin import Admin, used
from kit.attack import dial, read_answer
from kit.edge import TOKEN, wait_for
from kit.script import ScriptedBackend, accept_key, switching
from kit.stray import plain
from kit.turns import Turns

# Two marks of different classes: to compare such a run as Unicode does, it is sorted first, which takes its square.
MARKS = b"\xcc\x96" * 3700 + b"\xcc\x80" * 3700
OTHER_MARKS = b"\xcc\x80\xcc\x96" * 3700
# The same in a query, where a target holds ASCII alone.
QUERY_MARKS = b"%CC%80%CC%96" * 1200
UPGRADE = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
# A plain request costs a fifth of a millisecond and less, most of it for system calls and the parser of HTTP.
FACTOR = 12


def spent(edge):
    """Seconds that all threads of the process have run, to the nanosecond."""
    total = 0
    for thread in os.listdir(f"/proc/{edge.process.pid}/task"):
        try:
            total += int(open(f"/proc/{edge.process.pid}/task/{thread}/schedstat").read().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total / 1e9


def request(target, *lines, method=b"GET"):
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: localhost", *lines]) + b"\r\n\r\n"


def cost(edge, ask, port, count=40):
    """(seconds of the processor for each, status)."""
    s = dial(port)
    s.sendall(ask)
    read_answer(s)
    s.close()
    before, status = spent(edge), 0
    s = dial(port)
    for _ in range(count):
        s.sendall(ask)
        status, head, _, _ = read_answer(s)
        if not status or "connection: close" in head:
            s.close()
            s = dial(port)
    s.close()
    return (spent(edge) - before) / count, status


def compare(edge, name, ask, port, plain):
    """The cheapest of three tries, since others use the machine too."""
    tries = []
    for _ in range(3):
        usual, _ = cost(edge, plain, port)
        dear, status = cost(edge, ask, port)
        tries.append(dear / usual)
        print(f"{name}: {len(ask)} bytes, answered {status}, {dear * 1000:.2f} ms of the processor; "
              f"{len(plain)} plain bytes {usual * 1000:.2f} ms")
        if tries[-1] < FACTOR:
            break
    assert min(tries) < FACTOR, f"{name} costs {min(tries):.0f} times as much as a plain request"


@pytest.fixture(scope="module")
def edge(tmp_path_factory, backend):
    from kit.edge import Edge
    edge = Edge(tmp_path_factory.mktemp("edge"), backend.port, sections="client: /culvert.js")
    yield edge
    edge.stop()
    assert "Fatal error" not in edge.text


POST = {"method": b"POST"}
EMPTY = b"Content-Length: 0"
BEARER = f"Authorization: Bearer {TOKEN}".encode()
TEXT = {
    "a media type of marks": request(b"/open/_poll/AAAA", b"Content-Type: " + OTHER_MARKS, EMPTY, **POST),
    "a media type of marks in two runs": request(b"/open/_poll/AAAA", b"Content-Type: " + MARKS, EMPTY, **POST),
    "a version of marks": request(b"/open", *UPGRADE, b"Sec-WebSocket-Version: " + OTHER_MARKS),
    "a subprotocol of marks": request(
        b"/open/_poll/AAAA/socket", *UPGRADE, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Protocol: " + OTHER_MARKS),
    "a path of marks": request(b"/" + b"%CC%80%CC%96" * 1200),
    "a path of marks beside a route": request(b"/open/" + b"%CC%80%CC%96" * 1200, *UPGRADE),
    "a path of raw marks": request(b"/" + MARKS),
    "a token of marks": request(b"/x", *UPGRADE, b"Authorization: Bearer " + MARKS),
    "an origin of marks": request(b"/x", *UPGRADE, b"Origin: https://" + MARKS),
    "a Host of marks": b"GET /x HTTP/1.1\r\nHost: " + MARKS + b"\r\n\r\n",
}
LISTS = {
    "a list of encodings": request(b"/culvert.js", b"Accept-Encoding: gzip," + b"a," * 7400),
    "parameters of an encoding": request(b"/culvert.js", b"Accept-Encoding: gzip,a" + b";" * 14800),
    "parameters of an encoding that counts": request(b"/culvert.js", b"Accept-Encoding: gzip" + b";" * 14800),
    "a list of tags": request(b"/culvert.js", b"If-None-Match: " + b"a," * 7400),
    "a list of media types": request(b"/open/_poll/AAAA?ack=0", b"Accept: " + b"a," * 7400),
    "a list for the connection": request(b"/x", b"Upgrade: websocket", b"Connection: " + b"a," * 7400 + b"upgrade"),
    "a list of protocols to upgrade to": request(b"/x", b"Connection: upgrade", b"Upgrade: " + b"a," * 7400),
    "a list of subprotocols": request(b"/x", *UPGRADE, b"Sec-WebSocket-Protocol: " + b"a," * 7400),
    "a path of percent signs": request(b"/" + b"a%" * 7400),
    "a path of encoded percent signs": request(b"/" + b"%25" * 4900),
    "a path of percent signs encoded twice": request(b"/" + b"%2525" * 2900),
    "a path of points": request(b"/" + b"a./" * 4900),
    "a path that is no UTF-8": request(b"/" + b"%E9" * 4900),
    "a path of fullwidth letters": request(b"/" + b"%EF%BD%84" * 1600),
    "parameters of a path": request(b"/" + b"a;/" * 4900),
}


@pytest.mark.parametrize("name", [*TEXT, *LISTS])
def test_a_request_costs_a_few_times_a_plain_one_at_most(edge, name):
    ask = {**TEXT, **LISTS}[name]
    target = b"/culvert.js" if b"/culvert.js" in ask else b"/x"
    plain = request(target, b"X-Padding: " + b"y" * 14800)
    compare(edge, name, ask, edge.plain_port, plain)


ADMIN = {
    "a Host of marks": b"GET /healthz HTTP/1.1\r\nHost: " + OTHER_MARKS + b"\r\n\r\n",
    "a Host that begins as it should": b"GET /healthz HTTP/1.1\r\nHost: localhost" + OTHER_MARKS + b"\r\n\r\n",
    "a query of many parameters": request(b"/healthz?" + b"&".join(b"%x" % n for n in range(3300))),
    "a query of many parameters elsewhere": request(b"/v1/sessions?" + b"&".join(b"%x" % n for n in range(3300))),
    "a name of marks in a query": request(b"/v1/sessions?" + QUERY_MARKS + b"=1"),
    "a path of many segments": request(b"/" + b"a/" * 7400),
    "a path of marks": request(b"/" + QUERY_MARKS),
    "a token of marks": request(b"/v1/version", b"Authorization: Bearer " + MARKS),
}


@pytest.mark.parametrize("name", ADMIN)
def test_the_admin_api_takes_nothing_apart_for_a_request_without_its_token(edge, name):
    plain = request(b"/healthz", b"X-Padding: " + b"y" * 14800)
    compare(edge, name, ADMIN[name], edge.admin_port, plain)


def test_the_admin_api_bounds_the_parts_of_a_target(edge):
    from kit.admin import Admin
    with Admin(edge) as admin:
        for target in ("/v1/version?" + "&".join(f"a{n}=1" for n in range(64)), "/v1" + "/a" * 20):
            answer = admin.get(target)
            print(f"{target[:40]}... with the token is answered {answer.status_code} {answer.text[:100]}")
            assert answer.status_code == 400 and "bad_target" in answer.text
        for path in ("/healthz", "/readyz", "/healthz?x=1"):
            assert admin.get(path).status_code == 200


def talker(fields):
    """An upstream that answers 101 with fields of its own, and hangs up."""
    def script(connection, head):
        accept = f"Sec-WebSocket-Accept: {accept_key(head)}".encode()
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", accept, *fields]
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)

    return ScriptedBackend(script)


@pytest.mark.parametrize("name,fields,offer", [
    ("extensions of marks", [b"Connection: Upgrade", b"Sec-WebSocket-Extensions: " + OTHER_MARKS], b"x"),
    ("a list of extensions", [b"Connection: Upgrade", b"Sec-WebSocket-Extensions: " + b"a," * 7400], b"a," * 7000),
    ("an extension that is not among many", [b"Connection: Upgrade", b"Sec-WebSocket-Extensions: b"], OTHER_MARKS),
    ("a subprotocol of marks", [b"Connection: Upgrade", b"Sec-WebSocket-Protocol: " + OTHER_MARKS], b"x"),
    ("a list for the connection", [b"Connection: Upgrade" + b",a" * 7400], b"x"),
])
def test_an_answer_to_a_handshake_costs_little_more_than_a_plain_one(make_edge, name, fields, offer):
    # Both upstreams answer with as many bytes. The plain one's 101 lacks Connection, so that no session begins there either.
    dear, plain = talker(fields), talker([b"X-Padding: " + b"y" * 14800])
    upstreams = [f'{{ servers: [ {{ url: "ws://127.0.0.1:{u.port}" }} ], retries: 0, eject: {{ failures: 1000 }} }}'
                 for u in (dear, plain)]
    edge = make_edge(0, upstream=f"{upstreams[0]}\n  plain: {upstreams[1]}",
                     extra_routes="  - { path: /plain, upstream: plain, authentication: none }")
    try:
        fields = (*UPGRADE, b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Extensions: " + offer)
        compare(edge, name, request(b"/open", *fields), edge.plain_port, request(b"/plain", *fields))
    finally:
        dear.stop()
        plain.stop()


def test_a_reload_beside_sessions_with_long_paths_holds_up_nobody(make_edge):
    """Each session is judged by its path again, of which every segment has a second reading."""
    backend = ScriptedBackend(lambda connection, head: connection.sendall(switching(head)))
    edge = make_edge(backend.port, limits="handshake: 2s, session: { idle: 10m }")
    sessions = [plain(edge, "/open/" + "p./" * 5000) for _ in range(600)]
    counted = used(edge)
    print(f"600 sessions with paths of 15 KB: {counted} bytes count")
    assert counted > 600 * 13_000

    def attack():
        with Admin(edge) as admin:
            for minutes in range(11, 15):
                edge.config.write_text(edge.config.read_text().replace(f"{minutes - 1}m", f"{minutes}m"))
                answers = [admin.post("/v1/reload", params=params) for params in ({"dry_run": "true"}, {})]
                for answer in answers:
                    assert (answer.json()["sessions_kept"], answer.json()["changed"]) == (600, ["limits"]), answer.text

    with Turns(edge) as turns:
        before = spent(edge)
        attack()
        seconds = spent(edge) - before
    print(f"eight judgements of them: {seconds:.2f} s of the processor, {turns}")
    assert turns.samples[-1] < 0.2
    for s in sessions:
        s.close()
    wait_for(lambda: used(edge) == 0, what="the paths not to count any more")
    backend.stop()


def test_many_tls_handshakes_at_once_hold_up_nobody(backend, make_edge):
    """Connections wait until they are all there, and then begin TLS in the same moment."""
    edge = make_edge(backend.port, limits="http: { first_byte: 60s }")
    hello = ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=edge.cert).wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = hello.read()

    def attack():
        before = spent(edge)
        for s in held:
            s.sendall(hello)
        for s in held:
            s.recv(1)
        return spent(edge) - before

    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(dial(edge.tls_port)) for _ in range(1500)]
        with Turns(edge) as turns:
            seconds = attack()
    print(f"1500 client hellos of {len(hello)} bytes: {seconds:.2f} s of the processor, {turns}")
    assert turns.samples[-1] < 0.2

"""Attacks on the reading of text: tokens, parameters, forms and small JSON bodies that are written oddly, or at length."""

import json
import urllib.parse

import pytest

from kit.admin import Admin
from kit.edge import EXPIRED_TOKEN, TOKEN, wait_for
from kit.heads import Upstream, ask, upgrade
from kit.raw import Raw, masked
from kit.script import ScriptedBackend, switching
from kit.stray import cpu

AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
MARKS = ["\u0301", "\u200d", "\u0600", "\ufe0f"]


EDGE = dict(before="upstream")


def opened(edge, token=TOKEN):
    answer = ask(edge.plain_port, "POST", "/_poll", f"Authorization: Bearer {token}\r\n".encode())
    assert answer.status == 201, answer.body
    return json.loads(answer.body)["session"]


def kind(answer):
    return answer.status, *answer.problem, [line for line in answer.head.split(b"\r\n") if line.lower().startswith(b"www-")]


def test_a_dead_token_tells_nothing_without_its_session(edge):
    with Admin(edge) as admin:
        revoked = admin.mint()
        admin.revoke(revoked)
        rotated = admin.mint()
        admin.rotate(rotated, overlap="0s")
    alices = opened(edge)
    unknown_id = alices[:-6] + "AAAAAA"
    for why, token in [("expired", EXPIRED_TOKEN), ("revoked", revoked["secret"]), ("rotated", rotated["secret"])]:
        for session in ("AAAA", alices, unknown_id):
            for method, path in [("GET", f"/_poll/{session}"), ("POST", f"/_poll/{session}"), ("DELETE", f"/_poll/{session}"),
                                 ("PUT", f"/_poll/{session}/token"), ("POST", f"/_poll/{session}/close"),
                                 ("GET", f"/_poll/{session}/socket"), ("POST", "/_poll")]:
                dead, never = (kind(ask(edge.plain_port, method, path, f"Authorization: Bearer {t}\r\n".encode()))
                               for t in (token, "never-was-a-token"))
                print(f"{method} {path}, {why}: {dead}")
                assert dead == never
        for path in ("/_poll/AAAA/socket", f"/_poll/{alices}/socket"):
            dead, never = (kind(upgrade(edge.plain_port, path, f"Sec-WebSocket-Protocol: culvert.v1, bearer.{t}\r\n".encode()))
                           for t in (token, "never-was-a-token"))
            assert dead == never


def test_a_dead_token_tells_its_session_why(edge):
    with Admin(edge) as admin:
        token = admin.mint(subject="erin")
        session = opened(edge, token["secret"])
        native_like = f"/_poll/{session}"
        admin.revoke(token)
    fields = f"Authorization: Bearer {token['secret']}\r\n".encode()
    for method, path in [("GET", native_like), ("PUT", native_like + "/token"), ("POST", native_like + "/close")]:
        answer = ask(edge.plain_port, method, path, fields)
        print(f"{method} {path}: {answer.body}")
        assert answer.status == 401 and answer.problem[0] == "token_revoked"
    # At another path the session is not the token's.
    assert ask(edge.plain_port, "GET", f"/x/_poll/{session}", fields).problem[0] == "invalid_token"


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: f"U+{ord(mark):04X}")
def test_a_mark_beside_a_token_leaves_none_of_it_to_the_upstream(edge, upstream, mark):
    secret, m, quoted = TOKEN.encode(), mark.encode(), urllib.parse.quote(mark).encode()
    for path, fields in [
        (b"/open?access_token=" + secret, b""), (b"/open?a=%CC%81&access%5Ftoken=" + secret, b""),
        (b"/open?" + quoted + b"=1&" + b"access_token=" + secret, b""), (b"/open?a" + quoted + b"&access_token=" + secret + b"&" + quoted, b""),
        (b"/open", b"Cookie: a=1" + m + b"; culvert_token=" + secret + b";" + m + b"b=2\r\n"),
        (b"/open", b"Cookie: " + m + b"; culvert_token=" + secret + b"\r\n"), (b"/open", b'Cookie: culvert_token="' + secret + b'";' + m + b"\r\n"),
        (b"/open", b"Sec-WebSocket-Protocol: a" + m + b", bearer." + secret + b"\r\n"),
        (b"/open", b"Sec-WebSocket-Protocol: bearer." + secret + b"," + m + b", a\r\n"),
        (b"/open", b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol:" + b"bearer." + secret + b"," + m + b"b\r\n"),
    ]:
        answer = upgrade(edge.plain_port, path, fields)
        print(f"{path} {fields}: {answer.status} {upstream.heads[-1] if answer.status == 101 else ''}")
        assert answer.status == 101 and secret not in upstream.heads[-1]


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: f"U+{ord(mark):04X}")
def test_a_mark_is_no_part_of_a_delimiter_of_the_session_protocol(edge, mark):
    session, m, quoted = opened(edge), mark.encode(), urllib.parse.quote(mark)
    for method, path, fields, status in [
        ("GET", f"/_poll/{session}".encode() + m, AUTH, 400), ("GET", b"/_poll" + m + b"/" + session.encode(), AUTH, 400),
        ("DELETE", f"/_poll/{session}?code={quoted}1000".encode(), AUTH, 400),
        ("DELETE", f"/_poll/{session}?code=%2B1000".encode(), AUTH, 400), ("DELETE", f"/_poll/{session}?code=1_0".encode(), AUTH, 400),
        ("GET", f"/_poll/{session}?ack=%2B0".encode(), AUTH, 400), ("GET", f"/_poll/{session}?ack=%D9%A1".encode(), AUTH, 400),
        ("POST", f"/_poll/{session}".encode(), AUTH + b"Content-Type: application/json" + m + b"\r\n", 415),
        ("POST", f"/_poll/{session}".encode(), AUTH + b"Content-Type: application/json ;" + m + b"\r\n", 200),
        ("DELETE", f"/_poll/{session}?a{quoted}&code=1001&reason={quoted}".encode(), AUTH, 204),
    ]:
        answer = ask(edge.plain_port, method, path, fields, b'{"ack":0}' if method == "POST" else b"")
        print(f"{method} {path}: {answer.status} {answer.body[:120]}")
        assert answer.status == status


@pytest.mark.parametrize("unit", [b"&", b"%&", b"%61&", b"%61=" + b"a" * 100 + b"&", b"access_token=%61&", b"+" * 50 + b"&"])
def test_a_form_of_nobodys_is_not_searched_at_length(edge, unit):
    body = unit * (1 << 20) if len(unit) == 1 else unit * ((1 << 20) // len(unit))
    spent = cpu(edge.process)
    for _ in range(4):
        try:
            answer = ask(edge.plain_port, "POST", "/_poll/AAAA/close", FORM, body)
            print(f"a form of {len(body)} bytes of {unit[:20]!r} is answered {answer.status}")
            assert answer.status in (401, 413)
        except ConnectionError:
            print("the connection ended before the form had been sent")
    spent = cpu(edge.process) - spent
    print(f"and cost {spent * 250:.1f} ms each")
    assert spent < 4 * 0.1
    # A form of the permitted length is read, in time in proportion to its bytes.
    body = unit * (16000 // len(unit))
    spent = cpu(edge.process)
    for _ in range(20):
        assert ask(edge.plain_port, "POST", "/_poll/AAAA/close", FORM, body).status in (400, 401)
    spent = cpu(edge.process) - spent
    print(f"one of {len(body)} bytes cost {spent * 50:.2f} ms")
    assert spent < 20 * 0.02


@pytest.mark.parametrize("method,path,body,status", [
    ("POST", "/_poll", b'{"protocols":["a"' + b',"a"' * 300000 + b"]}", {413}),
    ("POST", "/_poll", b'{"protocols":["a"' + b',"a"' * 900 + b"]}", {400}),
    ("POST", "/_poll", b'{"protocols":' + b"[" * 2000 + b"]" * 2000 + b"}", {400}),
    ("POST", "/_poll", b'{"protocols":' + b" " * 5000 + b"[]}", {413}),
    ("POST", "/_poll", b'{"protocols":["' + b"a" * 3900 + b'"]}', {201}),
    ("PUT", "/_poll/AAAA/token", b" " * 2000, {413}),
    ("POST", "/_poll/AAAA/close", b"a" * 20000, {413}),
])
def test_a_small_body_is_bounded_in_kib(edge, upstream, method, path, body, status):
    before = len(upstream.heads)
    answer = ask(edge.plain_port, method, path, AUTH, body)
    print(f"{method} {path} with {len(body)} bytes is answered {answer.status}")
    assert answer.status in status
    assert len(upstream.heads) - before == (201 in status) and all(len(head) < 16384 for head in upstream.heads)


def test_subprotocols_do_not_take_a_head_past_its_limit(edge, upstream):
    before = len(upstream.heads)
    padding = b"X-Padding: " + b"a" * 14000 + b"\r\n"
    answer = ask(edge.plain_port, "POST", "/_poll", AUTH + padding, json.dumps({"protocols": ["a" * 3900]}).encode())
    print(f"a header section of 14 KiB and a subprotocol of 3.9 KB are answered {answer.status} {answer.body[:120]}")
    assert answer.status == 431 and len(upstream.heads) == before
    many = b"Sec-WebSocket-Protocol: " + b", ".join(b"p%d" % n for n in range(100)) + b"\r\n"
    for answer in (upgrade(edge.plain_port, "/", AUTH + many), ask(edge.plain_port, "POST", "/_poll", AUTH + many)):
        print(f"100 subprotocols are answered {answer.status}")
        assert answer.status == 400 and answer.problem[0] == "too_many_protocols"
    assert len(upstream.heads) == before


@pytest.mark.parametrize("body", [
    '{"protocols":["chat"]}'.encode("utf-16"), '{"protocols":["chat"]}'.encode("utf-16-le"), '{"protocols":["chat"]}'.encode("utf-32-be"),
    b'\xef\xbb\xbf{"protocols":["chat"]}', b'{"protocols":["chat\xff"]}', '{"protocols\u0301":["chat"]}'.encode("utf-16-be"),
])
def test_json_is_utf_8(edge, body):
    answer = ask(edge.plain_port, "POST", "/_poll", AUTH, body)
    print(f"{body} is answered {answer.status}")
    assert answer.status == 400


def test_a_hash_of_a_query_goes_by_bytes(upstream, make_edge):
    """Which server a session gets: a mark beside a delimiter chooses no other."""
    others = [Upstream() for _ in range(4)]
    servers = ", ".join(f'{{ url: "ws://127.0.0.1:{other.port}" }}' for other in others)
    edge = make_edge(upstream.port, upstream=f"{{ servers: [ {servers} ], balance: consistent_hash, hash_by: query:room }}")
    try:
        admin = Admin(edge)

        def server(query):
            # A server that has more than its share is passed over.
            wait_for(lambda: admin.upstream_sessions() == 0, what="the session before to have ended")
            before = [len(other.heads) for other in others]
            assert upgrade(edge.plain_port, f"/open?{query}".encode()).status == 101
            return [len(other.heads) - count for other, count in zip(others, before)].index(1)

        wanted = server("room=blue")
        for query in ("a%CC%81&room=blue", "a=%D8%80&room=blue", "ro%6fm=blue", "room=blue&room=red", "x?&room=blue", "&&room=blue"):
            found = server(query)
            print(f"{query}: server {found}, room=blue: {wanted}")
            assert found == wanted
    finally:
        for other in others:
            other.stop()


CUT = b"ab\xe2\x82"


@pytest.mark.parametrize("frames", [
    masked(1, CUT), masked(1, CUT, fin=False) + masked(0, b""), masked(1, CUT, fin=False) + masked(0, b"\xac\xe2"),
], ids=["whole", "empty end", "two fragments"])
def test_text_that_ends_inside_a_character_does_not_reach_its_end(make_edge, frames):
    """The whole message was forwarded, and the Close came behind it."""
    backend = ScriptedBackend(lambda connection, head: connection.sendall(switching(head)))
    edge = make_edge(backend.port)
    raw = Raw(edge, "/text")
    raw.send(frames)
    assert raw.close_code() == 1007
    raw.s.close()
    assert backend.ended.wait(20)
    print(f"of {frames} the upstream got {backend.sent}")
    assert not backend.sent.startswith(frames)
    backend.stop()

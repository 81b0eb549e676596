"""Where a request goes, in every form in which HTTP lets a client say it (RFC 9112 3.2), and what the bytes of its target
and of its fields become on their way."""

import json
import socket

import pytest

from kit.edge import TOKEN
from kit.heads import UPGRADE, Upstream, ask, exchange, upgrade
from kit.script import ScriptedBackend

AUTH = f"Authorization: Bearer {TOKEN}\r\n".encode()
EDGE = dict(before="upstream")

# --- absolute form ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss", "HTTP"])
def test_a_target_in_absolute_form_is_taken_with_its_host(edge, upstream, scheme):
    answer = upgrade(edge.plain_port, f"{scheme}://edge.example:8443/open/x?y=z", host=b"proxy.example")
    assert answer.status == 101, answer.body
    assert upstream.heads[-1].startswith(b"GET /open/x?y=z HTTP/1.1\r\n")
    assert upstream.field(b"host") == [b"edge.example:8443"]
    opened = ask(edge.plain_port, "POST", f"{scheme}://edge.example/open/_poll", host=b"proxy.example")
    assert opened.status == 201
    at = "/open/_poll/" + json.loads(opened.body)["session"]
    assert ask(edge.plain_port, "POST", f"{scheme}://edge.example{at}", body=b'{"ack":0}').status == 200
    assert ask(edge.plain_port, "DELETE", f"{scheme}://edge.example{at}").status == 204


def test_over_http_1_0_the_target_may_name_the_host_alone(edge, upstream):
    request = b"POST http://edge.example/open/_poll HTTP/1.0\r\nContent-Length: 0\r\n"
    for host in (b"", b"Host: proxy.example\r\n", b"Connection: keep-alive\r\n"):
        before = len(upstream.heads)
        answer = exchange(edge.plain_port, request + host + b"\r\n")
        assert answer.status == 201, answer.body
        assert len(upstream.heads) == before + 1 and upstream.field(b"host") == [b"edge.example"]
    # What names no host, or names one twice, goes nowhere. HTTP/1.1 has a Host beside the target's.
    for request in (b"POST /open/_poll HTTP/1.0\r\nContent-Length: 0\r\n", b"POST http://edge.example/open/_poll HTTP/1.1\r\n",
                    b"POST http://edge.example/open/_poll HTTP/1.0\r\nHost: a\r\nHost: b\r\n"):
        answer = exchange(edge.plain_port, request + b"\r\n")
        assert (answer.status, answer.problem[0]) == (400, "bad_host")


@pytest.mark.parametrize("target,code,word", [
    ("http://user@edge.example/open", "bad_host", "user name"), ("http://user:pass@edge.example/open", "bad_host", "user name"),
    ("http:///open", "bad_host", "host"), ("http://edge.example:port/open", "bad_host", "port"),
    ("ftp://edge.example/open", "bad_target", "http"), ("open", "bad_target", "path"), ("*", "bad_target", "OPTIONS"),
    ("//open", "bad_path", "empty segment"), ("/open//x", "bad_path", "empty segment"), ("/open/./x", "bad_path", "dot segment"),
    ("http://edge.example//open", "bad_path", "empty segment"), ("/open%2fx", "bad_path", "encoded slash"),
    ("http://edge.example#x", "bad_path", "fragment"),
    ("/open/%0d%0aX-Injected:%20y", "bad_path", "control character"), ("/open/%00", "bad_path", "control character"),
    ("/open/%0D%0A", "bad_path", "control character"), ("/open/%7f", "bad_path", "control character"),
    ("/open/%250a", "bad_path", "control character"), ("http://edge.example/open/%0a", "bad_path", "control character"),
])
def test_a_target_that_is_refused_is_told_why(edge, upstream, target, code, word):
    before = len(upstream.heads)
    poll = target if target == "*" or "#" in target else target + "/_poll"
    for answer in (upgrade(edge.plain_port, target), ask(edge.plain_port, "POST", poll)):
        print(f"{target} is answered {answer.status} {answer.body[:160]}")
        assert answer.status == 400 and answer.problem[0] in (code, "bad_request")
        assert word in answer.problem[1] or answer.problem[0] == "bad_request"
    assert len(upstream.heads) == before


@pytest.mark.parametrize("target", ["*", "http://edge.example", "https://edge.example:443"])
def test_options_of_the_server_tells_the_methods(edge, target):
    answer = ask(edge.plain_port, "OPTIONS", target)
    assert answer.status == 204
    assert b"Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS" in answer.head


@pytest.mark.parametrize("target,host,status", [
    ("http://localhost:1/healthz", b"proxy.example", 200), ("http://127.0.0.1/readyz", b"localhost", 200),
    ("http://evil.example/healthz", b"localhost", 403), ("/healthz", b"evil.example", 403),
    ("/healthz", b"localhost.", 200), ("/healthz", b"LOCALHOST.:8080", 200), ("/healthz", b"[::1]:8080", 200),
    ("/healthz", b"localhost:a", 400), ("/healthz", b"localhost b", 400), ("/healthz", b"localhost..", 400),
    ("/healthz", b"x@localhost", 400), ("/healthz", [], 400), ("/healthz", [b"localhost", b"localhost"], 400),
])
def test_the_admin_listener_reads_targets_and_hosts_the_same_way(edge, target, host, status):
    answer = ask(edge.admin_port, "GET", target, host=host)
    print(f"{target} with Host: {host} is answered {answer.status} {answer.body[:120]}")
    assert answer.status == status


def test_the_admin_api_takes_a_target_in_absolute_form(edge):
    secret = (edge.folder / "culvert.admin-token").read_text().strip()
    fields = f"Authorization: Bearer {secret}\r\n".encode()
    answer = ask(edge.admin_port, "GET", f"http://localhost:{edge.admin_port}/v1/version", fields)
    assert answer.status == 200 and "version" in json.loads(answer.body)
    assert ask(edge.admin_port, "GET", f"http://localhost:{edge.admin_port}/v1/version").status == 401
    assert ask(edge.admin_port, "GET", "ftp://localhost/v1/version", fields).status == 400


# --- hosts -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("host", [
    b"my_service", b"a-b.example", b"edge.example:", b"edge.example.", b"edge.example.:8443", b"192.0.2.1:80", b"[2001:db8::1]:443",
    b"xn--bcher-kva.example"])
def test_the_hosts_of_real_clients_pass_as_they_are(edge, upstream, host):
    assert upgrade(edge.plain_port, "/open", host=host).status == 101
    assert upstream.field(b"host") == [host] == upstream.field(b"x-forwarded-host")


@pytest.mark.parametrize("host", [b"edge.example..", b".edge.example", b"edge..example", b".", b"..", b"edge.example..:80"])
def test_a_host_with_an_empty_label_is_refused(edge, upstream, host):
    before = len(upstream.heads)
    for answer in (upgrade(edge.plain_port, "/open", host=host), ask(edge.plain_port, "POST", "/open/_poll", host=host)):
        assert (answer.status, answer.problem[0]) == (400, "bad_host")
    assert len(upstream.heads) == before


# --- bytes -----------------------------------------------------------------------------------------------------------

BYTES = {
    "latin-1": b"caf\xe9", "utf-8": "café 👋".encode(), "neither": b"\xff\xc3(\xa0\xf0\x9f", "begun": b"a\xe2\x82",
    "surrogate": b"\xed\xa0\x80", "private use": "\U0010fe80\U0010feff\U0010ffff".encode(), "U+FFFD": "\ufffd".encode(),
}


@pytest.mark.parametrize("kind", BYTES)
def test_bytes_of_a_field_reach_the_upstream_as_they_are(edge, upstream, kind):
    value = BYTES[kind]
    fields = b"Cookie: a=" + value + b"; b=1\r\nX-Name: " + value + b"\r\n"
    for answer in (upgrade(edge.plain_port, "/open", fields), ask(edge.plain_port, "POST", "/open/_poll", fields)):
        assert answer.status in (101, 201), answer.body
        print(f"{value} reaches the upstream as {upstream.heads[-1]}")
        assert upstream.field(b"x-name") == [value]
        assert upstream.field(b"cookie")[0].startswith(b"a=" + value + b";")


@pytest.mark.parametrize("kind", BYTES)
def test_bytes_of_an_upstreams_field_reach_the_client_as_they_are(make_edge, kind):
    line = b"Set-Cookie: a=" + BYTES[kind] + b"; Path=/"
    other = Upstream(line + b"\r\n")
    try:
        edge = make_edge(other.port)
        answer = upgrade(edge.plain_port, "/", AUTH)
        assert answer.status == 101 and line in answer.head.split(b"\r\n")
        # The next answer is another one's.
        assert upgrade(edge.plain_port, "/", AUTH).head.count(b"Set-Cookie") == 1
    finally:
        other.stop()


def test_bytes_of_a_refusals_field_and_body_reach_the_client_as_they_are(make_edge):
    body = b"caf\xe9 \xf4\x8f\xba\x80\r\n\r\n"

    def refuse(connection, head):
        connection.sendall(b"HTTP/1.1 403 No\r\nX-Why: caf\xe9\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        connection.close()

    edge = make_edge(ScriptedBackend(refuse).port)
    for answer in (upgrade(edge.plain_port, "/", AUTH), ask(edge.plain_port, "POST", "/_poll", AUTH)):
        assert answer.status == 403
        if b"X-Why" in answer.head:
            assert b"X-Why: caf\xe9" in answer.head.split(b"\r\n") and answer.body == body


def test_encoded_line_breaks_of_a_query_are_data(edge, upstream):
    """Queries of GraphQL have them. They stay encoded."""
    answer = upgrade(edge.plain_port, "/open?query=%7B%0A%20%20a%0D%0A%7D")
    assert answer.status == 101
    assert upstream.heads[-1].startswith(b"GET /open?query=%7B%0A%20%20a%0D%0A%7D HTTP/1.1\r\n")


@pytest.mark.parametrize("target", [
    b"/open/caf\xe9", "/open/café".encode(), b"/open?q=caf\xe9", "/open?q=café".encode(), b"http://edge.example/open?q=\xff"])
def test_a_target_of_raw_bytes_is_refused(edge, upstream, target):
    before = len(upstream.heads)
    answer = upgrade(edge.plain_port, target)
    assert answer.status == 400 and answer.problem[0] in ("bad_path", "bad_request") and len(upstream.heads) == before


def test_a_half_character_at_the_end_of_a_packet_is_put_together(edge, upstream):
    request = b"GET /open HTTP/1.1\r\nHost: localhost\r\n" + UPGRADE + b"X-Name: " + "café👋".encode() + b"\xe9\r\n\r\n"
    with socket.create_connection(("127.0.0.1", edge.plain_port), 20) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            s.sendall(bytes([byte]))
        assert s.recv(65536).startswith(b"HTTP/1.1 101 ")
    assert upstream.field(b"x-name") == ["café👋".encode() + b"\xe9"]

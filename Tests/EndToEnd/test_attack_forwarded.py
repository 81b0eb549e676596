"""Attacks on what the edge believes and says of a client: its address, its host, its identity."""

import json

import pytest

from kit.edge import TOKEN, Edge
from kit.heads import Upstream, ask, upgrade

# Characters that join what stands beside them into one grapheme: Prepend, Extend, a joiner, spacing marks, variation
# selectors, a tag; and such as Unicode calls equivalent to ASCII.
MARKS = ["\u0600", "\u0301", "\u200d", "\u0903", "\ufe0f", "\U000e0061", "\u0d4e", "\u1160", "\u037e", "\u212a", "\u20e3", "\u3099"]
CLIENT, VICTIM = b"192.0.2.4", b"6.6.6.6"


# Behind a proxy: each peer that connects from loopback is one.
EDGE = dict(before="upstream", sections="trusted_proxies: [127.0.0.1]")


def client(edge, upstream, line):
    """Whom the upstream is told of."""
    assert upgrade(edge.plain_port, "/open", line + b"\r\n").status == 101
    told = upstream.field(b"x-forwarded-for")[0].split(b",")[0]
    assert upstream.field(b"forwarded")[0].startswith(b"for=" + told + b";"), upstream.field(b"forwarded")
    return told


def test_without_tricks_the_client_is_known(edge, upstream):
    assert client(edge, upstream, b"X-Forwarded-For: 6.6.6.6, 192.0.2.4") == CLIENT
    assert client(edge, upstream, b"Forwarded: for=6.6.6.6, for=192.0.2.4;proto=https") == CLIENT


def test_a_field_that_the_proxy_does_not_write_chooses_no_address(edge, upstream):
    """The proxy writes one field, and passes the other on as the client sent it."""
    for field, other in ((b"Forwarded: for=192.0.2.4", b"X-Forwarded-For: "), (b"X-Forwarded-For: 192.0.2.4", b"Forwarded: for=")):
        for claim in (b"6.6.6.6", b"127.0.0.1, 6.6.6.6" if b"X-" in other else b"127.0.0.1, for=6.6.6.6", b"", b"unknown"):
            told = client(edge, upstream, field + b"\r\n" + other + claim)
            print(f"tried {field.decode()} with {(other + claim).decode()}: {told.decode()}")
            assert told == b"127.0.0.1"
    both = b"Forwarded: for=6.6.6.6, for=192.0.2.4\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.4"
    assert client(edge, upstream, both) == CLIENT


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: f"U+{ord(mark):04X}")
def test_a_mark_hides_no_comma(edge, upstream, mark):
    # The client's line, and nginx's: the same with ", 192.0.2.4" behind.
    m = mark.encode()
    for sent in [b"6.6.6.6" + m, b"6.6.6.6:" + m, b"6.6.6.6:80" + m, b"[::1]:" + m, b"6.6.6.6," + m, m, m + b"6.6.6.6" + m]:
        for line in (b"X-Forwarded-For: " + sent + b", " + CLIENT, b"X-Forwarded-For: " + sent + b"," + CLIENT,
                     b"Forwarded: for=" + sent + b", for=" + CLIENT, b'Forwarded: for="' + sent + b'", for=' + CLIENT,
                     b"Forwarded: for=6.6.6.6;x=" + sent + b",for=" + CLIENT + b";proto=http"):
            told = client(edge, upstream, line)
            print(f"{line!r}: {told!r}")
            assert told == CLIENT
    # The address itself is spoilt, so the proxy stands for its client.
    for line in (b"X-Forwarded-For: 6.6.6.6:" + m, b"X-Forwarded-For: 6.6.6.6, 192.0.2.4" + m, b"Forwarded: for=6.6.6.6:" + m):
        told = client(edge, upstream, line)
        print(f"{line!r}: {told!r}")
        assert told == b"127.0.0.1"


@pytest.mark.parametrize("sent", [
    b'for="6.6.6.6', b'for=6.6.6.6;x="', b'for="6.6.6.6\\', b'for="6.6.6.6\\"', b'for=6.6.6.6;x="\\"', b'for=6.6.6.6;by="a\\\\"b',
    b'"', b'\\"', b'for=6.6.6.6;x="a', b'for="6.6.6.6\\", for="6.6.6.6', b'for=""6.6.6.6"'])
def test_an_open_quotation_mark_swallows_nothing(edge, upstream, sent):
    for appended in (b"for=192.0.2.4", b'for="192.0.2.4:4711"', b'for=192.0.2.4;host="a";proto=https', b'proto=http;For="192.0.2.4"'):
        for line in (b"Forwarded: " + sent + b", " + appended, b"Forwarded: " + sent + b"\r\nForwarded: " + appended):
            told = client(edge, upstream, line)
            print(f"{line!r}: {told!r}")
            assert told == CLIENT


@pytest.mark.parametrize("element", [
    b"for=6.6.6.6;for=192.0.2.4", b'for="6.6.6.6"x', b'for="6.6.6\\.6"', b"for=6.6.6.6:x", b"for=6.6.6.6:", b"for=6.6.6.6:+80",
    b"for=6.6.6.6:99999", b"for=[6.6.6.6]x", b'for=6.6.6.6"', b"for=6.6.6.6;x", b"for=unknown", b"for=_hidden"])
def test_an_element_that_is_malformed_names_nobody(edge, upstream, element):
    assert client(edge, upstream, b"Forwarded: for=6.6.6.6, " + element) == b"127.0.0.1"


def test_a_quota_of_an_address_cannot_be_got_round(upstream, make_edge):
    edge = make_edge(upstream.port, sections="trusted_proxies: [127.0.0.1]", limits="address: { rate: 1, burst: 2 }")
    tricks = [b"X-Forwarded-For: 7.7.7.%d:\xd8\x80, 192.0.2.9", b"X-Forwarded-For: 7.7.7.%d\xd8\x80, 192.0.2.9",
              b'Forwarded: for="7.7.7.%d, for=192.0.2.9', b'Forwarded: for="7.7.7.%d\\", for=192.0.2.9']
    got = [upgrade(edge.plain_port, "/open", tricks[n % 4] % n + b"\r\n").status for n in range(24)]
    print(f"24 openings of one client are answered {got}")
    assert set(got) == {101, 429} and got.count(101) <= 12


@pytest.mark.parametrize("name", [
    "X-Forwarded-User", "x_forwarded-USER", "X.Forwarded.User", "X-Forwarded.User", "X!Forwarded~User", "X_Forwarded_For",
    "X.Forwarded.For", "X-Forwarded_Proto", "X|Forwarded|Host", "For.warded", "Sec_WebSocket_Key", "Sec.WebSocket.Protocol",
    "Content_Length", "Transfer_Encoding", "Sec_WebSocket_Extensions", "X-Real-IP", "X_Real_IP", "x.real.ip",
    "True-Client-IP", "Client_IP", "X-Client-IP", "X-Cluster-Client-IP", "CF-Connecting-IP", "Fastly-Client-IP",
    "X-Original-URL", "X_Rewrite_URL", "X-Original-Host", "X-Forwarded-Port", "X_Forwarded_Port", "X-Forwarded_Host",
    "Sec-WebSocket_Version", "Sec_WebSocket_Accept", "X-Forwarded-Prefix",
    "X-Forwarded-Email", "X-Forwarded-Client-Cert"])
def test_a_field_that_a_gateway_would_fold_does_not_pass(edge, upstream, name):
    forged = name == "For.warded"
    for path, fields in (("/open", b""), ("/", f"Authorization: Bearer {TOKEN}\r\n".encode())):
        for poll in (False, True):
            line = f"{name}: eve\r\n".encode() + fields
            answer = ask(edge.plain_port, "POST", path.rstrip("/") + "/_poll", line) if poll else upgrade(edge.plain_port, path, line)
            print(f"{name} to {path}{' polled' if poll else ''}: {answer.status}")
            assert answer.status in (101, 201)
            # The forged name is not a spelling of `Forwarded`, and so the application's business.
            assert (b"eve" in upstream.heads[-1]) == forged
            assert upstream.field(b"x-forwarded-user") == ([] if path == "/open" else [b"alice"])


@pytest.mark.parametrize("host", [b"", b"edge.example", b"edge.example:8443", b"[2001:db8::1]:8443"])
def test_a_host_is_told_in_quotation_marks(edge, upstream, host):
    assert upgrade(edge.plain_port, "/open", host=host).status == 101
    value = upstream.field(b"forwarded")[0]
    assert value == b"for=127.0.0.1;proto=http" + (b';host="' + host + b'"' if host else b"")
    assert upstream.field(b"x-forwarded-host") == ([host] if host else [])


def test_an_upstream_cannot_hide_what_concerns_its_connection(tmp_path_factory):
    hostile = Upstream("Connection: X-Hop\u0301, x-named\r\nX-Named: 1\r\nKeep_Alive: 5\r\nTransfer.Encoding: chunked\r\n"
                       "Set-Cookie: a=b\r\nCulvert-Session: forged\r\nContent-Encoding: br\r\n".encode())
    edge = Edge(tmp_path_factory.mktemp("edge"), hostile.port)
    try:
        for answer in (upgrade(edge.plain_port, "/open"), ask(edge.plain_port, "POST", "/open/_poll")):
            print(answer.head)
            assert answer.status in (101, 201) and b"Set-Cookie: a=b" in answer.head
            for name in (b"x-named", b"keep_alive", b"transfer.encoding", b"forged"):
                assert name not in answer.head.lower()
        assert b"content-encoding" not in answer.head.lower() and json.loads(answer.body)["session"]
    finally:
        edge.stop()
        hostile.stop()

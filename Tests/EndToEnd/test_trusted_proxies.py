"""What trusted proxies in front tell of a client reaches the upstream: its address in one form, its scheme, host and port."""

import http.client

import pytest

from kit.admin import Admin
from kit.edge import TOKEN
from kit.heads import ask, upgrade
from kit.process import restart

EDGE = dict(before="upstream", sections="trusted_proxies: [127.0.0.1, 10.0.0.0/8]")
POLLED = pytest.mark.parametrize("polled", [False, True], ids=["websocket", "long-poll"])
X, F = "X-Forwarded-", "Forwarded: "
TWO_HOPS = X + "For: 6.6.6.6, 192.0.2.4, 10.0.0.7"


def knock(port, lines, polled=False):
    fields = "".join(line + "\r\n" for line in lines).encode()
    answer = ask(port, "POST", "/open/_poll", fields) if polled else upgrade(port, "/open", fields)
    assert answer.status == (201 if polled else 101), answer.head


def told(upstream):
    """Scheme, host and port as the upstream is told them in fields of their own; `Forwarded` agrees."""
    scheme, host, port = (b",".join(upstream.field(b"x-forwarded-" + name)).decode() for name in (b"proto", b"host", b"port"))
    assert f';proto={scheme};host="{host}"' in upstream.field(b"forwarded")[0].decode()
    return scheme, host, port


OWN = ("http", "localhost", "")


@POLLED
@pytest.mark.parametrize("lines,expected", [
    ([], OWN),
    ([X + "Proto: https"], ("https", "localhost", "")),
    ([X + "For: 192.0.2.4", X + "Proto: https", X + "Host: a.example:8443", X + "Port: 8443"], ("https", "a.example:8443", "8443")),
    ([X + "For: 192.0.2.4", X + "Proto: HTTPS"], ("https", "localhost", "")),
    ([X + "Proto: wss"], ("https", "localhost", "")),
    ([X + "Proto: ws"], OWN),
    ([X + "Host: [2001:db8::1]:80"], ("http", "[2001:db8::1]:80", "")),
    ([F + 'for=192.0.2.4;proto=https;host="a.example:8443"'], ("https", "a.example:8443", "")),
    ([F + "for=192.0.2.4;Proto=https;HOST=a.example"], ("https", "a.example", "")),
    # Each proxy has added its own; the client's own claim stands to the left.
    ([TWO_HOPS, X + "Proto: http, https, http", X + "Host: e.example, a.example, inner"], ("https", "a.example", "")),
    ([TWO_HOPS, X + "Proto: http", X + "Proto: https, http"], ("https", "localhost", "")),
    ([X + "For: 192.0.2.4", X + "Proto: https, http", X + "Port: 443, 80"], ("http", "localhost", "80")),
    ([X + 'For: 192.0.2.4', X + 'Proto: "https, http'], OWN),
    ([TWO_HOPS, X + "Proto: https"], ("https", "localhost", "")),
    ([F + "for=6.6.6.6;proto=http, for=192.0.2.4;proto=https, for=10.0.0.7;proto=http"], ("https", "localhost", "")),
    ([F + 'for="6.6.6.6;proto=https, for=192.0.2.4;proto=http'], OWN),
    # Both ways, of one word and of two.
    ([X + "Proto: https", F + "proto=https"], ("https", "localhost", "")),
    ([X + "For: 192.0.2.4", F + "for=192.0.2.4;proto=https;host=A.example", X + "Proto: http", X + "Host: a.example"],
     ("http", "A.example", "")),
    ([X + "For: 192.0.2.4", F + "for=192.0.2.5;proto=https", X + "Proto: https", X + "Host: a.example"], OWN),
    # No scheme, no host, no port.
    ([X + "Proto: gopher", X + "Host: a b", X + "Port: 0"], OWN),
    ([X + "Proto: ", X + "Host: ", X + "Port: 65536"], OWN),
    ([X + "Proto: httpss", X + 'Host: a"b', X + "Port: +80"], OWN),
    ([F + "proto=https;proto=http"], OWN),
], ids=str)
def test_its_word_on_scheme_host_and_port_counts(edge, upstream, lines, expected, polled):
    knock(edge.plain_port, lines, polled)
    assert told(upstream) == expected
    # Routes are found by it, and an upstream compares Origin with it.
    assert upstream.field(b"host") == [b"localhost"]


def test_an_unencrypted_client_of_a_proxy_that_encrypts_is_told_as_such(edge, upstream):
    connection = http.client.HTTPSConnection("localhost", edge.tls_port, context=edge.ssl, timeout=20)
    for field, scheme in (({}, "https"), ({"X-Forwarded-Proto": "http"}, "http")):
        connection.request("POST", "/open/_poll", headers=field)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 201 and upstream.field(b"x-forwarded-proto") == [scheme.encode()]
    connection.close()


@POLLED
def test_the_word_of_anybody_else_counts_for_nothing(upstream, make_edge, polled):
    edge = make_edge(upstream.port, sections="trusted_proxies: [192.0.2.1]")
    knock(edge.plain_port, [X + "For: 6.6.6.6", X + "Proto: https", X + "Host: a.example", X + "Port: 443",
                            F + "for=6.6.6.6;proto=https;host=a.example"], polled)
    assert told(upstream) == OWN and upstream.field(b"x-forwarded-for") == [b"127.0.0.1"]


@pytest.mark.parametrize("line,client", [
    ("X-Forwarded-For: ::ffff:192.0.2.4", b"192.0.2.4"), ("X-Forwarded-For: [::FFFF:c000:0204]:80", b"192.0.2.4"),
    ("X-Forwarded-For: 192.0.2.4, ::ffff:10.0.0.7", b"192.0.2.4"), ('Forwarded: for="[::ffff:192.0.2.4]"', b"192.0.2.4"),
    ("X-Forwarded-For: 2001:DB8:0:0::4", b"2001:db8::4")])
def test_an_address_in_a_list_is_told_in_its_one_form(edge, upstream, line, client):
    knock(edge.plain_port, [line])
    chain = upstream.field(b"x-forwarded-for")[0].split(b", ")
    assert chain[0] == client and b"::ffff" not in b"".join(chain)


def test_a_client_of_a_listener_of_both_families_has_its_own_address_everywhere(upstream, make_edge):
    edge = make_edge(upstream.port)
    restart(edge, (f"- address: 127.0.0.1:{edge.plain_port}", f'- address: "[::]:{edge.plain_port}"'),
            (f'admin: {{ address: "127.0.0.1:{edge.admin_port}"', f'admin: {{ address: "[::]:{edge.admin_port}"'))
    for path in ("/open", "/"):
        token = f"Authorization: Bearer {TOKEN}\r\n".encode()
        assert ask(edge.plain_port, "POST", path.rstrip("/") + "/_poll", token).status == 201
        assert upstream.field(b"x-forwarded-for") == [b"127.0.0.1"]
        assert upstream.field(b"forwarded")[0].startswith(b"for=127.0.0.1;")
    with Admin(edge) as admin:
        for spelling in ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1"):
            assert [s["address"] for s in admin.sessions(address=spelling)] == ["127.0.0.1"] * 2, spelling
        assert admin.sessions(address="127.0.0.2") == []
        admin.mint()
        entries = admin.get("/v1/audit").json()["items"]
        assert {entry["address"] for entry in entries if entry["action"].startswith("token.")} == {"127.0.0.1"}
    edge.catch_up()
    assert {event["client"] for event in edge.events("session opened")} == {"127.0.0.1"}
    assert "::ffff" not in edge.text

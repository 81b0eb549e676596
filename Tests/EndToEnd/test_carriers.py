"""Where tokens travel is the operator's to say; what travels elsewhere, and is no token of Culvert's, is the application's."""

import json
import urllib.parse

import pytest

from kit.edge import ORIGIN, OTHER_TOKEN, TOKEN
from kit.heads import ask, upgrade
from kit.jwt import Key, section
from kit.knock import CARRIERS, TRANSPORTS, knock
from kit.process import culvert

SIGNER = Key("EdDSA", "k")
ISSUER = "https://id.example"
OFF = {"header": "authorization: false", "query": "query_parameter: none", "cookie": "cookie: none", "subprotocol": "subprotocol: false"}


def only(carrier):
    return "{ " + ", ".join(off for name, off in OFF.items() if name != carrier) + " }"


KEYS = [{"id": "k", "algorithm": "EdDSA", "pem": SIGNER.pem}]
EDGE = dict(before="upstream", authentication=section(issuer=ISSUER, keys=KEYS), extra_routes="".join(
    f"  - {{ path: /only-{carrier}, upstream: echo, carriers: {only(carrier)} }}\n" for carrier in CARRIERS) + (
    "  - { path: /named, upstream: echo, carriers: { query_parameter: key, cookie: sid } }\n"
    f'  - {{ path: /public, upstream: echo, origins: {{ allow: ["*"] }}, carriers: {{ cookie: none }} }}\n'
    '  - { path: /apps, upstream: echo, origins: { allow: ["file://", "moz-extension://*", "http://localhost:*"] } }\n'))
EVERYWHERE = pytest.mark.parametrize("transport", TRANSPORTS)
EVERY_WAY = pytest.mark.parametrize("carrier", CARRIERS)
OPENED = {"websocket": 101, "long-poll": 201}


def lines(token, carrier):
    """(query, fields) that carry the token."""
    return {
        "header": ("", f"Authorization: Bearer {token}\r\n"), "query": (f"?access_token={token}", ""),
        "cookie": ("", f"Cookie: culvert_token={token}\r\n"), "subprotocol": ("", f"Sec-WebSocket-Protocol: bearer.{token}\r\n")}[carrier]


def reach(edge, upstream, transport, path, query="", fields="", body=b""):
    """What the upstream gets: the head of the handshake."""
    seen = len(upstream.heads)
    if transport == "long-poll":
        status = ask(edge.plain_port, "POST", path + "/_poll" + query, fields.encode(), body).status
    else:
        status = upgrade(edge.plain_port, path + query, fields.encode()).status
    assert status == OPENED[transport] and len(upstream.heads) == seen + 1
    return upstream.heads[-1].decode()


@EVERYWHERE
@EVERY_WAY
def test_where_no_token_is_asked_for_the_applications_own_reaches_it(edge, upstream, transport, carrier):
    query, fields = lines("of-the-application", carrier)
    head = reach(edge, upstream, transport, "/open", query, fields)
    assert {"header": "Authorization: Bearer of-the-application\r\n", "query": "GET /open?access_token=of-the-application HTTP",
            "cookie": "Cookie: culvert_token=of-the-application\r\n",
            "subprotocol": "Sec-WebSocket-Protocol: bearer.of-the-application\r\n"}[carrier] in head + "\r\n"


@EVERYWHERE
@EVERY_WAY
@pytest.mark.parametrize("path", ["/open", "/only-header", "/named"])
def test_a_token_of_culverts_reaches_no_upstream(edge, upstream, transport, carrier, path):
    query, fields = lines(OTHER_TOKEN, carrier)
    if path != "/open" and carrier != "header":
        fields += f"Authorization: Bearer {OTHER_TOKEN}\r\n"
    assert OTHER_TOKEN not in reach(edge, upstream, transport, path, query, fields)


@EVERYWHERE
def test_a_token_beside_the_applications_own_goes_alone(edge, upstream, transport):
    head = reach(edge, upstream, transport, "/open", f"?access_token=x&access_token={TOKEN}&a=1",
                 f"Cookie: culvert_token=y; culvert_token={TOKEN}\r\nSec-WebSocket-Protocol: bearer.z, bearer.{TOKEN}\r\n")
    assert TOKEN not in head and "/open?access_token=x&a=1 " in head
    assert "Cookie: culvert_token=y\r\n" in head + "\r\n" and "Sec-WebSocket-Protocol: bearer.z\r\n" in head


def test_subprotocols_in_the_body_of_an_opening_are_no_others(edge, upstream):
    for path, extra in (("/open", ""), ("/only-header", f"Authorization: Bearer {TOKEN}\r\n")):
        body = json.dumps({"protocols": ["bearer.z", f"bearer.{TOKEN}", "a"]}).encode()
        head = reach(edge, upstream, "long-poll", path, fields=extra, body=body)
        assert "Sec-WebSocket-Protocol: bearer.z, a\r\n" in head and TOKEN not in head


@EVERYWHERE
@EVERY_WAY
@pytest.mark.parametrize("path", ["/open", "/only-header", "/only-cookie", "/named", "/public"])
def test_a_jwt_of_culverts_reaches_no_upstream(edge, upstream, transport, carrier, path):
    """The same token lets the request in where one is asked for. On the open route nobody has verified it."""
    token = SIGNER.token(iss=ISSUER, jti=f"{transport}{carrier}{path}")
    read = {"/open": carrier, "/only-cookie": "cookie"}.get(path, "header")
    query, fields = lines(token, carrier)
    if read != carrier:
        fields += lines(token, read)[1]
    assert token not in reach(edge, upstream, transport, path, query, fields)


@EVERYWHERE
@EVERY_WAY
def test_another_token_of_the_issuer_beside_the_one_that_opens_goes_no_further(edge, upstream, transport, carrier):
    used, other = SIGNER.token(iss=ISSUER), SIGNER.token(iss=ISSUER, sub="joe")
    query, fields = lines(other, carrier)
    path = "/only-query" if carrier == "header" else "/only-header"
    way = lines(used, "query" if carrier == "header" else "header")
    assert other not in reach(edge, upstream, transport, path, query + way[0], fields + way[1])


@EVERYWHERE
@EVERY_WAY
@pytest.mark.parametrize("claims", [{"iss": "https://app.example"}, {"iss": None}, {"iss": ISSUER, "aud": "the-application"}])
def test_a_jwt_that_culvert_would_not_take_is_the_applications(edge, upstream, transport, carrier, claims):
    token = SIGNER.token(**claims)
    query, fields = lines(token, carrier)
    assert token in reach(edge, upstream, transport, "/open", query, fields)


@EVERYWHERE
@EVERY_WAY
def test_without_a_configured_issuer_the_tokens_of_all_issuers_are_taken_out(upstream, make_edge, transport, carrier):
    edge = make_edge(upstream.port, authentication=section(keys=KEYS))
    token = SIGNER.token(iss="https://app.example")
    query, fields = lines(token, carrier)
    assert token not in reach(edge, upstream, transport, "/open", query, fields)
    for value in ("x", "three.parts.of-text", token.rsplit(".", 1)[0]):
        query, fields = lines(value, carrier)
        assert value in reach(edge, upstream, transport, "/open", query, fields)


def test_a_jwt_beside_the_mark_of_culverts_goes_no_further(edge, upstream):
    token = SIGNER.token(iss="https://app.example")
    fields = f"Sec-WebSocket-Protocol: culvert.auth, bearer.{token}, bearer.x\r\n"
    head = reach(edge, upstream, "websocket", "/open", fields=fields)
    assert token not in head and "culvert.auth" not in head and "Sec-WebSocket-Protocol: bearer.x\r\n" in head


def test_a_jwt_in_the_body_of_an_opening_goes_no_further(edge, upstream):
    own, other = SIGNER.token(iss=ISSUER), SIGNER.token(iss="https://app.example")
    body = json.dumps({"protocols": [f"bearer.{own}", f"bearer.{other}"]}).encode()
    head = reach(edge, upstream, "long-poll", "/open", body=body)
    assert own not in head and f"Sec-WebSocket-Protocol: bearer.{other}\r\n" in head + "\r\n"


@EVERYWHERE
@pytest.mark.parametrize("path", ["/", "/open", "/named", "/public", *(f"/only-{carrier}" for carrier in CARRIERS)])
@pytest.mark.parametrize("name", ["?access_token", "?key", "culvert_token", "sid"])
def test_a_token_by_the_name_of_any_route_reaches_the_upstream_of_none(edge, upstream, transport, path, name):
    read = {"/open": None, "/only-query": "query", "/only-cookie": "cookie", "/only-subprotocol": "subprotocol"}.get(path, "header")
    query, fields = lines(TOKEN, read) if read else ("", "")
    if name.startswith("?"):
        query = (query + "&" if query else "?") + f"{name[1:]}={TOKEN}&a=1"
    elif read == "cookie":
        fields = f"Cookie: culvert_token={TOKEN}; {name}={TOKEN}; a=1\r\n"
    else:
        fields += f"Cookie: {name}={TOKEN}; a=1\r\n"
    head = reach(edge, upstream, transport, path, query, fields)
    assert TOKEN not in head and ("?a=1 " if name.startswith("?") else "Cookie: a=1\r\n") in head + "\r\n"


@EVERYWHERE
@pytest.mark.parametrize("path", ["/", "/open"])
def test_an_applications_value_by_the_name_of_another_route_passes(edge, upstream, transport, path):
    query, fields = ("?access_token=" + TOKEN, "") if path == "/" else ("?access_token=mine", "")
    head = reach(edge, upstream, transport, path, query + "&key=its-own", fields + "Cookie: sid=its-own\r\n")
    assert "key=its-own" in head and "Cookie: sid=its-own\r\n" in head + "\r\n" and ("access_token=mine" in head) == (path == "/open")


@EVERYWHERE
def test_where_every_origin_is_allowed_the_upstream_is_told_the_origin_beside_its_own_cookies(edge, upstream, transport):
    """Any page can use them there, by either transport. The upstream alone can tell the pages apart."""
    fields = f"Authorization: Bearer {TOKEN}\r\nOrigin: https://evil.example\r\nCookie: login=1\r\n"
    head = reach(edge, upstream, transport, "/public", fields=fields) + "\r\n"
    assert "Origin: https://evil.example\r\n" in head and "Cookie: login=1\r\n" in head


@EVERYWHERE
@pytest.mark.parametrize("read", CARRIERS)
@pytest.mark.parametrize("used", CARRIERS)
def test_a_carrier_that_is_off_opens_nothing(edge, transport, read, used):
    answer = knock(edge, transport, f"/only-{read}", TOKEN, used)
    assert answer.status == (OPENED[transport] if read == used else 401)


@EVERYWHERE
@EVERY_WAY
def test_what_travels_in_a_carrier_that_is_off_reaches_the_application(edge, upstream, transport, carrier):
    if carrier == "header":
        query, fields = lines(TOKEN, "cookie")
        path = "/only-cookie"
    else:
        query, fields = "", lines(TOKEN, "header")[1]
        path = "/only-header"
    more, field = lines("of-the-application", carrier)
    assert "of-the-application" in reach(edge, upstream, transport, path, query + more, fields + field)


@EVERYWHERE
def test_a_route_has_names_of_its_own(edge, upstream, transport):
    for query, fields in ((f"?key={TOKEN}&access_token=x", ""), ("?access_token=x", f"Cookie: sid={TOKEN}; culvert_token=y\r\n")):
        head = reach(edge, upstream, transport, "/named", query, fields)
        assert "/named?access_token=x " in head and TOKEN not in head
        assert ("Cookie: culvert_token=y" in head) == ("sid" in fields)


@EVERYWHERE
def test_a_cookie_that_is_percent_encoded_is_read(edge, upstream, transport):
    encoded = "".join(f"%{byte:02X}" for byte in TOKEN.encode())
    for value in (encoded, f'"{encoded}"', urllib.parse.quote(TOKEN, safe="").replace("-", "%2d")):
        head = reach(edge, upstream, transport, "", "", f"Cookie: a=1; culvert_token={value}\r\n") if transport == "long-poll" \
            else reach(edge, upstream, transport, "/", "", f"Cookie: a=1; culvert_token={value}\r\n")
        assert "X-Forwarded-User: alice" in head and value not in head and "Cookie: a=1\r\n" in head + "\r\n"


@EVERYWHERE
@pytest.mark.parametrize("origin", [ORIGIN, "http://localhost:3000", "null", "file://", "moz-extension://0f6e-3b2c"])
def test_a_public_route_takes_every_origin_with_a_token_and_with_no_cookie(edge, transport, origin):
    answer = knock(edge, transport, "/public", TOKEN, origin=origin)
    assert answer.status == OPENED[transport]
    if transport == "long-poll":
        # Without the second field browsers would refuse the requests of culvert.js, which may send cookies.
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-credentials"] == "true"
    assert knock(edge, transport, "/public", TOKEN, "cookie", origin=origin).status == 401
    assert knock(edge, transport, "/public", TOKEN, origin=origin + "/").status == 403


@EVERYWHERE
@pytest.mark.parametrize("origin,passes", [
    ("file://", True), ("moz-extension://0f6e3b2c-11a1", True), ("http://localhost:3000", True), ("http://localhost", True),
    ("chrome-extension://abc", False), ("https://localhost:3000", False), ("http://localhost.evil:3000", False), ("null", False)])
def test_applications_and_extensions_can_be_listed(edge, transport, origin, passes):
    assert knock(edge, transport, "/apps", TOKEN, origin=origin).status == (OPENED[transport] if passes else 403)


@pytest.mark.parametrize("route,authentication,fault", [
    ('origins: { allow: [null, "*"] }', "", "routes[0].origins.allow[1]: with every origin allowed any page could use"),
    ('origins: { allow: ["*"] }, carriers: { cookie: sid }', "cookie: none", "routes[0].origins.allow[0]: with every origin"),
    ('origins: { allow: ["*"] }', "cookie: none", None), ('origins: { allow: ["*"] }, carriers: { cookie: none }', "", None),
    ('origins: { allow: ["*"] }, authentication: none', "", None),
    (f"carriers: {only('')}", "", "routes[0].carriers: the route asks for a token, and every carrier of tokens is off"),
    ("carriers: { }", ", ".join(OFF.values()), "routes[0].carriers: the route asks for a token"),
    ("", ", ".join(OFF.values()), "routes[0]: the route asks for a token"),
    ("authentication: none", ", ".join(OFF.values()), None)])
def test_what_would_let_any_page_or_nobody_in_is_an_error(tmp_path, route, authentication, fault):
    config = tmp_path / "proxy.yaml"
    config.write_text(f"""
listen: [ {{ address: "127.0.0.1:0" }} ]
routes:
  - {{ path: /, upstream: echo, {route} }}
authentication: {{ {authentication} }}
upstreams: {{ echo: {{ servers: [ {{ url: "ws://127.0.0.1:9" }} ] }} }}
""")
    done = culvert("check", "--config", config)
    assert done.returncode == (1 if fault else 0), done.stdout + done.stderr
    assert fault is None or fault in done.stderr
    if fault is None:
        # The effective configuration says the same again.
        config.write_text(done.stdout)
        assert culvert("check", "--config", config).stdout == done.stdout

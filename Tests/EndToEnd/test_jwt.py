"""JSON Web Tokens: who holds a good one gets in, on every transport, until it ends; nobody else does."""

import asyncio
import hashlib
import hmac
import itertools
import json
import pathlib
import time

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kit.admin import Admin
from kit.edge import Edge, wait_for
from kit.jwt import ALGORITHMS, Key, base64url, bearer, closing, dial, forge, live, rfc3339, section
from kit.knock import CARRIERS, TRANSPORTS, knock, problem
from kit.pace import within
from kit.poll import open_session
from kit.process import culvert

EVERYWHERE = pytest.mark.parametrize("transport", TRANSPORTS)
EVERY_WAY = pytest.mark.parametrize("transport,carrier", list(itertools.product(TRANSPORTS, CARRIERS)))
OPENED = {"websocket": 101, "long-poll": 201}
ISSUER, AUDIENCE = "https://id.example.com", "culvert"
LEEWAY = 5
LASTS = 5  # Seconds within which sessions of a short token open and talk, on a busy machine too.
FAR = 4102444800  # The year 2100: these tables are made long before they are used.

HS, HS_FILE = Key("HS256", "hs"), Key("HS256", "hs-file")
RS, RS_CERTIFICATE, PS = Key("RS256", "rs"), Key("RS256", "rs-certificate"), Key("PS256", "ps")
ES, ES_JWK, ED, ED_JWK = Key("ES256", "es"), Key("ES256", "es-jwk"), Key("EdDSA", "ed"), Key("EdDSA", "ed-jwk")
GIVEN = [HS, HS_FILE, RS, RS_CERTIFICATE, PS, ES, ES_JWK, ED, ED_JWK]
STRANGER = Key("ES256", "es")


def keys_in(folder):
    """Each key in another way that the configuration knows."""
    texts = {"hs.secret": HS_FILE.private + "\n", "rs.pem": RS.pem, "issuer.pem": RS_CERTIFICATE.certificate,
             "ed.jwk": json.dumps(ED_JWK.jwk)}
    for name, text in texts.items():
        (folder / name).write_text(text)
    # Its type leaves no choice of an algorithm.
    es_jwk = {k: v for k, v in ES_JWK.jwk.items() if k not in ("alg", "use")}
    return [
        {"id": "hs", "algorithm": "HS256", "secret": HS.private},
        {"id": "hs-file", "algorithm": "HS256", "file": "hs.secret"},
        {"id": "rs", "algorithm": "RS256", "file": "rs.pem"},
        {"id": "rs-certificate", "algorithm": "RS256", "file": str(folder / "issuer.pem")},
        {"id": "ps", "algorithm": "PS256", "pem": PS.pem},
        {"id": "es", "algorithm": "ES256", "pem": ES.certificate},
        {"jwk": es_jwk},
        {"id": "ed", "algorithm": "EdDSA", "pem": ED.pem},
        {"file": "ed.jwk"}]


@pytest.fixture(scope="module")
def strict(backend, tmp_path_factory):
    """An edge that takes tokens of one issuer for one audience."""
    folder = tmp_path_factory.mktemp("strict")
    edge = Edge(folder, backend.port, authentication=section(
        issuer=ISSUER, audience=["somebody", AUDIENCE], keys=keys_in(folder)))
    yield edge
    edge.end()


@pytest.fixture(scope="module")
def exact(backend, tmp_path_factory):
    """An edge that asks for no issuer, allows no leeway, and opens what a claim of another name says."""
    edge = Edge(tmp_path_factory.mktemp("exact"), backend.port, authentication=section(
        leeway="0s", routes=[], claims={"routes": "ways", "origins": "https://culvert.example/origins"},
        keys=[{"id": "es", "algorithm": "ES256", "pem": ES.pem}]))
    yield edge
    edge.end()


def good(key=ES, **claims):
    return key.token(**{"iss": ISSUER, "aud": AUDIENCE, **claims})


def free(**claims):
    """For the exact edge."""
    return ES.token(**{"ways": ["/"], **claims})


def now(seconds=0):
    return int(time.time()) + seconds


# --- who gets in -----------------------------------------------------------------------------------------------------

def test_every_algorithm_is_tried():
    assert {key.algorithm for key in GIVEN} == set(ALGORITHMS)


@EVERYWHERE
@pytest.mark.parametrize("key", GIVEN, ids=lambda key: key.kid)
def test_a_good_token_opens_and_its_subject_reaches_the_upstream(strict, backend, transport, key):
    token = good(key, sub="jane doe@example.com")
    assert knock(strict, transport, "/hello", token, headers=[("X-Forwarded-User", "root")]).status == OPENED[transport]
    request = backend.requests[-1]
    assert request.path == "/hello"
    assert request.headers.get_all("X-Forwarded-User") == ["jane doe@example.com"]
    assert "Authorization" not in request.headers and token not in str(request.headers)


@EVERY_WAY
def test_every_carrier_takes_a_token(strict, backend, transport, carrier):
    token = good()
    answer = knock(strict, transport, "/carried", token, carrier, query="a=1", protocols=["chat.v2"])
    assert answer.status == OPENED[transport]
    request = backend.requests[-1]
    assert request.path == "/carried?a=1" and request.headers["Sec-WebSocket-Protocol"] == "chat.v2"
    assert token not in str(request.headers) + str(answer.headers)


@pytest.mark.parametrize("claims", [
    {"exp": FAR + 0.5}, {"aud": ["else", AUDIENCE]}, {"aud": "somebody"}, {"jti": "j-1"}, {"nbf": 0}, {"iat": None},
    {"iat": 1.5}, {"other": {"of": ["any", 1, None]}}, {"sub": "~" * 256}, {"origins": ["https://a.example"]}], ids=str)
def test_claims_that_do_not_matter_keep_nobody_out(strict, claims):
    assert knock(strict, "long-poll", token=good(**claims)).status == 201


@pytest.mark.parametrize("key", [HS, HS_FILE, ES, ES_JWK, ED_JWK], ids=lambda key: key.kid)
def test_a_token_that_names_no_key_is_tried_with_each_of_its_algorithm(strict, key):
    assert knock(strict, "long-poll", token=good(key, head={"kid": None})).status == 201


def test_within_the_leeway_a_clock_may_be_wrong(strict):
    for claims in ({"exp": now(-1)}, {"nbf": now(3)}, {"iat": now(3)}):
        assert knock(strict, "long-poll", token=good(**claims)).status == 201


def test_where_no_token_is_asked_for_a_jwt_of_culverts_opens_no_more_and_goes_no_further(strict, backend):
    """Behind a route that is open to all there may be anybody. Other JWTs are the application's: test_carriers.py."""
    token = good()
    # Also once it is known to be good here, on every event loop.
    for path in ["/open"] + ["/"] * 6 + ["/open"] * 6:
        assert knock(strict, "long-poll", path, token).status == 201
        if path == "/open":
            headers = backend.requests[-1].headers
            assert "Authorization" not in headers and "X-Forwarded-User" not in headers


# --- who does not ----------------------------------------------------------------------------------------------------

def mac(secret):
    return lambda text: hmac.digest(secret.encode(), text, hashlib.sha256)


def parts(change):
    """A good token whose head, payload and signature (in base64url) something was done to."""
    return lambda: ".".join(change(*good().split(".")))


def claims(**changes):
    return lambda: good(**changes)


def written(name, text):
    """A claim as PyJWT, or Python, would not write it."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "jane", "exp": FAR, name: "HERE"}
    return lambda: ES.sign(json.dumps(claims).replace('"HERE"', text).encode())


def forged(sign, **head):
    return lambda: forge(head, {"iss": ISSUER, "aud": AUDIENCE, "sub": "jane", "exp": FAR}, sign)


def der(text):
    signature = ES.raw_sign(text)
    return encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))


ATTACKERS_JWK = {k: v for k, v in STRANGER.jwk.items() if k != "kid"}
BAD = {
    "another's signature": lambda: good(STRANGER),
    "another's payload": parts(lambda h, p, s: [h, good(sub="mary").split(".")[1], s]),
    "half a signature": parts(lambda h, p, s: [h, p, s[:43]]),
    "no signature": parts(lambda h, p, s: [h, p, ""]),
    "a signature of zeros": forged(lambda _: bytes(64), alg="ES256", kid="es"),
    "a signature in DER": forged(der, alg="ES256", kid="es"),
    "alg none": forged(lambda _: b"", alg="none"),
    "alg none of a key": forged(lambda _: b"", alg="none", kid="es"),
    "alg NONE": forged(lambda _: b"", alg="NONE", kid="hs"),
    "no alg": forged(ES.raw_sign, kid="es"),
    "alg in lower case": forged(ES.raw_sign, alg="es256", kid="es"),
    "alg that is a list": forged(ES.raw_sign, alg=["ES256"], kid="es"),
    "a public key as a secret": lambda: forged(mac(RS.pem), alg="HS256", kid="rs")(),
    "a public key as a secret of no name": lambda: forged(mac(RS.pem), alg="HS256")(),
    "nothing as a secret": forged(mac(""), alg="HS256", kid="hs"),
    "RS256 of a PS256 key": lambda: good(PS, algorithm="RS256"),
    "PS256 of an RS256 key": lambda: good(RS, algorithm="PS256"),
    "HS512": lambda: good(HS, algorithm="HS512"),
    "another key's kid": lambda: good(ES, head={"kid": "es-jwk"}),
    "an unknown kid": lambda: good(head={"kid": "nobody"}),
    "a kid that is a number": forged(ES.raw_sign, alg="ES256", kid=1),
    "a key that it brings": lambda: good(STRANGER, head={"kid": None, "jwk": ATTACKERS_JWK}),
    "an extension that is critical": lambda: good(head={"crit": ["exp"]}),
    "a head that is a list": lambda: forge(["ES256"], {"sub": "jane", "exp": FAR}, ES.raw_sign),
    "expired": lambda: good(exp=now(-LEEWAY - 1)),
    "not yet": lambda: good(nbf=now(LEEWAY + 5)),
    "issued in the future": lambda: good(iat=now(LEEWAY + 5)),
    "another issuer": claims(iss="https://evil.example"),
    "an issuer and more": claims(iss=ISSUER + "/"),
    "no issuer": claims(iss=None),
    "another audience": claims(aud="culvert2"),
    "other audiences": claims(aud=["a", "b"]),
    "no audience": claims(aud=None),
    "an audience that is a number": claims(aud=[AUDIENCE, 1]),
    "no exp": claims(exp=None),
    "an exp that is a string": claims(exp=str(FAR)),
    "an exp that is true": written("exp", "true"),
    "an exp that is null": written("exp", "null"),
    "an exp beyond numbers": written("exp", "1e400"),
    "an exp before time": written("exp", "-1e300"),
    "an nbf that is a string": claims(nbf="0"),
    "an iat that is a list": claims(iat=[0]),
    "no subject": claims(sub=None),
    "a subject that is a number": claims(sub=7),
    "an empty subject": claims(sub=""),
    "a subject of many bytes": claims(sub="x" * 257),
    "a subject beyond ASCII": claims(sub="jané"),
    "a subject that is two headers": claims(sub="jane\r\nX-Admin: yes"),
    "a jti that is a number": claims(jti=7),
    "routes that are a number": claims(routes=1),
    "routes with a number": claims(routes=["/", 1]),
    "routes that are null": written("routes", "null"),
    "routes that are a mapping": claims(routes={"/": True}),
    "origins that are a number": claims(origins=1),
    "a payload that is text": lambda: ES.sign(b"jane"),
    "a payload that is a list": lambda: ES.sign(b'["jane"]'),
    "a payload that is not UTF-8": lambda: ES.sign(b'{"sub":"\xff"}'),
    "a payload that is nested": lambda: ES.sign(b"[" * 9000),
    "a.b.c": lambda: "a.b.c",
    "dots": lambda: "..",
    "more dots": lambda: "...",
    "a dot behind": parts(lambda *all: [*all, ""]),
    "a part too many": parts(lambda *all: [*all, "e30"]),
    "a part too few": parts(lambda h, p, s: [h, p]),
    "much": parts(lambda h, p, s: [h, p, base64url(b"x" * 9000)]),
    "much that is nothing": lambda: f"{'a' * 4000}.{'b' * 4000}.{'c' * 4000}",
}


@EVERYWHERE
@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_refused(strict, transport, name):
    answer = knock(strict, transport, token=BAD[name]())
    assert answer.status == 401
    assert problem(answer)["type"] == "urn:culvert:problem:invalid_token"
    assert answer.headers["www-authenticate"] == 'Bearer realm="culvert", error="invalid_token"'


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("text", ["1e300", "1" + "0" * 30, f"{2**63 - 1}", f"{-2**63}", "-1e300", "1e18"])
def test_a_date_beyond_all_calendars_does_no_harm(strict, name, text):
    assert knock(strict, "long-poll", token=written(name, text)()).status in (201, 401)
    assert knock(strict, "websocket", token=written(name, text)()).status in (101, 401)
    assert knock(strict, "long-poll", token=good()).status == 201


@EVERYWHERE
def test_a_token_for_somebody_else_is_refused_where_no_audience_is_known(exact, transport):
    assert knock(exact, transport, token=free(iss="https://any.example")).status == OPENED[transport]
    assert knock(exact, transport, token=free(aud=AUDIENCE)).status == 401
    assert knock(exact, transport, token=free(exp=now(-1))).status == 401


@EVERYWHERE
@pytest.mark.parametrize("routes", [["/narrow", "/b"], "/b /narrow"], ids=["list", "string"])
def test_a_claim_restricts_the_paths(strict, exact, transport, routes):
    for edge, token in ((strict, good(routes=routes)), (exact, free(ways=routes))):
        for path, passes in {"/narrow": True, "/narrow/x": True, "/b": True, "/narrower": False, "/": False}.items():
            answer = knock(edge, transport, path, token)
            assert answer.status == (OPENED[transport] if passes else 403)
            if not passes:
                assert problem(answer)["type"] == "urn:culvert:problem:insufficient_scope"
                assert "insufficient_scope" in answer.headers["www-authenticate"]


def test_a_token_without_routes_opens_what_the_configuration_says(strict, exact):
    for edge, token, status in ((strict, good(), 201), (strict, good(routes=[]), 403), (exact, free(ways=None), 403),
                                (exact, free(ways=None, routes=["/"]), 403)):
        assert knock(edge, "long-poll", token=token).status == status


@EVERYWHERE
@pytest.mark.parametrize("form", [list, " ".join], ids=["list", "string"])
def test_a_claim_narrows_the_origins(strict, exact, transport, form):
    origins = form(["https://a.wild.example", "https://c.wild.example", "https://not.of.the.route"])
    for edge, token in ((strict, good(origins=origins)), (exact, free(**{"https://culvert.example/origins": origins}))):
        for origin, passes in {"https://a.wild.example": True, "https://c.wild.example": True, None: True,
                               "https://b.wild.example": False, "https://not.of.the.route": False}.items():
            assert knock(edge, transport, token=token, origin=origin).status == (OPENED[transport] if passes else 403)


# --- live sessions ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name,leeway", [("strict", LEEWAY), ("exact", 0)])
def test_sessions_end_with_their_token_and_the_leeway(request, backend, name, leeway):
    edge = request.getfixturevalue(name)
    end = now(LASTS)
    aud = AUDIENCE if edge.folder.name.startswith("strict") else None
    token, other = [good(exp=at, iat=end - 60, ways=["/"], aud=aud) for at in (end - leeway, FAR)]

    async def run():
        async with live(edge, token, f"/end/{name}") as session, live(edge, other) as bystander:
            await session.talk()
            at = await session.end("token expired")
            assert 0 <= at - end < within(1)
            await bystander.talk()
        # Who only tries an old token learns nothing of it.
        assert problem(knock(edge, "long-poll", token=token))["type"] == "urn:culvert:problem:invalid_token"

    asyncio.run(run())
    told = (f"/end/{name}", 1001, "token expired")
    wait_for(lambda: backend.closed.count(told) == 2, what="the upstream to be told of both")


def test_a_poll_with_a_newer_token_moves_the_session_to_it(exact):
    end = now(LASTS)
    old, new = free(exp=end, iat=end - 60), free(iat=end - 50)
    with httpx.Client(base_url=exact.https, verify=exact.ssl, timeout=20) as http:
        session = open_session(http, headers=bearer(old))
        assert http.post(session, json={"first": 1, "messages": [{"text": "one"}]}, headers=bearer(new)).is_success
        # Older, but good: it is served, and moves nothing.
        assert http.get(session, headers=bearer(old)).json()["messages"] == [{"text": "one"}]
        assert http.get(session, headers=bearer(free(sub="mary"))).status_code == 404
        wait_for(lambda: time.time() > end + 0.5, what="the first token to expire")
        assert http.get(session, headers=bearer(old)).status_code == 401
        assert http.get(session, headers=bearer(new)).json()["messages"] == [{"text": "one"}]


def test_a_websocket_is_given_a_newer_token_by_put(exact):
    end = now(LASTS)
    # Issued at the same time, the one that lasts longer is the newer.
    old, new = free(exp=end, iat=end - 60), free(iat=end - 60)

    async def run():
        async with dial(exact, old) as ws, dial(exact, old) as other:
            path = f"/_poll/{ws.response.headers['Culvert-Session']}/token"
            with httpx.Client(base_url=exact.https, verify=exact.ssl, timeout=20) as http:
                def put(headers):
                    answer = http.put(path, headers=headers)
                    return answer.status_code, answer.json().get("type", "").split(":")[-1]

                assert put(bearer(new)) == put(bearer(new)) == (200, "")
                assert put(bearer(old)) == (409, "token_not_newer")
                # Another subject cannot tell that there is such a session.
                assert put(bearer(free(sub="mary")))[0] == 404
                assert put(bearer(STRANGER.token(ways=["/"]))) == (401, "invalid_token")
                assert put({}) == (401, "token_missing")
            assert await closing(other) == (4401, "token expired")
            await ws.send("on")
            assert await asyncio.wait_for(ws.recv(), 5) == "on"

    asyncio.run(run())


def test_a_key_that_is_retired_ends_its_sessions(backend, make_edge):
    until = now(LASTS)
    retiring, staying = Key("ES256", "retiring"), Key("ES256", "staying")
    edge = make_edge(backend.port, authentication=section(keys=[
        {"id": "retiring", "algorithm": "ES256", "pem": retiring.pem, "until": rfc3339(until)},
        {"id": "staying", "algorithm": "ES256", "pem": staying.pem}]))
    token, other = retiring.token(), staying.token()

    async def run():
        async with live(edge, token) as session, live(edge, other) as bystander:
            await session.talk()
            at = await session.end("token rotated")
            assert 0 <= at - until < within(1)
            await bystander.talk()
        for transport, t in itertools.product(TRANSPORTS, (token, retiring.token())):
            answer = await asyncio.to_thread(knock, edge, transport, token=t)
            assert (answer.status, problem(answer)["type"]) == (401, "urn:culvert:problem:invalid_token")

    asyncio.run(run())


# --- what is told of them --------------------------------------------------------------------------------------------

def test_no_signature_and_no_secret_is_told_to_anybody(strict):
    tokens = [good(HS, jti="told"), good(), good(STRANGER), good(RS, exp=now(-60))]
    for token, transport, carrier in itertools.product(tokens, TRANSPORTS, CARRIERS):
        knock(strict, transport, "/told", token, carrier)
        knock(strict, transport, "/refuse", token, carrier)
    strict.catch_up()
    assert {e["subject"] for e in strict.events("session opened", token="told")} == {"jane"}
    checked = culvert("check", "--config", strict.config)
    assert checked.returncode == 0
    # Of tokens the one warning is of the opaque one that has expired.
    warned = [line.split(": ")[2] for line in checked.stderr.splitlines()]
    assert [key for key in warned if key.startswith("authentication.")] == ["authentication.tokens[3].expires"]
    with Admin(strict) as admin:
        shown = admin.get("/v1/config").json()["yaml"]
    for text in (checked.stdout, shown):
        assert ISSUER in text and all(f'"{key.kid}"' in text for key in (HS, RS, ES, ED))
    command = pathlib.Path(f"/proc/{strict.process.pid}/cmdline").read_text()
    told = strict.text + checked.stdout + shown + command
    for secret in [HS.private, HS_FILE.private, *(token.split(".")[2] for token in tokens)]:
        assert secret not in told and secret[:20] not in told


CONFIG = """listen: [ { address: "127.0.0.1:8443" } ]
routes: [ { path: /, upstream: echo } ]
upstreams: { echo: { servers: [ { url: "ws://127.0.0.1:9000" } ] } }
admin: { address: none }
state: none
authentication:
  JWT
"""
SHORT = "only-thirty-one-bytes-long-xxxx"
GARBAGE = "-----BEGIN PUBLIC KEY-----\ngarbage-in-a-pem\n-----END PUBLIC KEY-----\n"


def with_key(**members):
    return {"keys": [{"id": "k", "algorithm": "ES256", **members}]}


@pytest.mark.parametrize("jwt,path", [
    (lambda: with_key(algorithm="ES257", pem=ES.pem), "keys[0].algorithm"),
    (lambda: with_key(algorithm="none", pem=ES.pem), "keys[0].algorithm"),
    (lambda: {"keys": [{"id": "k", "pem": RS.pem}]}, "keys[0]"),
    (lambda: {"keys": [{"algorithm": "ES256", "pem": ES.pem}]}, "keys[0]"),
    (lambda: with_key(), "keys[0]"),
    (lambda: with_key(pem=ES.pem, file="es.pem"), "keys[0]"),
    (lambda: with_key(algorithm="HS256", secret=SHORT), "keys[0].secret"),
    (lambda: with_key(algorithm="HS256", pem=ES.pem), "keys[0]"),
    (lambda: with_key(secret=HS.private), "keys[0]"),
    (lambda: with_key(algorithm="RS256", pem=Key("RS256", size=1024).pem), "keys[0]"),
    (lambda: with_key(pem=GARBAGE), "keys[0].pem"),
    (lambda: with_key(pem=ES.private_pem), "keys[0].pem"),
    (lambda: with_key(pem=RS.pem), "keys[0]"),
    (lambda: with_key(pem=Key("ES384").pem), "keys[0]"),
    (lambda: with_key(jwk=RS.jwk), "keys[0]"),
    (lambda: with_key(pem=ES.pem, until="soon"), "keys[0].until"),
    (lambda: {"keys": 2 * with_key(pem=ES.pem)["keys"]}, "keys[1]"),
    (lambda: {"jwks": [{"file": "a.json", "url": "https://id.example.com/jwks"}]}, "jwks[0]"),
    (lambda: {"jwks": [{"refresh": "1m"}]}, "jwks[0]"),
    (lambda: {"jwks": [{"url": "http://id.example.com/jwks"}]}, "jwks[0].url"),
    (lambda: {"jwks": [{"url": "http://127.0.0.1.example.com/jwks"}]}, "jwks[0].url"),
    (lambda: {"jwks": [{"url": "file:///etc/passwd"}]}, "jwks[0].url"),
    (lambda: {"jwks": [{"url": "https://id.example.com/jwks", "refresh": "500ms"}]}, "jwks[0].refresh"),
    (lambda: {**with_key(pem=ES.pem), "leeway": "11m"}, "leeway"),
    (lambda: {**with_key(pem=ES.pem), "isuer": ISSUER}, "isuer"),
    (lambda: {**with_key(pem=ES.pem), "routes": ["chat"]}, "routes[0]"),
])
def test_a_mistake_in_the_configuration_is_named_without_its_secret(tmp_path, jwt, path):
    file = tmp_path / "proxy.yaml"
    file.write_text(CONFIG.replace("JWT", section(**jwt())))
    result = culvert("check", "--config", file)
    assert (result.returncode, result.stdout) == (1, "")
    [line, *_] = result.stderr.splitlines()
    assert line.startswith(f"{file}:7:") and f" authentication.jwt.{path}" in line
    for secret in (SHORT, HS.private, "garbage-in-a-pem", ES.private_pem.splitlines()[1], RS.pem.splitlines()[1]):
        assert secret not in result.stderr


@pytest.mark.parametrize("text", [None, GARBAGE, "<html></html>"], ids=["none", "garbage", "HTML"])
def test_a_file_without_a_key_is_named(tmp_path, text):
    (tmp_path / "proxy.yaml").write_text(CONFIG.replace("JWT", section(**with_key(file="key.pem"))))
    if text:
        (tmp_path / "key.pem").write_text(text)
    for command in ("check", "serve"):
        result = culvert(command, "--config", tmp_path / "proxy.yaml")
        assert result.returncode == 1 and "garbage-in-a-pem" not in result.stderr
        assert str(tmp_path / "key.pem") in result.stderr and "authentication.jwt.keys[0].file" in result.stderr

"""Attacks on JSON Web Tokens: ones that cost time, ones that mean two things, ones that outlive their revocation."""

import asyncio
import base64
import hashlib
import itertools
import json
import re
import statistics
import time

import httpx
import pytest

from kit.admin import Admin
from kit.jwks import jwks
from kit.jwt import Key, base64url, closing, dial, rfc3339, section
from kit.knock import knock
from kit.stray import cpu

HS, OTHER, ES = Key("HS256", "h"), Key("HS256", "other"), Key("ES256", "e")
KEYS = [{"id": "h", "algorithm": "HS256", "secret": HS.private},
        {"id": "other", "algorithm": "HS256", "secret": OTHER.private}, {"id": "e", "algorithm": "ES256", "pem": ES.pem}]
TOO_MANY_KEYS = "jwt refused: too many keys fit it; issuers must write a kid that tells the key"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


EDGE = dict(authentication=section(keys=KEYS, audience="edge", leeway="10m"), limits="token: { sessions: 1 }")


@pytest.fixture
def admin(edge):
    with Admin(edge) as admin:
        yield admin


def token(key=HS, **claims):
    return key.token(**{"aud": "edge", **claims})


def raw(header, payload=b"{}", key=HS):
    """A token whose header and payload are written by hand."""
    text = f"{base64url(header)}.{base64url(payload)}"
    return f"{text}.{base64url(key.raw_sign(text.encode()))}"


def statuses(edge, text):
    """The statuses of several tries, since each event loop has a memory of its own."""
    return {knock(edge, "long-poll", token=text).status for _ in range(4)}


def test_a_header_made_to_cost_time_costs_no_more_than_any(edge):
    shapes = {
        "plain": b'{"alg":"HS256","kid":"nobody"}',
        "deep": b'{"alg":"HS256","a":' + b"[" * 500 + b"1" + b"]" * 500 + b"}",
        "wide": b'{"alg":"HS256","a":[' + b",".join([b"{}"] * 2000) + b"]}",
        "both": b'{"alg":"HS256","a":' + b"[" * 500 + b",".join([b"{}"] * 1500) + b"]" * 500 + b"}",
        "within the limits": b'{"alg":"HS256","a":' + b"[" * 7 + b",".join([b"{}"] * 100) + b"]" * 7 + b"}",
        "marks": '{{"{0}":1,"alg":"HS256"}}'.format("\u0301\u0316" * 200).encode(),
    }
    spent = {}
    with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
        for name, header in shapes.items():
            text = base64url(header) + ".e30." + base64url(b"x" * 32)
            before = cpu(edge.process)
            for _ in range(50):
                assert http.post("/_poll", headers={"Authorization": "Bearer " + text}).status_code == 401
            spent[name] = (cpu(edge.process) - before) / 50
            print(f"tried a {name} header, {len(text)} bytes: {spent[name] * 1000:.2f} ms of CPU each")
    # A clock tick is 10 ms; the request itself is in it.
    assert max(spent.values()) < spent["plain"] * 3 + 0.005


def test_claims_made_to_cost_time_are_refused_although_they_are_signed(edge):
    now = int(time.time())
    rest = b'"aud":"edge","sub":"s","exp":%d' % (now + 600)
    for name, payload in {
            "deep": b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"," + rest + b"}",
            "wide": b'{"a":[' + b",".join([b"0"] * 4200) + b"]," + rest + b"}",
    }.items():
        before = cpu(edge.process)
        assert statuses(edge, raw(b'{"alg":"HS256"}', payload)) == {401}, name
        print(f"tried {name} claims: {cpu(edge.process) - before:.2f} s of CPU for four")
        assert cpu(edge.process) - before < 1


def test_a_token_costs_a_few_signatures_however_many_keys_there_are(backend, make_edge, tmp_path):
    """Every one of 100 keys was tried: 3.6 ms of CPU for a token of nobody's without `kid`."""
    keys, stranger = [Key("ES256", f"k{n}") for n in range(100)], Key("ES256")
    spent = {}
    for count in (1, 3, 4, 5, 100):
        file = tmp_path / f"{count}.json"
        file.write_text(json.dumps(jwks(*keys[:count])))
        edge = make_edge(backend.port, authentication=section(jwks=[{"file": str(file)}]))
        last = keys[count - 1]
        assert statuses(edge, last.token()) == {201}
        assert statuses(edge, last.token(head={"kid": None})) == ({201} if count <= 4 else {401})
        forged = [stranger.token(sub=f"forged {n}") for n in range(200)]
        with httpx.Client(base_url=f"http://127.0.0.1:{edge.plain_port}", timeout=30) as http:
            before = cpu(edge.process)
            for text in forged:
                answer = http.post("/_poll", headers={"Authorization": "Bearer " + text})
                assert (answer.status_code, answer.json()["type"]) == (401, "urn:culvert:problem:invalid_token")
            spent[count] = (cpu(edge.process) - before) / len(forged)
        print(f"tried forged tokens without kid beside {count} keys: {spent[count] * 1000:.2f} ms of CPU each")
        if count > 4:
            event = edge.expect_events(TOO_MANY_KEYS)[0]
            assert (event["level"], str(event["keys"])) == ("warning", str(count))
        edge.stop()
    # The request itself is in it, and a clock tick is 10 ms.
    assert max(spent.values()) < spent[1] * 4 + 0.0005


def test_a_kid_of_many_keys_costs_a_few_signatures(backend, make_edge, tmp_path):
    keys = [Key("ES256", "shared") for _ in range(5)] + [Key("ES256", "own")]
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(jwks(*keys)))
    edge = make_edge(backend.port, authentication=section(jwks=[{"file": str(file)}]))
    print("tried a kid that five keys share")
    assert statuses(edge, keys[0].token()) == statuses(edge, keys[4].token()) == {401}
    assert statuses(edge, keys[5].token()) == {201}


def test_others_are_let_in_while_bad_tokens_come(edge, admin):
    """Half a minute of CPU for each was what these cost."""
    bad = base64url(b'{"alg":"HS256","a":' + b"[" * 500 + b",".join([b"{}"] * 1500) + b"]" * 500 + b"}") + ".e30.eHg"
    flood = [raw(b'{"alg":"HS256","kid":"h"}', b'{"n":%d}' % n, OTHER) for n in range(200)]

    async def run():
        waits = []
        at = f"http://127.0.0.1:{edge.plain_port}/_poll"
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=30)) as attacker, \
                httpx.AsyncClient(timeout=30) as friend:
            async def attack(text):
                answer = await attacker.post(at, headers={"Authorization": "Bearer " + text})
                assert answer.status_code in (401, 503), answer.text

            attacks = [asyncio.create_task(attack(text)) for text in 8 * [bad] + flood]
            for n in range(10):
                start = time.monotonic()
                health = await friend.get(f"http://127.0.0.1:{edge.admin_port}/healthz")
                login = token(sub=f"good {n}", jti=f"good {n}")
                good = await friend.post(at, headers={"Authorization": "Bearer " + login})
                waits.append(time.monotonic() - start)
                assert (health.status_code, good.status_code) == (200, 201)
            await asyncio.gather(*attacks)
        return waits

    waits = asyncio.run(run())
    print(f"tried {len(flood)} forged tokens and 8 nested ones: a login and /healthz took {statistics.median(waits):.3f} s")
    assert statistics.median(waits) < 2


async def send_bad_tokens(port, source, texts, statuses):
    """One connection, which has one verification under way at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        for text in texts:
            writer.write(f"POST /_poll HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                         f"Authorization: Bearer {text}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            status = int(head.split()[1])
            statuses[status] = statuses.get(status, 0) + 1
            await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))
    finally:
        writer.close()


def test_an_address_that_fills_the_queue_of_verifications_turns_no_other_away(backend, make_edge):
    """Each of its connections has a token to verify, and there are more of them than may wait."""
    keys = [Key("ES256", f"k{n}") for n in range(4)]
    edge = make_edge(
        backend.port, limits="address: { handshakes: 1000 }",
        authentication=section(keys=[{"id": key.kid, "algorithm": "ES256", "pem": key.pem} for key in keys]))
    # A kid would tell one key: without one the signature is tried with all four.
    stem = Key("ES256").token(sub="nobody").rsplit(".", 1)[0]
    forged = itertools.count()

    def bad_tokens():
        for _ in range(60):
            yield f"{stem}.{base64url(hashlib.sha512(b'%d' % next(forged)).digest())}"

    async def run():
        seen, logins = {}, []
        attack = [asyncio.create_task(send_bad_tokens(edge.plain_port, "127.0.0.2", bad_tokens(), seen))
                  for _ in range(400)]
        while not seen.get(503):
            await asyncio.sleep(0.01)
            assert not all(task.done() for task in attack), f"the queue was never full: {seen}"
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.3")
        async with httpx.AsyncClient(timeout=30, transport=transport) as friend:
            while not all(task.done() for task in attack):
                answer = await friend.post(
                    f"http://127.0.0.1:{edge.plain_port}/_poll",
                    headers={"Authorization": "Bearer " + keys[0].token(sub=f"good {len(logins)}")})
                logins.append(answer.status_code)
        await asyncio.gather(*attack)
        return seen, logins

    seen, logins = asyncio.run(run())
    print(f"tried {seen} tokens of one address; logins from another meanwhile: {len(logins)}, {set(logins)}")
    assert set(seen) == {401, 503}
    assert len(logins) >= 3 and set(logins) == {201}


@pytest.mark.parametrize("first, last", [
    ('"sub":"alice"', '"sub":"bob"'), ('"aud":"edge"', '"aud":"elsewhere"'), ('"exp":9999999999', '"exp":1'),
    ('"nbf":1', '"nbf":9999999999'), ('"routes":["/"]', '"routes":[]'), ('"x":1', r'"\u0078":2'),
    ('"x":{"y":1}', '"z":{"y":1,"y":2}'),
])
def test_a_claim_twice_is_refused(edge, first, last):
    good = {"sub": "alice", "aud": "edge", "exp": int(time.time()) + 600}
    # Good by what comes first.
    rest = json.dumps({k: v for k, v in good.items() if f'"{k}"' not in first})[1:-1]
    once = f"{{{first},{rest}}}".replace('"x":{"y":1},', "")
    assert statuses(edge, raw(b'{"alg":"HS256"}', once.encode())) & {201}
    print(f"tried {first}, then {last}")
    assert statuses(edge, raw(b'{"alg":"HS256"}', f"{{{first},{rest},{last}}}".encode())) == {401}


def test_a_header_parameter_twice_is_refused(edge):
    claims = json.dumps({"sub": "s", "aud": "edge", "exp": int(time.time()) + 600}).encode()
    for header in (b'{"alg":"HS256","kid":"h","kid":"other"}', b'{"alg":"HS256","kid":"other","kid":"h"}',
                   b'{"alg":"none","alg":"HS256"}', b'{"alg":"HS256","typ":"JWT","typ":"JWT"}',
                   b'{"alg":"HS256","x":1,"\\u0078":1}', b'{"alg":"HS256","jwk":{"kty":"oct","kty":"RSA"}}'):
        print(f"tried {header}")
        assert statuses(edge, raw(header, claims)) == {401}


def test_the_other_signature_of_an_es256_token_is_the_same_token(edge, admin):
    text = token(ES, sub="malleable")
    signed, _, signature = text.rpartition(".")
    both = base64.urlsafe_b64decode(signature + "==")
    r, s = both[:32], int.from_bytes(both[32:], "big")
    other = signed + "." + base64url(r + (P256_ORDER - s).to_bytes(32, "big"))
    assert other != text

    async def run():
        async with dial(edge, text) as ws:
            [session] = admin.sessions(subject="malleable")
            assert statuses(edge, other) == {429}, "limits.token counts both as one"
            until = rfc3339(time.time() + 900)
            assert admin.post("/v1/jwt/revocations", json={"jti": session["token"], "until": until}).status_code == 201
            assert await closing(ws) == (4401, "token revoked")

    asyncio.run(run())
    print(f"tried s = {s:x} and n - s")
    assert statuses(edge, text) == statuses(edge, other) == {401}


@pytest.mark.parametrize("is_early", [True, False])
def test_a_revocation_by_a_name_of_0_3_holds_for_both_signatures(edge, admin, is_early):
    """Culvert 0.3 named a token without `jti` by its whole text, so that its databases revoke one of two spellings."""
    subject = f"former{is_early}"
    text = token(ES, sub=subject)
    signed, _, signature = text.rpartition(".")
    both = base64.urlsafe_b64decode(signature + "==")
    r, s = both[:32], int.from_bytes(both[32:], "big")
    other = signed + "." + base64url(r + (P256_ORDER - s).to_bytes(32, "big"))
    name = "jwt_" + base64url(hashlib.sha256(text.encode()).digest()[:12])

    def revoke():
        assert admin.post("/v1/jwt/revocations", json={"jti": name, "until": rfc3339(time.time() + 900)}).status_code == 201

    async def run():
        async with dial(edge, other) as ws:
            revoke()
            assert await closing(ws) == (4401, "token revoked")

    revoke() if is_early else asyncio.run(run())
    print(f"revoked {name}, the name of the text with s = {s:x}, and tried n - s")
    assert statuses(edge, other) == statuses(edge, text) == {401}


def test_a_token_issued_ahead_of_our_clock_does_not_outlive_its_revocation(edge, admin):
    now = int(time.time())
    ahead, later = token(sub="dave", iat=now + 300), token(sub="dave", iat=now + 301, jti="other")

    async def run():
        async with dial(edge, ahead) as ws:
            answer = admin.post("/v1/jwt/revocations", json={"subject": "dave", "until": rfc3339(now + 9000)}).json()
            print(f"tried iat = now + 300 with a leeway of 600: revoked before {answer['before']}")
            assert await closing(ws) == (4401, "token revoked")

    asyncio.run(run())
    # A token that no event loop has seen may be as old.
    assert statuses(edge, ahead) == statuses(edge, later) == {401}


def test_a_weaker_revocation_gives_nothing_back(edge, admin):
    now = int(time.time())

    def revoke(**body):
        answer = admin.post("/v1/jwt/revocations", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    carol = token(sub="carol", iat=now - 50)
    strong = revoke(subject="carol", until=rfc3339(now + 900))
    assert statuses(edge, carol) == {401}
    weak = revoke(subject="carol", before=rfc3339(now - 100), until=rfc3339(now + 30))
    print(f"tried {weak} behind {strong}")
    assert weak == strong and statuses(edge, carol) == {401}
    strong = revoke(jti="j1", until=rfc3339(now + 900))
    assert revoke(jti="j1", until=rfc3339(now + 30)) == strong
    listed = admin.get("/v1/jwt/revocations", params={"limit": 1000}).json()["items"]
    assert strong in listed


def test_a_key_that_is_retired_does_not_count_by_another_place(backend, make_edge, tmp_path):
    key = Key("ES256", "leaked")
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(jwks(key)))
    edge = make_edge(backend.port, authentication=section(jwks=[{"file": str(file), "refresh": "1s"}]))
    with Admin(edge) as admin:
        assert statuses(edge, key.token()) == {201}
        added = admin.post("/v1/jwt/keys", json={"id": "leaked", "algorithm": "ES256", "pem": key.pem})
        assert added.status_code == 201, added.text

        async def run():
            async with dial(edge, key.token()) as ws:
                assert admin.post("/v1/jwt/keys/leaked/retire", json={"overlap": "0s"}).status_code == 200
                assert await closing(ws) == (4401, "token rotated")

        asyncio.run(run())
        print("tried a retired key that a set of keys still has")
        assert statuses(edge, key.token()) == {401}


@pytest.mark.parametrize("body", [
    b'{"subject":"a","subject":"b","routes":["/"]}', b'{"subject":"a","\\u0073ubject":"b","routes":["/"]}',
    b'{"subject":"a","routes":["/"],"limits":{"sessions":1,"sessions":2}}', '{"subject":"a","routes":["/"]}'.encode("utf-16"),
    '{"subject":"a","routes":["/"]}'.encode("utf-16-be"), b'{"subject":"a","routes":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b'{"subject":"a","routes":[' + b",".join([b"{}"] * 15_000) + b"]}", b"[" * 60_000,
])
def test_a_body_of_the_admin_api_that_is_made_to_cost_time_is_refused(edge, admin, body):
    before = cpu(edge.process)
    answer = admin.post("/v1/tokens", content=body, headers={"Content-Type": "application/json"})
    print(f"tried {body[:40]}… of {len(body)} bytes: {answer.status_code}, {cpu(edge.process) - before:.2f} s of CPU")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:culvert:problem:bad_json")
    assert cpu(edge.process) - before < 1

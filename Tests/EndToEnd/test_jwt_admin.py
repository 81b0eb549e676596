"""Keys of JSON Web Tokens are rotated, and tokens revoked, while the edge runs, and live sessions obey at once."""

import asyncio
import base64
import datetime
import hashlib
import json
import time

import pytest

from kit.admin import Admin
from kit.edge import TOKEN, Edge, wait_for
from kit.jwks import jwks
from kit.jwt import Key, closing, dial, live, rfc3339, section
from kit.knock import TRANSPORTS, knock
from kit.pace import within
from kit.process import restart

OPENED = {"websocket": 101, "long-poll": 201}
ES, HS, SET = Key("ES256", "configured"), Key("HS256", "shared"), Key("EdDSA", "of-a-set")
KEYS = [{"id": "configured", "algorithm": "ES256", "pem": ES.pem},
        {"id": "shared", "algorithm": "HS256", "secret": HS.private}]


def jwt_section(folder, **members):
    file = folder / "keys.json"
    file.write_text(json.dumps(jwks(SET)))
    return section(keys=KEYS, jwks=[{"file": str(file)}], **members)


@pytest.fixture(scope="module")
def edge(backend, tmp_path_factory):
    """Shared by tests that leave nothing behind but what has names of their own."""
    folder = tmp_path_factory.mktemp("edge")
    edge = Edge(folder, backend.port, authentication=jwt_section(folder))
    yield edge
    edge.end()


@pytest.fixture
def admin(edge):
    with Admin(edge) as admin:
        yield admin


def add(admin, key, **fields):
    answer = admin.post("/v1/jwt/keys", json={"id": key.kid, "algorithm": key.algorithm, "pem": key.pem, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def retire(admin, key, **body):
    answer = admin.post(f"/v1/jwt/keys/{key.kid}/retire", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def revoke(admin, until=600, **body):
    """`until` in seconds from now, or a time."""
    until = until if isinstance(until, str) else rfc3339(time.time() + until)
    answer = admin.post("/v1/jwt/revocations", json={"until": until, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


def opens(edge, token):
    """Whether it opens sessions on every transport; asked more than once, since each event loop has its own memory."""
    statuses = {knock(edge, transport, token=token).status for transport in 3 * TRANSPORTS}
    assert statuses in ({101, 201}, {401})
    return statuses != {401}


def seconds(text):
    return datetime.datetime.fromisoformat(text).timestamp()


def refusal(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].split(":")[-1]


# --- keys ------------------------------------------------------------------------------------------------------------

def test_an_added_key_counts_at_once_and_after_a_restart(backend, make_edge):
    edge = make_edge(backend.port, authentication=section(keys=KEYS))
    pem, jwk, retiring = Key("PS256", "by-pem"), Key("ES256", "by-jwk"), Key("EdDSA", "retiring")
    with Admin(edge) as admin:
        assert not opens(edge, pem.token()) and not opens(edge, jwk.token())
        made = add(admin, pem, note="the issuer's second")
        assert made == admin.get("/v1/jwt/keys/by-pem").json()
        assert made.keys() == {"id", "algorithm", "source", "until", "created_at", "note", "thumbprint"}
        assert (made["id"], made["algorithm"], made["source"], made["until"], made["note"]) == (
            "by-pem", "PS256", "store", None, "the issuer's second")
        assert abs(seconds(made["created_at"]) - time.time()) < 5
        answer = admin.post("/v1/jwt/keys", json={"jwk": jwk.jwk})
        assert answer.status_code == 201 and answer.json()["id"] == "by-jwk"
        add(admin, retiring)
        late = retire(admin, retiring, overlap="1h")["until"]
        for _ in range(2):
            assert opens(edge, pem.token()) and opens(edge, jwk.token()) and opens(edge, ES.token())
            assert admin.get("/v1/jwt/keys/by-pem").json() == made
            assert admin.get("/v1/jwt/keys/retiring").json()["until"] == late
            restart(edge)


def test_a_thumbprint_is_what_others_compute(admin):
    key = Key("ES256", "thumb")
    text = json.dumps({name: key.jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"), sort_keys=True)
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    assert add(admin, key)["thumbprint"] == digest  # RFC 7638


def test_all_keys_are_listed_and_nothing_of_them_that_is_secret(edge, admin):
    add(admin, Key("RS256", "listed"))
    answer = admin.get("/v1/jwt/keys").json()
    assert answer["next"] is None
    keys = {key["id"]: key for key in answer["items"]}
    assert {name: keys[name]["source"] for name in ("configured", "shared", "of-a-set", "listed")} == {
        "configured": "config", "shared": "config", "of-a-set": "set", "listed": "store"}
    assert {name: keys[name]["algorithm"] for name in ("configured", "shared", "of-a-set", "listed")} == {
        "configured": "ES256", "shared": "HS256", "of-a-set": "EdDSA", "listed": "RS256"}
    # Of a secret, a digest is enough to try guesses against.
    assert keys["shared"]["thumbprint"] is None
    assert HS.private not in json.dumps(answer) and "\"d\"" not in json.dumps(answer)
    assert opens(edge, HS.token()) and opens(edge, SET.token())


NO_PUBLIC_KEYS = {
    "a private JWK": lambda key: {"jwk": key.private_jwk},
    "a private JWK with an id": lambda key: {"id": key.kid, "algorithm": "ES256", "jwk": key.private_jwk},
    "a private PEM": lambda key: {"id": key.kid, "algorithm": "ES256", "pem": key.private_pem},
    "both halves in one PEM": lambda key: {"id": key.kid, "algorithm": "ES256", "pem": key.pem + key.private_pem},
    "a secret": lambda key: {"id": key.kid, "algorithm": "HS256", "pem": HS.private},
    "a secret JWK": lambda key: {"jwk": {**HS.jwk, "kid": key.kid}},
    "nothing": lambda key: {"id": key.kid, "algorithm": "ES256"},
    "two keys": lambda key: {"id": key.kid, "algorithm": "ES256", "pem": key.pem, "jwk": key.jwk},
    "no id": lambda key: {"algorithm": "ES256", "pem": key.pem},
    "an id that is a path": lambda key: {"id": "a/b", "algorithm": "ES256", "pem": key.pem},
    "a choice of algorithms": lambda key: {"id": key.kid, "pem": Key("RS256").pem},
    "another algorithm": lambda key: {"id": key.kid, "algorithm": "RS256", "pem": key.pem},
    "an algorithm that the JWK denies": lambda key: {"id": key.kid, "algorithm": "RS256", "jwk": key.jwk},
    "an unknown algorithm": lambda key: {"id": key.kid, "algorithm": "ES384", "pem": Key("ES384").pem},
    "a short key": lambda key: {"id": key.kid, "algorithm": "RS256", "pem": Key("RS256", size=1024).pem},
    "garbage": lambda key: {"id": key.kid, "algorithm": "ES256", "pem": "-----BEGIN PUBLIC KEY-----\nAAAA\n"},
    "a number": lambda key: {"id": key.kid, "algorithm": "ES256", "pem": 5},
    "a point off the curve": lambda key: {"jwk": {**key.jwk, "y": key.jwk["x"]}},
    "a key for encryption": lambda key: {"jwk": {**key.jwk, "use": "enc"}},
}


@pytest.mark.parametrize("name", NO_PUBLIC_KEYS)
def test_what_is_no_public_key_is_refused_and_not_kept(edge, admin, name):
    key = Key("ES256", name.replace(" ", "-"))
    answer = admin.post("/v1/jwt/keys", json=NO_PUBLIC_KEYS[name](key))
    assert refusal(answer)[0] == 400
    assert key.kid not in [item["id"] for item in admin.get("/v1/jwt/keys").json()["items"]]
    kept = b"".join(path.read_bytes() for path in edge.folder.glob("culvert.db*"))
    edge.catch_up()
    for secret in (key.private_jwk["d"], key.private_pem.splitlines()[1], HS.private, HS.jwk["k"]):
        assert secret not in answer.text + edge.text and secret.encode() not in kept


def test_a_member_that_is_unknown_is_named(admin):
    for body, pointer in (({"kty": "EC"}, "/kty"), ({"overlap": "1h"}, "/overlap"), ({"note": 5}, "/note")):
        answer = admin.post("/v1/jwt/keys", json={"id": "no", "algorithm": "ES256", "pem": ES.pem, **body})
        assert refusal(answer)[0] == 400
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


def test_an_id_is_given_once(admin):
    key = Key("ES256", "twice")
    add(admin, key)
    for name in ("twice", "configured"):
        answer = admin.post("/v1/jwt/keys", json={"id": name, "algorithm": "ES256", "pem": Key("ES256").pem})
        assert answer.status_code == 409, name


def test_keys_of_the_configuration_and_of_sets_are_read_only(edge, admin):
    for name in ("configured", "shared", "of-a-set"):
        for answer in (admin.post(f"/v1/jwt/keys/{name}/retire"), admin.delete(f"/v1/jwt/keys/{name}")):
            assert refusal(answer) == (409, "read_only")
            assert f'the key "{name}" of JWTs stands in ' in answer.json()["detail"]
    assert opens(edge, ES.token())
    for answer in (admin.post("/v1/jwt/keys/nobody/retire"), admin.delete("/v1/jwt/keys/nobody"),
                   admin.get("/v1/jwt/keys/nobody")):
        assert refusal(answer)[0] == 404


@pytest.mark.parametrize("how", ["retired", "deleted"])
def test_a_key_that_goes_at_once_takes_its_sessions_along_and_no_others(edge, admin, how):
    key, other = Key("EdDSA", f"goes-{how}"), Key("EdDSA", f"stays-{how}")
    add(admin, key), add(admin, other)

    async def run():
        async with live(edge, key.token()) as session, live(edge, other.token()) as bystander:
            await session.talk()
            start = time.time()
            if how == "retired":
                retire(admin, key, overlap="0s")
            else:
                assert admin.delete(f"/v1/jwt/keys/{key.kid}").status_code == 204
            assert await session.end("token rotated") - start < within(1)
            await bystander.talk()

    asyncio.run(run())
    assert not opens(edge, key.token()) and opens(edge, other.token())
    if how == "deleted":
        assert admin.get(f"/v1/jwt/keys/{key.kid}").status_code == 404


def test_a_key_that_is_retired_counts_for_its_overlap_and_never_longer(edge, admin):
    key = Key("ES256", "overlap")
    add(admin, key)
    assert abs(seconds(retire(admin, key)["until"]) - time.time() - 86_400) < 5

    async def run():
        async with live(edge, key.token()) as session, live(edge, ES.token()) as bystander:
            end = time.time() + 4
            sooner = retire(admin, key, overlap="4s")
            assert abs(seconds(sooner["until"]) - end) <= within(1)
            assert retire(admin, key, overlap="1h")["until"] == retire(admin, key)["until"] == sooner["until"]
            await session.talk()
            async with dial(edge, key.token()) as late:
                assert await closing(late) == (4401, "token rotated")
            assert -1.1 <= await session.end("token rotated") - end < within(1)
            await bystander.talk()

    asyncio.run(run())
    assert not opens(edge, key.token())


def test_the_list_shows_the_end_of_a_copy_that_ends_with_its_key(edge, admin):
    key = Key("ES256", "original")
    add(admin, key)
    copy = Key("ES256", "copy")
    copied = admin.post("/v1/jwt/keys", json={"id": copy.kid, "algorithm": "ES256", "pem": key.pem})
    assert copied.status_code == 201 and copied.json()["until"] is None
    end = retire(admin, key, overlap="1h")["until"]
    listed = {item["id"]: item["until"] for item in admin.get("/v1/jwt/keys").json()["items"]}
    assert listed["original"] == listed["copy"] == end
    assert admin.get("/v1/jwt/keys/copy").json()["until"] == end
    # A key that is deleted leaves its end to the copy as well.
    assert admin.delete("/v1/jwt/keys/original").status_code == 204
    gone = admin.get("/v1/jwt/keys/copy").json()["until"]
    assert seconds(gone) <= time.time() < seconds(end) and not opens(edge, key.token())


def test_where_no_jwt_is_taken_no_key_is(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        answer = admin.post("/v1/jwt/keys", json={"id": "k", "algorithm": "ES256", "pem": ES.pem})
        assert refusal(answer)[0] == 409
    assert not opens(edge, ES.token()) and opens(edge, TOKEN)


# --- revocation ------------------------------------------------------------------------------------------------------

def test_a_revoked_token_ends_its_sessions_within_a_second_and_nobody_elses(edge, admin):
    token, other = ES.token(jti="eve-1", sub="eve"), ES.token(jti="eve-2", sub="eve")
    # Both are known to every event loop.
    assert opens(edge, token) and opens(edge, other)

    async def run():
        async with live(edge, token) as session, live(edge, other) as bystander:
            await session.talk()
            start = time.time()
            revoke(admin, jti="eve-1")
            assert await session.end("token revoked") - start < within(1)
            await bystander.talk()
            wait_for(lambda: admin.sessions(token="eve-1") == [], what="the sessions to be gone")

    asyncio.run(run())
    assert not opens(edge, token) and opens(edge, other)
    # Whoever signs it again revives nothing.
    assert not opens(edge, HS.token(jti="eve-1", sub="eve"))


def test_later_polls_of_a_revoked_token_are_told_the_code_and_the_reason_too(edge, admin):
    async def run():
        async with live(edge, ES.token(jti="later")) as session:
            revoke(admin, jti="later")
            await session.end("token revoked")
            for _ in range(2):
                problem = (await session.poll()).json()
                assert (problem["status"], problem.get("code"), problem.get("reason")) == (401, 4401, "token revoked")

    asyncio.run(run())


def test_every_refused_jwt_has_a_line_with_its_reason(backend, make_edge):
    edge = make_edge(backend.port, authentication=section(keys=KEYS))
    restart(edge, ("log: { format: json }", "log: { format: json, level: debug }"))
    now, leaving = int(time.time()), Key("EdDSA", "leaving")
    known, signed, stranger = ES.token(jti="known"), leaving.token(jti="signed"), Key("ES256", "nobody").token()
    with Admin(edge) as admin:
        add(admin, leaving)
        # Event loops know both tokens as good when these end.
        assert opens(edge, known) and opens(edge, signed)
        revoke(admin, jti="known")
        retire(admin, leaving, overlap="0s")
    refused = [(ES.token(exp=now - 60), "expired: exp has passed"),
               (ES.token(nbf=now + 600), "not valid yet: nbf or iat is in the future"),
               (ES.token(iat=now + 600), "not valid yet: nbf or iat is in the future"),
               (known, "revoked by its jti or its subject"), (signed, "its key is retired or deleted"),
               (stranger, "no such key")]
    for token, reason in refused:
        for transport in TRANSPORTS:
            edge.catch_up()
            before = len(edge.events("jwt refused"))
            assert knock(edge, transport, token=token).status == 401
            edge.catch_up()
            assert [event["reason"] for event in edge.events("jwt refused")[before:]] == [reason]
        assert token not in edge.text and token.split(".")[2] not in edge.text


def test_a_subjects_tokens_issued_before_a_time_are_revoked(edge, admin):
    then = int(time.time()) - 100
    old, at, new, nameless, other = [ES.token(sub=sub, iat=iat) for sub, iat in (
        ("frank", then - 1), ("frank", then), ("frank", then + 1), ("frank", None), ("francis", then - 1))]

    async def run():
        async with live(edge, old) as one, live(edge, nameless) as two, live(edge, new) as bystander:
            start = time.time()
            assert revoke(admin, subject="frank", before=rfc3339(then))["before"] == rfc3339(then)
            assert await one.end("token revoked") - start < within(1)
            assert await two.end("token revoked") - start < within(1)
            await bystander.talk()

    asyncio.run(run())
    assert [opens(edge, token) for token in (old, at, new, nameless, other)] == [False, True, True, False, True]
    # Now, unless another time is said.
    revoke(admin, subject="frank")
    assert [opens(edge, token) for token in (old, at, new, nameless, other)] == [False, False, False, False, True]


def test_revocations_survive_a_restart_and_outlast_the_token(backend, make_edge):
    edge = make_edge(backend.port, authentication=section(keys=KEYS, leeway="1m"))
    expires = int(time.time()) + 5
    token, other = ES.token(jti="gone", exp=expires), ES.token(jti="stays", sub="ivan")
    with Admin(edge) as admin:
        async def run():
            async with live(edge, token) as session:
                [shown] = admin.sessions(token="gone", transport="websocket")
                # What the session shows is what a revocation is to be given.
                revoke(admin, jti="gone", until=shown["token_expires"])
                await session.end("token revoked")

        asyncio.run(run())
        revoke(admin, subject="hugo")
        before = admin.get("/v1/jwt/revocations").json()
        wait_for(lambda: time.time() > expires + 0.1, what="the token to stand by its leeway alone")
        restart(edge)
        assert not opens(edge, token) and not opens(edge, ES.token(sub="hugo", iat=int(time.time()) - 60))
        assert opens(edge, other)
        assert admin.get("/v1/jwt/revocations").json() == before


@pytest.mark.parametrize("name,value", [("jti", "urn:x/a b&c=d+e%25?#"), ("subject", "jack & co. + 100%/?#")])
def test_a_revocation_is_taken_back(edge, admin, name, value):
    token = ES.token(**{"jti": "j", "sub": "j", {"jti": "jti", "subject": "sub"}[name]: value})
    assert opens(edge, token)
    made = revoke(admin, **{name: value})
    assert made[name] == value and made in admin.get("/v1/jwt/revocations", params={"limit": 1000}).json()["items"]
    assert not opens(edge, token)
    assert admin.delete("/v1/jwt/revocations", params={name: value}).status_code == 204
    assert opens(edge, token)
    assert admin.delete("/v1/jwt/revocations", params={name: value}).status_code == 404


def test_revocations_are_listed_page_by_page(admin):
    for n in range(5):
        revoke(admin, **({"jti": f"page-{n}"} if n % 2 else {"subject": f"page-{n}"}))
    everything = admin.get("/v1/jwt/revocations", params={"limit": 1000}).json()
    assert everything["next"] is None and len(everything["items"]) >= 5
    seen, cursor = [], None
    while True:
        params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = admin.get("/v1/jwt/revocations", params=params).json()
        assert len(page["items"]) <= 2
        seen += page["items"]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == everything["items"]
    for params in ({"limit": 0}, {"limit": "x"}, {"page": 1}):
        assert refusal(admin.get("/v1/jwt/revocations", params=params))[0] == 400


# --- what is told ----------------------------------------------------------------------------------------------------

def test_a_session_tells_its_tokens_id_and_end(backend, make_edge):
    edge = make_edge(backend.port, authentication=section(keys=KEYS, leeway="0s"))
    expires = int(time.time()) + 600

    async def run():
        tokens = (ES.token(jti="told", sub="kate", exp=expires), ES.token(sub="kate", exp=expires), TOKEN)
        async with dial(edge, tokens[0]) as a, dial(edge, tokens[1]) as b, dial(edge, tokens[2]) as c:
            with Admin(edge) as admin:
                shown = {s["id"]: s for s in admin.sessions()}
                named, nameless, other = [shown[ws.response.headers["Culvert-Session"]] for ws in (a, b, c)]
                assert (named["token"], named["subject"], named["token_expires"]) == ("told", "kate", rfc3339(expires))
                assert nameless["token"].startswith("jwt_") and tokens[1].split(".")[2] not in json.dumps(shown)
                assert (other["token"], other["token_expires"]) == ("alice", None)
                assert admin.sessions(token="told") == [named]
                # A token that has no id can be revoked by the one it was given.
                revoke(admin, jti=nameless["token"])
                assert await closing(b, 2) == (4401, "token revoked")
                await a.send("here")
                assert await a.recv() == "here"

    asyncio.run(run())


def test_the_audit_log_tells_who_did_what(admin):
    key, gone = Key("ES256", "audited"), Key("ES256", "audited-too")
    add(admin, key), add(admin, gone)
    retire(admin, key, overlap="1h")
    admin.delete(f"/v1/jwt/keys/{gone.kid}")
    revoke(admin, jti="audited")
    admin.delete("/v1/jwt/revocations", params={"jti": "audited"})
    admin.post("/v1/jwt/keys", json={"jwk": Key("ES256", "refused").private_jwk})
    items = admin.get("/v1/audit", params={"limit": 6}).json()["items"]
    assert [item["action"] for item in items] == [
        "jwt.unrevoke", "jwt.revoke", "jwt.key.delete", "jwt.key.retire", "jwt.key.add", "jwt.key.add"]
    assert [item["target"] for item in items[2:]] == [gone.kid, key.kid, gone.kid, key.kid]
    assert all("audited" in item["target"] for item in items[:2])
    assert {(item["actor"], item["address"]) for item in items} == {("admin", "127.0.0.1")}

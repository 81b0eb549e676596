"""Keys that stand elsewhere: they are followed when the issuer changes them, and outlive what goes wrong with it."""

import asyncio
import concurrent.futures
import json
import time
import uuid

import httpx
import pytest
from websockets.sync.client import connect

from kit.edge import TOKEN, Edge, make_certificate, wait_for
from kit.jwks import KeyServer, jwks, key_server
from kit.jwt import Key, bearer, live, section
from kit.knock import TRANSPORTS, knock, problem
from kit.pace import within
from kit.poll import open_session
from kit.process import culvert, whole_log

OPENED = {"websocket": 101, "long-poll": 201}
ISSUER = "https://id.example.com"


def issued(key, **claims):
    return key.token(iss=ISSUER, **claims)


def with_sets(*sets, **members):
    return section(issuer=[ISSUER, "https://old.example.com"], jwks=list(sets), **members)


def opens(edge, key, transport="long-poll"):
    """Whether a token of this key opens a session; what else the answer may be is 401."""
    status = knock(edge, transport, token=issued(key)).status
    assert status in (OPENED[transport], 401)
    return status != 401


@pytest.fixture
def issuer(tmp_path):
    """A server of keys over TLS."""
    folder = tmp_path / "issuer"
    folder.mkdir()
    with key_server(folder) as server:
        yield server


# --- what is in a set ------------------------------------------------------------------------------------------------

RS, PS, ES, ED, HS = [Key(a, a.lower()) for a in ("RS256", "PS256", "ES256", "EdDSA", "HS256")]
PLAIN_RS, NAMELESS = Key("RS256", "plain"), Key("ES256")
ENCRYPTION, P384, SHORT = Key("RS256", "enc"), Key("ES384", "p384"), Key("RS256", "short", 1024)


def without(jwk, *names):
    return {k: v for k, v in jwk.items() if k not in names}


def mixed_set():
    return {"more": 1, "keys": [
        {"kty": "XYZ", "kid": "xyz"}, 5, {}, {**ES.jwk, "kid": "broken", "x": "AAAA"},
        {**ENCRYPTION.jwk, "use": "enc"}, HS.jwk, P384.jwk, SHORT.jwk,
        RS.jwk, PS.jwk, without(PLAIN_RS.jwk, "alg", "use"), {**without(ES.jwk, "alg", "use"), "x5t": "of no use"},
        {**without(ED.jwk, "use"), "key_ops": ["verify"]}, NAMELESS.jwk]}


@pytest.fixture(scope="module")
def mixed(backend, tmp_path_factory):
    """An edge whose set of keys has some that cannot be used."""
    folder = tmp_path_factory.mktemp("mixed")
    (folder / "issuer").mkdir()
    with key_server(folder / "issuer") as server:
        server.say(mixed_set())
        edge = Edge(folder, backend.port, authentication=with_sets(server.source()))
        yield edge
        edge.end()


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("key", [RS, PS, ES, ED, PLAIN_RS, NAMELESS], ids=lambda key: key.kid or "nameless")
def test_keys_of_a_url_verify_whatever_stands_beside_them(mixed, backend, key, transport):
    assert opens(mixed, key, transport)
    assert backend.requests[-1].headers["X-Forwarded-User"] == "jane"


@pytest.mark.parametrize("key,algorithm", [
    (ENCRYPTION, "RS256"), (HS, "HS256"), (P384, "ES384"), (SHORT, "RS256"), (PLAIN_RS, "PS256"), (RS, "PS256")],
    ids=lambda value: getattr(value, "kid", value))
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_keys_that_are_of_no_use_here_verify_nothing(mixed, key, algorithm):
    for head in ({}, {"kid": None}):
        answer = knock(mixed, "long-poll", token=key.token(algorithm, head, iss=ISSUER))
        assert (answer.status, problem(answer)["type"]) == (401, "urn:culvert:problem:invalid_token")


# --- the issuer changes its keys -------------------------------------------------------------------------------------

def test_an_unknown_key_has_the_set_read_at_once(backend, make_edge, issuer):
    old, new = Key("ES256", "old"), Key("ES256", "new")
    issuer.serve(old)
    edge = make_edge(backend.port, authentication=with_sets(issuer.source(cooldown="1s")))
    started = time.monotonic()
    assert opens(edge, old)
    wait_for(lambda: time.monotonic() > started + 1.5, what="the cooldown since the start")
    issuer.serve(old, new)
    for transport in TRANSPORTS:
        assert opens(edge, new, transport) and opens(edge, old, transport)
    assert issuer.fetches == 2


def test_many_unknown_keys_do_not_hammer_the_issuer(backend, make_edge, issuer):
    key = Key("ES256", "known")
    issuer.serve(key)
    edge = make_edge(backend.port, authentication=with_sets(issuer.source(cooldown="10s")))

    def strange(_):
        return knock(edge, "long-poll", token=issued(key, head={"kid": str(uuid.uuid4())})).status

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert set(pool.map(strange, range(50))) == {401}
    assert issuer.fetches <= 2
    assert opens(edge, key)


def test_a_key_that_its_issuer_has_dropped_ends_its_sessions(backend, make_edge):
    old, new = Key("RS256", "old"), Key("EdDSA", "new")
    with key_server(keys=[old, new]) as server:
        assert server.url.startswith("http://localhost:")
        edge = make_edge(backend.port, authentication=with_sets(server.source(refresh="1s")))

        async def run():
            async with live(edge, issued(old)) as leaves, live(edge, issued(new)) as stays:
                await leaves.talk()
                server.serve(new)
                await leaves.end("token rotated")
                await stays.talk()
            assert not opens(edge, old) and opens(edge, new)

        asyncio.run(run())


# --- something goes wrong with it ------------------------------------------------------------------------------------

# What a server does, told another key: where that counts, or the one before does not, what it says was believed.
FAILURES = {
    "500": lambda server, other: server.say(jwks(other), 500),
    "404": lambda server, other: server.say(jwks(other), 404),
    "203": lambda server, other: server.say(jwks(other), 203),
    "redirect": lambda server, other: server.redirect("/moved", other),
    "HTML": lambda server, other: server.say("<!DOCTYPE html><title>Soon back</title>", type="text/html"),
    "10 MiB": lambda server, other: server.flood(other),
    "no keys": lambda server, other: server.say({"keys": []}),
    "no usable key": lambda server, other: server.say({"keys": [{"kty": "XYZ"}, {**other.jwk, "use": "enc"}]}),
    "no set": lambda server, other: server.say(other.jwk),
    "a list": lambda server, other: server.say([other.jwk]),
    "half": lambda server, other: server.say(json.dumps(jwks(other))[:-2]),
    "nested": lambda server, other: server.say("[" * 100_000),
    "nothing": lambda server, other: server.say(""),
    "breaks off": lambda server, other: server.break_off(other),
    "slow": lambda server, other: server.trickle(other),
    "refused": lambda server, other: server.stop(),
}


class Stand:
    """What is checked of one set of keys: its server, its key and the one it is not to believe, and open sessions."""

    def __init__(self, name, server):
        self.name, self.server = name, server
        self.key, self.other = Key("ES256", f"{name} key"), Key("ES256", f"{name} other")
        server.serve(self.key)

    def open(self, edge):
        token = issued(self.key)
        self.ws = connect(edge.wss, ssl=edge.ssl, additional_headers=bearer(token))
        self.http = httpx.Client(base_url=edge.https, verify=edge.ssl, headers=bearer(token), timeout=10)
        self.session = open_session(self.http)

    def close(self):
        self.ws.close()
        self.http.close()
        self.server.stop()


@pytest.fixture(scope="module")
def failing(backend, tmp_path_factory):
    """An edge with a set of keys for each failure, which were good once and have failed since."""
    folder = tmp_path_factory.mktemp("failing")
    stands = {}
    for n, name in enumerate(FAILURES):
        (folder / str(n)).mkdir()
        stands[name] = Stand(name, KeyServer(folder / str(n)))
    # The slow set has a short deadline. The others have as long as a busy machine takes for 16 good sets at once.
    sets = [stand.server.source(refresh="1s", timeout="2s" if name == "slow" else "20s") for name, stand in stands.items()]
    edge = Edge(folder, backend.port, authentication=with_sets(*sets))
    for stand in stands.values():
        token = issued(stand.key)
        wait_for(lambda: knock(edge, "long-poll", token=token).status == 201, 30, f"the keys of {stand.name}")
        stand.open(edge)
        FAILURES[stand.name](stand.server, stand.other)
    counts = {name: stand.server.fetches for name, stand in stands.items() if name != "refused"}
    # When it is asked once more it has failed before.
    wait_for(lambda: all(stands[name].server.fetches >= n + 2 for name, n in counts.items()), 30, "them to have failed")
    stands["slow"].server.stop()
    with concurrent.futures.ThreadPoolExecutor(len(stands)) as pool:
        edge.believed = list(pool.map(lambda stand: opens(edge, stand.other) and stand.name, stands.values()))
    yield edge, stands
    for stand in stands.values():
        stand.close()
    edge.end()


@pytest.mark.parametrize("name", FAILURES)
def test_the_last_good_set_outlives_a_failure(failing, name):
    edge, stand = failing[0], failing[1][name]
    stand.ws.send("still here")
    assert stand.ws.recv(20) == "still here"
    sent = stand.http.post(stand.session, json={"first": 1, "messages": [{"text": "here"}]})
    assert sent.status_code == 200, sent.text
    assert stand.http.get(stand.session).json()["messages"] == [{"text": "here"}]
    for transport in TRANSPORTS:
        assert opens(edge, stand.key, transport)
    assert name not in edge.believed
    # It is told whose fault it is.
    told = "jwt keys not read; the last good ones stay"
    wait_for(lambda: any(f"localhost:{stand.server.port}" in e["from"] for e in edge.events(told)), what="the log")
    assert "/moved" not in stand.server.paths


def test_an_issuer_that_is_slow_keeps_an_unknown_key_waiting_and_no_other(backend, make_edge, issuer):
    key = Key("ES256", "known")
    issuer.serve(key)
    edge = make_edge(backend.port, authentication=with_sets(issuer.source(cooldown="1s", timeout="3s")))
    started = time.monotonic()
    wait_for(lambda: time.monotonic() > started + 1.5, what="the cooldown since the start")
    issuer.trickle(key)
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        unknown = pool.submit(knock, edge, "long-poll", token=issued(Key("ES256", "unknown")))
        wait_for(lambda: issuer.fetches == 2, what="the issuer to be asked")
        for transport in TRANSPORTS:
            assert opens(edge, key, transport)
        assert not unknown.done()
        assert unknown.result().status == 401
    assert 2.9 < time.monotonic() - start < within(6)


# --- there were no keys yet ------------------------------------------------------------------------------------------

def assert_not_yet(edge, key):
    for transport in TRANSPORTS:
        answer = knock(edge, transport, token=issued(key))
        assert (answer.status, problem(answer)["type"]) == (503, "urn:culvert:problem:jwt_keys_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert knock(edge, transport, token=TOKEN).status == OPENED[transport]
        assert knock(edge, transport, token="a.b.c").status == 401


def test_an_edge_whose_issuer_is_down_starts_and_recovers(backend, make_edge, issuer):
    key, local = Key("ES256", "remote"), Key("ES256", "local")
    issuer.serve(key)
    issuer.stop()
    edge = make_edge(backend.port, authentication=with_sets(
        issuer.source(refresh="1s", cooldown="1s"), keys=[{"id": "local", "algorithm": "ES256", "pem": local.pem}]))
    assert_not_yet(edge, key)
    assert opens(edge, local)
    issuer.start()
    wait_for(lambda: knock(edge, "long-poll", token=issued(key)).status == 201, what="the keys")
    assert opens(edge, key, "websocket")
    assert knock(edge, "websocket", token=issued(Key("ES256", "unknown"))).status == 401


@pytest.mark.parametrize("name, reason", [
    ("of another authority", "the server's certificate is not trusted: "),
    ("for another name", "the server's certificate is not for the host of the URL")])
def test_why_a_set_was_not_read_is_told_in_words(backend, make_edge, issuer, tmp_path, name, reason):
    issuer.serve(Key("ES256", "key"))
    other = tmp_path / "other"
    other.mkdir()
    if name == "for another name":
        issuer.ca, key = make_certificate(other, "other.example")
        issuer.context.load_cert_chain(issuer.ca, key)
    source = issuer.source(refresh="1s")
    if name == "of another authority":
        source["ca"] = str(make_certificate(other)[0])
    edge = make_edge(backend.port, authentication=with_sets(source))
    [told, *_] = edge.expect_events("jwt keys not read; this set has none yet")
    assert told["reason"].startswith(reason)
    assert not edge.events("jwt keys not read; the last good ones stay")


@pytest.mark.parametrize("name", ["redirect", "of another authority"])
def test_keys_that_never_came_are_not_taken_from_elsewhere(backend, make_edge, issuer, tmp_path, name):
    key = Key("ES256", "key")
    source = issuer.source(refresh="1s")
    if name == "of another authority":
        issuer.serve(key)
        (tmp_path / "other").mkdir()
        source["ca"] = str(make_certificate(tmp_path / "other")[0])
    else:
        FAILURES[name](issuer, key)
    edge = make_edge(backend.port, authentication=with_sets(source))
    assert_not_yet(edge, key)
    wait_for(lambda: issuer.connections >= 2, what="a second try")
    assert_not_yet(edge, key)
    assert "/moved" not in issuer.paths


# --- a set in a file -------------------------------------------------------------------------------------------------

def test_a_file_is_read_and_read_again(backend, make_edge, tmp_path):
    file = tmp_path / "keys.json"
    old, new, shared = Key("ES256", "old"), Key("PS256", "new"), Key("HS256", "shared")
    file.write_text(json.dumps(jwks(old, shared)))
    edge = make_edge(backend.port, authentication=with_sets({"file": str(file), "refresh": "1s"}))
    assert opens(edge, old) and opens(edge, shared) and not opens(edge, new)

    async def run():
        async with live(edge, issued(old)) as leaves, live(edge, issued(shared)) as stays:
            await leaves.talk()
            file.write_text("<html></html>")
            told = await asyncio.to_thread(edge.expect_events, "jwt keys not read; the last good ones stay")
            assert str(file) in told[0]["from"]
            await leaves.talk()
            # As a whole: a file that is being written is no set.
            (tmp_path / "new.json").write_text(json.dumps(jwks(new, shared)))
            (tmp_path / "new.json").rename(file)
            await leaves.end("token rotated")
            await stays.talk()

    asyncio.run(run())
    assert opens(edge, new) and opens(edge, shared) and not opens(edge, old)
    assert shared.private not in whole_log(edge)


@pytest.mark.parametrize("text", [None, "<html></html>", '{"keys": []}', '{"keys": [{"kty": "XYZ"}]}'], ids=str)
def test_a_file_that_is_no_set_keeps_the_edge_from_starting(backend, make_edge, tmp_path, text):
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(jwks(ES)))
    edge = make_edge(backend.port, authentication=with_sets({"file": "../keys.json"}))
    edge.stop()
    file.unlink()
    if text:
        file.write_text(text)
    result = culvert("serve", "--config", edge.config)
    assert result.returncode == 1 and "keys.json" in result.stderr

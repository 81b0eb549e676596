"""Attacks on lanes and polls that stay with a session when a new request like theirs would be refused.

A session lives by the newest token that it was shown. A lane that has joined it, or a poll, may have come with an older
token of the same subject, or from another origin. It goes when that token or that origin goes; the session stays.
"""

import concurrent.futures
import concurrent.futures
import time

import pytest

from kit import jwt
from kit.admin import Admin, bearer
from kit.edge import ORIGIN, wait_for
from kit.jwt import Key, rfc3339, section
from kit.lane import closing, joined, opened, session_of
from kit.poll import client, open_session

PAST = "2020-01-01T00:00:00Z"
FUTURE = "2039-01-01T00:00:00Z"


def ends(admin, token, name):
    """Ends the token in one of the ways that there are."""
    path = f"/v1/tokens/{token['id']}"
    match name:
        case "revoke":
            return admin.revoke(token)
        case "delete":
            return admin.delete(path).raise_for_status()
        case "rotate":
            return admin.rotate(token, overlap="0s")
        case "expire":
            return admin.patch(path, json={"expires": PAST}).raise_for_status()
        case "narrow":
            return admin.patch(path, json={"routes": ["/elsewhere"]}).raise_for_status()
        case "narrow origin":
            return admin.patch(path, json={"origins": ["https://b.wild.example"]}).raise_for_status()
        case "postpone":
            return admin.patch(path, json={"not_before": FUTURE}).raise_for_status()


def spoken(lane, *messages):
    """Makes the lane the one in use."""
    lane.say(*messages)
    lane.take_all(len(messages))
    return lane


def parked_polls(admin):
    return admin.get("/v1/limits").json()["parked"]


def is_good(http, at, headers, first):
    """The session takes a message, and gives its echo."""
    sent = http.post(at, headers=headers, json={"first": first, "messages": [{"text": "for the living"}]})
    got = http.get(at, headers=headers, params={"ack": first - 1})
    return sent.status_code == got.status_code == 200 and "for the living" in got.text


@pytest.mark.parametrize("way, reason", [
    ("revoke", "token revoked"), ("delete", "token revoked"), ("rotate", "token rotated"), ("expire", "token expired"),
    ("narrow", "token narrowed"), ("narrow origin", "token narrowed"), ("postpone", "token not valid yet"),
])
def test_a_lane_or_poll_goes_with_its_own_token_and_the_session_stays(backend, make_edge, way, reason):
    edge = make_edge(backend.port)
    with Admin(edge) as admin, client(edge, token=False) as http:
        older = admin.mint()
        wait_for(lambda: admin.mint()["created_at"] > older["created_at"], what="the next second")
        newer = admin.mint()
        held = {}
        for kind in ("lane", "joining lane", "poll"):
            held[kind] = open_session(http, headers=bearer(newer) | {"Origin": ORIGIN})
        with joined(edge, session_of(held["lane"]), token=older["secret"], origin=ORIGIN) as lane, \
                joined(edge, session_of(held["joining lane"]), token=older["secret"], origin=ORIGIN) as silent, \
                concurrent.futures.ThreadPoolExecutor(1) as pool:
            spoken(lane, "before")
            poll = pool.submit(http.get, held["poll"], params={"ack": 0}, headers=bearer(older) | {"Origin": ORIGIN})
            wait_for(lambda: parked_polls(admin) == 1, what="the poll to be parked")
            ends(admin, older, way)
            print(f"tried to stay after: {way}")
            assert closing(lane.ws) == (4401, reason)
            assert closing(silent.ws) == (4401, reason)
            answer = poll.result(20)
            assert (answer.status_code, answer.json()["reason"]) == (401, reason), answer.text
        assert len(admin.sessions(token=newer["id"])) == 3
        mine = bearer(newer) | {"Origin": ORIGIN}
        assert is_good(http, held["lane"], mine, 2)
        assert is_good(http, held["joining lane"], mine, 1)
        assert is_good(http, held["poll"], mine, 1)


def later(admin, before, **fields):
    """A token that is newer than `before`: issued in a later second."""
    return wait_for(lambda: (token := admin.mint(**fields))["created_at"] > before["created_at"] and token, what="a newer token")


def test_a_lane_goes_by_itself_when_its_own_token_expires(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin, client(edge, token=False) as http:
        older = admin.mint(expires=rfc3339(time.time() + 4))
        newer = later(admin, older)
        at = open_session(http, headers=bearer(newer))
        with joined(edge, session_of(at), token=older["secret"]) as lane:
            spoken(lane, "before")
            print("tried to stay when nothing but time passes")
            assert closing(lane.ws, 30) == (4401, "token expired")
        assert is_good(http, at, bearer(newer), 2)


def test_a_lane_whose_session_was_moved_outlives_expiry_and_rotation_but_no_revocation(backend, make_edge):
    """A client gives its session a newer token while its lane stays. That is how tokens are renewed."""
    edge = make_edge(backend.port)
    with Admin(edge) as admin, client(edge, token=False) as http:
        for end, stays in (("rotate", True), ("expire", True), ("revoke", False), ("delete", False), ("narrow", False)):
            older = admin.mint()
            newer = later(admin, older)
            with opened(edge, token=older["secret"]) as (hello, lane):
                spoken(lane, "before")
                moved = http.put(f"/_poll/{hello['session']}/token", headers=bearer(newer))
                assert moved.status_code == 200, moved.text
                ends(admin, older, end)
                print(f"tried to stay after a move and: {end}")
                if stays:
                    spoken(lane, "after")
                else:
                    assert closing(lane.ws)[0] == 4401
            assert len(admin.sessions(token=newer["id"])) == 1
            assert is_good(http, f"/_poll/{hello['session']}", bearer(newer), 3 if stays else 2)


def test_what_a_reload_takes_from_an_origin_or_a_transport_ends_its_lanes_and_polls(backend, make_edge):
    other = "https://b.wild.example"
    edge = make_edge(backend.port, extra_routes=(
        '  - { path: /chat, upstream: echo }\n'))
    original = edge.config.read_text()
    with Admin(edge) as admin, client(edge) as http, concurrent.futures.ThreadPoolExecutor(1) as pool:
        mine = {"Origin": ORIGIN}
        held = [open_session(http, headers=mine) for _ in range(3)]
        with joined(edge, session_of(held[0]), origin=other) as lane, joined(edge, session_of(held[1]), origin=other) as silent:
            spoken(lane, "before")
            poll = pool.submit(http.get, held[2], params={"ack": 0}, headers={"Origin": other})
            wait_for(lambda: parked_polls(admin) == 1, what="the poll to be parked")
            edge.config.write_text(original.replace(', "https://*.wild.example"', ""))
            report = admin.post("/v1/reload").json()
            print(f"tried to stay from {other} after a reload: {report}")
            assert report["sessions_closed"] == 0
            assert closing(lane.ws) == closing(silent.ws) == (1012, "configuration changed")
            answer = poll.result(20)
            assert (answer.status_code, answer.json()["type"]) == (403, "urn:culvert:problem:origin_not_allowed")
        assert is_good(http, held[0], mine, 2) and is_good(http, held[1], mine, 1) and is_good(http, held[2], mine, 1)
        edge.config.write_text(original)
        assert admin.post("/v1/reload").status_code == 200

        route = '{ path: /chat, upstream: echo }'
        at = open_session(http, "/chat")
        with joined(edge, session_of(at), "/chat") as silent:
            edge.config.write_text(original.replace(route, route[:-2] + ", transports: [long-poll] }"))
            assert admin.post("/v1/reload").json()["sessions_closed"] == 0
            print("tried to keep a lane when there are polls alone")
            assert closing(silent.ws) == (1012, "configuration changed")
        assert is_good(http, at, {}, 1)
        edge.config.write_text(original)
        assert admin.post("/v1/reload").status_code == 200
        with joined(edge, session_of(at), "/chat", received=1, sent=1) as lane:
            spoken(lane, "before")
            poll = pool.submit(http.get, at, params={"ack": 2})
            wait_for(lambda: parked_polls(admin) == 1, what="the poll to be parked")
            edge.config.write_text(original.replace(route, route[:-2] + ", transports: [websocket] }"))
            assert admin.post("/v1/reload").json()["sessions_closed"] == 0
            print("tried to keep a poll when there are lanes alone")
            assert poll.result(20).status_code == 404
            spoken(lane, "after")


@pytest.mark.parametrize("end", ["key", "jti", "subject"])
def test_a_lane_of_a_jwt_goes_with_its_key_or_its_revocation(backend, make_edge, end):
    key, other = Key("EdDSA", "one"), Key("EdDSA", "two")
    edge = make_edge(backend.port, authentication=section(keys=[]))
    now = int(time.time())
    with Admin(edge) as admin, client(edge, token=False) as http:
        for each in (key, other):
            assert admin.post("/v1/jwt/keys", json={"id": each.kid, "algorithm": each.algorithm, "pem": each.pem}).status_code == 201
        older = key.token(sub="dora", jti="older", iat=now - 60, exp=now + 600)
        newer = other.token(sub="dora", jti="newer", iat=now - 30, exp=now + 600)
        at = open_session(http, headers=jwt.bearer(newer))
        with joined(edge, session_of(at), token=older) as lane:
            spoken(lane, "before")
            match end:
                case "key":
                    done = admin.post("/v1/jwt/keys/one/retire", json={"overlap": "0s"})
                case "jti":
                    done = admin.post("/v1/jwt/revocations", json={"jti": "older", "until": FUTURE})
                case "subject":
                    done = admin.post("/v1/jwt/revocations", json={
                        "subject": "dora", "before": rfc3339(now - 45), "until": FUTURE})
            assert done.status_code in (200, 201, 204), done.text
            print(f"tried to stay after the end of: {end}")
            assert closing(lane.ws) == (4401, "token rotated" if end == "key" else "token revoked")
        assert is_good(http, at, jwt.bearer(newer), 2)

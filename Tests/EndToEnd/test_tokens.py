"""Tokens are minted, rotated and revoked while the edge runs, and live sessions obey at once."""

import asyncio
import os
import stat
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.admin import Admin, bearer
from kit.edge import TOKEN, wait_for
from kit.pace import within
from kit.poll import open_session
from kit.process import restart, whole_log


@pytest.fixture
def live(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        yield edge, admin


def poller(edge, token):
    return httpx.Client(base_url=edge.https, verify=edge.ssl, headers=bearer(token), timeout=40)


def dial(edge, token, path="/", **options):
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=bearer(token), compression=None, **options)


async def closing(ws, timeout=20):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await asyncio.wait_for(ws.recv(), timeout)
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def refusal(edge, token, path="/"):
    with pytest.raises(InvalidStatus) as caught:
        await dial(edge, token, path)
    return caught.value.response.status_code


def test_a_minted_token_opens_sessions_at_once_and_after_a_restart(live):
    edge, admin = live
    token = admin.mint(routes=["/chat"], note="for the tests")
    assert token["secret"].startswith("cvt_") and len(token["secret"]) == 47
    shown = admin.get(f"/v1/tokens/{token['id']}").json()
    assert "secret" not in shown and shown["subject"] == "dora" and shown["source"] == "store"
    for _ in range(2):
        async def run():
            async with dial(edge, token, "/chat") as ws:
                await ws.send("x")
                assert await ws.recv() == "x"
            assert await refusal(edge, token, "/other") == 403

        asyncio.run(run())
        assert token["secret"] not in whole_log(edge)
        restart(edge)
    folder = edge.folder
    for name in ("culvert.db", "culvert.admin-token"):
        assert stat.S_IMODE(os.stat(folder / name).st_mode) == 0o600
    everything = b"".join(p.read_bytes() for p in folder.glob("culvert.db*"))
    assert token["secret"].encode() not in everything


def test_a_token_of_the_file_is_listed_and_read_only(live):
    _, admin = live
    items = {t["id"]: t for t in admin.get("/v1/tokens").json()["items"]}
    assert items["alice"]["source"] == "config"
    for answer in (admin.post("/v1/tokens/alice/revoke"), admin.post("/v1/tokens/alice/rotate"),
                   admin.patch("/v1/tokens/alice", json={"note": "x"}), admin.delete("/v1/tokens/alice")):
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:culvert:problem:read_only")
    again = admin.post("/v1/tokens", json={"id": "alice", "subject": "x", "routes": ["/"]})
    assert again.status_code == 409


def test_revoking_ends_every_session_of_the_token_within_a_second_and_no_other(live):
    edge, admin = live
    token, other = admin.mint("eve"), admin.mint("eve")

    async def run():
        async with dial(edge, token) as ws, dial(edge, other) as spared:
            with poller(edge, token) as http:
                session = open_session(http)
                loop = asyncio.get_running_loop()
                parked = loop.run_in_executor(None, lambda: http.get(session, params={"ack": 0}))
                wait_for(lambda: len(admin.sessions(token=token["id"])) == 2, what="both sessions")
                start = time.monotonic()
                assert admin.revoke(token, json={"reason": "leaked"})["revoked_reason"] == "leaked"
                assert await closing(ws) == (4401, "token revoked")
                answer = await parked
                assert time.monotonic() - start < within(1)
                assert (answer.status_code, answer.json()["type"]) == (401, "urn:culvert:problem:token_revoked")
                assert http.get(session).json()["type"] == "urn:culvert:problem:token_revoked"
                assert await refusal(edge, token) == 401
            await spared.send("here")
            assert await spared.recv() == "here"
            wait_for(lambda: admin.sessions(token=token["id"]) == [], what="the sessions to be gone")

    asyncio.run(run())
    # A second time changes nothing, and is no error.
    first = admin.get(f"/v1/tokens/{token['id']}").json()
    assert admin.revoke(token) == first
    assert admin.post(f"/v1/tokens/{token['id']}/rotate").status_code == 409


def test_a_rotated_secret_ends_with_its_overlap_unless_the_new_one_was_shown(live):
    edge, admin = live
    old = admin.mint("frank")

    async def run():
        async with dial(edge, old) as stays, dial(edge, old) as leaves:
            new = admin.rotate(old, "4s")
            end = time.time() + 4
            assert new["id"] == old["id"] and new["secret"] != old["secret"]
            assert [s["generation"] for s in new["secrets"]] == [1, 2]
            async with dial(edge, old) as late, dial(edge, new) as newcomer:
                with poller(edge, new) as http:
                    path = "/_poll/" + stays.response.headers["Culvert-Session"] + "/token"
                    assert http.put(path).status_code == 200
                for ws in (stays, leaves, late, newcomer):
                    await ws.send("overlap")
                    assert await ws.recv() == "overlap"
                for ws in (leaves, late):
                    assert await closing(ws) == (4401, "token rotated")
                    assert -1.1 <= time.time() - end < within(1)
                for ws in (stays, newcomer):
                    await ws.send("after")
                    assert await ws.recv() == "after"
            assert await refusal(edge, old) == 401

    asyncio.run(run())


def test_a_rotation_without_overlap_ends_the_old_secret_now(live):
    edge, admin = live
    old = admin.mint()

    async def run():
        async with dial(edge, old) as ws:
            new = admin.rotate(old, "0s")
            assert await closing(ws, 2) == (4401, "token rotated")
            async with dial(edge, new) as again:
                await again.send("x")
                assert await again.recv() == "x"

    asyncio.run(run())


def test_a_changed_token_holds_for_live_sessions(live):
    edge, admin = live
    token = admin.mint()

    async def run():
        async with dial(edge, token) as ws:
            past = "2020-01-01T00:00:00Z"
            changed = admin.patch(f"/v1/tokens/{token['id']}", json={"expires": past, "note": "over"}).json()
            assert (changed["expires"], changed["note"]) == (past, "over")
            assert await closing(ws, 2) == (4401, "token expired")
        assert await refusal(edge, token) == 401
        admin.patch(f"/v1/tokens/{token['id']}", json={"expires": None})
        async with dial(edge, token) as ws:
            assert admin.delete(f"/v1/tokens/{token['id']}").status_code == 204
            assert await closing(ws, 2) == (4401, "token revoked")
        assert admin.get(f"/v1/tokens/{token['id']}").status_code == 404

    asyncio.run(run())


def test_a_tokens_limits_bound_its_sessions_and_its_rate(live):
    edge, admin = live
    token = admin.mint(limits={"sessions": 1, "messages_per_second": 20})

    async def run():
        async with dial(edge, token) as ws:
            assert await refusal(edge, token) == 429
            start = time.monotonic()
            for n in range(60):
                await ws.send(str(n))
            assert [await ws.recv() for _ in range(60)] == [str(n) for n in range(60)]
            # A second's worth at once; of what one read brought, none is held back.
            assert 0 < time.monotonic() - start < within(4)
            await ws.send("later")
            assert await ws.recv() == "later"
            assert time.monotonic() - start > 1.5
        wait_for(lambda: admin.sessions(token=token["id"]) == [], what="the session to be gone")
        with poller(edge, token) as http:
            session = open_session(http)
            batch = {"first": 1, "messages": [{"text": "x"}] * 60}
            assert http.post(session, json=batch).status_code == 200
            refused = http.post(session, json={"first": 61, "messages": [{"text": "y"}]})
            assert (refused.status_code, refused.json()["type"]) == (429, "urn:culvert:problem:rate_limited")
            assert int(refused.headers["retry-after"]) >= 1
            http.delete(session)

    asyncio.run(run())


def test_a_tokens_origins_narrow_the_routes(live):
    edge, admin = live
    token = admin.mint(origins=["https://a.wild.example"])

    async def run():
        async with dial(edge, token, origin="https://a.wild.example"):
            pass
        with pytest.raises(InvalidStatus) as caught:
            await dial(edge, token, origin="https://b.wild.example")
        assert caught.value.response.status_code == 403

    asyncio.run(run())


def test_an_idempotency_key_mints_and_rotates_once(live):
    edge, admin = live
    key = {"Idempotency-Key": "k-1"}
    first, second = admin.mint(headers=key), admin.mint(headers=key)
    assert first == second
    assert admin.post("/v1/tokens", json={"subject": "z", "routes": ["/"]}, headers=key).status_code == 409
    key = {"Idempotency-Key": "k-2"}
    assert admin.rotate(first, headers=key)["secret"] == admin.rotate(first, headers=key)["secret"]
    assert len(admin.get(f"/v1/tokens/{first['id']}").json()["secrets"]) == 2
    restart(edge)
    # The secret is nowhere any more.
    again = admin.post("/v1/tokens", json={"subject": "dora", "routes": ["/"]}, headers={"Idempotency-Key": "k-1"})
    assert again.status_code == 409 and first["id"] in again.json()["detail"]


def test_sessions_are_listed_filtered_and_closed(live):
    edge, admin = live
    one, two = admin.mint("gina"), admin.mint("hugo")

    async def run():
        async with dial(edge, one) as a, dial(edge, one) as b, dial(edge, two) as c:
            with poller(edge, two) as http:
                open_session(http)
                await a.send("four")
                await a.recv()
                items = {s["id"]: s for s in admin.sessions()}
                assert len(items) == 4
                mine = items[a.response.headers["Culvert-Session"]]
                assert (mine["messages_in"], mine["bytes_in"], mine["messages_out"], mine["bytes_out"]) == (1, 4, 1, 4)
                assert (mine["subject"], mine["transport"], mine["upstream"]) == ("gina", "websocket", "echo")
                assert admin.get(f"/v1/sessions/{mine['id']}").json() == mine
                assert len(admin.sessions(subject="gina")) == len(admin.sessions(token=two["id"])) == 2
                assert [s["subject"] for s in admin.sessions(transport="long-poll")] == ["hugo"]
                for name, value in (("route", "/"), ("upstream", "echo"), ("address", "127.0.0.1")):
                    assert len(admin.sessions(**{name: value})) == 4
                    if name != "address":
                        assert admin.sessions(**{name: value + "x"}) == []
                assert admin.sessions(address="127.0.0.2") == []
                assert admin.get("/v1/sessions", params={"address": "127.0.0.1x"}).status_code == 400
                assert len(admin.sessions(subject="gina", transport="websocket", route="/")) == 2
                seen, cursor = [], None
                while True:
                    params = {"limit": 3, **({"cursor": cursor} if cursor else {})}
                    page = admin.get("/v1/sessions", params=params).json()
                    seen += [s["id"] for s in page["items"]]
                    cursor = page["next"]
                    if not cursor:
                        break
                assert sorted(seen) == sorted(items)
                closed = admin.delete(f"/v1/sessions/{mine['id']}", params={"code": 4000, "reason": "bye"})
                assert closed.status_code == 204
                assert await closing(a) == (4000, "bye")
                assert admin.delete("/v1/sessions").status_code == 400
                assert admin.delete("/v1/sessions", params={"subject": "gina"}).json() == {"closed": 1}
                assert await closing(b) == (1001, "closed by the operator")
                await c.send("here")
                assert await c.recv() == "here"

    asyncio.run(run())


def test_the_audit_log_tells_who_did_what_and_no_secret(live):
    _, admin = live
    token = admin.mint()
    admin.rotate(token, "1h")
    admin.revoke(token)
    admin.delete(f"/v1/tokens/{token['id']}")
    items = admin.get("/v1/audit").json()["items"]
    assert [e["action"] for e in items] == ["token.delete", "token.revoke", "token.rotate", "token.mint"]
    assert {e["target"] for e in items} == {token["id"]}
    assert {(e["actor"], e["address"]) for e in items} == {("admin", "127.0.0.1")}
    assert "cvt_" not in str(items)
    page = admin.get("/v1/audit", params={"limit": 3}).json()
    rest = admin.get("/v1/audit", params={"limit": 3, "cursor": page["next"]}).json()
    assert page["items"] + rest["items"] == items and rest["next"] is None


@pytest.mark.parametrize(("headers", "status"), [
    ({"Authorization": ""}, 401), ({"Authorization": "Bearer wrong"}, 401), ({"Authorization": f"Bearer {TOKEN}"}, 401),
    ({"Host": "evil.example"}, 403), ({"Origin": "http://127.0.0.1"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
    ({"Host": "LOCALHOST:1"}, 200), ({}, 200)])
def test_no_web_page_and_nobody_without_the_token_reaches_the_admin_api(edge, headers, status):
    with Admin(edge) as admin:
        assert admin.get("/v1/tokens", headers=headers).status_code == status


@pytest.mark.parametrize(("body", "pointers"), [
    ({"subject": "a", "routes": ["/"], "subjekt": 1}, ["/subjekt"]),
    ({"routes": ["/"]}, ["/subject"]),
    ({"subject": 1, "routes": "/"}, ["/subject", "/routes"]),
    ({"subject": "a", "routes": []}, ["/routes"]),
    ({"subject": "a", "routes": ["chat"]}, ["/routes/0"]),
    ({"subject": "a\n", "routes": ["/"]}, ["/subject"]),
    ({"subject": "a", "routes": ["/"], "origins": ["example.com"]}, ["/origins/0"]),
    ({"subject": "a", "routes": ["/"], "expires": "tomorrow"}, ["/expires"]),
    ({"subject": "a", "routes": ["/"], "limits": {"sessions": True, "x": 1}}, ["/limits/x", "/limits/sessions"]),
    ({"subject": "a", "routes": ["/"], "limits": {"sessions": 0}}, ["/limits/sessions"]),
    ({"id": "a/b", "subject": "a", "routes": ["/"]}, ["/id"]),
])
def test_a_wrong_member_is_named(edge, body, pointers):
    with Admin(edge) as admin:
        before = len(admin.get("/v1/tokens", params={"limit": 1000}).json()["items"])
        answer = admin.post("/v1/tokens", json=body)
        assert answer.status_code == 400 and answer.headers["content-type"] == "application/problem+json"
        assert [e["pointer"] for e in answer.json()["errors"]] == pointers
        assert len(admin.get("/v1/tokens", params={"limit": 1000}).json()["items"]) == before


@pytest.mark.parametrize(("content", "type", "status"), [
    (b"{", "application/json", 400), (b"[]", "application/json", 400), (b"\xff", "application/json", 400),
    (b"{}", "text/plain", 415), (b" " * 70_000, "application/json", 413),
    (b"[" * 30_000, "application/json", 400)])
def test_a_body_that_is_no_request_is_refused(edge, content, type, status):
    with Admin(edge) as admin:
        answer = admin.post("/v1/tokens", content=content, headers={"Content-Type": type})
        assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"

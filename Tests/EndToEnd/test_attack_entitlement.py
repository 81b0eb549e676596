"""Attacks on what a token entitles to: sessions that go on when the token, or the route, does not allow them any more."""

import asyncio

import httpx
import pytest

from kit.admin import Admin
from kit.edge import ORIGIN, OTHER_TOKEN, TOKEN, wait_for
from kit.jwt import bearer, closing, dial


@pytest.mark.parametrize("patch, reason", [
    ({"routes": ["/other"]}, "token narrowed"), ({"origins": ["https://b.wild.example"]}, "token narrowed"),
    ({"not_before": "2039-01-01T00:00:00Z"}, "token not valid yet"), ({"expires": "2020-01-01T00:00:00Z"}, "token expired"),
])
def test_what_a_patch_takes_away_ends_live_sessions_at_once(backend, make_edge, patch, reason):
    edge = make_edge(backend.port)

    async def run():
        with Admin(edge) as admin:
            minted, other = admin.mint(), admin.mint(subject="other")
            headers = bearer(minted["secret"])
            async with dial(edge, minted["secret"], "/x", origin=ORIGIN) as ws, dial(edge, other["secret"]) as bystander, \
                    httpx.AsyncClient(base_url=edge.https, verify=edge.ssl, timeout=30, headers={**headers, "Origin": ORIGIN}) as http:
                at = (await http.post("/x/_poll")).headers["location"]
                parked = asyncio.create_task(http.get(at, params={"ack": 0}, timeout=30))
                wait_for(lambda: len(admin.sessions(token=minted["id"])) == 2, what="both sessions")
                # A change that takes nothing from the sessions closes none.
                for harmless in ({"note": "seen"}, {"routes": ["/x", "/y"]}, {"limits": {"sessions": 5}}):
                    assert admin.patch(f"/v1/tokens/{minted['id']}", json=harmless).status_code == 200
                await ws.send("still here")
                assert await asyncio.wait_for(ws.recv(), 10) == "still here"
                print(f"tried {patch}")
                assert admin.patch(f"/v1/tokens/{minted['id']}", json=patch).status_code == 200
                assert await closing(ws) == (4401, reason)
                answer = await parked
                assert (answer.status_code, answer.json()["reason"]) == (401, reason)
                again = await http.post(at, json={"first": 1, "messages": [{"text": "still here"}]})
                assert again.status_code in (401, 403), again.text
                wait_for(lambda: admin.sessions(token=minted["id"]) == [], what="the sessions to be gone")
                await bystander.send("word")
                assert await bystander.recv() == "word"

    asyncio.run(run())


def change(edge, admin, old, new):
    text = edge.config.read_text()
    assert old in text
    edge.config.write_text(text.replace(old, new))
    answers = [admin.post("/v1/reload", params=params) for params in ({"dry_run": "true"}, {})]
    assert [answer.status_code for answer in answers] == [200, 200], answers[1].text
    return [answer.json() for answer in answers]


def test_a_token_that_a_reload_gives_to_somebody_else_takes_no_session_along(backend, make_edge):
    """The upstream was told alice; whoever is bob now must not speak for her."""
    edge = make_edge(backend.port)

    async def run():
        async with dial(edge, TOKEN, "/x") as ws:
            with Admin(edge) as admin, httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
                at = http.post("/x/_poll", headers=bearer(TOKEN)).headers["location"]
                forecast, report = change(edge, admin, "subject: alice", "subject: bob")
                print(f"tried subject alice, then bob: {report}")
                assert forecast["sessions_closed"] == report["sessions_closed"] == 2
                assert await closing(ws) == (4401, "token revoked")
                for text in (TOKEN, OTHER_TOKEN):
                    answer = http.post(at, headers=bearer(text), json={"first": 1, "messages": [{"text": "as alice"}]})
                    assert answer.status_code == 404, answer.text

    asyncio.run(run())


def test_a_session_of_a_route_that_asks_for_no_token_any_more_is_told_its_end(backend, make_edge):
    """Kept, it would answer to whoever knows its identifier, and still be alice's for the upstream."""
    edge = make_edge(backend.port)
    with Admin(edge) as admin, httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as http:
        at = http.post("/strict/_poll", headers={**bearer(TOKEN), "Origin": ORIGIN}).headers["location"]
        forecast, report = change(edge, admin, "missing: reject }", "missing: reject }\n    authentication: none")
        print(f"tried required, then none: {report}")
        assert forecast["sessions_closed"] == report["sessions_closed"] == 1
        for headers in ({**bearer(TOKEN), "Origin": ORIGIN}, {"Origin": ORIGIN}):
            answer = http.get(at, params={"ack": 0}, headers=headers)
            assert (answer.status_code, answer.json()["reason"]) == (410, "configuration changed")
        # A session that was opened without a token stays where none is asked for.
        at = http.post("/strict/_poll", headers={"Origin": ORIGIN}).headers["location"]
        assert admin.post("/v1/reload").json()["sessions_kept"] == 1
        sent = http.post(at, headers={"Origin": ORIGIN}, json={"first": 1, "messages": [{"text": "x"}]})
        assert sent.status_code == 200


def test_a_session_of_a_strict_host_is_not_had_through_another(backend, make_edge):
    edge = make_edge(backend.port, extra_routes=(
        f'  - {{ path: /chat, host: strict.example, upstream: echo, origins: {{ allow: ["{ORIGIN}"], missing: reject }} }}\n'
        f'  - {{ path: /chat, host: native.example, upstream: echo, transports: [websocket], origins: {{ allow: ["{ORIGIN}"] }} }}\n'))
    batch = {"first": 1, "messages": [{"text": "x"}]}
    with httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30, headers=bearer(TOKEN)) as http:
        strict = {"Host": "strict.example", "Origin": ORIGIN}
        at = http.post("/chat/_poll", headers=strict).headers["location"]
        for host, origin, status in (("strict.example", "https://x.wild.example", 403), ("any.example", "https://x.wild.example", 404),
                                     ("any.example", None, 404), ("native.example", ORIGIN, 404)):
            headers = {"Host": host, **({"Origin": origin} if origin else {})}
            for method, where, body in (("POST", at, batch), ("GET", at, None), ("DELETE", at, None), ("PUT", at + "/token", None)):
                answer = http.request(method, where, headers=headers, json=body)
                print(f"tried {method} by {host} from {origin}: {answer.status_code}")
                assert answer.status_code == status, answer.text
        # Case and port make no other host.
        assert http.post(at, headers={**strict, "Host": "STRICT.example:443"}, json=batch).status_code == 200


def test_a_session_moves_to_no_token_that_would_not_open_it(backend, make_edge):
    """The request that brings the token has no origin, as one of curl's; the session is a page's."""
    edge = make_edge(backend.port)

    async def run():
        with Admin(edge) as admin:
            # The others last longer, and are newer by that: all are of one second.
            first = admin.mint(subject="page", expires="2039-01-01T00:00:00Z")
            elsewhere = admin.mint(subject="page", origins=["https://b.wild.example"])
            here = admin.mint(subject="page", origins=[ORIGIN])
            async with dial(edge, first["secret"], "/x", origin=ORIGIN) as ws, \
                    httpx.AsyncClient(base_url=edge.https, verify=edge.ssl) as http:
                wait_for(lambda: len(admin.sessions(subject="page")) == 1, what="the session")
                [session] = admin.sessions(subject="page")
                at = f"/x/_poll/{session['id']}/token"
                answer = await http.put(at, headers=bearer(elsewhere["secret"]))
                print(f"a token for another origin is answered {answer.status_code} {answer.text[:120]}")
                assert answer.status_code == 403 and "origin_not_allowed" in answer.text
                assert [s["token"] for s in admin.sessions(subject="page")] == [first["id"]]
                assert (await http.put(at, headers=bearer(here["secret"]))).status_code == 200
                assert [s["token"] for s in admin.sessions(subject="page")] == [here["id"]]
                admin.revoke(here)
                assert await closing(ws) == (4401, "token revoked")

    asyncio.run(run())

"""The configuration is read anew while sessions are open: each of them is judged on its own."""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import BIN, ORIGIN, OTHER_TOKEN, TOKEN, digest, free_port, make_certificate, wait_for
from kit.jwt import Key, section
from kit.knock import knock
from kit.pace import within
from kit.poll import client, open_session


def edit(edge, *changes):
    text = edge.config.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    edge.config.write_text(text)


def reload(edge, **parameters):
    with Admin(edge) as admin:
        return admin.post("/v1/reload", params=parameters)


def dial(edge, path="/", token=TOKEN, origin=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return connect(edge.wss + path, ssl=edge.ssl, additional_headers=headers, origin=origin, compression=None)


async def echoes(ws):
    async with asyncio.timeout(10):
        await ws.send("x")
        return await ws.recv() == "x"


def listing(edge):
    with Admin(edge) as admin:
        return admin.sessions(limit=1000)


async def closing(ws):
    """The code and reason that the session ends with."""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.recv()
    return ws.close_code, ws.close_reason


async def status(edge, token):
    """What an opening is answered with."""
    return (await asyncio.to_thread(knock, edge, "websocket", token=token)).status


GONE = (1012, "configuration changed")


# --- who stays and who goes ------------------------------------------------------------------------------------------

def test_a_reload_without_a_change_closes_nobody(backend, make_edge):
    edge = make_edge(backend.port)

    async def run():
        async with dial(edge) as ws:
            assert await echoes(ws)
            answer = reload(edge).json()
            assert answer == {
                "dry_run": False, "changed": [], "needs_restart": [], "listeners_added": [], "listeners_closed": [],
                "sessions_kept": 1, "sessions_closed": 0}
            assert await echoes(ws)

    asyncio.run(run())


def test_a_route_that_is_gone_takes_its_sessions_with_it(backend, make_edge):
    edge = make_edge(backend.port, extra_routes="  - { path: /extra, upstream: echo, host: localhost }")

    async def run():
        async with dial(edge) as stays, dial(edge, "/native-only/a") as goes:
            edit(edge, ("  - { path: /native-only, upstream: echo, transports: [websocket] }\n", ""),
                 ("path: /\n", "path: /base\n"), ("path: /extra", "path: /"))
            answer = reload(edge).json()
            # Of the native ones one has another route now, and the other none that its transport may use.
            assert (answer["sessions_kept"], answer["changed"]) == (2, ["routes"])
            assert await echoes(stays) and await echoes(goes)
            edit(edge, ("  - { path: /, upstream: echo, host: localhost }", ""))
            assert reload(edge).json()["sessions_closed"] == 2
            assert await closing(stays) == await closing(goes) == GONE

    asyncio.run(run())


def test_an_origin_that_is_not_allowed_any_more(backend, make_edge):
    edge = make_edge(backend.port)

    async def run():
        async with dial(edge, origin=ORIGIN) as goes, dial(edge, origin="https://a.wild.example") as stays, \
                dial(edge) as without:
            edit(edge, (f'allow: ["{ORIGIN}", "https://*.wild.example"]', 'allow: ["https://*.wild.example"]'))
            assert reload(edge).json()["sessions_closed"] == 1
            assert await closing(goes) == GONE
            assert await echoes(stays) and await echoes(without)

    asyncio.run(run())


def test_a_token_that_is_gone_or_has_another_secret_or_opens_less(backend, make_edge):
    edge = make_edge(backend.port)

    async def run():
        nobody = dial(edge, "/open", token=None)
        async with dial(edge) as alice, dial(edge, token=OTHER_TOKEN) as bob, nobody as anybody:
            edit(edge, (f'id: bob, sha256: "{digest(OTHER_TOKEN)}"', f'id: bob, sha256: "{digest("another")}"'))
            assert reload(edge).json()["sessions_closed"] == 1
            assert await closing(bob) == (4401, "token rotated")
            assert await echoes(alice) and await echoes(anybody)
            assert await status(edge, "another") == 101
            assert await status(edge, OTHER_TOKEN) == 401
            edit(edge, ('subject: alice, routes: ["/"]', 'subject: alice, routes: ["/other"]'))
            assert reload(edge).json()["sessions_closed"] == 1
            assert await closing(alice) == GONE
            assert await echoes(anybody)
            edit(edge, (f'    - {{ id: alice, sha256: "{digest(TOKEN)}", subject: alice, routes: ["/other"] }}\n', ""))
            assert reload(edge).json()["sessions_closed"] == 0
            assert await status(edge, TOKEN) == 401

    asyncio.run(run())


def test_a_minted_token_is_not_the_files_business(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        token = admin.mint()

    async def run():
        async with dial(edge, token=token["secret"]) as ws:
            edit(edge, ('subject: bob, routes: ["/"]', 'subject: bob, routes: ["/x"]'))
            assert reload(edge).json()["sessions_kept"] == 1
            assert await echoes(ws)

    asyncio.run(run())
    edit(edge, ("{ id: bob,", f"{{ id: {token['id']},"))
    answer = reload(edge)
    assert answer.status_code == 409 and token["id"] in answer.json()["detail"]
    assert knock(edge, "websocket", token=token["secret"]).status == 101


def test_a_server_that_is_gone_and_another_that_stays(make_edge):
    backends = [Backend() for _ in range(2)]
    ports = [b.port for b in backends]
    servers = [f'{{ url: "ws://127.0.0.1:{p}" }}' for p in ports]
    edge = make_edge(0, upstream=f"{{ servers: [ {', '.join(servers)} ] }}")

    async def run():
        async with contextlib.AsyncExitStack() as stack:
            made = [await stack.enter_async_context(dial(edge)) for _ in range(4)]
            at = {s["id"]: s["server"] for s in Admin(edge).sessions()}
            assert sorted(at.values()) == sorted(f"ws://127.0.0.1:{p}" for p in ports * 2)
            # Another weight is no reason to go, and open sessions still count.
            edit(edge, (servers[0], f'{{ url: "ws://127.0.0.1:{ports[0]}", weight: 3 }}'))
            assert reload(edge).json()["sessions_kept"] == 4
            for ws in [await stack.enter_async_context(dial(edge)) for _ in range(4)]:
                assert await echoes(ws)
                made.append(ws)
            assert [len(b.connections) for b in backends] == [6, 2]
            at = {s["id"]: s["server"] for s in Admin(edge).sessions()}
            edit(edge, (f", {servers[1]}", ""))
            answer = reload(edge).json()
            assert (answer["sessions_kept"], answer["sessions_closed"]) == (6, 2)
            for ws in made:
                if at[ws.response.headers["Culvert-Session"]].endswith(str(ports[1])):
                    assert await closing(ws) == GONE
                else:
                    assert await echoes(ws)

    asyncio.run(run())
    for backend in backends:
        backend.stop()


def test_a_pool_is_edited_under_load(make_edge):
    """One server goes and one comes while sessions talk and others are opened: those of the first end, and no other."""
    backends = [Backend() for _ in range(3)]
    urls = [f"ws://127.0.0.1:{b.port}" for b in backends]

    def listed(*servers):
        return ", ".join(f'{{ url: "{url}" }}' for url in servers)

    edge = make_edge(0, upstream=f"{{ servers: [ {listed(*urls[:2])} ] }}")

    async def run():
        finished = asyncio.Event()
        talked, failures, opened_after = [0], [], [0]

        async def talk(ws, ends):
            """Until it is closed or the test ends; how it ended goes to `ends`."""
            try:
                while not finished.is_set():
                    async with asyncio.timeout(10):
                        await ws.send("x")
                        assert await ws.recv() == "x"
                    talked[0] += 1
                ends.append(None)
            except ConnectionClosed as closed:
                ends.append((closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else "lost")

        async def come_and_go():
            while not finished.is_set():
                try:
                    async with asyncio.timeout(10):
                        async with dial(edge) as ws:
                            await ws.send("x")
                            await ws.recv()
                    opened_after[0] += 1
                except ConnectionClosed as closed:
                    # One that was at the server that goes, for a moment.
                    if not closed.rcvd or closed.rcvd.code != 1012:
                        failures.append(repr(closed))
                except Exception as error:
                    failures.append(repr(error))

        async with contextlib.AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(dial(edge)) for _ in range(40)]
            at = {s["id"]: s["server"] for s in (await asyncio.to_thread(listing, edge))}
            ends = {url: [] for url in urls}
            tasks = [
                asyncio.ensure_future(talk(ws, ends[at[ws.response.headers["Culvert-Session"]]])) for ws in sessions]
            tasks += [asyncio.ensure_future(come_and_go()) for _ in range(4)]
            async with asyncio.timeout(20):
                while talked[0] < 200:
                    await asyncio.sleep(0.01)
            edit(edge, (listed(*urls[:2]), listed(*urls[1:])))
            answer = (await asyncio.to_thread(reload, edge)).json()
            assert answer["sessions_closed"] >= 20
            seen, count = opened_after[0], talked[0]
            async with asyncio.timeout(20):
                while opened_after[0] < seen + 20 or talked[0] < count + 200:
                    await asyncio.sleep(0.01)
            finished.set()
            async with asyncio.timeout(20):
                await asyncio.gather(*tasks)
        assert failures == []
        assert ends == {urls[0]: [GONE] * 20, urls[1]: [None] * 20, urls[2]: []}
        # The one that came has the fewest sessions, so it got those that were opened.
        assert len(backends[2].requests) > 0

    asyncio.run(run())
    for backend in backends:
        backend.stop()


def test_polled_sessions_are_judged_alike(backend, make_edge):
    edge = make_edge(backend.port, sections="reload: { close_code: 4999 }")
    with client(edge) as http, httpx.Client(base_url=edge.https, verify=edge.ssl, timeout=30) as anybody:
        goes = open_session(http)
        stays = open_session(anybody, "/open")
        edit(edge, ("  - path: /\n", "  - path: /elsewhere\n"))
        answer = reload(edge).json()
        assert (answer["sessions_kept"], answer["sessions_closed"]) == (1, 1)
        # The route is gone, and with it the way to hear why.
        assert http.get(goes).status_code == 404
        assert anybody.post(stays, json={"first": 1, "messages": [{"text": "x"}]}).status_code == 200
        assert anybody.get(stays).json()["messages"] == [{"text": "x"}]


def test_a_polled_session_is_told_the_code(backend, make_edge):
    edge = make_edge(backend.port, sections="reload: { close_code: 4999 }")
    with client(edge) as http:
        at = open_session(http)
        edit(edge, ('allow: ["https://app', 'allow: ["https://other'), ("missing: allow }", "missing: reject }"))
        assert reload(edge).json()["sessions_closed"] == 1
        edit(edge, ("missing: reject }", "missing: allow }"))
        assert reload(edge).json()["sessions_closed"] == 0
        assert http.get(at).json()["close"] == {"code": 4999, "reason": "configuration changed"}


# --- all or nothing --------------------------------------------------------------------------------------------------

def test_a_file_that_is_wrong_changes_nothing_and_says_why(backend, make_edge):
    edge = make_edge(backend.port)

    async def run():
        async with dial(edge) as ws:
            edit(edge, ("  - path: /\n", "  - path: /elsewhere\n"), ("session: { ", "session: { hold: 5, "))
            answer = reload(edge)
            assert answer.status_code == 422
            assert answer.headers["content-type"] == "application/problem+json"
            [error] = answer.json()["errors"]
            assert error["key"] == "session.hold" and "unit" in error["detail"] and error["line"] > 1
            assert await echoes(ws)
            edge.process.send_signal(signal.SIGHUP)
            edge.expect_events("reload refused; nothing has changed")
            assert await echoes(ws)
            assert await status(edge, TOKEN) == 101

    asyncio.run(run())


def test_an_address_in_use_or_a_certificate_that_is_none(backend, make_edge, tmp_path):
    edge = make_edge(backend.port)
    edit(edge, ("routes:\n", f"  - address: 127.0.0.1:{backend.port}\nroutes:\n"))
    answer = reload(edge)
    assert answer.status_code == 409 and "in use" in answer.json()["detail"]
    edit(edge, (f"  - address: 127.0.0.1:{backend.port}\n", ""))
    (edge.folder / "bad.pem").write_text("nothing")
    edit(edge, (str(edge.cert), str(edge.folder / "bad.pem")))
    answer = reload(edge)
    assert answer.status_code in (409, 422) and "bad.pem" in answer.json()["detail"]
    assert knock(edge, "websocket", token=TOKEN).status == 101


def test_a_dry_run_says_what_would_happen(backend, make_edge):
    edge = make_edge(backend.port)
    port = free_port()

    async def run():
        async with dial(edge) as alice, dial(edge, "/open", token=None) as anybody:
            edit(edge, (f'id: alice, sha256: "{digest(TOKEN)}"', f'id: alice, sha256: "{digest("another")}"'),
                 ("routes:\n", f"  - address: 127.0.0.1:{port}\nroutes:\n"))
            forecast = reload(edge, dry_run="true").json()
            assert (forecast["sessions_kept"], forecast["sessions_closed"]) == (1, 1)
            assert forecast["listeners_added"] == [f"127.0.0.1:{port}"]
            assert await echoes(alice)
            with pytest.raises(OSError):
                await connect(f"ws://127.0.0.1:{port}/open")
            done = reload(edge).json()
            assert done == {**forecast, "dry_run": False}
            assert await closing(alice) == (4401, "token rotated")
            async with connect(f"ws://127.0.0.1:{port}/open") as ws:
                assert await echoes(ws)
            assert await echoes(anybody)

    asyncio.run(run())


def test_listeners_come_and_go_and_their_sessions_stay(backend, make_edge):
    edge = make_edge(backend.port)
    port = free_port()

    async def run():
        plain = connect(f"ws://127.0.0.1:{edge.plain_port}/", additional_headers=edge.auth)
        async with plain as old, dial(edge) as secure:
            edit(edge, (f"  - address: 127.0.0.1:{edge.plain_port}\n", f"  - address: 127.0.0.1:{port}\n"))
            answer = reload(edge).json()
            assert answer["listeners_added"] == [f"127.0.0.1:{port}"]
            assert answer["listeners_closed"] == [f"127.0.0.1:{edge.plain_port}"]
            assert await echoes(old) and await echoes(secure)
            with pytest.raises(OSError):
                await connect(f"ws://127.0.0.1:{edge.plain_port}/open")
            async with connect(f"ws://127.0.0.1:{port}/open") as ws:
                assert await echoes(ws)

    asyncio.run(run())


def test_what_needs_a_restart_is_named_and_the_rest_holds(backend, make_edge):
    edge = make_edge(backend.port)
    edit(edge, ("log: { format: json }", "log: { format: text }"), ("  - path: /open\n", "  - path: /opened\n"),
         (f"127.0.0.1:{edge.admin_port}", f"127.0.0.1:{free_port()}"))
    answer = reload(edge).json()
    assert answer["needs_restart"] == ["admin", "log"]
    assert answer["changed"] == ["routes", "admin", "log"]
    with Admin(edge) as admin:
        assert "/opened" in admin.get("/v1/config").json()["yaml"]
        assert f"127.0.0.1:{edge.admin_port}" in admin.get("/v1/config").json()["yaml"]
        [line] = [e for e in admin.get("/v1/audit").json()["items"] if e["action"] == "config.reload"]
        assert line["target"] == "routes admin log"


def test_a_signal_reloads(backend, make_edge):
    edge = make_edge(backend.port)

    async def run():
        async with dial(edge) as ws:
            edit(edge, ("  - path: /\n", "  - path: /elsewhere\n"))
            edge.process.send_signal(signal.SIGHUP)
            assert await closing(ws) == GONE

    asyncio.run(run())
    [event] = edge.expect_events("configuration reloaded")
    assert (event["changed"], event["sessions_closed"]) == ("routes", 1)


def test_a_command_reloads(backend, make_edge):
    edge = make_edge(backend.port)
    options = ["--url", f"http://127.0.0.1:{edge.admin_port}", "--token-file", edge.folder / "culvert.admin-token"]
    edit(edge, ("session: { ", "session: { hold: 9s"))
    out = subprocess.run([BIN, "reload", "--json", *options], capture_output=True, text=True, timeout=20)
    assert json.loads(out.stdout)["changed"] == ["session"]
    edit(edge, ("hold: 9s", "hold: 9"))
    out = subprocess.run([BIN, "reload", *options], capture_output=True, text=True, timeout=20)
    assert out.returncode == 1 and "session.hold" in out.stderr
    edit(edge, ("limits: { ", "limits: { header: 1B"))
    out = subprocess.run([BIN, "reload", *options], capture_output=True, text=True, timeout=20)
    assert "session.hold" in out.stderr and "limits.header" in out.stderr


def test_settings_hold_for_open_sessions_too(backend, make_edge):
    edge = make_edge(backend.port, session="hold: 30s")
    with client(edge) as http:
        at = open_session(http)
        edit(edge, ("hold: 30s", "hold: 100ms"))
        assert reload(edge).json()["sessions_kept"] == 1
        start = time.monotonic()
        assert http.get(at).status_code == 204
        assert time.monotonic() - start < 10


# --- signed tokens ---------------------------------------------------------------------------------------------------

def test_what_is_asked_of_jwts_changes(backend, make_edge):
    key = Key("ES256", "k1")
    keys = [{"id": "k1", "algorithm": "ES256", "pem": key.pem}]
    edge = make_edge(backend.port, authentication=section(audience="one", keys=keys))
    old, new = (key.token(aud=audience) for audience in ("one", "two"))

    async def run():
        async with dial(edge, token=old) as signed, dial(edge) as opaque:
            assert await status(edge, new) == 401
            edit(edge, ('"audience": "one"', '"audience": "two"'))
            assert reload(edge).json()["sessions_closed"] == 1
            # Its claims were looked at once, under other rules: it may come back and be looked at again.
            assert await closing(signed) == GONE
            assert await echoes(opaque)
            # A token that was verified before is not believed for that.
            assert await status(edge, old) == 401
            assert await status(edge, new) == 101

    asyncio.run(run())


def test_a_key_that_is_gone_or_another_in_its_file(backend, make_edge):
    first, second, other = Key("ES256", "k1"), Key("ES256", "k1"), Key("ES256", "k2")

    def keys(*names):
        return section(keys=[{"id": n, "algorithm": "ES256", "file": f"{n}.pem"} for n in names])

    edge = make_edge(backend.port)
    edge.stop()
    (edge.folder / "k1.pem").write_text(first.pem)
    (edge.folder / "k2.pem").write_text(other.pem)
    text = edge.config.read_text()
    edge.config.write_text(text.replace("upstreams:", f"  {keys('k1', 'k2')}\nupstreams:"))
    edge.start()
    a, b = (k.token() for k in (first, other))

    async def run():
        async with dial(edge, token=a) as goes, dial(edge, token=b) as stays, dial(edge) as opaque:
            # The configuration is the same; the file that it names is not.
            (edge.folder / "k1.pem").write_text(second.pem)
            assert reload(edge).json()["sessions_closed"] == 1
            assert await closing(goes) == (4401, "token rotated")
            assert await status(edge, a) == 401
            assert await status(edge, second.token()) == 101
            assert await echoes(stays)
            edge.config.write_text(text)
            assert reload(edge).json()["sessions_closed"] == 1
            assert (await closing(stays))[0] in (4401, 1012)
            assert await status(edge, b) == 401
            assert await echoes(opaque)

    asyncio.run(run())


def test_secrets_that_change_places(backend, make_edge):
    edge = make_edge(backend.port)
    edit(edge, (digest(TOKEN), "HELD"), (digest(OTHER_TOKEN), digest(TOKEN)), ("HELD", digest(OTHER_TOKEN)))
    assert reload(edge).status_code == 200
    for token, subject in ((OTHER_TOKEN, "alice"), (TOKEN, "bob")):
        assert knock(edge, "websocket", token=token).status == 101
        assert backend.requests[-1].headers["X-Forwarded-User"] == subject


# --- many ------------------------------------------------------------------------------------------------------------

def test_fifty_reloads_with_a_thousand_sessions(make_edge):
    """A token and a route change with each; those sessions go, and nobody else."""
    backend = Backend()
    tokens = "".join(
        f'    - {{ id: t{n}, sha256: "{digest(f"secret-{n}-0")}", subject: s{n}, routes: ["/"] }}\n' for n in range(25))
    routes = "".join(f"  - {{ path: /r{n}, upstream: echo, authentication: none }}\n" for n in range(25))
    edge = make_edge(backend.port, tokens=tokens, extra_routes=routes)

    async def run():
        by_token, by_route = {n: [] for n in range(25)}, {n: [] for n in range(25)}
        gate = asyncio.Semaphore(50)

        async def open_one(n, route):
            async with gate:
                if route:
                    ws = await dial(edge, f"/r{n}", token=None)
                    by_route[n].append(ws)
                else:
                    ws = await dial(edge, token=f"secret-{n}-0")
                    by_token[n].append(ws)

        async with asyncio.timeout(120):
            await asyncio.gather(*(open_one(i % 25, i % 2 == 0) for i in range(1000)))
        everybody = {ws for group in (by_token, by_route) for list in group.values() for ws in list}
        assert len(everybody) == 1000
        began = time.monotonic()
        gone = set()
        for turn in range(50):
            n = turn // 2
            if turn % 2:
                edit(edge, (f"path: /r{n},", f"path: /moved{n},"))
                leaving, frame = by_route[n], GONE
            else:
                edit(edge, (digest(f"secret-{n}-0"), digest(f"secret-{n}-1")))
                leaving, frame = by_token[n], (4401, "token rotated")
            answer = await asyncio.to_thread(reload, edge)
            body = answer.json()
            assert (body["sessions_closed"], body["sessions_kept"]) == (len(leaving), 1000 - len(gone) - len(leaving))
            for ws in leaving:
                assert await closing(ws) == frame
            gone.update(leaving)
            # A few of those that stay are asked each time, and in the end all there are.
            for group in (by_token, by_route):
                for list in group.values():
                    if list and list[0] not in gone:
                        assert await echoes(list[0])
                        break
        assert time.monotonic() - began < within(60)
        assert len(gone) == 1000

    asyncio.run(run())
    backend.stop()


# --- certificates ----------------------------------------------------------------------------------------------------

def served(edge, name="localhost"):
    """The certificate that a new connection gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", edge.tls_port), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname=name) as secure:
            return secure.getpeercert(binary_form=True)


def test_certificates_are_swapped_by_themselves(backend, make_edge, tmp_path):
    edge = make_edge(backend.port, sections="reload: { watch: 100ms }")
    old = served(edge)
    new_cert, new_key = make_certificate(tmp_path)

    async def run():
        async with dial(edge) as ws:
            # A certificate whose key is not there yet is not served.
            edge.cert.write_text(new_cert.read_text())
            words = (f"{edge.folder}/localhost.key: the key does not belong to the certificate {edge.cert}; put the key of that "
                     "certificate there")
            wait_for(lambda: edge.events("certificates not changed; those before stay", reason=words), what="the log")
            assert served(edge) == old
            (edge.folder / "localhost.key").write_text(new_key.read_text())
            wait_for(lambda: served(edge) == ssl.PEM_cert_to_DER_cert(new_cert.read_text()), what="the swap")
            assert await echoes(ws)

    asyncio.run(run())
    assert knock(edge, "websocket", token=TOKEN).status == 101


def test_the_log_tells_of_changed_certificates_only_when_a_file_has_changed(backend, make_edge, tmp_path):
    """The certificates of the admin API, which starts behind the listeners, are no change."""
    (tmp_path / "new").mkdir()
    cert, key = make_certificate(tmp_path, "admin.example")
    edge = make_edge(
        backend.port, sections="reload: { watch: 100ms }", healthy=lambda edge: "admin listening" in edge.text,
        admin=f", tls: {{ certificates: [ {{ certificate: {cert}, key: {key} }} ] }}")
    edge.catch_up()
    assert not edge.events("certificates changed")
    new_cert, new_key = make_certificate(tmp_path / "new", "renewed.example")
    key.write_text(new_key.read_text())
    cert.write_text(new_cert.read_text())
    [event] = edge.expect_events("certificates changed")
    assert str(event["certificates"]) == "2"


def test_a_second_certificate_without_its_key_is_not_taken(backend, make_edge, tmp_path):
    """A client that asks for its name would get no handshake."""
    (tmp_path / "new").mkdir()
    second = make_certificate(tmp_path, "second.example")
    cert, key = make_certificate(tmp_path / "new", "second.example")
    edge = make_edge(backend.port, sections="reload: { watch: 100ms }", certs=[second])
    old = served(edge, "second.example")
    second[0].write_text(cert.read_text())
    words = f"{second[1]}: the key does not belong to the certificate {second[0]}; put the key of that certificate there"
    edge.expect_events("certificates not changed; those before stay", reason=words)
    assert served(edge, "second.example") == old
    second[1].write_text(key.read_text())
    wait_for(lambda: served(edge, "second.example") == ssl.PEM_cert_to_DER_cert(cert.read_text()), what="the swap")


def test_expiry_is_shown_and_warned_of(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        [item] = admin.get("/v1/certificates").json()["items"]
    assert item["file"] == str(edge.cert) and item["names"] == ["localhost"]
    assert 86400 < item["seconds_left"] <= 2 * 86400
    edge.expect_events("certificate expires soon")


# --- files that do not answer ----------------------------------------------------------------------------------------

REFUSED = "reload refused; nothing has changed"


def test_a_configuration_that_is_a_pipe_is_refused_and_holds_up_no_later_reload(backend, make_edge):
    edge = make_edge(backend.port)
    text = edge.config.read_text()
    edge.config.unlink()
    os.mkfifo(edge.config)
    edge.process.send_signal(signal.SIGHUP)
    assert "it is no regular file" in edge.expect_events(REFUSED)[0]["reason"]
    for parameters in ({}, {"dry_run": "true"}):
        answer = reload(edge, **parameters)
        assert (answer.status_code, answer.json()["errors"][0]["file"]) == (422, str(edge.config))
        assert "it is no regular file" in answer.json()["errors"][0]["detail"]
    edge.config.unlink()
    edge.config.write_text(text)
    assert reload(edge).status_code == 200


@contextlib.contextmanager
def held_up(path):
    """Whoever opens the file waits, as on a file system that does not answer: this process has a lease on it (fcntl(2))."""
    ignored = signal.signal(signal.SIGIO, signal.SIG_IGN)
    file = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        os.close(file)
        signal.signal(signal.SIGIO, ignored)


def test_a_reload_whose_file_does_not_answer_is_told_as_failed_and_holds_up_no_later_one(backend, make_edge):
    edge = make_edge(backend.port)
    text = edge.config.read_text()
    with held_up(edge.config):
        edge.process.send_signal(signal.SIGHUP)
        # The kernel ends a lease after 45 s, and the edge gives up before.
        refused = edge.expect_events(REFUSED, timeout=35)
        print(f"a file that does not answer: {refused[0]['reason']}")
        assert "could not be read within 25 s" in refused[0]["reason"]
        # Another file stands there now, while the thread that began to open the first one still waits.
        other = edge.folder / "other.yaml"
        other.write_text(text)
        other.replace(edge.config)
        assert reload(edge).status_code == 200
    # Nothing comes of the first reload when its file answers at last.
    edge.catch_up()
    assert (len(edge.events("configuration reloaded")), len(edge.events(REFUSED))) == (2, 1)

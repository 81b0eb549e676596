"""`culvert tokens`, `sessions`, `upstreams` and `audit`, as an operator types them."""

import asyncio
import json
import os
import re

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.process import culvert


@pytest.fixture
def run(backend, make_edge):
    edge = make_edge(backend.port)

    def run(*arguments, code=0, **options):
        where = ["--url", f"http://127.0.0.1:{edge.admin_port}", "--token-file", edge.folder / "culvert.admin-token"]
        done = culvert(*arguments, *where, **options)
        assert done.returncode == code, done.stderr
        return done

    run.edge = edge
    return run


async def closing(edge, secret, act):
    async with connect(edge.wss, ssl=edge.ssl, additional_headers={"Authorization": f"Bearer {secret}"}) as ws:
        await asyncio.to_thread(act)
        with pytest.raises(ConnectionClosed) as caught:
            await asyncio.wait_for(ws.recv(), 10)
    return caught.value.rcvd.code, caught.value.rcvd.reason


def test_a_token_is_minted_rotated_listed_and_revoked(run):
    minted = run("tokens", "mint", "--subject", "alice-laptop", "--id", "laptop", "--note", "a \x1b[31mnote")
    secret = minted.stdout.strip()
    assert secret.startswith("cvt_") and "laptop" in minted.stderr
    new = run("tokens", "rotate", "laptop", "--overlap", "0s").stdout.strip()
    assert new != secret
    table = run("tokens", "list").stdout.splitlines()
    assert re.split(" {2,}", table[0]) == [
        "ID", "SUBJECT", "ROUTES", "NOT BEFORE", "EXPIRES", "ROTATED", "REVOKED", "SOURCE", "NOTE"]
    row = next(line for line in table if line.startswith("laptop"))
    assert "alice-laptop" in row and "\x1b" not in row and "cvt_" not in row
    items = json.loads(run("tokens", "list", "--json").stdout)["items"]
    assert next(t for t in items if t["id"] == "laptop")["note"] == "a \x1b[31mnote"
    reason = asyncio.run(closing(run.edge, new, lambda: run("tokens", "revoke", "laptop", "--reason", "lost")))
    assert reason == (4401, "token revoked")
    assert "token.revoke" in run("audit").stdout.splitlines()[1]
    run("tokens", "delete", "laptop")


def test_sessions_are_listed_and_closed(run):
    secret = run("tokens", "mint", "--subject", "ivy").stdout.strip()

    def act():
        rows = run("sessions", "list", "--subject", "ivy").stdout.splitlines()
        assert len(rows) == 2 and "websocket" in rows[1]
        run("sessions", "close", rows[1].split()[0], "--code", "4000", "--reason", "see you")

    assert asyncio.run(closing(run.edge, secret, act)) == (4000, "see you")
    closed = asyncio.run(closing(run.edge, secret, lambda: run("sessions", "close", "--subject", "ivy")))
    assert closed == (1001, "closed by the operator")
    run("sessions", "close", code=64)


def test_upstreams_are_listed_set_and_rebalanced(run, backend):
    server = f"ws://127.0.0.1:{backend.port}"
    table = run("upstreams", "list").stdout.splitlines()
    assert table[0].split() == [
        "UPSTREAM", "SERVER", "WEIGHT", "SESSIONS", "MAX", "STATE", "HEALTHY", "EJECTED", "CHECK"]
    assert table[1].split() == ["echo", server, "1", "0", "-", "up", "-", "no", "-"]
    assert run("upstreams", "list", "echo").stdout.splitlines() == table
    set_to = run("upstreams", "set", "echo", server, "draining").stdout.splitlines()
    assert set_to[1].split() == [server, "draining", "0"]
    items = json.loads(run("upstreams", "list", "--json").stdout)["items"]
    assert items[0]["servers"][0]["state"] == "draining" and items[0]["rebalancing"] is None
    run("upstreams", "set", "echo", server, "up")
    assert run("upstreams", "rebalance", "echo", "--rate", "7").stdout.splitlines()[1].split() == ["0", "7"]
    assert run("upstreams", "rebalance", "echo", "--stop", code=1).stderr.startswith("404: ")
    assert run("upstreams", "set", "echo", server, "away", code=1).stderr.startswith("400: <state>: expected ")
    assert run("upstreams", "rebalance", "echo", "--rate", "0", code=1).stderr.startswith("400: --rate: expected ")
    run("upstreams", "rebalance", "echo", "--rate", "7", "--stop", code=64)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_an_edge_is_reached_over_tcp(run, host):
    edge = run.edge
    done = culvert("tokens", "list", "--url", f"http://{host}:{edge.admin_port}", cwd=edge.folder)
    assert done.returncode == 0 and "alice" in done.stdout, done.stderr


def test_an_edge_is_reached_over_a_unix_socket(run):
    edge = run.edge
    edge.stop()
    text = edge.config.read_text()
    edge.config.write_text(text.replace(f'"127.0.0.1:{edge.admin_port}"', '"unix:admin.sock"'))
    edge.forget()
    edge.is_healthy = lambda edge: "admin listening" in edge.text
    edge.start()
    done = culvert("tokens", "list", "--url", "unix:admin.sock", cwd=edge.folder)
    assert done.returncode == 0 and "alice" in done.stdout, done.stderr
    edge.stop()
    done = culvert("tokens", "list", "--url", "unix:admin.sock", cwd=edge.folder)
    assert done.returncode == 1 and "cannot be reached" in done.stderr


def test_what_goes_wrong_is_said_on_one_line(run):
    assert run("tokens", "revoke", "nobody", code=1).stderr == '404: There is no token "nobody".\n'
    wrong = run("tokens", "mint", "--subject", "a", "--route", "/ok", "--route", "x", code=1).stderr
    assert wrong.startswith("400: --route number 2: a path begins with a slash")
    assert run("tokens", "rotate", "alice-laptop", "--overlap", "1", code=1).stderr.startswith("400: --overlap: ")
    done = culvert("tokens", "list", "--token-file", "/nonexistent")
    assert done.returncode == 1 and "/nonexistent cannot be read" in done.stderr
    done = culvert("tokens", "list", "--url", "http://127.0.0.1:1", env={"CULVERT_ADMIN_TOKEN": "x" * 20, "PATH": ""})
    assert done.returncode == 1 and "cannot be reached" in done.stderr and "x" * 20 not in done.stderr


def test_a_token_that_has_ended_already_is_not_minted(run):
    refused = run("tokens", "mint", "--subject", "a", "--expires", "2020-01-01T00:00:00Z", code=1).stderr
    assert refused.startswith("400: --expires: this moment is past")


WRITTEN_SINCE = "a token that was written to its file since then counts from the next start"


def test_a_refused_admin_token_is_named_with_its_place(run, tmp_path):
    edge = run.edge
    url = f"http://127.0.0.1:{edge.admin_port}"
    wrong = tmp_path / "wrong"
    wrong.write_text("this-is-another-admin-token\n")
    done = culvert("tokens", "list", "--url", url, "--token-file", wrong)
    assert done.returncode == 1 and WRITTEN_SINCE in done.stderr
    assert done.stderr.startswith(f"401: the admin token in the file {wrong} is not the token of the process at {url}.")
    environment = {**os.environ, "CULVERT_ADMIN_TOKEN": "this-is-another-admin-token"}
    done = culvert("tokens", "list", "--url", url, env=environment)
    assert done.returncode == 1 and WRITTEN_SINCE in done.stderr
    assert done.stderr.startswith("401: the admin token in the environment variable CULVERT_ADMIN_TOKEN is not ")
    assert "this-is-another-admin-token" not in done.stderr


def test_an_empty_admin_token_is_not_sent(run, tmp_path):
    url = f"http://127.0.0.1:{run.edge.admin_port}"
    empty = tmp_path / "empty"
    empty.write_text("\n")
    done = culvert("tokens", "list", "--url", url, "--token-file", empty)
    assert done.returncode == 1 and f"the admin token's file {empty} is empty" in done.stderr
    done = culvert("tokens", "list", "--url", url, env={**os.environ, "CULVERT_ADMIN_TOKEN": ""})
    assert done.returncode == 1 and "CULVERT_ADMIN_TOKEN is empty" in done.stderr


def test_every_error_of_a_reload_has_its_line_and_column(run):
    config = run.edge.config
    config.write_text(config.read_text().replace("session: {", "session: { hold: 25, ping: 25,"))
    lines = run("reload", code=1).stderr.splitlines()
    assert re.match(r"422: Nothing has changed: .*proxy\.yaml:\d+:\d+: session\.hold: ", lines[0])
    assert re.match(r"  .*proxy\.yaml:\d+:\d+: session\.ping: ", lines[1])


def test_the_version_is_that_of_the_api(run):
    assert culvert("--version").stdout.strip() == Admin(run.edge).get("/v1/version").json()["version"]


def test_shells_complete_the_commands():
    for shell in ("bash", "zsh", "fish"):
        assert "rotate" in culvert("--generate-completion-script", shell).stdout

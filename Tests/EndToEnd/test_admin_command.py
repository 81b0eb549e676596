"""`culvert tokens`, `sessions`, `upstreams` and `audit`, as an operator types them."""

import asyncio
import datetime
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import tempfile

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.backend import Backend
from kit.edge import BIN, free_port, make_certificate, wait_for
from kit.jwt import Key, section
from kit.process import culvert, restart


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
    [line] = [line for line in run("audit").stdout.splitlines() if "token.revoke" in line]
    assert line.endswith("  lost")
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
    assert run("upstreams", "set", "echo", server, "away", code=1).stderr.startswith("400: the state away: expected ")
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


def test_an_end_before_the_beginning_and_a_duration_in_days_are_told_with_what_to_write(run):
    ends = run("tokens", "mint", "--subject", "a", "--not-before", "48h", "--expires", "24h", code=1).stderr
    assert ends == "400: --expires: must be later than --not-before\n"
    for command in (["tokens", "rotate", "alice"], ["jwt", "keys", "retire", "k"]):
        days = run(*command, "--overlap", "1d", code=1).stderr
        assert days.startswith("400: --overlap: expected a duration ") and days.endswith(": write 24h\n")
    late = run("drain", "--delay", "1m30s", code=1).stderr
    assert late.startswith("400: --delay: ") and late.endswith(": write 90s\n")


def test_an_unknown_upstream_or_server_is_told_with_those_there_are(run, backend):
    server = f"ws://127.0.0.1:{backend.port}"
    assert run("upstreams", "set", "ecko", server, "up", code=1).stderr == (
        "404: There is no upstream of this name; there are echo.\n")
    assert run("upstreams", "set", "echo", "ws://127.0.0.1:1", "up", code=1).stderr == (
        f"404: The upstream has no server of this URL, written as in the list; it has {server}.\n")


def test_a_socket_that_is_not_there_is_told_so(tmp_path):
    url = f"unix:{tmp_path}/none"
    done = culvert("tokens", "list", "--url", url, env={"CULVERT_ADMIN_TOKEN": "x" * 20, "PATH": ""})
    assert done.returncode == 1
    assert done.stderr.startswith(f"{url} cannot be reached: No such file or directory; ")


def test_an_option_is_suggested_only_if_it_is_near():
    far = culvert("tokens", "list", "--frob")
    assert far.returncode == 64 and far.stderr.startswith("Error: Unknown option '--frob'\nUsage: culvert tokens list ")
    near = culvert("tokens", "list", "--sbject", "x")
    assert near.returncode == 64 and "Unknown option '--sbject'. Did you mean '--subject'?" in near.stderr
    for text in ("--help", "--version"):
        assert culvert(text).returncode == 0


def test_a_path_that_opens_nothing_is_minted_with_a_warning(backend, make_edge):
    edge = make_edge(backend.port)
    restart(edge, ("  - path: /\n", "  - path: /chat\n"))
    where = ["--url", f"http://127.0.0.1:{edge.admin_port}", "--token-file", edge.folder / "culvert.admin-token"]
    for paths, warnings in [(["/chat"], []), (["/"], []), (["/chat/room"], []),
                            (["/chat/*"], ["/chat/*: a star stands for itself"]),
                            (["/chat", "/chta"], ["/chta: no route of the configuration has such a path"])]:
        routes = [word for path in paths for word in ("--route", path)]
        done = culvert("tokens", "mint", "--subject", "a", *routes, *where)
        assert done.returncode == 0 and done.stdout.startswith("cvt_"), done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
        assert len(said) == len(warnings)
        assert all(line.startswith(f"warning: --route {text}") for line, text in zip(said, warnings))
        answer = json.loads(culvert("tokens", "mint", "--subject", "a", *routes, *where, "--json").stdout)
        assert len(answer["warnings"]) == len(warnings)


def test_lists_are_filtered_by_server_and_by_revocation(run, backend):
    run("tokens", "mint", "--subject", "gone", "--id", "gone"), run("tokens", "revoke", "gone")
    ids = {word: [line.split()[0] for line in run("tokens", "list", "--revoked", word).stdout.splitlines()[1:]]
           for word in ("true", "false")}
    assert ids["true"] == ["gone"] and "alice" in ids["false"] and "gone" not in ids["false"]
    secret = run("tokens", "mint", "--subject", "ivy").stdout.strip()

    def act():
        for url, count in [(f"ws://127.0.0.1:{backend.port}", 1), ("ws://127.0.0.1:1", 0)]:
            assert len(run("sessions", "list", "--server", url).stdout.splitlines()) == 1 + count
        wrong = run("sessions", "list", "--address", "foo", code=1).stderr
        assert wrong.startswith("400: address is an IP address, such as ")
        assert len(run("sessions", "list", "--address", "::ffff:127.0.0.1").stdout.splitlines()) == 2
        run("sessions", "close", "--server", f"ws://127.0.0.1:{backend.port}")

    assert asyncio.run(closing(run.edge, secret, act)) == (1001, "closed by the operator")


def test_the_status_of_a_drain_has_no_plan(run):
    for plan in (["--delay", "5s"], ["--code", "1012"]):
        assert "--status starts no drain" in run("drain", "--status", *plan, code=64).stderr
    table = run("drain", "--status").stdout.splitlines()
    assert table[1].split()[:3] == ["none", "0", "-"]


def test_a_wrong_state_of_a_server_is_named(run):
    [row] = run("upstreams", "list").stdout.splitlines()[1:2]
    wrong = run("upstreams", "set", *row.split()[:2], "drain", code=1).stderr
    assert wrong.startswith("400: the state drain: ")


def test_limits_are_shown_with_what_they_have_refused(run):
    assert httpx.post(f"http://127.0.0.1:{run.edge.plain_port}/_poll").status_code == 401
    rows = [line.split() for line in run("limits").stdout.splitlines()]
    assert rows[0] == ["SCOPE", "LIMIT", "MOST", "NOW", "REFUSED"]
    assert ["http", "parked"] in [row[:2] for row in rows] and ["process", "sessions"] == rows[1][:2]
    counted = json.loads(run("limits", "--json").stdout)["denials"]["reasons"]
    assert counted == {"token_missing": 1}
    assert {row[1]: int(row[-1]) for row in rows if row[0] == "reason"} == counted


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


def test_the_table_of_a_reload_says_what_was_added_and_what_was_kept(run):
    titles = re.split(r" {2,}", run("reload").stdout.splitlines()[0])
    assert titles == ["CHANGED", "NEEDS RESTART", "LISTENERS ADDED", "LISTENERS REMOVED", "SESSIONS KEPT",
                      "SESSIONS CLOSED"]


def test_every_error_of_a_reload_has_its_line_and_column(run):
    config = run.edge.config
    config.write_text(config.read_text().replace("session: {", "session: { hold: 25, ping: 25,"))
    lines = run("reload", code=1).stderr.splitlines()
    assert re.match(r"422: Nothing has changed: .*proxy\.yaml:\d+:\d+: session\.hold: ", lines[0])
    assert re.match(r"  .*proxy\.yaml:\d+:\d+: session\.ping: ", lines[1])


def test_the_version_is_that_of_the_api(run):
    assert culvert("--version").stdout.strip() == Admin(run.edge).get("/v1/version").json()["version"]


def test_shells_complete_the_commands():
    assert "--generate-completion-script" in culvert("--help").stdout
    assert "\\-\\-generate\\-completion\\-script" in culvert("manual").stdout
    for shell in ("bash", "zsh", "fish"):
        assert "rotate" in culvert("--generate-completion-script", shell).stdout


def test_the_manual_page_has_every_command_and_option():
    page = culvert("manual").stdout
    assert page.startswith(".TH CULVERT 1 ") and '.SS "culvert tokens rotate \\fIid\\fR"' in page

    def walk(command, name):
        for argument in command.get("arguments", ()):
            if argument["valueName"] not in ("help", "version") and argument["shouldDisplay"]:
                word = argument["valueName"] if argument["kind"] == "positional" else argument["preferredName"]["name"]
                assert word.replace("-", "\\-") in page, f"{name}: {word}"
        for child in command.get("subcommands", ()):
            if child["commandName"] != "help":
                assert f'{name} {child["commandName"]}' in page
                walk(child, f'{name} {child["commandName"]}')

    walk(json.loads(culvert("--experimental-dump-help").stdout)["command"], "culvert")
    if renderer := shutil.which("groff"):
        done = subprocess.run([renderer, "-man", "-Tutf8", "-ww"], input=page, capture_output=True, text=True)
        # Bold letters are printed twice.
        printed = re.sub(".\x08", "", done.stdout)
        assert done.returncode == 0 and not done.stderr and "tokens rotate" in printed


# --- what the audit log says -----------------------------------------------------------------------------------------

def test_the_audit_log_says_why(run):
    secret = run("tokens", "mint", "--subject", "kim", "--id", "kim").stdout.strip()

    def act():
        [row] = [line for line in run("sessions", "list", "--subject", "kim").stdout.splitlines() if "kim" in line]
        run("sessions", "close", row.split()[0], "--code", "4000", "--reason", "see you")

    asyncio.run(closing(run.edge, secret, act))
    with Admin(run.edge) as admin:
        assert admin.patch("/v1/tokens/kim", json={"note": "n", "expires": None}).status_code == 200
    run("tokens", "revoke", "kim", "--reason", "laptop lost")
    items = json.loads(run("audit", "--json").stdout)["items"]
    details = {item["action"]: item["detail"] for item in items}
    assert details["token.revoke"] == "laptop lost"
    assert details["session.close"] == "code 4000, see you"
    assert details["token.change"] == "expires note"


# --- times -----------------------------------------------------------------------------------------------------------

def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


@pytest.mark.parametrize("text,seconds", [("24h", 86400), ("90s", 90), ("1.5m", 90), ("1500ms", 1.5)])
def test_the_end_of_a_token_may_be_a_duration(run, text, seconds):
    before = datetime.datetime.now(datetime.timezone.utc)
    minted = json.loads(run("tokens", "mint", "--subject", "lea", "--expires", text, "--json").stdout)
    after = datetime.datetime.now(datetime.timezone.utc)
    span = datetime.timedelta(seconds=seconds)
    second = datetime.timedelta(seconds=1)
    # The API counts in whole seconds, and the command rounds up.
    assert before + span <= moment(minted["expires"]) <= after + span + second


def test_a_time_that_is_neither_a_moment_nor_a_duration_is_refused(run):
    assert run("tokens", "mint", "--subject", "a", "--expires", "1d", code=1).stderr.startswith("--expires: expected")
    wrong = run("tokens", "mint", "--subject", "a", "--expires", "30d", code=1).stderr
    assert "2027-01-01T00:00:00Z" in wrong and wrong.endswith(": write 720h\n")


# --- where the API is ------------------------------------------------------------------------------------------------

def test_the_configuration_says_where_the_api_and_its_token_are(run, tmp_path):
    edge = run.edge
    done = culvert("tokens", "list", "--config", edge.config, cwd=tmp_path)
    assert done.returncode == 0 and "alice" in done.stdout, done.stderr
    done = culvert("tokens", "list", cwd=edge.folder)  # proxy.yaml of the current folder.
    assert done.returncode == 0 and "alice" in done.stdout, done.stderr
    # A mistake elsewhere in the file is none of the command's business.
    edge.config.write_text(edge.config.read_text().replace("session: {", "session: { hold: 25,"))
    assert culvert("tokens", "list", "-c", edge.config, cwd=tmp_path).returncode == 0
    # Options take its place.
    done = culvert("tokens", "list", "-c", edge.config, "--url", "http://127.0.0.1:1", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("http://127.0.0.1:1 cannot be reached: Connection refused")


def test_a_command_that_a_changed_section_admin_leads_astray_says_so(run, tmp_path):
    """A reload is often the first command after a change of the file, and the section admin of the process stays as it was."""
    edge = run.edge
    text = edge.config.read_text()
    words = f"if the section admin of {edge.config} has changed since the process started, name the address of the process " \
            "with --url and the file of its token with --token-file"
    edge.config.write_text(text.replace(f"127.0.0.1:{edge.admin_port}", f"127.0.0.1:{free_port()}"))
    done = culvert("reload", "--dry-run", "--config", edge.config)
    assert done.returncode == 1 and "cannot be reached" in done.stderr and words in done.stderr, done.stderr
    options = ["--url", f"http://127.0.0.1:{edge.admin_port}", "--token-file", edge.folder / "culvert.admin-token"]
    assert culvert("reload", "--dry-run", "--config", edge.config, *options).returncode == 0
    admin = f'admin: {{ address: "127.0.0.1:{edge.admin_port}"'
    assert admin in text
    (tmp_path / "other").write_text("this-is-another-admin-token\n")
    for file, fault in (("none", "cannot be read"), ("other", "401: ")):
        edge.config.write_text(text.replace(admin, f"{admin}, token_file: {tmp_path / file}"))
        done = culvert("reload", "--config", edge.config)
        assert done.returncode == 1 and fault in done.stderr and words in done.stderr, done.stderr
    done = culvert("reload", "--config", edge.config, "--url", "http://127.0.0.1:1", "--token-file", tmp_path / "other")
    assert done.returncode == 1 and words not in done.stderr


@pytest.mark.parametrize("address,where", [
    ("unix:admin.sock", "unix:{folder}/admin.sock"), ("0.0.0.0:{port}", "http://127.0.0.1:{port}"),
    ('"[::]:{port}"', "http://[::1]:{port}"), ("localhost:{port}", "http://localhost:{port}"),
])
def test_an_address_of_the_configuration_is_one_to_call(tmp_path, address, where):
    port = free_port()
    (tmp_path / "proxy.yaml").write_text(f"admin: {{ address: {address.format(port=port)}, token_file: t }}\n")
    (tmp_path / "t").write_text("a-token-of-some-length\n")
    done = culvert("tokens", "list", "--config", tmp_path / "proxy.yaml")
    place = where.format(port=port, folder=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(f"{place} cannot be reached: "), done.stderr
    assert "error" not in done.stderr.lower() and "descriptor" not in done.stderr


@pytest.mark.parametrize("text,why", [
    ("admin: { address: none }", "the admin API is switched off"), ("admin: { address: 127.0.0.1:0 }", "--url"),
    ("admin: { address: 9901 }", ":1:19: admin.address: expected an address and port"), ("- a", "expected a mapping"),
])
def test_a_configuration_that_does_not_say_where_is_told(tmp_path, text, why):
    (tmp_path / "proxy.yaml").write_text(text + "\n")
    done = culvert("tokens", "list", "--config", tmp_path / "proxy.yaml")
    assert done.returncode == 1 and why in done.stderr and "proxy.yaml" in done.stderr
    missing = culvert("tokens", "list", "--config", tmp_path / "none.yaml")
    assert missing.returncode == 1 and "none.yaml:1:1: cannot be read: No such file" in missing.stderr


NOBODY = 65534
PLAIN = "admin: {{ address: '127.0.0.1:{port}' }}\n"


def linked_by_a_stranger(folder):
    (folder / "proxy.yaml").rename(folder / "other.yaml")
    (folder / "proxy.yaml").symlink_to("other.yaml")
    os.chown(folder / "proxy.yaml", NOBODY, NOBODY, follow_symlinks=False)


def linked_by_root(folder):
    (folder / "proxy.yaml").rename(folder / "other.yaml")
    (folder / "proxy.yaml").symlink_to("other.yaml")


def for_another_group(folder):
    os.chown(folder / "proxy.yaml", -1, NOBODY)
    (folder / "proxy.yaml").chmod(0o664)


def a_pipe(folder):
    (folder / "proxy.yaml").unlink()
    os.mkfifo(folder / "proxy.yaml")


# The content of proxy.yaml in the current folder, what is done to it, and whether the token goes to the address in it.
UNNAMED = {
    "a plain file": (PLAIN, None, True),
    "a file that its own group may write": (PLAIN, lambda folder: (folder / "proxy.yaml").chmod(0o664), True),
    "a link of root": (PLAIN, linked_by_root, True),
    "localhost": ("admin: {{ address: 'localhost:{port}' }}\n", None, True),
    "every address": ("admin: {{ address: '0.0.0.0:{port}' }}\n", None, True),
    "a Unix socket": ("admin: {{ address: 'unix:{port}' }}\n", None, True),
    "another machine": ("admin: {{ address: '192.0.2.1:{port}' }}\n", None, False),
    "a name of another machine": ("admin: {{ address: 'a.invalid:{port}' }}\n", None, False),
    "a file for everybody to write": (PLAIN, lambda folder: (folder / "proxy.yaml").chmod(0o666), False),
    "a file for another group to write": (PLAIN, for_another_group, False),
    "a file of another user": (PLAIN, lambda folder: os.chown(folder / "proxy.yaml", NOBODY, NOBODY), False),
    "a link of another user": (PLAIN, linked_by_a_stranger, False),
    "a folder for everybody to write": (PLAIN, lambda folder: folder.chmod(0o1777), False),
    "a folder of another user": (PLAIN, lambda folder: os.chown(folder, NOBODY, NOBODY), False),
    "a pipe": (PLAIN, a_pipe, False),
}


@pytest.mark.parametrize("name", UNNAMED)
def test_a_file_that_was_not_named_says_where_the_token_goes_only_if_no_stranger_wrote_it(name):
    """Without that file the command asks at the default address."""
    if os.geteuid() != 0:
        pytest.skip("only root gives a file to another user")
    text, change, counts = UNNAMED[name]
    port = free_port()
    # Other users can reach the folder, unlike pytest's.
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        folder.chmod(0o755)
        (folder / "proxy.yaml").write_text(text.format(port=port))
        if change:
            change(folder)
        done = culvert("tokens", "list", cwd=folder, env={**os.environ, "CULVERT_ADMIN_TOKEN": "x" * 20})
    assert done.returncode == 1
    assert (f"{port} cannot be reached" in done.stderr) == counts, done.stderr
    assert ("http://127.0.0.1:9901 cannot be reached" in done.stderr) != counts, done.stderr
    assert ("proxy.yaml in the current folder was passed over: " in done.stderr) != counts, done.stderr


def test_a_command_in_a_folder_without_a_configuration_says_that_there_is_none(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "CULVERT_ADMIN_TOKEN"}
    words = "there is no proxy.yaml in the current folder; name the configuration of the running process with --config"
    done = culvert("tokens", "list", cwd=tmp_path, env=environment)
    assert done.returncode == 1 and "give --token-file" in done.stderr and words in done.stderr, done.stderr
    done = culvert("tokens", "list", "--url", f"http://127.0.0.1:{free_port()}", cwd=tmp_path,
                   env={**environment, "CULVERT_ADMIN_TOKEN": "x" * 20})
    assert done.returncode == 1 and "cannot be reached" in done.stderr and words not in done.stderr, done.stderr


@pytest.mark.parametrize("environment", [{}, {"SSL_CERT_FILE": "here.pem"}], ids=["", "SSL_CERT_FILE"])
def test_a_certificate_that_is_not_trusted_is_told_with_what_the_command_has(tmp_path, environment):
    """The command has no key `ca`, and does not read SSL_CERT_FILE."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_certificate(tmp_path, "here"))
    server = Backend(ssl=context)
    try:
        done = culvert(
            "sessions", "list", "--url", f"https://localhost:{server.port}", cwd=tmp_path,
            env={**os.environ, "CULVERT_ADMIN_TOKEN": "x" * 20, **environment})
    finally:
        server.stop()
    assert done.returncode == 1 and "certificate is not trusted" in done.stderr, done.stderr
    assert "update-ca-certificates" in done.stderr and "SSL_CERT_FILE is not read" in done.stderr
    assert '"ca"' not in done.stderr and "see that Culvert runs" not in done.stderr


def test_a_file_that_holds_no_token_is_not_shown(run, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("first secret line\nsecond secret line\n")
    done = culvert("tokens", "list", "--url", f"http://127.0.0.1:{run.edge.admin_port}", "--token-file", wrong)
    assert done.returncode == 1 and f"the text in the file {wrong} is no admin token" in done.stderr
    assert "secret" not in done.stderr


# --- JSON Web Tokens -------------------------------------------------------------------------------------------------

@pytest.fixture
def jwt(backend, make_edge):
    configured = Key("ES256", "configured")
    keys = [{"id": "configured", "algorithm": "ES256", "pem": configured.pem}]
    edge = make_edge(backend.port, authentication=section(keys=keys))

    def jwt(*arguments, code=0, **options):
        done = culvert("jwt", *arguments, "--config", edge.config, **options)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    jwt.edge = edge
    return jwt


def test_keys_of_jwts_are_added_retired_and_deleted(jwt, tmp_path):
    file = tmp_path / "new.pem"
    file.write_text(Key("ES256", "new").pem)
    rows = jwt("keys", "add", file, "--id", "new", "--algorithm", "ES256", "--note", "of 2027").splitlines()
    assert rows[0].split()[:3] == ["ID", "ALGORITHM", "SOURCE"] and rows[1].split()[:3] == ["new", "ES256", "store"]
    assert {line.split()[0] for line in jwt("keys", "list").splitlines()[1:]} == {"configured", "new"}
    [row] = jwt("keys", "retire", "new", "--overlap", "1h").splitlines()[1:]
    assert re.search(r"\d{4}-\d\d-\d\dT", row)
    jwt("keys", "delete", "new")
    assert "new" not in jwt("keys", "list")
    assert jwt("keys", "add", file, "--id", "new", code=1).startswith("400: --algorithm: missing")
    missing = jwt("keys", "add", tmp_path / "none", "--id", "x", code=1)
    assert missing.endswith("none: cannot be read: No such file or directory\n")
    file.write_text("no key")
    assert jwt("keys", "add", file, "--id", "x", "--algorithm", "ES256", code=1).startswith(f"400: {file}: ")
    assert jwt("keys", "delete", "configured", code=1).startswith("409: ")


def test_a_jwk_is_added_from_standard_input(jwt):
    text = json.dumps(Key("EdDSA", "of-a-jwk").jwk)
    assert "of-a-jwk" in jwt("keys", "add", "-", input=text)


def test_jwts_are_revoked_and_revocations_taken_back(jwt):
    assert "kim" in jwt("revoke", "--subject", "kim", "--until", "24h")
    assert "an-id" in jwt("revoke", "--jti", "an-id", "--until", "2099-01-01T00:00:00Z")
    rows = jwt("revocations").splitlines()
    assert rows[0].split() == ["JTI", "SUBJECT", "BEFORE", "UNTIL"] and len(rows) == 3
    jwt("unrevoke", "--subject", "kim")
    assert "kim" not in jwt("revocations") and "an-id" in jwt("revocations")
    assert jwt("unrevoke", "--subject", "kim", code=1).startswith("404: ")
    assert jwt("revoke", "--jti", "x", "--until", "2020-01-01T00:00:00Z", code=1).startswith("400: --until: ")
    jwt("revoke", "--until", "1h", code=64)
    jwt("revoke", "--subject", "a", "--jti", "b", "--until", "1h", code=64)
    jwt("revoke", "--jti", "b", code=64)
    lines = culvert("audit", "--config", jwt.edge.config).stdout
    assert "jwt.revoke" in lines and "until 2099-01-01T00:00:00Z" in lines


# --- a configuration from standard input -----------------------------------------------------------------------------

def test_check_reads_standard_input(edge):
    text = edge.config.read_text()
    checked = culvert("check", "-c", "-", input=text, cwd=edge.folder)
    # Paths are those of the folder, which is that of the file, or the current one.
    folder, from_file = f"{edge.folder}/", culvert("check", "-c", edge.config)
    assert checked.returncode == 0
    assert checked.stdout.replace(folder, "") == from_file.stdout.replace(folder, "")
    broken = culvert("check", "--config", "-", input=text.replace("session: {", "session: { hold: 25,"))
    assert broken.returncode == 1 and re.match(r"standard input:\d+:\d+: session\.hold: ", broken.stderr)
    assert "standard input:1:1: the file is empty" in culvert("check", "--config", "-", input="").stderr


def test_serve_reads_standard_input_and_is_not_ended_by_a_reload(backend, make_edge):
    edge = make_edge(backend.port)
    text = edge.config.read_text()
    edge.stop()
    edge.forget()
    edge.process = subprocess.Popen(
        [BIN, "serve", "--config", "-"], cwd=edge.folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True, env={**os.environ, "SWIFT_BACKTRACE": "enable=no"})
    edge.follow(edge.process.stderr)
    edge.process.stdin.write(text)
    edge.process.stdin.close()
    wait_for(lambda: edge.process.poll() is not None or edge.is_healthy(edge), what="the edge to be healthy")
    edge.process.send_signal(1)
    [event] = edge.expect_events("SIGHUP ignored")
    assert "standard input" in event["reason"]
    with Admin(edge) as admin:
        assert admin.post("/v1/reload").status_code == 409
    assert edge.process.poll() is None and edge.stop() == 0

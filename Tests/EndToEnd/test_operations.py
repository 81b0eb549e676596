"""The runbooks of docs/operations.md work as they are written, and long operations answer as openapi.json says."""

import asyncio
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import textwrap

import jsonschema
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from kit.admin import Admin
from kit.edge import BIN, TOKEN, wait_for
from kit.knock import knock
from kit.poll import client, open_session

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENT = json.loads((ROOT / "docs/openapi.json").read_text())
RUNBOOKS = (ROOT / "docs/operations.md").read_text()


def blocks(section, language="sh"):
    """What stands in fences of a section."""
    text = RUNBOOKS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [textwrap.dedent(block) for block in re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.M | re.S)]


class Shell:
    """Runs blocks of the runbooks with the folder of an edge in place of those of the system."""

    def __init__(self, edge):
        self.edge, self.folder = edge, edge.folder
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        (self.bin / "culvert").symlink_to(BIN)
        (self.folder / "culvert-new").symlink_to(BIN)
        self.functions = re.search(r"```sh\n(ctl\(\).*?)```", RUNBOOKS, re.S)[1]

    def start(self, block, **variables):
        text = f"set -e\n{self.functions}\n{block}\necho \"new=$new\""
        for old, new in (("/usr/local/bin/", f"{self.bin}/"), ("/etc/culvert/", f"{self.folder}/"),
                         ("/var/lib/culvert/admin-token", f"{self.folder}/culvert.admin-token"),
                         ("/var/log/", f"{self.folder}/"), ("127.0.0.1:9901", f"127.0.0.1:{self.edge.admin_port}")):
            text = text.replace(old, new)
        environment = {**os.environ, **variables, "PATH": f"{self.bin}:{os.environ['PATH']}",
                       "SWIFT_BACKTRACE": "enable=no"}
        return subprocess.Popen(
            ["bash", "-c", text], cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def run(self, block, **variables):
        process = self.start(block, **variables)
        out, errors = process.communicate(timeout=30)
        return process.returncode, out, errors


def conforms(answer, schema):
    """What the server is not asked by schemathesis, since it would not be there afterwards."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(answer.json())
    return answer.json()


def dial(edge):
    return connect(
        edge.wss, ssl=edge.ssl, additional_headers={"Authorization": f"Bearer {TOKEN}"}, compression=None,
        ping_interval=None)


def gone(pid):
    """Not our child: whoever inherits it may take its time to take note."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


TAKEOVER = "takeover: culvert.takeover\ndrain: { spread: 2s, deadline: 20s }"


def the_upgrade():
    """The block for a machine without systemd."""
    [block] = [block for block in blocks("Upgrade without refusing a connection") if "--takeover --config" in block]
    return block


def test_an_upgrade_without_systemd(backend, make_edge):
    edge = make_edge(backend.port, sections=TAKEOVER)
    shell = Shell(edge)
    old = edge.process
    new = None

    async def run():
        async with dial(edge) as ws:
            process = shell.start(the_upgrade(), old=str(old.pid))
            async with asyncio.timeout(30):
                with pytest.raises(ConnectionClosed) as closed:
                    await ws.recv()
            assert closed.value.rcvd.code == 1001
        return process

    process = asyncio.run(run())
    try:
        # Its parent is to take note of its end: until then there is still such a process.
        wait_for(lambda: old.poll() is not None, 30, "the old process to end")
        out, errors = process.communicate(timeout=20)
        new = int(re.search(r"^new=(\d+)$", out, re.M)[1])
        assert (process.returncode, old.returncode) == (0, 0), errors
        assert '{"version":' in out
        assert not (shell.bin / "culvert").is_symlink()
        assert knock(edge, "websocket", token=TOKEN).status == 101
    finally:
        if new:
            os.kill(new, signal.SIGTERM)
            wait_for(lambda: gone(new), 20, "the new process to end")


def test_an_upgrade_to_what_cannot_start(backend, make_edge):
    edge = make_edge(backend.port, sections=TAKEOVER)
    with socket.create_server(("127.0.0.1", 0)) as other:
        # For `check` an address in use is no error, since the process that runs has it most often.
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        edge.config.write_text(edge.config.read_text().replace("routes:\n", f"  - address: {busy}\nroutes:\n", 1))
        _, out, errors = Shell(edge).run(the_upgrade(), old=str(edge.process.pid))
        assert "No such process" in errors and "version" not in out
        wait_for(lambda: f"{busy}: " in (edge.folder / "culvert.log").read_text(), what="the log to say why")
    assert knock(edge, "websocket", token=TOKEN).status == 101


def test_an_upgrade_to_what_check_refuses(backend, make_edge):
    edge = make_edge(backend.port, sections=TAKEOVER)
    edge.config.write_text(edge.config.read_text() + "state: /nowhere/culvert.db\n")
    _, out, errors = Shell(edge).run(the_upgrade(), old=str(edge.process.pid))
    assert "state: /nowhere/culvert.db: " in errors and "version" not in out
    assert knock(edge, "websocket", token=TOKEN).status == 101


def test_a_change_of_the_configuration(backend, make_edge):
    edge = make_edge(backend.port)
    shell = Shell(edge)
    [block] = blocks("Change the configuration")
    edge.config.write_text(edge.config.read_text() + "reload: { close_code: 4000 }\n")
    code, out, errors = shell.run(block)
    assert code == 0, errors
    assert "close_code: 4000" in out and edge.expect_events("configuration reloaded")[0]["changed"] == "reload"
    edge.config.write_text(edge.config.read_text() + "drain: { code: 1005 }\n")
    code, _, errors = shell.run("ctl reload")
    assert code == 1 and "drain.code" in errors


def test_a_drain(backend, make_edge):
    edge = make_edge(backend.port)
    [block] = blocks("Drain a node")
    code, out, errors = Shell(edge).run(block + "ctl drain --status\n")
    assert code == 0, errors
    assert out.count("PHASE") == 2 and "delay" in out
    # What would cut it short leaves it alone, the first time.
    edge.process.send_signal(signal.SIGTERM)
    assert edge.process.wait(20) == 0


def test_what_stands_in_the_runbook_for_the_configuration_is_taken(edge, tmp_path):
    [text] = blocks("Deploy with systemd", "yaml")
    # The path of a socket has at most 107 bytes.
    for place, name in (("/var/lib/culvert", "state"), ("/run/culvert", "run")):
        assert place in text
        (tmp_path / name).mkdir()
        text = text.replace(place, str(tmp_path / name))
    rest = re.sub(r"^admin: .*\n", "", edge.config.read_text(), flags=re.M)
    (tmp_path / "proxy.yaml").write_text(rest + text)
    done = subprocess.run(
        [BIN, "check", "--config", tmp_path / "proxy.yaml"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stderr


def test_the_documented_function_sends_a_body(backend, make_edge):
    edge = make_edge(backend.port)
    url = "http://127.0.0.1:9901/v1/tokens"
    code, out, errors = Shell(edge).run(f"""api {url} -d '{{"subject": "a", "routes": ["/"]}}'; echo; api {url}""")
    assert code == 0, errors
    minted, listed = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert minted["secret"].startswith("cvt_") and minted["id"] in [token["id"] for token in listed["items"]]


def test_drains_answer_as_the_document_says(backend, make_edge):
    edge = make_edge(backend.port)
    with Admin(edge) as admin, client(edge) as http:
        assert conforms(admin.get("/v1/drain"), "Drain")["phase"] == "none"
        assert conforms(admin.post("/v1/drain", json={"spread": "soon"}), "Problem")["status"] == 400
        assert conforms(admin.post("/v1/drain", content="spread=1s"), "Problem")["status"] == 415
        at = open_session(http)
        conforms(admin.post("/v1/drain", json={"spread": "2s", "deadline": "20s", "code": 1012}), "Drain")
        wait_for(lambda: admin.get("/v1/drain").json()["phase"] == "closing", what="closing to begin")
        assert conforms(admin.get("/v1/drain"), "Drain")["sessions_at_start"] == 1
        assert conforms(admin.get("/healthz"), "Health")["status"] == "draining"
        assert conforms(admin.post("/v1/drain"), "Problem")["status"] == 409
        assert http.get(at).json()["close"]["code"] == 1012
    assert edge.process.wait(30) == 0


def test_reloads_and_certificates_answer_as_the_document_says(backend, make_edge):
    edge = make_edge(backend.port)
    text = edge.config.read_text()
    with Admin(edge) as admin, socket.socket() as taken:
        for item in admin.get("/v1/certificates").json()["items"]:
            jsonschema.Draft202012Validator(
                {"$ref": "#/components/schemas/Certificate", "components": DOCUMENT["components"]}).validate(item)
        edge.config.write_text(text.replace("log: { format: json }", "log: { format: text }"))
        assert conforms(admin.post("/v1/reload"), "ReloadReport")["needs_restart"] == ["log"]
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        edge.config.write_text(
            text.replace("routes:", f"  - address: 127.0.0.1:{taken.getsockname()[1]}\nroutes:", 1))
        for dry_run in (True, False):
            answer = conforms(admin.post("/v1/reload", params={"dry_run": dry_run}), "Problem")
            assert (answer["status"], answer["type"]) == (409, "urn:culvert:problem:config_unusable")
        edge.config.write_text(text + "drian: {}\nreload: { watch: 5 }\n")
        answer = conforms(admin.post("/v1/reload"), "ConfigProblem")
        assert answer["status"] == 422
        assert [error["key"] for error in answer["errors"]] == ["drian", "reload.watch"]
        assert {error["file"] for error in answer["errors"]} == {str(edge.config)}

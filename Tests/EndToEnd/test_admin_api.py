"""The admin API is what its document says, and is reached in every way that the configuration offers."""

import json
import pathlib
import re
import ssl
import stat
import subprocess
import sys

import httpx
import pytest

from kit.admin import Admin
from kit.edge import make_certificate
from kit.process import whole_log

DOCUMENT = pathlib.Path(__file__).parents[2] / "docs/openapi.json"


def test_the_document_is_served_as_it_stands_in_docs(edge):
    with Admin(edge) as admin:
        assert admin.get("/openapi.json").json() == json.loads(DOCUMENT.read_text())


@pytest.mark.parametrize("phases", ["examples,coverage", "fuzzing,stateful"])
def test_every_answer_is_what_the_document_says(backend, make_edge, phases):
    edge = make_edge(backend.port)
    with Admin(edge) as admin:
        # What a schema cannot say (a reference to another member, a time that must be in the future) is left out. So is
        # what would end the server: the answers of POST /v1/drain are looked at in test_operations.py.
        done = subprocess.run(
            [pathlib.Path(sys.executable).parent / "schemathesis", "run", DOCUMENT, "--url", str(admin.base_url),
             "--header", f"Authorization: {admin.headers['Authorization']}", "--phases", phases, "--max-examples", "25",
             "--exclude-checks", "positive_data_acceptance", "--exclude-operation-id", "drain",
             "--seed", "7", "--no-color"],
            capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout[-6000:]
        assert admin.get("/healthz").json()["status"] == "ok"


def test_health_needs_no_token_and_everything_else_does(edge):
    with httpx.Client(base_url=f"http://127.0.0.1:{edge.admin_port}", timeout=30) as http:
        assert http.get("/healthz").json()["status"] == http.get("/readyz").json()["status"] == "ok"
        paths = json.loads(DOCUMENT.read_text())["paths"]
        for path, operations in paths.items():
            for method in operations.keys() - {"parameters"}:
                if path not in ("/healthz", "/readyz"):
                    answer = http.request(method.upper(), re.sub("{.*?}", "x", path))
                    assert answer.status_code == 401, path
                    assert answer.headers["www-authenticate"].startswith("Bearer ")


def test_a_wrong_token_is_answered_with_another_text_than_none(edge):
    url = f"http://127.0.0.1:{edge.admin_port}/v1/version"
    real = (edge.folder / "culvert.admin-token").read_text().strip()
    none = httpx.get(url)
    wrong = [httpx.get(url, headers={"Authorization": text})
             for text in ("Bearer x", f"Bearer {real[:-1]}", f"Basic {real}", "Bearer")]
    assert {answer.status_code for answer in [none, *wrong]} == {401}
    assert len({answer.text for answer in wrong}) == 1 and wrong[0].text != none.text
    assert real[:-1] not in wrong[0].text


def test_the_documented_request_with_a_body_mints_a_token(edge):
    [command] = re.findall(r"```sh\n(printf .*?)```", (DOCUMENT.parent / "admin.md").read_text(), re.S)
    command = command.replace("127.0.0.1:9901", f"127.0.0.1:{edge.admin_port}").replace("2030-", "2100-")
    done = subprocess.run(["sh", "-c", command], cwd=edge.folder, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "") and json.loads(done.stdout)["secret"].startswith("cvt_")


def test_a_duration_is_a_string_with_a_unit(edge):
    with Admin(edge) as admin:
        token = admin.mint()
        for path, member in (("/v1/drain", "delay"), (f"/v1/tokens/{token['id']}/rotate", "overlap")):
            for value, words in ((5, 'in a string, such as "500ms", "5s"'), ("5", "with its unit"), ("1d", "write 24h")):
                answer = admin.post(path, json={member: value})
                assert answer.status_code == 400
                [error] = answer.json()["errors"]
                assert error["pointer"] == f"/{member}" and words in error["detail"]


def test_the_configuration_is_shown_without_secrets(edge):
    with Admin(edge) as admin:
        text = admin.get("/v1/config").json()["yaml"]
        assert "query_parameter" in text and "alice" in text and "sha256: \"(redacted)\"" in text


def test_the_admin_token_may_come_from_the_environment(backend, make_edge, monkeypatch):
    monkeypatch.setenv("CULVERT_ADMIN_TOKEN", "a-token-of-the-environment")
    edge = make_edge(backend.port)
    assert not (edge.folder / "culvert.admin-token").exists()
    with httpx.Client(base_url=f"http://127.0.0.1:{edge.admin_port}", timeout=30) as http:
        for secret, status in (("a-token-of-the-environment", 200), ("a-token-of-the-environmenT", 401)):
            assert http.get("/v1/tokens", headers={"Authorization": f"Bearer {secret}"}).status_code == status
    assert "a-token-of-the-environment" not in whole_log(edge)


def test_a_unix_socket_is_its_owners(backend, make_edge):
    edge = make_edge(backend.port)
    edge.stop()
    text = edge.config.read_text()
    edge.config.write_text(text.replace(f"127.0.0.1:{edge.admin_port}", "unix:admin.sock"))
    path = edge.folder / "admin.sock"
    secret = (edge.folder / "culvert.admin-token").read_text().strip()
    transport = httpx.HTTPTransport(uds=str(path))
    edge.forget()
    for _ in range(2):
        # The second time a socket is there already, left behind by a process that was killed.
        edge.is_healthy = lambda edge: "admin listening" in edge.text
        edge.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with httpx.Client(transport=transport, base_url="http://culvert") as http:
            answer = http.get("/v1/tokens", headers={"Authorization": f"Bearer {secret}"})
            assert answer.status_code == 200
            assert http.get("/v1/tokens").status_code == 401
        edge.process.kill()
        edge.process.wait(10)
        edge.forget()
        transport = httpx.HTTPTransport(uds=str(path))


@pytest.mark.parametrize("certificate", [True, False], ids=["with a certificate", "without one"])
def test_tls_with_client_certificates(backend, make_edge, tmp_path, certificate):
    cert, key = make_certificate(tmp_path)
    edge = make_edge(
        backend.port, admin=f", tls: {{ certificates: [ {{ certificate: {cert}, key: {key} }} ] }}, client_ca: {cert}",
        healthy=lambda edge: "admin listening" in edge.text)
    context = ssl.create_default_context(cafile=str(cert))
    if certificate:
        context.load_cert_chain(cert, key)
    secret = (edge.folder / "culvert.admin-token").read_text().strip()
    with httpx.Client(base_url=f"https://localhost:{edge.admin_port}", verify=context) as http:
        headers = {"Authorization": f"Bearer {secret}"}
        if certificate:
            assert http.get("/v1/tokens", headers=headers).status_code == 200
        else:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError, httpx.ConnectError)):
                http.get("/v1/tokens", headers=headers)

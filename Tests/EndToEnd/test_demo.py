"""`culvert demo`: what it prints works as it is printed."""

import asyncio
import json
import signal
import socket
import ssl
import stat
import subprocess

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.demo import demo, make_demo  # noqa: F401
from kit.edge import wait_for
from kit.process import culvert


# --- the certificate -------------------------------------------------------------------------------------------------

def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def test_the_certificate_is_for_this_machine_only(demo):
    names = openssl("x509", "-in", demo.certificate, "-noout", "-ext", "subjectAltName").splitlines()[1]
    assert {name.strip() for name in names.split(",")} == {
        "DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"}
    assert openssl("x509", "-in", demo.certificate, "-noout", "-pubkey") == openssl("pkey", "-in", demo.key, "-pubout")


def test_the_key_is_for_its_owner_only(demo):
    assert stat.S_IMODE(demo.key.stat().st_mode) == 0o600
    assert sorted(file.name for file in demo.key.parent.iterdir()) == ["edge.key", "edge.pem"]


def test_the_certificate_is_kept_for_the_next_start(make_demo):
    first = make_demo()
    kept = first.certificate.read_bytes(), first.key.read_bytes()
    assert first.stop() == 0
    again = make_demo()
    assert (again.certificate.read_bytes(), again.key.read_bytes()) == kept
    served = ssl.get_server_certificate(("localhost", again.port), ca_certs=str(again.certificate))
    assert ssl.PEM_cert_to_DER_cert(served) == ssl.PEM_cert_to_DER_cert(kept[0].decode())


def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path):
    (tmp_path / "file").write_text("")
    done = culvert("demo", "--certs", tmp_path / "file" / "certs")
    assert done.returncode == 1 and "NSCocoaErrorDomain" not in done.stderr
    assert f"the development certificate cannot be written: {tmp_path}/file/certs: Not a directory" in done.stderr


def test_a_port_in_use_is_told_with_the_option_for_another(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = culvert("demo", "--port", port, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"port {port} is in use; choose another with --port\n"


# --- what is printed -------------------------------------------------------------------------------------------------

def test_the_pasted_curl_session_runs(demo):
    shell = ["bash", "-e", "-o", "pipefail", "-c", demo.commands]
    ran = subprocess.run(shell, capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, "")
    taken, received = [json.loads(line) for line in ran.stdout.splitlines()]
    assert taken["ack"] == 1
    assert (received["first"], received["messages"]) == (1, [{"text": "hello"}])


def test_the_pasted_session_leaves_the_shells_curl_alone(demo):
    shell = ["bash", "-e", "-o", "pipefail", "-c", demo.commands + "\ntype -t curl"]
    ran = subprocess.run(shell, capture_output=True, text=True, timeout=30)
    assert ran.stdout.splitlines()[-1] == "file"


def test_the_pasted_session_runs_wherever_the_certificate_is(make_demo):
    demo = make_demo(certs="it's $HERE, a (folder)")
    ran = subprocess.run(["sh", "-e", "-c", demo.commands], cwd="/", capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout.splitlines()[-1])["messages"] == [{"text": "hello"}]


def test_the_printed_websocket_url_works(demo):
    async def run():
        async with connect(demo.wss, ssl=demo.ssl) as ws:
            await ws.send("hello")
            assert await asyncio.wait_for(ws.recv(), 5) == "hello"

    asyncio.run(run())


def test_a_cookie_of_another_service_of_the_machine_is_none_of_its_tokens(demo):
    """Browsers send a cookie of localhost to each of its ports."""
    async def run():
        async with connect(demo.wss, ssl=demo.ssl, additional_headers={"Cookie": "culvert_token=another"}) as ws:
            await ws.send("hello")
            assert await asyncio.wait_for(ws.recv(), 5) == "hello"

    asyncio.run(run())


def test_the_printed_token_is_needed(demo):
    async def run():
        with pytest.raises(InvalidStatus) as refused:
            await connect(demo.wss.split("?")[0], ssl=demo.ssl)
        assert refused.value.response.status_code == 401

    asyncio.run(run())


def test_every_start_has_a_token_of_its_own_and_logs_none(make_demo):
    tokens = set()
    for demo in (make_demo(), make_demo()):
        async def run():
            async with connect(demo.wss, ssl=demo.ssl):
                pass

        asyncio.run(run())
        token = demo.wss.split("access_token=")[1]
        tokens.add(token)
        wait_for(lambda: "session ended" in demo.log, what="the end of the session")
        assert demo.stop() == 0
        assert token not in demo.log
    assert len(tokens) == 2


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_demo_says_goodbye_and_leaves_with_0(make_demo, sign):
    demo = make_demo()

    async def run():
        async with connect(demo.wss, ssl=demo.ssl) as ws:
            demo.process.send_signal(sign)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 5)
            assert ws.close_code == 1001

    asyncio.run(run())
    assert demo.process.wait(10) == 0


@pytest.mark.parametrize("names,host", [("DNS:app.example.com,DNS:www.example.com", "app.example.com"),
                                        ("DNS:*.example.com", "demo.example.com"), ("DNS:else.example,DNS:localhost", "localhost")])
def test_with_another_certificate_it_says_for_which_name_and_the_pasted_session_runs(make_demo, tmp_path, names, host):
    folder = tmp_path / "certs"
    folder.mkdir()
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/O=else", "-addext", f"subjectAltName={names}", "-keyout", folder / "edge.key", "-out", folder / "edge.pem")
    issuer = openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", "/O=issuer", "-keyout", tmp_path / "issuer.key")
    with (folder / "edge.pem").open("a") as chain:
        chain.write(issuer)
    demo = make_demo()
    assert "development" not in demo.output and f"{folder}/edge.pem is for {host}." in demo.output
    assert ("/etc/hosts" in demo.output) == (host != "localhost")
    assert demo.page == f"https://{host}:{demo.port}/"
    ran = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", demo.commands], capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert json.loads(ran.stdout.splitlines()[-1])["messages"] == [{"text": "hello"}]


def test_a_certificate_of_somebody_else_is_not_overwritten(make_demo, tmp_path):
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "edge.key").write_text("mine")
    with pytest.raises(AssertionError, match="edge.key is there without"):
        make_demo()
    assert (folder / "edge.key").read_text() == "mine" and not (folder / "edge.pem").exists()

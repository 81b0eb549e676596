"""What the documents show to somebody who writes a client works as it stands."""

import contextlib
import importlib.util
import os
import pathlib
import re
import socket
import subprocess
import sys
import threading

import pytest

from kit.cutter import Cutter
from kit.edge import TOKEN, free_ports

DOCS = pathlib.Path(__file__).parents[2] / "docs"


# --- the curl session of protocol.md ---------------------------------------------------------------------------------

def transcript(document):
    """(command, what it prints) of every `console` block: commands begin with `$ `."""
    steps = []
    for block in re.findall(r"^```console\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL):
        for line in filter(None, block.splitlines()):
            if line.startswith("$ "):
                steps.append((line[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


def run_in_one_shell(commands, folder):
    """What each command prints, line by line; a mark of our own tells where one ends."""
    mark = "-- end of a command --"
    script = "".join(f"{command}\nprintf '%s\\n' '{mark}'\n" for command in commands)
    ran = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    return [part.split("\n")[:-1] for part in ran.stdout.replace(f"{mark}\n", mark).split(mark)[:-1]]


def test_the_curl_session_prints_what_the_document_says(edge, tmp_path):
    steps = transcript(DOCS / "protocol.md")
    said = [lines for _, lines in steps]
    for status in ("201", "200", "409", "204", "410"):
        assert any(lines[-1:] == [status] for lines in said), f"no {status} is shown"

    placed = {"edge.pem": str(edge.cert), "TOKEN": TOKEN, "localhost:8443": f"localhost:{edge.tls_port}"}
    commands = [command for command, _ in steps]
    for word, value in placed.items():
        assert any(word in command for command in commands)
        commands = [command.replace(word, value) for command in commands]

    printed = run_in_one_shell(commands, tmp_path)
    identifier = re.compile(r'"session":"[\w-]{28}"')
    assert any(identifier.search(line) for lines in printed for line in lines)
    printed = [[identifier.sub('"session":"AQAB…"', line) for line in lines] for lines in printed]
    assert list(zip(commands, printed)) == list(zip(commands, said))


# --- the Python client -----------------------------------------------------------------------------------------------

@pytest.fixture
def make_box():
    boxes = []

    def make(edge, **options):
        boxes.append(Cutter(edge, **options))
        return boxes[-1]

    yield make
    for box in boxes:
        box.stop()


RESUME = [sys.executable, DOCS / "examples" / "resume.py"]


def run_resume(edge, url, lines, may_tell=False):
    """What the program prints. It says nothing on standard error, unless it `may_tell` why a request failed."""
    ran = subprocess.run(
        [*RESUME, url, str(edge.cert)],
        input="\n".join(lines), capture_output=True, text=True, timeout=120, env={**os.environ, "TOKEN": TOKEN})
    assert ran.returncode == 0 and (may_tell or not ran.stderr) and "Traceback" not in ran.stderr, ran.stderr
    return ran.stdout.splitlines()


def refuse_resume(url, ca, token=TOKEN):
    """The one line with which the program ends when it is not let in."""
    ran = subprocess.run(
        [*RESUME, url, *filter(None, [ca])], input="hello\nworld", capture_output=True, text=True, timeout=60,
        env={**os.environ, "TOKEN": token})
    assert (ran.returncode, ran.stdout) == (1, ""), ran.stderr
    assert ran.stderr.count("\n") == 1 and ran.stderr.endswith("\n"), ran.stderr
    return ran.stderr


def numbered(count):
    return [f"{n} {'grüße ' * (n % 5)}" .rstrip() for n in range(count)]


def test_the_python_client_speaks_over_a_websocket_lane(edge, make_box):
    box, lines = make_box(edge), numbered(500)
    assert run_resume(edge, f"{box.https}/echo", lines) == lines
    assert (box.upgrades, box.cuts) == (1, 0)


def test_the_python_client_polls_where_no_websocket_gets_through(edge, make_box):
    """It remembers that, for 5 s and then for longer, while one GET follows the other."""
    box, lines = make_box(edge, refuses=lambda upgrade: True), numbered(6000)
    assert run_resume(edge, f"{box.https}/echo", lines) == lines
    assert box.upgrades == 0 and 1 <= box.refused <= 4, box.refused


def test_the_python_client_tries_a_lane_less_and_less_often(monkeypatch):
    spec = importlib.util.spec_from_file_location("resume", DOCS / "examples" / "resume.py")
    resume = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(resume)
    now = 1000.0
    monkeypatch.setattr(resume.time, "monotonic", lambda: now)
    caution, waits = resume.Caution(), []
    for _ in range(9):
        assert caution.is_over
        caution.failed()
        began = now
        while not caution.is_over:
            now += 0.25
        waits.append(now - began)
    for wait, usual in zip(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]):
        assert 0.75 * usual <= wait <= 1.25 * usual + 0.25, waits
    # A lane that works is followed by the next at once.
    caution.failed()
    caution.got_through()
    assert caution.is_over
    caution.failed()
    now += 6.5
    assert caution.is_over


@pytest.mark.parametrize("path", ["", "/", "/chat/", "/chat"])
def test_the_python_client_asks_for_the_path_that_it_was_given(edge, backend, path):
    """A last slash is a part of the path."""
    url = f"{edge.https}{path}"
    assert run_resume(edge, url, ["hello"]) == ["hello"]
    assert backend.requests[-1].path == (path or "/")


@pytest.mark.parametrize("path, token, status", [("/echo", "of nobody", 401), ("/native-only", TOKEN, 404)])
def test_the_python_client_says_why_the_edge_refuses_it_and_ends(edge, path, token, status):
    assert refuse_resume(f"{edge.https}{path}", str(edge.cert), token).startswith(f"{status} ")


def test_the_python_client_ends_when_it_does_not_trust_the_certificate(edge):
    assert refuse_resume(f"{edge.https}/echo", None).startswith("the certificate is not trusted: ")


@contextlib.contextmanager
def hanging_up(port):
    """A server that closes each connection at once."""
    def serve():
        with contextlib.suppress(OSError):
            while True:
                server.accept()[0].close()

    with socket.create_server(("127.0.0.1", port)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_the_python_client_says_once_that_nothing_listens_and_goes_on_when_something_does(edge):
    """It says so again when the reason is another one."""
    (port,) = free_ports(1)
    client = subprocess.Popen([*RESUME, f"https://localhost:{port}/echo", str(edge.cert)], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env={**os.environ, "TOKEN": TOKEN})
    try:
        client.stdin.write("hello")
        client.stdin.close()
        said = [client.stderr.readline()]
        with hanging_up(port):
            said.append(client.stderr.readline())
        box = Cutter(edge, port=port)
        try:
            assert client.stdout.readline() == "hello\n" and client.wait(30) == 0
        finally:
            box.stop()
        said += client.stderr.readlines()
    finally:
        client.kill()
        client.wait()
    assert all(line.startswith(f"cannot reach https://localhost:{port}/echo, still trying: ") for line in said), said
    assert "Connect call failed" in said[0] and all(a != b for a, b in zip(said, said[1:])), said


@pytest.mark.parametrize("refuses", [lambda upgrade: False, lambda upgrade: upgrade % 2], ids=["cut", "cut, refused"])
def test_the_python_client_loses_and_doubles_nothing_on_a_bad_network(backend, make_edge, make_box, refuses):
    """Every connection breaks after some bytes; where upgrades are refused too, requests go on until one is not."""
    # A buffer bounds a batch: one that is longer than any connection lasts would never arrive.
    edge, lines = make_edge(backend.port, session="buffer: 16KiB"), numbered(4000)
    box = make_box(edge, seed=1, cut_after=(8_000, 60_000), refuses=refuses)
    assert run_resume(edge, f"{box.https}/echo", lines, may_tell=True) == lines
    assert box.cuts >= 2, box.cuts
    assert box.refused >= 1 if refuses(1) else box.upgrades >= 2, (box.refused, box.upgrades)

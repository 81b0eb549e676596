"""Attacks on the handing over of sockets: another user's process at the path, or at the socket, and sockets that are not
what they are said to be."""

import os
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from kit.edge import BIN, TOKEN, wait_for
from kit.knock import knock
from kit.stray import ENVIRONMENT, Pipe, end, launch, wait_until_healthy

NOBODY = 65534
ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


class Liar:
    """Listens at the path of an edge that is not there, and hands over what it likes."""

    def __init__(self, path, messages):
        self.messages, self.heard = messages, []
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(path))
        self.socket.listen(4)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(20)
                self.heard.append(connection.recv(100))
                try:
                    for text, sockets in self.messages:
                        socket.send_fds(connection, [text.encode()], [s if isinstance(s, int) else s.fileno() for s in sockets])
                    connection.send(b"end")
                    self.heard.append(connection.recv(100))
                    connection.send(b"done")
                except OSError:
                    pass

    def stop(self):
        # close() alone leaves the thread in accept(), and with it the sockets of `messages` open.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.fixture
def gone(backend, make_edge):
    """An edge that may be taken over, and does not run."""
    edge = make_edge(backend.port, sections="takeover: culvert.takeover")
    edge.stop()
    yield edge
    end(edge.process)


def succeed(edge):
    """`serve --takeover`: gives its log once it has ended, or None once it serves."""
    pipe = Pipe()
    launch(edge, pipe.write_end, arguments=("serve", "--takeover"))
    os.close(pipe.write_end)
    pipe.drain(lambda text: b'"admin listening"' in text)
    wait_for(lambda: edge.process.poll() is not None or edge._healthy(), 20, "an end or a beginning")
    return pipe.drain().decode() if edge.process.poll() is not None else None


def answers(s):
    """Whether anybody accepts at a listening socket and says something."""
    try:
        with socket.create_connection(s.getsockname()[:2], timeout=2) as c:
            c.settimeout(1)
            c.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return bool(c.recv(100))
    except OSError:
        return False


# --- whose process it is ---------------------------------------------------------------------------------------------

# Another user's process at a path, with a socket of its own for each name that it is given.
STRANGER = """
import os, socket, sys
path, names = sys.argv[1], sys.argv[2:]
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.bind(path); os.chmod(path, 0o777); s.listen(5)
print("ready", flush=True)
kept = [socket.create_server(("127.0.0.1", 0)) for _ in names]
while True:
    c, _ = s.accept(); c.settimeout(10)
    said = c.recv(100)
    print("heard", said, flush=True)
    if said:
        for name, server in zip(names, kept):
            socket.send_fds(c, [name.encode()], [server.fileno()])
        c.send(b"end")
        print("then heard", c.recv(100), flush=True)
"""


@ROOT
def test_another_users_process_at_the_path_is_asked_for_nothing(gone):
    folder = tempfile.mkdtemp(prefix="culvert-attack-")
    os.chmod(folder, 0o1777)
    path = f"{folder}/takeover.sock"
    gone.config.write_text(gone.config.read_text().replace("takeover: culvert.takeover", f"takeover: {path}"))
    stranger = subprocess.Popen(
        [sys.executable, "-c", STRANGER, path, f"listener 127.0.0.1:{gone.plain_port}",
         f"admin 127.0.0.1:{gone.admin_port}"], stdout=subprocess.PIPE, text=True)
    try:
        assert stranger.stdout.readline() == "ready\n"
        log = succeed(gone)
        print(log)
        assert gone.process.returncode == 1
        assert f"uid {NOBODY}" in log and path in log
        # It was told nothing: not even that a takeover was wanted.
        assert stranger.stdout.readline() == "heard b''\n"
    finally:
        stranger.kill()
        stranger.wait()


@ROOT
def test_another_user_at_the_socket_is_given_nothing(backend, make_edge):
    folder = tempfile.mkdtemp(prefix="culvert-attack-")
    os.chmod(folder, 0o755)
    edge = make_edge(backend.port, sections=f"takeover: {folder}/takeover.sock")
    # As if the mode were looser than it is, and the folder open.
    os.chmod(f"{folder}/takeover.sock", 0o777)
    code = (f"import os, socket; os.setgid({NOBODY}); os.setuid({NOBODY})\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(10)\n"
            f"s.connect('{folder}/takeover.sock')\n"
            "try:\n"
            "    s.send(b'takeover 1')\n"
            "    print(socket.recv_fds(s, 512, 200)[:2])\n"
            "except (BrokenPipeError, ConnectionResetError):\n"  # Closed before it could speak.
            "    print((b'', []))")
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert got.stdout == "(b'', [])\n", (got.stdout, got.stderr)
    [event] = edge.expect_events("takeover failed; nothing has changed")
    assert f"uid {NOBODY}" in event["reason"]
    # The next is served: its owner.
    successor = subprocess.Popen([BIN, "serve", "--takeover", "--config", str(edge.config)], env=ENVIRONMENT)
    try:
        assert edge.process.wait(30) == 0
    finally:
        end(successor)


# --- what the sockets are --------------------------------------------------------------------------------------------

def listening(host="127.0.0.1", port=0, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind((host, port))
    s.listen(16)
    return s


def bound(kind, port):
    s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.bind(("127.0.0.1", port))
    return s


KEPT = []


def connection(port):
    """An end of a connection: its own address is that of the listener."""
    with listening(port=port) as listener:
        KEPT.append(socket.create_connection(("127.0.0.1", port)))
        return listener.accept()[0]


LIES = {
    "elsewhere": (lambda port: [listening()], "listens at"),
    "another address": (lambda port: [listening("127.0.0.2", port)], "listens at"),
    "every address": (lambda port: [listening("0.0.0.0", port)], "listens at"),
    "another family": (lambda port: [listening("::1", port, socket.AF_INET6)], "listens at"),
    "does not listen": (lambda port: [bound(socket.SOCK_STREAM, port)], "does not listen"),
    "datagrams": (lambda port: [bound(socket.SOCK_DGRAM, port)], "no stream socket"),
    "a connection": (lambda port: [connection(port)], "does not listen"),
    "a file": (lambda port: [os.open("/dev/null", os.O_RDWR)], "no stream socket"),
    "one of two": (lambda port: [listening(port=port), listening()], "listens at"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_socket_that_is_not_what_its_name_says_is_not_served(gone, lie):
    make, word = LIES[lie]
    sockets = make(gone.plain_port)
    liar = Liar(gone.folder / "culvert.takeover", [(f"listener 127.0.0.1:{gone.plain_port}", sockets)])
    log = succeed(gone)
    print(lie, log)
    assert gone.process.returncode == 1 and word in log and str(gone.plain_port) in log
    # And the other process was never told that all is ready.
    wait_for(lambda: len(liar.heard) == 2, what="the other process to hear the end")
    assert liar.heard == [b"takeover 1", b""]
    liar.stop()


@pytest.mark.parametrize("lie", ["elsewhere", "does not listen", "datagrams"])
def test_nor_is_the_admin_api(gone, lie):
    make, word = LIES[lie]
    sockets = make(gone.admin_port)
    liar = Liar(gone.folder / "culvert.takeover", [
        (f"listener 127.0.0.1:{gone.plain_port}", [listening(port=gone.plain_port)]),
        (f"admin 127.0.0.1:{gone.admin_port}", sockets)])
    log = succeed(gone)
    assert gone.process.returncode == 1 and word in log
    assert not any(answers(s) for s in sockets if s.type == socket.SOCK_STREAM)
    liar.stop()


@pytest.mark.parametrize("messages", [
    [("listener " + "x" * 600, [])], [("whatever", [])], [("admin a", [])], [("admin a", []), ("admin b", [])], [],
    [("failed a reason of its own", [])],
], ids=["long", "unknown", "no descriptor", "twice", "nothing", "failed"])
def test_what_cannot_be_understood_takes_nothing(gone, messages):
    liar = Liar(gone.folder / "culvert.takeover", messages)
    log = succeed(gone)
    assert gone.process.returncode == 1 and "takeover at" in log
    if messages and "failed" in messages[0][0]:
        assert "a reason of its own" in log
    liar.stop()


def test_what_is_right_is_taken(gone):
    """The control of all these: the same other process, and sockets that are what they are said to be."""
    liar = Liar(gone.folder / "culvert.takeover", [
        (f"listener 127.0.0.1:{gone.plain_port}", [listening(port=gone.plain_port)]),
        (f"admin 127.0.0.1:{gone.admin_port}", [listening(port=gone.admin_port)])])
    assert succeed(gone) is None
    assert knock(gone, "websocket", token=TOKEN).status == 101
    liar.stop()


# --- systemd ---------------------------------------------------------------------------------------------------------

# Runs culvert with descriptors from 3 on, as systemd does.
ACTIVATE = """
import os, sys
given = [int(n) for n in sys.argv[1].split(",")]
for number, descriptor in enumerate(given):
    os.dup2(descriptor, 100 + number)
for number in range(len(given)):
    os.dup2(100 + number, 3 + number, inheritable=True)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), str(len(given))
os.execv(sys.argv[2], sys.argv[2:])
"""


def activate(edge, sockets):
    pipe = Pipe()
    numbers = [s if isinstance(s, int) else s.fileno() for s in sockets]
    edge.process = subprocess.Popen(
        [sys.executable, "-c", ACTIVATE, ",".join(map(str, numbers)), BIN, "serve", "--config", str(edge.config)],
        stderr=pipe.write_end, env=ENVIRONMENT, pass_fds=numbers)
    os.close(pipe.write_end)
    pipe.drain(lambda text: b'"admin listening"' in text)
    return pipe.text.decode()


@pytest.mark.parametrize("lie", ["does not listen", "datagrams", "a connection"])
def test_what_systemd_gives_is_looked_at_too(gone, lie):
    make, word = LIES[lie]
    log = activate(gone, make(gone.plain_port))
    print(lie, log)
    assert gone.process.wait(15) == 1 and word in log and str(gone.plain_port) in log


def test_a_descriptor_of_systemd_that_is_no_socket_is_told_and_left_alone(gone):
    log = activate(gone, [listening(port=gone.plain_port), os.open("/dev/null", os.O_RDWR)])
    wait_until_healthy(gone)
    assert "no sockets" in log and '"descriptors":"4"' in log
    assert os.readlink(f"/proc/{gone.process.pid}/fd/4") == "/dev/null"
    assert knock(gone, "websocket", token=TOKEN).status == 101

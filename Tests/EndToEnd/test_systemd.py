"""What systemd is told, and what it gives: the test stands in for it, as sd_notify(3) and sd_listen_fds(3) have it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from kit.edge import BIN, TOKEN, wait_for
from kit.knock import knock


class Manager:
    """A notification socket, and what has come to it."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.path, self.messages = path, []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            data = self.socket.recv(4096)
            self.messages.append(dict(line.split("=", 1) for line in data.decode().split("\n")))

    def wait(self, key, count=1):
        wait_for(lambda: len([m for m in self.messages if key in m]) >= count, what=f"{key} to be told")


# Runs culvert with the socket at descriptor 3, as systemd does: LISTEN_PID is known only after the fork.
ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3, inheritable=True)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def run(backend, make_edge, tmp_path):
    """An edge whose process is started again, with other words in its environment."""
    edge = make_edge(backend.port)
    edge.stop()
    started = []

    def start(environment, prefix=(), **options):
        process = subprocess.Popen(
            [*prefix, BIN, "serve", "--config", str(edge.config)], stderr=subprocess.PIPE, text=True,
            env={**os.environ, "SWIFT_BACKTRACE": "enable=no", **environment}, **options)
        edge.process = process
        edge.forget()
        edge.follow(process.stderr)
        started.append(process)
        return edge

    yield start
    for process in started:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def test_ready_reloading_and_stopping_are_told(run, tmp_path):
    manager = Manager(tmp_path / "notify")
    edge = run({"NOTIFY_SOCKET": str(manager.path)})
    manager.wait("READY")
    # Who is told so can connect.
    assert knock(edge, "websocket", token=TOKEN).status == 101
    before = time.monotonic()
    edge.process.send_signal(signal.SIGHUP)
    manager.wait("READY", 2)
    reloading = next(m for m in manager.messages if "RELOADING" in m)
    # systemd tells by this that READY=1 is the answer to its own signal (Type=notify-reload).
    assert before - 1 < int(reloading["MONOTONIC_USEC"]) / 1e6 < time.monotonic() + 1
    assert [next(iter(m)) for m in manager.messages] == ["READY", "RELOADING", "READY"]
    edge.process.send_signal(signal.SIGTERM)
    manager.wait("STOPPING")
    assert edge.process.wait(20) == 0


def test_the_watchdog_hears_from_it(run, tmp_path):
    manager = Manager(tmp_path / "notify")
    edge = run({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "400000"})
    manager.wait("WATCHDOG", 5)
    # Stopped, it says nothing, and systemd would act.
    edge.process.send_signal(signal.SIGSTOP)
    try:
        count = len(manager.messages)
        assert edge.process.poll() is None
    finally:
        edge.process.send_signal(signal.SIGCONT)
    manager.wait("WATCHDOG", count + 5)


def test_a_watchdog_for_another_process_is_none_of_its_business(run, tmp_path):
    manager = Manager(tmp_path / "notify")
    run({"NOTIFY_SOCKET": str(manager.path), "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    manager.wait("READY")
    edge = run({"NOTIFY_SOCKET": "@culvert-test-nobody"})  # And a manager that is not there harms nobody.
    wait_for(lambda: '"listening"' in edge.text or edge.process.poll() is not None, what="a second process")
    assert not any("WATCHDOG" in m for m in manager.messages)


def test_sockets_that_are_given_are_used(run, tmp_path):
    manager = Manager(tmp_path / "notify")
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    edge_port = None

    def start():
        return run({"NOTIFY_SOCKET": str(manager.path)}, prefix=(sys.executable, "-c", ACTIVATE, str(listener.fileno())),
                   pass_fds=[listener.fileno()])

    # The port is the configuration's; the socket was there first, and a second bind would fail.
    config = next(tmp_path.glob("*/proxy.yaml")).read_text()
    edge_port = int(config.split("address: 127.0.0.1:")[1].split("\n")[0])
    listener.bind(("127.0.0.1", edge_port))
    listener.listen(64)
    edge = start()
    manager.wait("READY")
    assert knock(edge, "websocket", token=TOKEN).status == 101
    edge.process.send_signal(signal.SIGTERM)
    assert edge.process.wait(20) == 0
    # systemd still has it: who connects now waits for the next process.
    waiting = socket.create_connection(("127.0.0.1", edge_port), timeout=5)
    edge = start()
    manager.wait("READY", 2)
    assert knock(edge, "websocket", token=TOKEN).status == 101
    waiting.close()
    listener.close()

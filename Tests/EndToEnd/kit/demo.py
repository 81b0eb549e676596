"""Runs `culvert demo` and reads what it prints for its user."""

import os
import re
import signal
import ssl
import subprocess
import threading

import pytest

from kit.edge import BIN, free_port, wait_for


class Demo:
    """One demo in a folder of its own."""

    def __init__(self, folder, certs="certs"):
        self.folder, self.certs, self.port = folder, folder / certs, free_port()
        self.output = self.log = ""
        self.process = subprocess.Popen(
            [os.path.abspath(BIN), "demo", "--port", str(self.port), "--certs", certs], cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                        for pair in [(self.process.stdout, "output"), (self.process.stderr, "log")]]
        for reader in self.readers:
            reader.start()
        wait_for(lambda: self.process.poll() is not None or "-X DELETE" in self.output, what="the demo's words")
        assert self.process.poll() is None, self.log

    def _read(self, stream, name):
        for line in stream:
            setattr(self, name, getattr(self, name) + line)

    def stop(self, sign=signal.SIGTERM):
        """The exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return self.process.wait(10)
        finally:
            self.process.kill()
            for reader in self.readers:
                reader.join(5)

    @property
    def certificate(self):
        return self.certs / "edge.pem"

    @property
    def key(self):
        return self.certs / "edge.key"

    @property
    def ssl(self):
        return ssl.create_default_context(cafile=str(self.certificate))

    @property
    def page(self):
        return re.search(r"https://\S+/(?=\n)", self.output)[0]

    @property
    def wss(self):
        return re.search(r"wss://\S+", self.output)[0]

    @property
    def commands(self):
        """What the user is to paste into a shell."""
        return self.output.split("to paste:\n", 1)[1]


@pytest.fixture
def make_demo(tmp_path):
    demos = []

    def make(**options):
        demos.append(Demo(tmp_path, **options))
        return demos[-1]

    yield make
    for demo in demos:
        demo.stop()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.stop()

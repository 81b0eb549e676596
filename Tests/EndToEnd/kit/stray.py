"""An edge whose process is started by hand: with a log that nobody reads, few descriptors, or a closed stream."""

import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from kit.edge import BIN, wait_for
from kit.log import Events
from kit.raw import masked

ENVIRONMENT = {**os.environ, "SWIFT_BACKTRACE": "enable=no"}


class Pipe(Events):
    """The standard error of an edge, of which the test reads when it likes."""

    def __init__(self):
        self.read_end, self.write_end = os.pipe()
        self.text = b""
        self.ended = False

    def drain(self, until=None, timeout=30):
        """Reads on in a thread; returns when `until(text)` holds, or at the end."""
        if not hasattr(self, "thread"):
            self.thread = threading.Thread(target=self._read, daemon=True)
            self.thread.start()
        wait_for(lambda: self.ended if until is None else self.ended or until(self.text), timeout, "the log")
        return self.text

    def _read(self):
        while part := os.read(self.read_end, 1 << 16):
            self.text += part
        self.ended = True

    def _logged(self):
        """Every line that is whole is JSON, whatever happened to the reader."""
        return [json.loads(line) for line in self.text.split(b"\n")[:-1]]

    def stop_reading(self):
        os.close(self.read_end)


def launch(edge, stderr, arguments=("serve",), **options):
    """`culvert serve` with the configuration of an edge; what ran of it before is stopped."""
    edge.process = subprocess.Popen(
        [BIN, *arguments, "--config", str(edge.config)], stderr=stderr, stdout=subprocess.DEVNULL,
        **{"env": ENVIRONMENT, **options})
    return edge.process


def launch_with_pipe(edge, **options):
    pipe = Pipe()
    launch(edge, pipe.write_end, **options)
    os.close(pipe.write_end)
    return pipe


def wait_until_healthy(edge):
    wait_for(lambda: edge.process.poll() is not None or edge._healthy(), what="the edge to be healthy")
    assert edge.process.poll() is None


def plain(edge, path="/open", timeout=10, headers=""):
    """A WebSocket over the plain listener: the socket once the 101 is there, or the status of a refusal."""
    s = socket.create_connection(("127.0.0.1", edge.plain_port), timeout=timeout)
    s.settimeout(timeout)
    s.sendall((f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{headers}\r\n").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        part = s.recv(1)
        if not part:
            raise ConnectionResetError("the connection ended within the head")
        head += part
    status = int(head.split()[1])
    if status != 101:
        s.close()
        return status
    return s


def echoes(s, payload=b"hello"):
    """Sends a message there and back."""
    s.sendall(masked(2, payload))
    got = b""
    while len(got) < 2 + len(payload):
        part = s.recv(2 + len(payload) - len(got))
        if not part:
            return False
        got += part
    return got[2:] == payload


def bye(s):
    """Closes as RFC 6455 has it, so that the session has ended when this returns."""
    s.sendall(masked(8, struct.pack("!H", 1000)))
    while s.recv(4096):
        pass
    s.close()


def cpu(process):
    """Seconds of CPU that it has used."""
    fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def descriptors(process):
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def end(process, timeout=20):
    """Asks it to stop; gives the exit code."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout)
    finally:
        process.kill()
        process.wait()


def took(body):
    began = time.monotonic()
    body()
    return time.monotonic() - began

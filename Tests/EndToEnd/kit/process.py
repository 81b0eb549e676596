"""The command as its operator sees it, and clients that do as they please with their bytes."""

import fcntl
import http.client
import socket
import struct
import subprocess
import termios

import httpx

from kit.edge import BIN, wait_for
from kit.raw import tls


def culvert(*arguments, timeout=20, **options):
    """Runs the command to its end; one that does not end by itself fails the test."""
    return subprocess.run([BIN, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, **options)


def errors(done):
    """The lines on standard error, without warnings and the log."""
    return [line for line in done.stderr.splitlines() if not line.startswith(("warning: ", "{"))]


def health(edge):
    """(status, body) of the admin listener; (None, None) when nobody is there any more."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{edge.admin_port}/readyz", timeout=5)
    except httpx.TransportError:
        return None, None
    return answer.status_code, answer.json()


def begin_stop(edge, sign):
    """Sends the signal and waits until the edge acts on it; it still has somebody to wait for."""
    edge.process.send_signal(sign)
    wait_for(lambda: health(edge)[0] == 503, what="the edge to be draining")
    assert edge.process.poll() is None


def restart(edge, *changes):
    """Starts the edge again with other words in its configuration, and an empty log."""
    edge.stop()
    text = edge.config.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    edge.config.write_text(text)
    edge.forget()
    edge.start()


def whole_log(edge):
    """The log of an edge that is stopped for it."""
    assert edge.stop() == 0
    assert "stopped" in edge.text
    return edge.text


def wait_until_read(sock):
    """The process at the other end, on this machine, has read all that was sent: the system holds none of it back."""
    def is_read():
        unsent = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
        return unsent == 0 and _unread(*sock.getpeername()[:2], sock.getsockname()[1]) == 0

    wait_for(is_read, what="the edge to read what was sent")


def _unread(host, port, peer_port):
    local = socket.inet_aton(host)[::-1].hex().upper() + f":{port:04X}"
    for line in open("/proc/net/tcp"):
        fields = line.split()
        if fields[1] == local and fields[2].endswith(f":{peer_port:04X}"):
            return int(fields[4].split(":")[1], 16)
    raise AssertionError("the connection is gone")


def begin_request(edge, method, path, receive_buffer=None, body=None):
    """A request that the edge has read; its answer is had by `getresponse()`."""
    connection = http.client.HTTPSConnection("127.0.0.1", edge.tls_port, timeout=20)
    connection.sock = tls(edge, receive_buffer)
    connection.request(method, path, body, {"Host": "localhost", **edge.auth})
    wait_until_read(connection.sock)
    return connection

"""A broker that knows nothing of the proxy (mosquitto), and somebody who speaks MQTT 3.1.1 to it without the proxy."""

import shutil
import socket
import struct
import subprocess

import pytest

from kit.edge import free_ports, wait_for

MOSQUITTO = "/usr/sbin/mosquitto"


class Broker:
    """MQTT over TCP at `tcp_port`, over WebSockets (subprotocol `mqtt`) at `port`; its log is in `log`."""

    def __init__(self, folder):
        if not shutil.which(MOSQUITTO):
            pytest.skip(f"needs {MOSQUITTO}")
        self.port, self.tcp_port = free_ports(2)
        self.log = folder / "mosquitto.log"
        config = folder / "mosquitto.conf"
        config.write_text(f"""
user root
allow_anonymous true
listener {self.tcp_port} 127.0.0.1
listener {self.port} 127.0.0.1
protocol websockets
""")
        with self.log.open("w") as out:
            self.process = subprocess.Popen([MOSQUITTO, "-v", "-c", config], stdout=out, stderr=out)
        wait_for(lambda: self.process.poll() is not None or self._listens(), what="the broker")
        assert self.process.poll() is None, self.log.read_text()

    def _listens(self):
        for port in (self.port, self.tcp_port):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", port)):
                    return False
        return True

    def clients(self, name):
        """How many have connected under that name."""
        return self.log.read_text().count(f" as {name} (")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        finally:
            self.process.kill()


def text(value):
    return struct.pack("!H", len(value)) + value


class Peer:
    """A client over TCP, by hand; all of quality of service 0."""

    def __init__(self, broker, topic):
        self.s = socket.create_connection(("127.0.0.1", broker.tcp_port), 40)
        self._send(0x10, text(b"MQTT") + b"\4\2\0\0" + text(b"peer"))
        assert self._read() == (0x20, b"\0\0")
        self._send(0x82, b"\0\1" + text(topic.encode()) + b"\0")
        assert self._read() == (0x90, b"\0\1\0")

    def _send(self, kind, body):
        size, rest = b"", len(body)
        while not size or rest:
            size += bytes([rest & 0x7F | (0x80 if rest > 0x7F else 0)])
            rest >>= 7
        self.s.sendall(bytes([kind]) + size + body)

    def _exactly(self, count):
        got = b""
        while len(got) < count:
            more = self.s.recv(count - len(got))
            assert more, "the broker has closed"
            got += more
        return got

    def _read(self):
        kind, size, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return kind, self._exactly(size)

    def publish(self, topic, payload):
        self._send(0x30, text(topic.encode()) + payload)

    def receive(self):
        """The payload of the next message."""
        kind, body = self._read()
        assert kind & 0xF0 == 0x30 and not kind & 6, (kind, body)
        return body[2 + int.from_bytes(body[:2]):]

    def close(self):
        self.s.close()

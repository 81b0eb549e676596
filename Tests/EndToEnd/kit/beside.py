"""Runs what docs/beside.md configures: another proxy, and Culvert in front of it or behind it."""

import contextlib
import pathlib
import re
import shutil
import socket
import subprocess

import pytest

from kit.edge import TOKEN, Edge, Log, digest, free_port, free_ports, wait_for

DOCUMENT = pathlib.Path(__file__).parents[3] / "docs/beside.md"
# What the documents leave out.
REST = """
authentication:
  tokens:
    - {{ id: alice, sha256: "{digest}", subject: alice, routes: ["/"] }}
admin: {{ address: "127.0.0.1:{admin}" }}
log: {{ format: json }}
"""


def blocks(heading, document=DOCUMENT):
    """[(language, text)] of the section."""
    section = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", document.read_text(), re.M | re.S)
    return re.findall(r"^```(\w+)\n(.*?)^```$", section[1], re.M | re.S)


def block(heading, language, nth=0, document=DOCUMENT):
    return [text for kind, text in blocks(heading, document) if kind == language][nth]


class Place:
    """Where names, ports and files of the document are in this test."""

    def __init__(self, folder, certificate, backend_port):
        self.folder = folder
        self.cert, self.key = certificate
        both = folder / "both.pem"
        both.write_text(self.cert.read_text() + self.key.read_text())
        self.front, self.plain, self.tls, self.behind, self.admin = free_ports(5)
        self.words = [
            ("certs/app.example.com.both.pem", both),
            ("certs/app.example.com.pem", self.cert), ("certs/app.example.com.key", self.key),
            ("certs/ws.example.com.pem", self.cert), ("certs/ws.example.com.key", self.key),
            ("0.0.0.0:443", f"127.0.0.1:{self.front}"),
            ("bind :443", f"bind 127.0.0.1:{self.front}"), ("listen 443", f"listen 127.0.0.1:{self.front}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.plain}"), ("127.0.0.1:8443", f"127.0.0.1:{self.tls}"),
            ("127.0.0.1:8081", f"127.0.0.1:{backend_port}"),
            ("header_up X-Forwarded-Port 443", f"header_up X-Forwarded-Port {self.front}"),
            ("check port 9901", f"check port {self.admin}"),
            ("server_name app.example.com", "server_name localhost"),
        ]

    def fill(self, text):
        for word, value in self.words:
            text = text.replace(word, str(value))
        assert ":443" not in text and "certs/" not in text, text
        return text


class DocumentedEdge(Edge):
    """Culvert with a configuration of the document, and with what that leaves out. `admin` is the admin API's port."""

    def __init__(self, folder, text, admin=None):
        Log.__init__(self)
        self.folder = folder
        self.admin_port = admin or free_port()
        self.config = folder / "proxy.yaml"
        self.config.write_text(text + REST.format(digest=digest(TOKEN), admin=self.admin_port))
        self.is_healthy = Edge._healthy
        self.start()


@contextlib.contextmanager
def running(command, port, folder):
    """Another proxy, which keeps to the foreground, from when it listens."""
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}")
    log = folder / "other.log"
    with log.open("w") as out:
        process = subprocess.Popen([*map(str, command)], stdout=out, stderr=out, cwd=folder, env={
            "HOME": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    try:
        wait_for(lambda: process.poll() is not None or listens(port), what=f"{command[0]} to listen")
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def nginx(place, text, port):
    """`text` stands in nginx's `http` context, or is a whole configuration, with `events`."""
    scratch = "\n".join(f"{name}_temp_path {place.folder}/{name};"
                        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = place.folder / "nginx.conf"
    is_whole = "events {}" in text
    config.write_text(f"""
daemon off;
master_process off;
pid {place.folder}/nginx.pid;
error_log stderr;
{text if is_whole else f'events {{}} http {{ access_log off; {scratch} {text} }}'}
""")
    return running(["/usr/sbin/nginx", "-e", "stderr", "-p", place.folder, "-c", config], port, place.folder)


def haproxy(place, text, port):
    """Its `haproxy.sock` answers `show stat`."""
    config = place.folder / "haproxy.cfg"
    config.write_text(f"global\n    stats socket {place.folder}/haproxy.sock\n{text}")
    return running(["/usr/sbin/haproxy", "-db", "-f", config], port, place.folder)


def caddy(place, text, port):
    config = place.folder / "Caddyfile"
    site = text.replace("app.example.com {", f"https://localhost:{port} {{\n    tls {place.cert} {place.key}", 1)
    config.write_text("{\n    admin off\n    auto_https off\n}\n" + site)
    return running(["/usr/bin/caddy", "run", "--adapter", "caddyfile", "--config", config], port, place.folder)

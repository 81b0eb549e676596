"""Runs the proxy under test: its configuration, its process, its log."""

import contextlib
import hashlib
import os
import pathlib
import re
import signal
import ssl
import subprocess
import urllib.request

from kit.log import Log
from kit.pace import wait_for
from kit.ports import free_port, free_ports  # noqa: F401 (tests take them from here)

BIN = os.environ.get("CULVERT_BIN") or str(pathlib.Path(__file__).parents[3] / ".build/release/culvert")
TOKEN = "e2e-token-of-alice"
OTHER_TOKEN = "e2e-token-of-bob"
NARROW_TOKEN = "e2e-token-narrow"
EXPIRED_TOKEN = "e2e-token-expired"
ORIGIN = "https://app.example.com"


def make_certificate(folder, name="localhost"):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True)
    return cert, key


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


class Edge(Log):
    """One `culvert serve`; `session`, `limits` and `route` are members of the configuration to add."""

    def __init__(self, folder, upstream_port, route="", session="", limits="", upstream=None, extra_routes="", certs=(),
                 tokens="", authentication="", admin="", healthy=None, sections=""):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.cert, key = make_certificate(self.folder)
        self.tls_port, self.plain_port, self.admin_port = free_ports(3)
        upstream = upstream or f'{{ servers: [ {{ url: "ws://127.0.0.1:{upstream_port}" }} ], connect_timeout: 10s }}'
        more = "".join(f"        - {{ certificate: {c}, key: {k} }}\n" for c, k in certs)
        config = f"""
listen:
  - address: 127.0.0.1:{self.tls_port}
    tls:
      certificates:
        - {{ certificate: {self.cert}, key: {key} }}
{more}  - address: 127.0.0.1:{self.plain_port}
routes:
  - path: /
    upstream: echo
    origins: {{ allow: ["{ORIGIN}", "https://*.wild.example"], missing: allow }}
    {route}
  - path: /open
    upstream: echo
    authentication: none
  - path: /strict
    upstream: echo
    origins: {{ allow: ["{ORIGIN}"], missing: reject }}
  - {{ path: /native-only, upstream: echo, transports: [websocket] }}
  - {{ path: /text, upstream: echo, validate_text: true }}
{extra_routes}
authentication:
  tokens:
    - {{ id: alice, sha256: "{digest(TOKEN)}", subject: alice, routes: ["/"] }}
    - {{ id: bob, sha256: "{digest(OTHER_TOKEN)}", subject: bob, routes: ["/"] }}
    - {{ id: narrow, sha256: "{digest(NARROW_TOKEN)}", subject: narrow, routes: ["/narrow"] }}
    - {{ id: old, sha256: "{digest(EXPIRED_TOKEN)}", subject: old, routes: ["/"], expires: 2020-01-01T00:00:00Z }}
{tokens}
  {authentication}
upstreams:
  echo: {upstream}
session: {{ {session} }}
limits: {{ {limits} }}
admin: {{ address: "127.0.0.1:{self.admin_port}"{admin} }}
log: {{ format: json }}
{sections}
"""
        self.config = self.folder / "proxy.yaml"
        self.config.write_text(config)
        self.is_healthy = healthy or Edge._healthy
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [BIN, "serve", "--config", str(self.config)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env={**os.environ, "SWIFT_BACKTRACE": "enable=no"}, text=True)
        self.follow(self.process.stderr)
        wait_for(lambda: self.process.poll() is not None or self.is_healthy(self), what="the edge to be healthy")
        # The socket of a takeover comes after the admin listener, which says that the edge is healthy.
        if socket := re.search(r"^takeover: (\S+)$", self.config.read_text(), re.MULTILINE):
            path = self.folder / socket[1]
            wait_for(lambda: self.process.poll() is not None or path.exists(), what="the socket of the takeover")
        assert self.process.poll() is None, self.lines

    def _healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/healthz", timeout=2) as r:
                return r.status == 200
        except OSError:
            return False

    def stop(self, timeout=15):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
            self.read_to_end()
            return code
        finally:
            self.process.kill()

    def catch_up(self):
        """Returns when every line is there that the edge has logged until now. A reload is logged last."""
        def reloads():
            return len(self.events("configuration reloaded") + self.events("reload refused; nothing has changed"))

        before = reloads()
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: reloads() > before, what="the log to tell of a reload")

    def end(self):
        """Stops it at the end of a test, with a second signal if clients that the test has left behind hold it for more
        than a second. How long a client may hold a process that stops is a promise of test_process.py."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1)
        self.stop()
        assert "Fatal error" not in self.text, self.text

    @property
    def ssl(self):
        return ssl.create_default_context(cafile=str(self.cert))

    @property
    def wss(self):
        return f"wss://localhost:{self.tls_port}"

    @property
    def https(self):
        return f"https://localhost:{self.tls_port}"

    @property
    def rss(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0

    @property
    def auth(self):
        return {"Authorization": f"Bearer {TOKEN}"}

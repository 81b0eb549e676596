"""Runs services that nobody here wrote, each as a process of its own, and says how a client of either transport reaches them."""

import contextlib
import importlib.util
import pathlib
import shutil
import sys

import pytest

from kit.beside import running
from kit.bridge import Bridge
from kit.edge import free_port

APPS = pathlib.Path(__file__).parents[1] / "apps"


def need(modules=(), commands=(), script="Tests/run"):
    """Skips what this machine lacks the packages for; `script` installs them."""
    missing = [name for name in modules if not importlib.util.find_spec(name)] + [
        name for name in commands if not shutil.which(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: run {script}")


@contextlib.contextmanager
def python(folder, port, *arguments, variables=()):
    """A service in this test's Python, from when it listens at `port`."""
    folder.mkdir(exist_ok=True)
    with running(["/usr/bin/env", f"PYTHONPATH={APPS}", *variables, sys.executable, *arguments], port, folder):
        yield port


@contextlib.contextmanager
def graphql(folder):
    need(["strawberry", "gql"])
    port = free_port()
    with python(folder, port, APPS / "graphql_app.py", port):
        yield port


@contextlib.contextmanager
def channels(folder):
    need(["channels", "daphne"])
    port = free_port()
    with python(folder, port, "-m", "daphne", "-b", "127.0.0.1", "-p", port, "--proxy-headers", "channels_app:application"):
        yield port


NATS = "/usr/sbin/nats-server"


@contextlib.contextmanager
def nats(folder, origin):
    """(port of WebSockets, port of TCP)."""
    need(["nats"], [NATS])
    folder.mkdir(exist_ok=True)
    port, tcp_port = free_port(), free_port()
    config = folder / "nats.conf"
    config.write_text(f"""
listen: "127.0.0.1:{tcp_port}"
websocket {{
    listen: "127.0.0.1:{port}"
    no_tls: true
    compression: true
    allowed_origins: ["{origin}"]
}}
""")
    with running([NATS, "-c", config], port, folder):
        yield port, tcp_port


# --- services with pages: at the port of a `Front`, which their own checks know --------------------------------------
LARGE = "Tests/services"


@contextlib.contextmanager
def jupyter(folder, port, front):
    need(["jupyterlab", "ipykernel"], script=LARGE)
    with python(folder, port, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
                "--ServerApp.local_hostnames=localhost", "--ServerApp.local_hostnames=app.example.com",
                "--IdentityProvider.token=secret", "--LabApp.expose_app_in_browser=True", f"--notebook-dir={folder}",
                variables=[f"JUPYTER_CONFIG_DIR={folder}", f"JUPYTER_RUNTIME_DIR={folder}"]):
        yield


@contextlib.contextmanager
def streamlit(folder, port, front):
    need(["streamlit"], script=LARGE)
    with python(folder, port, "-m", "streamlit", "run", APPS / "streamlit_app.py", "--server.address", "127.0.0.1",
                "--server.port", port, "--server.headless", "true", "--server.corsAllowedOrigins", front.origin,
                "--browser.gatherUsageStats", "false"):
        yield


@contextlib.contextmanager
def bokeh(folder, port, front):
    need(["bokeh"], script=LARGE)
    folder.mkdir()
    shutil.copy(APPS / "bokeh_app.py", folder / "app.py")
    with python(folder, port, "-m", "bokeh", "serve", folder / "app.py", "--address", "127.0.0.1", "--port", port,
                "--use-xheaders", "--allow-websocket-origin", front.origin.removeprefix("https://")):
        yield


class Way:
    """A client's way through the edge: WebSockets as they are (`native`), or polling."""

    def __init__(self, name, edge):
        self.is_polled, self.edge = name == "polled", edge
        self.bridge = Bridge(edge) if self.is_polled else None
        self.url = self.bridge.url if self.is_polled else edge.wss
        self.ssl = None if self.is_polled else edge.ssl

    def check(self, sessions):
        """That so many sessions were opened in this way and in no other."""
        assert not self.is_polled or self.bridge.opened == sessions

    def stop(self):
        if self.bridge:
            self.bridge.stop()

"""Runs services that nobody here wrote, each as a process of its own, and says how clients reach them."""

import contextlib
import importlib.util
import pathlib
import re
import shutil
import sys

import pytest

from kit.beside import running
from kit.bridge import Bridge
from kit.edge import free_port, wait_for

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
    with python(folder, port, "-m", "daphne", "-b", "127.0.0.1", "-p", port, "--proxy-headers",
                "channels_app:application"):
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


@contextlib.contextmanager
def novnc(folder, port, front):
    """The page of noVNC, websockify, and a screen by TigerVNC; gives the screen's number for X."""
    need(["Xlib"], ["Xtigervnc", "websockify"], LARGE)
    (folder / "screen").mkdir(parents=True)
    vnc = free_port()
    screen = ["Xtigervnc", "-displayfd", "1", "-rfbport", vnc, "-localhost", "-SecurityTypes", "None", "-geometry", "640x400",
              "-depth", "24", "-ac", "-AlwaysShared"]
    page = ["websockify", "--web", "/usr/share/novnc", f"127.0.0.1:{port}", f"127.0.0.1:{vnc}"]
    with running(screen, vnc, folder / "screen"), running(page, port, folder):
        log = folder / "screen/other.log"
        yield wait_for(lambda: re.search(r"^\d+$", log.read_text(), re.M), what="the number of the screen")[0]


COCKPIT = "/usr/lib/cockpit/cockpit-ws"
COCKPIT_PAGE = """<!doctype html>
<html><head><title>hello</title><meta charset="utf-8"><script src="../base1/cockpit.js"></script></head></html>
"""


@contextlib.contextmanager
def cockpit(folder, port, front):
    """Cockpit with one page, `hello`, and one user, `tester`."""
    need((), [COCKPIT, "cockpit-bridge"], LARGE)
    package, config = folder / "cockpit/hello", folder / "cockpit/cockpit.conf"
    package.mkdir(parents=True)
    (package / "manifest.json").write_text('{ "menu": { "index": { "label": "Hello" } } }')
    (package / "index.html").write_text(COCKPIT_PAGE)
    login = folder / "login"
    login.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{APPS / "cockpit_session.py"}"\n')
    login.chmod(0o755)
    config.write_text(front.documented("ini") + f"[Basic]\nCommand = {login}\n")
    with running(["/usr/bin/env", f"XDG_CONFIG_DIRS={folder}", f"XDG_DATA_HOME={folder}", COCKPIT, "--address", "127.0.0.1",
                  "--port", port, "--no-tls"], port, folder):
        yield


class Way:
    """A client's way through the edge: WebSockets as they are (`native`), or polling."""

    def __init__(self, name, edge):
        self.is_polled, self.edge = name == "polled", edge
        self.bridge = Bridge(edge.https, edge.ssl) if self.is_polled else None
        self.url = self.bridge.url if self.is_polled else edge.wss
        self.ssl = None if self.is_polled else edge.ssl

    def check(self, sessions):
        """That so many sessions were opened in this way and in no other."""
        assert not self.is_polled or self.bridge.opened == sessions

    def stop(self):
        if self.bridge:
            self.bridge.stop()

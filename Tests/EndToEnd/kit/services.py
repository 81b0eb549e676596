"""Runs services that nobody here wrote, each as a process of its own, and Culvert in front of those without pages as
docs/services.md has it."""

import contextlib
import importlib.util
import os
import pathlib
import re
import shlex
import shutil
import sys

import pytest

from kit.beside import DocumentedEdge, Place, block, running
from kit.bridge import Bridge
from kit.edge import ORIGIN, free_port, make_certificate
from kit.mqtt import Broker

DOCUMENT = pathlib.Path(__file__).parents[3] / "docs/services.md"
# Set by Tests/services.
IS_SERVICES = bool(os.environ.get("CULVERT_SERVICES"))
APPS = pathlib.Path(__file__).parents[1] / "apps"
# An origin that Culvert lets in in front of these services, and of which they know nothing.
OTHER_ORIGIN = "https://other.example.com"


def documented(heading, language, nth=0):
    return block(heading, language, nth, DOCUMENT)


def command(heading, documented_port, port):
    """The command by which the document starts the service, at another port."""
    words = shlex.split(documented(heading, "sh").replace("\\\n", ""))
    return [re.sub(rf"(?<!\d){documented_port}$", str(port), word) for word in words]


def let_other_in(text, origin):
    assert f'["{origin}"]' in text
    return text.replace(f'["{origin}"]', f'["{origin}", "{OTHER_ORIGIN}"]')


def need(modules=(), commands=()):
    """Skips the test when this machine lacks a package that it needs. Under `Tests/services`, which installs all of them,
    the test fails instead."""
    missing = [name for name in modules if not importlib.util.find_spec(name)] + [
        name for name in commands if not shutil.which(name)]
    if missing:
        (pytest.fail if IS_SERVICES else pytest.skip)(f"needs {', '.join(missing)}: run Tests/run or Tests/services")


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
        yield port, None


@contextlib.contextmanager
def channels(folder):
    need(["channels", "daphne"])
    port = free_port()
    daphne = [word.replace("app.asgi", "channels_app") for word in command("Django Channels", 8001, port)]
    with python(folder, port, "-m", *daphne):
        yield port, None


NATS = "/usr/sbin/nats-server"


@contextlib.contextmanager
def nats(folder):
    """Gives, as every service here, its port for WebSockets, and another way to it."""
    need(["nats"], [NATS])
    folder.mkdir(exist_ok=True)
    port, tcp_port = free_port(), free_port()
    config = folder / "nats.conf"
    documented_part = documented("NATS", "conf").replace(":9222", f":{port}")
    config.write_text(f'listen: "127.0.0.1:{tcp_port}"\n{documented_part}')
    with running([NATS, "-c", config], port, folder):
        yield port, tcp_port


@contextlib.contextmanager
def mosquitto(folder):
    need(["paho"])
    folder.mkdir()
    broker = Broker(folder)
    try:
        yield broker.port, broker
    finally:
        broker.stop()


# Where the document has each: its heading, and the port that it says.
PLACES = {
    graphql: ("GraphQL", 8000), channels: ("Django Channels", 8001), nats: ("NATS", 9222),
    mosquitto: ("mosquitto", 1884)}


class ServiceEdge(DocumentedEdge):
    """Culvert under a name of its own, in front of a service without pages."""

    def __init__(self, folder, service, port):
        heading, documented_port = PLACES[service]
        place = Place(folder, make_certificate(folder), port)
        place.words.append((f"127.0.0.1:{documented_port}", f"127.0.0.1:{port}"))
        text = place.fill(documented("Services without pages", "yaml") + documented(heading, "yaml"))
        self.cert, self.tls_port = place.cert, place.front
        super().__init__(folder, let_other_in(text, ORIGIN))


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

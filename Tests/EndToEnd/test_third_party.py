"""A library that knows nothing of Culvert (mqtt.js, as its authors build it for browsers) in front of a broker that
knows nothing of it either (mosquitto). What the page adds is one line."""

import hashlib
import importlib.util
import pathlib

import pytest

from kit.edge import TOKEN, Edge
from kit.middlebox import CutBox, WebBox
from kit.mqtt import Broker, Peer
from kit.site import Site

PACKAGE = importlib.util.find_spec("d3_bridge")
# Not a byte of it is ours.
DIGEST = "5d3ab711f330a8a436d6d9a6833d7d78831e40ce02db8186ac59852f52935312"
LINE = f'globalThis.WebSocket = CulvertSocket.with({{ token: "{TOKEN}" }});'
# On a machine that is slow, too, the first transport is to have its chance.
PATIENT = LINE.replace(" }", ", timeout: 30000 }")
HTML = """<title>mqtt</title>
<script src="{edge}/culvert.classic.js"></script>
<script>{line}</script>
<script src="/mqtt.min.js"></script>"""


@pytest.fixture(scope="module")
def library():
    if not PACKAGE:
        pytest.skip("needs the package of Tests/EndToEnd/bundles.txt")
    script = pathlib.Path(PACKAGE.origin).parent / "static/d3_bridge/js/mqtt.min.js"
    assert hashlib.sha256(script.read_bytes()).hexdigest() == DIGEST
    return script.read_bytes()


@pytest.fixture(scope="module")
def site(library):
    site = Site()
    site.files["/mqtt.min.js"] = "text/javascript", library
    yield site
    site.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture(scope="module")
def edge(broker, site, tmp_path_factory):
    origins = f'origins: {{ allow: ["{site.origin}"] }}'
    edge = Edge(tmp_path_factory.mktemp("edge"), broker.port, sections="client: /culvert.js", extra_routes=f"""
  - {{ path: /mqtt, upstream: echo, {origins} }}
  - {{ path: /free, upstream: echo, authentication: none, {origins} }}
""")
    for path, line in (("/", LINE), ("/patient", PATIENT), ("/without", "")):
        site.add(path, HTML.format(edge=edge.https, line=line))
    yield edge
    edge.end()


@pytest.fixture
def make_box(edge):
    boxes = []

    def make(kind=WebBox, **options):
        boxes.append(kind(edge.tls_port) if kind is CutBox else kind(edge, **options))
        return boxes[-1]

    yield make
    for box in boxes:
        box.stop()


def load(browser, site, path="/"):
    browser.driver.get(site.origin + path)
    browser.driver.execute_script("localStorage.clear()")
    assert browser.driver.execute_script("return typeof mqtt.connect") == "function"


def connect(browser, box, path="/mqtt"):
    """What the library says of it: connected, closed, or an error."""
    return browser.run(CONNECT, f"wss://localhost:{box.port}{path}")


def wait_received(browser, messages):
    browser.wait("return received.length >= arguments[0]", len(messages), what="what the peer says")
    received = browser.driver.execute_script("return received")
    assert [(topic, bytes(payload)) for topic, payload in received] == [("to/page", m) for m in messages]


CONNECT = """
const settings = { clientId: "page", reconnectPeriod: 0, connectTimeout: 30000 };
const client = globalThis.client = mqtt.connect(given[0], settings);
globalThis.received = [];
globalThis.closes = 0;
client.on("message", (topic, payload) => received.push([topic, [...payload]]));
client.on("close", () => { closes += 1; });
return new Promise((resolve, reject) => {
  client.once("connect", () => resolve("connected"));
  client.once("error", (error) => resolve("error: " + error.message));
  client.once("close", () => resolve("closed"));
  setTimeout(() => reject(new Error("neither connected nor closed")), 60000);
});
"""
SUBSCRIBE = 'const [granted] = await client.subscribeAsync("to/page", { qos: 1 }); return granted.qos;'
# The broker acknowledges each.
PUBLISH = """
await Promise.all(given[0].map((bytes) => client.publishAsync("to/peer", new Uint8Array(bytes), { qos: 1 })));
return given[0].length;
"""
END = "await client.endAsync();"
MESSAGES = [b"hello", b"", bytes(range(256)), "grüße 👋".encode(), b"x" * 70_000, *(b"%d" % n for n in range(50))]

WAYS = {
    "unblocked": {},
    "upgrades are reset": {"upgrades": "reset"},
    "WebSockets open and stay silent": {"upgrades": "both"},
}


@pytest.mark.parametrize("way", WAYS)
def test_an_unmodified_library_gets_through(browser, site, edge, broker, make_box, way):
    box, seen_before = make_box(**WAYS[way]), broker.clients("page")
    load(browser, site, "/patient" if way == "unblocked" else "/")
    assert connect(browser, box) == "connected"
    peer = Peer(broker, "to/peer")
    try:
        assert browser.run(SUBSCRIBE) == 1
        for message in MESSAGES:
            peer.publish("to/page", message)
        wait_received(browser, MESSAGES)
        assert browser.run(PUBLISH, [list(m) for m in MESSAGES]) == len(MESSAGES)
        assert [peer.receive() for _ in MESSAGES] == MESSAGES
        browser.run(END)
    finally:
        peer.close()
    assert broker.clients("page") == seen_before + 1
    polls = [path for _, path, is_upgrade in box.seen if "/mqtt/_poll/" in path and not is_upgrade]
    assert bool(polls) == (way != "unblocked"), box.seen


def test_without_the_line_it_does_not(browser, site, make_box):
    """The box does block, and the library knows no other way."""
    load(browser, site, "/without")
    assert connect(browser, make_box(), "/free") == "connected"
    browser.run(END)
    assert connect(browser, make_box(upgrades="reset"), "/free") != "connected"


def test_the_library_does_not_notice_a_cut(browser, site, broker, make_box):
    box, seen_before = make_box(CutBox), broker.clients("page")
    load(browser, site)
    assert connect(browser, box) == "connected"
    peer = Peer(broker, "to/peer")
    try:
        assert browser.run(SUBSCRIBE) == 1
        said = [b"%d" % n for n in range(60)]
        for n in range(3):
            for message in said[20 * n:20 * n + 10]:
                peer.publish("to/page", message)
            box.cut()
            for message in said[20 * n + 10:20 * n + 20]:
                peer.publish("to/page", message)
            box.mend()
            assert browser.run(PUBLISH, [list(m) for m in said[20 * n:20 * n + 20]]) == 20
        wait_received(browser, said)
        assert [peer.receive() for _ in said] == said
        assert browser.driver.execute_script("return closes") == 0
        browser.run(END)
    finally:
        peer.close()
    assert broker.clients("page") == seen_before + 1


def test_when_nothing_gets_through_the_library_decides_what_then(browser, site, make_box):
    load(browser, site)
    box = make_box(upgrades="reset", polls="reset")
    assert connect(browser, box) != "connected"
    box.upgrades = box.polls = "pass"
    assert browser.run("""
        return new Promise((resolve, reject) => {
          client.once("connect", () => resolve("connected"));
          setTimeout(() => reject(new Error("not connected")), 40000);
          client.reconnect();
        });""") == "connected"
    browser.run(END)

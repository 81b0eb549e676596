"""`culvert demo`: what it prints works as it is printed, and so does its page in a browser."""

import asyncio
import json
import re
import shutil
import signal
import ssl
import stat
import subprocess
import urllib.request

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from kit.demo import Demo
from kit.edge import wait_for

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
PANES = ["ws", "poll"]
OTHER = {"ws": "poll", "poll": "ws"}


@pytest.fixture
def make_demo(tmp_path):
    demos = []

    def make():
        demos.append(Demo(tmp_path))
        return demos[-1]

    yield make
    for demo in demos:
        demo.stop()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    demo = Demo(tmp_path_factory.mktemp("demo"))
    yield demo
    demo.stop()


# --- the certificate -------------------------------------------------------------------------------------------------

def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def test_the_certificate_is_for_this_machine_only(demo):
    names = openssl("x509", "-in", demo.certificate, "-noout", "-ext", "subjectAltName").splitlines()[1]
    assert {name.strip() for name in names.split(",")} == {
        "DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"}
    assert openssl("x509", "-in", demo.certificate, "-noout", "-pubkey") == openssl("pkey", "-in", demo.key, "-pubout")


def test_the_key_is_for_its_owner_only(demo):
    assert stat.S_IMODE(demo.key.stat().st_mode) == 0o600
    assert sorted(file.name for file in demo.key.parent.iterdir()) == ["edge.key", "edge.pem"]


def test_the_certificate_is_kept_for_the_next_start(make_demo):
    first = make_demo()
    kept = first.certificate.read_bytes(), first.key.read_bytes()
    assert first.stop() == 0
    again = make_demo()
    assert (again.certificate.read_bytes(), again.key.read_bytes()) == kept
    served = ssl.get_server_certificate(("localhost", again.port), ca_certs=str(again.certificate))
    assert ssl.PEM_cert_to_DER_cert(served) == ssl.PEM_cert_to_DER_cert(kept[0].decode())


# --- what is printed -------------------------------------------------------------------------------------------------

def test_the_pasted_curl_session_runs(demo):
    shell = ["bash", "-e", "-o", "pipefail", "-c", demo.commands]
    ran = subprocess.run(shell, capture_output=True, text=True, timeout=30)
    assert (ran.returncode, ran.stderr) == (0, "")
    taken, received = [json.loads(line) for line in ran.stdout.splitlines()]
    assert taken["ack"] == 1
    assert (received["first"], received["messages"]) == (1, [{"text": "hello"}])


def test_the_printed_websocket_url_works(demo):
    async def run():
        async with connect(demo.wss, ssl=demo.ssl) as ws:
            await ws.send("hello")
            assert await asyncio.wait_for(ws.recv(), 5) == "hello"

    asyncio.run(run())


def test_the_printed_token_is_needed(demo):
    async def run():
        with pytest.raises(InvalidStatus) as refused:
            await connect(demo.wss.split("?")[0], ssl=demo.ssl)
        assert refused.value.response.status_code == 401

    asyncio.run(run())


def test_every_start_has_a_token_of_its_own_and_logs_none(make_demo):
    tokens = set()
    for demo in (make_demo(), make_demo()):
        async def run():
            async with connect(demo.wss, ssl=demo.ssl):
                pass

        asyncio.run(run())
        token = demo.wss.split("access_token=")[1]
        tokens.add(token)
        wait_for(lambda: "session ended" in demo.log, what="the end of the session")
        assert demo.stop() == 0
        assert token not in demo.log
    assert len(tokens) == 2


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_demo_says_goodbye_and_leaves_with_0(make_demo, sign):
    demo = make_demo()

    async def run():
        async with connect(demo.wss, ssl=demo.ssl) as ws:
            demo.process.send_signal(sign)
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 5)
            assert ws.close_code == 1001

    asyncio.run(run())
    assert demo.process.wait(10) == 0


def test_a_certificate_of_somebody_else_is_not_overwritten(make_demo, tmp_path):
    folder = tmp_path / "certs"
    folder.mkdir()
    (folder / "edge.key").write_text("mine")
    with pytest.raises(AssertionError, match="edge.key is there without"):
        make_demo()
    assert (folder / "edge.key").read_text() == "mine" and not (folder / "edge.pem").exists()


# --- the page --------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if not (shutil.which(CHROMIUM) and shutil.which(DRIVER)):
        pytest.skip(f"needs {CHROMIUM} and {DRIVER}")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking",
                     "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost",
                     f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("acceptInsecureCerts", True)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


class Page:
    """The demo's page with both of its panes open."""

    def __init__(self, browser, demo, query=""):
        self.browser = browser
        for kind in ("browser", "performance"):
            browser.get_log(kind)  # What an earlier page said is read away.
        browser.get(demo.page + query)
        for pane in PANES:
            self.wait_state(pane, "open")

    def wait(self, condition, what):
        WebDriverWait(self.browser, 10, poll_frequency=0.05).until(lambda _: condition(), what)

    def find(self, pane, part):
        return self.browser.find_element(By.ID, f"{pane}-{part}")

    def wait_state(self, pane, state):
        self.wait(lambda: self.find(pane, "state").text == state, f"{pane} to be {state}")

    def say(self, pane, text):
        self.find(pane, "input").send_keys(text)
        self.find(pane, "send").click()

    def messages(self, pane):
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", f"#{pane}-log > .message")

    def wait_messages(self, pane, *texts):
        self.wait(lambda: self.messages(pane) == list(texts), f"{texts} in {pane}")

    def complaints(self):
        return [entry for entry in self.browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def requests(self):
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return urls + [event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"]


@pytest.mark.parametrize("pane", PANES)
def test_what_is_said_in_one_pane_arrives_in_both(browser, demo, pane):
    page = Page(browser, demo)
    page.say(pane, "grüße <b>&amp;</b> 👋" if pane == "poll" else "hello")
    said = "demo: grüße <b>&amp;</b> 👋" if pane == "poll" else "demo: hello"
    page.wait_messages(pane, said)
    page.wait_messages(OTHER[pane], said)
    assert page.find(pane, "input").get_attribute("value") == ""
    assert page.complaints() == []


def test_many_messages_arrive_once_and_in_order_in_both_panes(browser, demo):
    page = Page(browser, demo)
    said = []
    for n in range(10):
        for pane in PANES:
            page.find(pane, "input").send_keys(f"{pane} {n}" + Keys.ENTER)
            said.append(f"demo: {pane} {n}")
    for pane in PANES:
        page.wait(lambda: len(page.messages(pane)) >= len(said), "all messages")
        assert sorted(page.messages(pane)) == sorted(said)
        for name in PANES:
            own = [text for text in page.messages(pane) if text.startswith(f"demo: {name} ")]
            assert own == [text for text in said if text.startswith(f"demo: {name} ")]
    assert page.messages("ws") == page.messages("poll")


def test_an_echo_arrives_only_where_it_was_asked_for(browser, demo):
    page = Page(browser, demo, "?path=/echo")
    for pane in PANES:
        page.say(pane, f"from {pane}")
        page.wait_messages(pane, f"from {pane}")
    assert [page.messages(pane) for pane in PANES] == [["from ws"], ["from poll"]]


def test_a_pane_can_be_closed_and_opened_again(browser, demo):
    page = Page(browser, demo)
    for pane in PANES:
        page.find(pane, "toggle").click()
        page.wait_state(pane, "closed")
        assert not page.find(pane, "send").is_enabled()
        page.find(pane, "toggle").click()
        page.wait_state(pane, "open")
        page.say(pane, f"{pane} is back")
        page.wait_messages(OTHER[pane], *[f"demo: {name} is back" for name in PANES[:PANES.index(pane) + 1]])
    assert page.complaints() == []


def test_the_page_asks_nobody_but_the_demo(browser, demo):
    page = Page(browser, demo)
    hosts = {re.match(r"\w+://[^/]+", url)[0] for url in page.requests() if not url.startswith("data:")}
    assert hosts == {f"https://localhost:{demo.port}", f"wss://localhost:{demo.port}"}
    html = urllib.request.urlopen(demo.page, context=demo.ssl).read().decode()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)


def test_both_panes_say_that_the_demo_has_stopped(browser, make_demo):
    demo = make_demo()
    page = Page(browser, demo)
    assert demo.stop() == 0
    for pane in PANES:
        page.wait_state(pane, "closed")
        assert page.find(pane, "detail").text.startswith("1001")

"""The page of `culvert demo` in a browser: two clients, and what is done to their networks."""

import re
import shutil
import urllib.request

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from kit.demo import demo, make_demo  # noqa: F401
from kit.demo_page import PANES, Page

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
OTHER = {"a": "b", "b": "a"}
WEBSOCKET, POLLING, PLAIN, NO_LANE = "WebSocket lane", "polling", "plain WebSocket", "no lane"


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


# What Chromium says of a lane that is given up before it has opened, and of a GET that crosses a Close on the way.
CROSSED = re.compile(r"WebSocket is closed before the connection|/_poll/[\w-]+\?ack=\d+ - .* 410 ")


def complaints(browser):
    return [entry for entry in browser.get_log("browser")
            if entry["level"] in ("SEVERE", "WARNING") and not CROSSED.search(entry["message"])]


@pytest.fixture(autouse=True)
def no_complaints(request):
    """Whatever is done to a page, its console has nothing to say, or the test has asked for it."""
    yield
    if "browser" in request.fixturenames:
        assert complaints(request.getfixturevalue("browser")) == []


# --- two clients that talk to each other ------------------------------------------------------------------------------

@pytest.mark.parametrize("pane", PANES)
def test_what_is_said_in_one_pane_arrives_in_both(browser, demo, pane):
    page = Page(browser, demo)
    page.wait_lane("a", WEBSOCKET)
    page.wait_lane("b", POLLING)
    page.say(pane, "grüße <b>&amp;</b> 👋" if pane == "b" else "hello")
    said = "demo: grüße <b>&amp;</b> 👋" if pane == "b" else "demo: hello"
    page.wait_messages(pane, said)
    page.wait_messages(OTHER[pane], said)
    assert page.find(pane, "input").get_attribute("value") == ""


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
    assert page.messages("a") == page.messages("b")


def test_an_echo_arrives_only_where_it_was_asked_for(browser, demo):
    page = Page(browser, demo, "?path=/echo")
    for pane in PANES:
        page.say(pane, f"from {pane}")
        page.wait_messages(pane, f"from {pane}")
    assert [page.messages(pane) for pane in PANES] == [["from a"], ["from b"]]


def test_a_pane_can_be_closed_and_opened_again(browser, demo):
    page = Page(browser, demo)
    for pane in PANES:
        page.click(pane, "toggle")
        page.wait_state(pane, "closed")
        assert not any(page.find(pane, part).is_enabled() for part in ("send", "stream", "cut"))
        page.click(pane, "toggle")
        page.wait_state(pane, "open")
        page.say(pane, f"{pane} is back")
        page.wait_messages(OTHER[pane], *[f"demo: {name} is back" for name in PANES[:PANES.index(pane) + 1]])


@pytest.mark.parametrize("transport, lane", [
    ("WebSocket lane", WEBSOCKET), ("Polling", POLLING), ("Plain WebSocket", PLAIN)])
def test_each_transport_and_path_can_be_chosen(browser, demo, transport, lane):
    page = Page(browser, demo)
    page.choose("a", "transport", transport)
    page.choose("a", "path", "/echo")
    page.wait_lane("a", lane)
    page.say("a", "hello")
    page.wait_messages("a", "hello")
    assert page.messages("b") == []


# --- what is done to the network -------------------------------------------------------------------------------------

@pytest.mark.parametrize("pane", PANES)
def test_a_cut_lane_loses_and_doubles_nothing(browser, demo, pane):
    page = Page(browser, demo)
    for each in PANES:
        page.start_stream(each)
    for cuts in (1, 2, 3):
        page.wait_ordered(pane, 200)
        sent = page.number(pane, "sent")
        page.click(pane, "cut")
        page.wait(lambda: page.number(pane, "reconnects") >= cuts, "a new lane")
        assert page.number(pane, "sent") >= sent
    page.wait_ordered(pane, 200)
    count = sum(page.wait_settled(each) for each in PANES)
    for each in PANES:
        page.wait(lambda: page.tally(each)[0] >= count, "all of the streams")
        assert page.tally(each) == (count, 0, 0)
        assert page.number(each, "received") == count
    assert len([entry for entry in page.entries(pane, "lane") if entry.startswith(NO_LANE)]) >= 3


def test_a_session_goes_on_by_polling_where_websocket_is_refused_and_moves_up_again(browser, demo):
    page = Page(browser, demo)
    page.start_stream("a")
    page.wait_ordered("a", 100)
    page.choose("a", "websocket", "is refused")
    page.wait_lane("a", POLLING)
    page.wait_ordered("a", 100)
    page.choose("a", "websocket", "gets through")
    page.wait_lane("a", WEBSOCKET)
    page.wait_ordered("a", 100)
    count = page.wait_settled("a")
    for pane in PANES:
        page.wait(lambda: page.tally(pane)[0] >= count, "all of the stream")
        assert page.tally(pane) == (count, 0, 0)


@pytest.mark.parametrize("fault", ["is refused", "opens, says nothing"])
def test_a_client_that_gets_no_websocket_through_opens_by_polling(browser, demo, fault):
    page = Page(browser, demo)
    page.click("a", "toggle")
    page.choose("a", "websocket", fault)
    page.click("a", "toggle")
    page.wait_lane("a", POLLING)
    page.say("a", "hello")
    page.wait_messages("b", "demo: hello")


def test_a_plain_websocket_that_is_cut_is_gone_and_says_so(browser, demo):
    page = Page(browser, demo, "?a=plain")
    page.choose("a", "delay", "400 ms")
    page.say("a", "lost")
    page.click("a", "cut")
    page.wait_state("a", "closed")
    assert page.text("a", "detail").startswith("1006")
    assert "1 message on the way" in page.entries("a", "state")[-1]
    assert not page.find("a", "send").is_enabled()


def test_requests_that_fail_keep_a_polled_session_waiting_and_no_longer(browser, demo):
    page = Page(browser, demo)
    page.start_stream("a")
    page.wait_ordered("b", 100)
    page.choose("b", "requests", "fail")
    page.wait_lane("b", NO_LANE)
    assert page.text("b", "state") == "reconnecting"
    page.say("b", "later")
    page.choose("b", "requests", "get through")
    page.wait_lane("b", POLLING)
    page.wait_messages("a", "demo: later")
    count = page.wait_settled("a")
    page.wait(lambda: page.tally("b")[0] >= count, "all of the stream")
    assert page.tally("b") == (count, 0, 0)


@pytest.mark.parametrize("pane", PANES)
def test_delay_and_bandwidth_are_seen_in_the_round_trip(browser, demo, pane):
    page = Page(browser, demo, "?path=/echo")

    def round_trip():
        found = re.fullmatch(r"([\d,.]+) ms", page.text(pane, "echo"))
        return float(found[1].replace(",", "")) if found else -1

    page.choose(pane, "delay", "400 ms")
    page.say(pane, "slow")
    page.wait(lambda: round_trip() >= 800, "an echo that is delayed both ways")
    page.choose(pane, "delay", "none")
    page.choose(pane, "rate", "10 kB/s")
    page.fill(pane, "size", 20_000)
    page.start_stream(pane, pace=1)
    page.wait(lambda: round_trip() >= 4000, "an echo that takes two seconds each way")


# --- what is seen, and by whom ---------------------------------------------------------------------------------------

def test_the_page_asks_nobody_but_the_demo(browser, demo):
    page = Page(browser, demo)
    # The browser loads its own first page when this test is the first.
    urls = [url for url in page.requests() if not url.startswith(("data:", "chrome:"))]
    assert {re.match(r"\w+://[^/]+", url)[0] for url in urls} == {
        f"https://localhost:{demo.port}", f"wss://localhost:{demo.port}"}
    # Tokens are in no URL.
    assert not any(demo.wss.split("access_token=")[1] in url for url in urls)
    assert browser.execute_async_script("""
        addEventListener("securitypolicyviolation", (event) => arguments[0]([event.effectiveDirective, window.ran]));
        const script = document.createElement("script");
        script.text = "window.ran = true";
        document.body.append(script);""") == ["script-src-elem", None]
    assert len(complaints(browser)) == 1
    html = urllib.request.urlopen(demo.page, context=demo.ssl, timeout=20).read().decode()
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", html)


def test_both_panes_say_that_the_demo_has_stopped(browser, make_demo):
    demo = make_demo()
    page = Page(browser, demo)
    assert demo.stop() == 0
    for pane in PANES:
        page.wait_state(pane, "closed")
        assert page.text(pane, "detail").startswith("1001")
    browser.get("about:blank")
    complaints(browser)  # Of requests that reached nobody.


def test_the_chart_tells_in_words_what_it_draws(browser, demo):
    page = Page(browser, demo)
    page.start_stream("a")
    page.wait_ordered("a", 100)
    page.choose("a", "websocket", "is refused")
    page.wait_lane("a", POLLING)
    chart = page.find("a", "chart").find_element(By.TAG_NAME, "svg")
    label = re.compile(r"Messages took up to [\d,]+ ms; .*WebSocket \d+ s.*polling \d+ s")
    page.wait(lambda: label.search(chart.get_attribute("aria-label")), "the chart's words")
    drawn = browser.execute_script("""
        return [...arguments[0].querySelectorAll("path[class][d^=M], rect")]
            .map((mark) => mark.getAttribute("class"))""", chart)
    assert {"echo", "band", "out", "in", "change", "websocket", "polling"} <= set(drawn)


def test_changes_of_state_are_announced(browser, demo):
    page = Page(browser, demo)
    announcer = browser.find_element(By.ID, "announcer")
    assert announcer.get_attribute("role") == "status"

    def said(text):
        page.wait(lambda: text in announcer.get_attribute("textContent"), text)

    said("Client A: open, WebSocket lane")
    page.choose("a", "websocket", "is refused")
    said("Client A: open, polling")
    page.click("b", "toggle")
    said("Client B: closed")


def test_the_keyboard_is_enough(browser, demo):
    page = Page(browser, demo)
    page.press(Keys.TAB, Keys.ENTER)
    help_box = browser.find_element(By.ID, "help")
    assert help_box.get_attribute("open") is not None
    page.press(Keys.ESCAPE)
    assert help_box.get_attribute("open") is None and page.focused == "help-open"

    order = []
    for _ in range(13):
        page.press(Keys.TAB)
        order.append(page.focused)
        outline = browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", page.focused
    assert order == [f"a-{part}" for part in (
        "toggle", "transport", "path", "websocket", "requests", "delay", "rate", "cut", "pace", "size", "stream", "log",
        "clear")]

    page.press("m", *"hello", Keys.ENTER)
    page.wait_messages("b", "demo: hello")
    page.press(*"xcw", Keys.ESCAPE)
    assert page.focused == "a" and page.find("a", "input").get_attribute("value") == "xcw"
    page.press("x")
    page.wait(lambda: page.number("a", "reconnects") == 1, "a new lane")
    page.press("w")
    page.wait_lane("a", POLLING)
    page.press("w", "s")
    page.wait_ordered("b", 10)
    page.press("s", "2", "c")
    page.wait_state("b", "closed")
    page.press("c")
    page.wait_state("b", "open")
    page.press("r")
    page.wait_lane("b", NO_LANE)
    page.press("r", "1", "?")
    assert help_box.get_attribute("open") is not None


def test_keys_work_on_a_page_that_nobody_has_touched(browser, demo):
    page = Page(browser, demo)

    def current():
        return browser.execute_script("return [...document.querySelectorAll('[aria-current]')].map((e) => e.id)")

    assert page.focused == "" and current() == ["a"]
    page.press("x")
    page.wait(lambda: page.number("a", "reconnects") == 1, "a new lane")
    # A click beside the clients takes the focus away, and the keys stay with the client that had it.
    page.press("2")
    browser.find_element(By.TAG_NAME, "h1").click()
    assert page.focused == "" and current() == ["b"]
    page.press("c")
    page.wait_state("b", "closed")
    page.press("c")
    page.wait_state("b", "open")
    page.press("?")
    assert browser.find_element(By.ID, "help").get_attribute("open") is not None
    # The help is in front of the clients, and can turn the keys off for who speaks to a computer.
    page.press("x")
    browser.find_element(By.ID, "keys").click()
    page.press(Keys.ESCAPE)
    browser.find_element(By.TAG_NAME, "h1").click()
    before = len(page.entries("a", "network") + page.entries("b", "network"))
    page.press(*"xwr?")
    assert browser.find_element(By.ID, "help").get_attribute("open") is None
    assert len(page.entries("a", "network") + page.entries("b", "network")) == before == 1


def test_the_legend_has_every_state_that_the_chart_shows(browser, demo):
    page = Page(browser, demo, "?a=plain&b=auto")
    page.start_stream("a", pace=20)
    page.wait_lane("b", WEBSOCKET)
    page.choose("b", "websocket", "is refused")
    page.wait_lane("b", POLLING)
    page.choose("b", "requests", "fail")
    page.wait_lane("b", NO_LANE)
    # (class, colour) of what is drawn, and of what the legend says.
    drawn = page.wait_value("""
        const marks = [...document.querySelectorAll(".chart rect, .chart path[class][d^=M]:not(.rule)")];
        const seen = marks.map((mark) => [mark.getAttribute("class"), getComputedStyle(mark)])
          .map(([name, { fill, stroke }]) => [name, fill === "none" ? stroke : fill]);
        const names = new Set(seen.map(([name]) => name));
        return ["websocket", "polling", "plain", "none", "echo", "band", "out", "in", "change"]
          .every((name) => names.has(name)) && Object.fromEntries(seen);""", "every state to be drawn")
    legend = browser.execute_script("""
        return Object.fromEntries([...document.querySelectorAll("#a .key")].map((key) => {
          const style = getComputedStyle(key, "::before");
          const isLine = style.borderTopWidth !== "0px" || style.borderLeftWidth !== "0px";
          const color = style.borderTopWidth !== "0px" ? style.borderTopColor : style.borderLeftColor;
          return [key.className.replace("key key-", ""), [key.textContent, isLine ? color : style.backgroundColor]];
        }))""")
    assert set(legend) == {*drawn, "away"} and legend["away"][0] == "not connected"
    # A line of the chart has no colour within.
    assert {name: color for name, (_, color) in legend.items() if name not in ("away", "change")} == {
        name: color for name, color in drawn.items() if name != "change"}
    assert all(text.strip() for text, _ in legend.values())


@pytest.mark.parametrize("width", [360, 1280])
def test_a_lane_is_explained_where_it_is_first_read(browser, demo, width):
    Page(browser, demo, wide=width)
    first = browser.execute_script("""
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        for (let text; (text = walker.nextNode()); ) {
          if (/\\blane/i.test(text.data) && text.parentElement.checkVisibility()) {
            return [text.parentElement.localName, text.parentElement.parentElement.textContent];
          }
        }""")
    assert first[0] == "dfn" and "lane is the connection that carries it" in first[1]


def test_every_control_has_a_name(browser, demo):
    Page(browser, demo)
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    kinds = {"button", "combobox", "textbox", "spinbutton", "link", "log", "region", "image", "group", "navigation"}
    found = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes
             if not node["ignored"] and node["role"]["value"] in kinds]
    assert [role for role, name in found if not name.strip()] == []
    assert len([role for role, _ in found if role in ("button", "combobox", "textbox", "spinbutton")]) == 1 + 2 * 14
    for pane in "AB":
        assert ("region", f"Client {pane}") in found and ("log", f"What happened to client {pane}") in found
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    headings = browser.execute_script("return [...document.querySelectorAll('h1, h2')].map(e => e.tagName)")
    assert headings.count("H1") == 1


# WCAG 2.2, 1.4.3: of each text that is seen, against the first background behind it that is opaque.
CONTRASTS = """
const channels = (color) => color.match(/[\\d.]+/g).map(Number);
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, index) => sum + c * [0.2126, 0.7152, 0.0722][index], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = channels(getComputedStyle(element).backgroundColor);
    if (color.length < 4 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const poor = [];
for (const element of document.querySelectorAll("body *")) {
  if (element.closest("dialog, template, noscript, svg, option") || element.matches(":disabled")) continue;
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!(own || element.matches("input, select")) || !element.checkVisibility()) continue;
  const style = getComputedStyle(element);
  const pair = [light(channels(style.color)), light(behind(element))].sort((a, b) => b - a);
  const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
  if (ratio < 4.5) poor.push([element.id || element.className || element.textContent, ratio]);
}
for (const mark of document.querySelectorAll("svg .echo, svg .out, svg .in, svg rect")) {
  const style = getComputedStyle(mark);
  const color = style.fill === "none" ? style.stroke : style.fill;
  const pair = [light(channels(color)), light(behind(mark.closest("section")))].sort((a, b) => b - a);
  if ((pair[0] + 0.05) / (pair[1] + 0.05) < 3) poor.push([mark.getAttribute("class"), color]);
}
return poor;
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_can_be_read(browser, demo, scheme):
    page = Page(browser, demo)
    page.resize(1280, scheme=scheme)
    page.start_stream("a")
    page.wait_ordered("b", 20)
    page.click("a", "cut")
    page.wait(lambda: page.number("a", "reconnects") == 1, "a new lane")
    page.choose("b", "requests", "fail")
    page.wait_lane("b", NO_LANE)
    background = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.search(r"\d+", background)[0]) > 127) == (scheme == "light")
    assert browser.execute_script(CONTRASTS) == []


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1920])
def test_the_page_fits(browser, demo, width):
    page = Page(browser, demo, wide=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    beyond = browser.execute_script("""
        return [...document.querySelectorAll("main *")].filter((e) => e.checkVisibility() && !e.closest("svg, option"))
            .filter((e) => e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.id || e.className)""")
    assert beyond == []
    tops = [browser.find_element(By.ID, pane).rect["y"] for pane in PANES]
    assert (tops[0] == tops[1]) == (width > 720)

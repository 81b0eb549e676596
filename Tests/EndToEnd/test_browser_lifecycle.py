"""Pages that go, come back, are hidden or offline; workers; pages that may do little."""

import json

import pytest

from kit.browser import options, page_routes, served_script
from kit.edge import wait_for

TRANSPORTS = ["websocket", "polling"]
OPEN = """
globalThis.s = new CulvertSocket(given[0], [], given[1]);
globalThis.got = received(s);
globalThis.lanes = [];
s.addEventListener("lane", ({ detail }) => lanes.push(detail.lane));
await opened(s);
"""


@pytest.fixture
def page(browser, pages):
    browser.open(pages)
    return browser


@pytest.fixture
def edge(make_edge, fresh_backend, pages):
    return make_edge(fresh_backend.port, extra_routes=page_routes(pages))


# --- pages that go ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain"])
def test_a_page_that_goes_ends_its_session_at_once(page, edge, fresh_backend, transport):
    """Long before the minute that it may stay away."""
    page.run(OPEN, edge.wss + "/page", options(transport))
    page.driver.refresh()
    wait_for(lambda: fresh_backend.closed, what="the backend to see the close")
    assert [code for _, code, _ in fresh_backend.closed] == [1001]
    page.wait_ready()


def test_the_beacon_of_a_page_has_the_token_in_no_url(page, edge, pages):
    page.run("""
        navigator.sendBeacon = (url, body) => {
          sessionStorage.said = JSON.stringify([url, String(body)]);
          return true;
        };
    """)
    page.run(OPEN, edge.wss + "/page", options("polling"))
    token = options()["token"]
    session = page.run("return s.culvert.session")
    page.driver.refresh()
    page.wait_ready()
    said = json.loads(page.run("return sessionStorage.said"))
    assert said == [f"{edge.https}/page/_poll/{session}/close?code=1001", f"access_token={token}"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_page_that_comes_back_goes_on_with_its_session(page, edge, pages, fresh_backend, transport):
    """Kept by the browser as it was (bfcache), which it is only without connections."""
    page.run(OPEN, edge.wss + "/page", options(transport))
    page.run("""
        addEventListener("pageshow", ({ persisted }) => { globalThis.wasKept = persisted; });
        s.send("before");
        await until(() => got.length === 1);
    """)
    session = page.run("return s.culvert.session")
    page.driver.get(pages.origin + "/other")
    page.driver.back()
    page.wait("return typeof s === 'object'", what="the page as it was")
    assert page.run("""
        await until(() => globalThis.wasKept !== undefined);
        s.send("behind");
        await until(() => got.length === 2);
        return [wasKept, got, s.culvert.session];
    """) == [True, ["before", "behind"], session]
    assert len(fresh_backend.requests) == 1 and fresh_backend.closed == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_page_that_is_hidden_goes_on(page, edge, transport):
    """A headless page is never hidden by itself."""
    page.run(OPEN, edge.wss + "/page", options(transport))
    page.run("""
        const hide = (hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
        };
        hide(true);
        s.send("hidden");
        await until(() => got.length === 1);
        s.culvert.cut();
        hide(false);
        s.send("shown");
        await until(() => got.length === 2);
    """)
    assert page.run("return got") == ["hidden", "shown"]


def test_a_hidden_page_does_not_move_up(page, edge):
    """Nor does it ask for anything that can wait."""
    page.run("""
        Object.defineProperty(document, "hidden", { value: true, configurable: true });
        localStorage.setItem("culvert:" + new URL(given[0]).origin,
          JSON.stringify({ transport: "polling", until: Date.now() + 60000 }));
    """, edge.wss)
    page.run(OPEN, edge.wss + "/page", options())
    page.run("await pause(6000)")
    assert page.run("return lanes") == ["polling"]
    page.run("""
        delete document.hidden;
        await until(() => s.culvert.lane === "websocket");
    """)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_offline_it_waits_and_online_it_goes_on_at_once(page, edge, transport):
    page.run(OPEN, edge.wss + "/page", options(transport))
    page.driver.execute_cdp_cmd("Network.enable", {})
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**network, "offline": True})
    try:
        page.wait("return !navigator.onLine", what="the browser to be offline")
        page.run("""
            s.culvert.cut();
            s.send("offline");
            await pause(1500);
        """)
        assert page.run("return [s.culvert.lane, s.readyState, got.length]") == [None, 1, 0]
    finally:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**network, "offline": False})
    page.run("await until(() => got.length === 1)")
    assert page.run("return got") == ["offline"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_coming_online_asks_whether_the_lane_is_still_there(page, edge, transport):
    page.run(OPEN, edge.wss + "/page", options(transport))
    assert page.run("""
        dispatchEvent(new Event("online"));
        s.send("a");
        await until(() => got.length === 1 && s.culvert.latency !== null);
        return [s.culvert.lane, s.readyState];
    """) == [transport, 1]


# --- workers, and pages that may do little ---------------------------------------------------------------------------

@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain", "both"])
def test_it_works_in_a_worker(page, edge, transport):
    result = page.run("""
        const [url, options] = given;
        const worker = new Worker("/worker.js");
        const said = [];
        worker.onmessage = ({ data }) => {
          said.push(data);
          if (data === "ready") worker.postMessage([url, options]);
        };
        worker.onerror = ({ message }) => said.push(message);
        await until(() => said.length === 3, "the worker: " + said);
        return said;
    """, edge.wss + "/page", options(transport))
    lane = {"both": "websocket"}.get(transport, transport)
    assert result == ["ready", [lane, [f"m{n}" for n in range(100)]], ["close", 1000]]


@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain"])
def test_it_works_under_a_strict_policy(browser, pages, edge, transport):
    """Scripts from the page's own origin, connections to the edge, and nothing else; no `eval`, nothing inline."""
    pages.policy = f"default-src 'none'; script-src 'self'; connect-src {edge.https} {edge.wss}"
    try:
        browser.open(pages, f"/strict?{edge.wss}/page#{transport}")
        result = browser.wait("return document.documentElement.dataset.said", what="the page's script")
    finally:
        pages.policy = None
    assert json.loads(result) == ["hi", {"plain": "plain"}.get(transport, transport), []]


def test_a_page_without_storage_works(page, edge):
    """`localStorage` throws in a frame of an opaque origin; its `Origin` is `null`."""
    result = page.run("""
        const frame = document.createElement("iframe");
        frame.sandbox = "allow-scripts";
        frame.srcdoc = "<script>" + given[0] + "</" + "script>";
        const said = new Promise((resolve) => { onmessage = ({ data }) => resolve(data); });
        document.body.append(frame);
        const end = await within(said, "the frame");
        frame.remove();
        return end;
    """, served_script("classic") + f"""
        let kept = true;
        try {{ localStorage; }} catch {{ kept = false; }}
        const s = new CulvertSocket({json.dumps(edge.wss + "/frame")}, [], {{ transports: ["polling"] }});
        s.onclose = ({{ code }}) => parent.postMessage([kept, code], "*");
    """)
    assert result == [False, 1006]

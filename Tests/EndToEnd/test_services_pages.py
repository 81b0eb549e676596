"""Services with pages, which nobody here wrote, in Chromium, on a host that is divided as docs/services.md says: with
WebSockets, and where WebSockets are blocked. `Tests/services` installs them; `Tests/run` skips them."""

import contextlib
import os
import subprocess
import sys

import httpx
import pytest
from selenium.webdriver import ActionChains
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from kit.bridge import Bridge
from kit.edge import TOKEN, wait_for
from kit.front import Front
from kit.service_pages import bokeh, cockpit, jupyter, novnc, streamlit
from kit.services import APPS, IS_SERVICES, OTHER_ORIGIN


pytestmark = pytest.mark.skipif(not IS_SERVICES, reason="large services: run Tests/services, which installs them")


@pytest.fixture(params=[False, True], ids=["native", "blocked"])
def open_host(request, tmp_path, browser):
    """Opens the host of a service; the browser has Culvert's token for it."""
    ends = []

    def enter(manager):
        ends.append(manager)
        return manager.__enter__()

    def open_host(service, heading, documented_port):
        front = Front(tmp_path / "front", heading, documented_port, is_blocked=request.param)
        front.service = enter(service(tmp_path / "service", front))
        enter(front.running())
        front.enter(browser)
        return front

    yield open_host
    browser.driver.get("about:blank")
    for manager in reversed(ends):
        manager.__exit__(None, None, None)


# --- Jupyter --------------------------------------------------------------------------------------------------------
KERNEL = """
const kernels = jupyterapp.serviceManager.kernels;
const kernel = await kernels.startNew({ name: "python3" });
const said = [];
const run = async (code) => {
  const future = kernel.requestExecute({ code });
  future.onIOPub = ({ header, content }) => {
    if (header.msg_type === "stream") said.push(content.text);
    if (header.msg_type === "execute_result") said.push(content.data["text/plain"]);
  };
  const reply = await future.done;
  return reply.content.status;
};
const statuses = [await run("6 * 7"), await run("print('x' * 2_000_000)"), await run("1 / 0")];
const got = said.join("");
await kernel.shutdown();
return [statuses, got.slice(0, 2), got.length];
"""


def test_jupyter_runs_code_in_a_kernel(open_host, browser):
    front = open_host(jupyter, "Jupyter", 8888)
    browser.driver.get(front.origin + "/lab?token=secret")
    browser.wait("return globalThis.jupyterapp?.serviceManager.isReady", what="JupyterLab", timeout=60)
    assert browser.run(KERNEL) == [["ok", "ok", "error"], "42", 2 + 2_000_001]
    front.check("/api/kernels/1/channels")
    for host, status in (("app.example.com", 200), ("other.example.com", 403)):
        assert httpx.get(front.origin + "/api", headers={"Host": host}, verify=front.trust).status_code == status


TERMINAL = """
const terminals = jupyterapp.serviceManager.terminals;
const terminal = await terminals.startNew();
let said = "";
terminal.messageReceived.connect((_, { type, content }) => { if (type === "stdout") said += content[0]; });
terminal.send({ type: "stdin", content: ["echo cul''vert\\r"] });
for (const end = Date.now() + 30000; !/culvert/.test(said); await new Promise((go) => setTimeout(go, 50))) {
  if (Date.now() > end) throw new Error("the terminal says " + said);
}
await terminal.shutdown();
"""


def test_jupyter_has_terminals(open_host, browser):
    front = open_host(jupyter, "Jupyter", 8888)
    browser.driver.get(front.origin + "/lab?token=secret")
    browser.wait("return globalThis.jupyterapp?.serviceManager.isReady", what="JupyterLab", timeout=60)
    browser.run(TERMINAL)
    front.check("/terminals/websocket/1")


# --- Streamlit ------------------------------------------------------------------------------------------------------
def test_streamlit_shows_a_page_and_a_large_table(open_host, browser):
    front = open_host(streamlit, "Streamlit", 8501)
    browser.driver.get(front.origin + "/")
    text = "return document.body.innerText.includes(arguments[0])"
    browser.wait(text, "There are 1 rows.", what="the app", timeout=60)
    # A table is one message.
    browser.wait("""
        const more = [...document.querySelectorAll("button")].find((button) => button.innerText.includes("more"));
        more?.click();
        return more;""", what="the button")
    browser.wait(text, "There are 100000 rows.", what="the answer", timeout=60)
    front.check("/_stcore/stream")
    # The page has not had to connect again.
    assert len(front.edge.events("session opened")) == 1


# --- Bokeh ----------------------------------------------------------------------------------------------------------
def test_bokeh_answers_a_page(open_host, browser):
    front = open_host(bokeh, "Bokeh", 5006)
    browser.driver.get(front.origin + "/app")
    model = "const one = (name) => Bokeh.documents[0].get_model_by_name(name);"
    browser.wait("return globalThis.Bokeh?.documents[0]?.roots().length === 1", what="the document", timeout=60)
    for presses in (1, 2):
        browser.driver.execute_script(
            model + 'one("button").trigger_event(new (Bokeh.require("core/bokeh_events").ButtonClick)())')
        browser.wait(model + 'return one("said").text === arguments[0] && one("points").data.x.length === arguments[1]',
                     f"pressed {presses} times", 100_000 * presses, what="the server's answer")
    front.check("/app/ws")


@pytest.mark.parametrize("polled", [False, True], ids=["native", "polled"])
def test_bokehs_client_changes_a_document(tmp_path, polled):
    front = Front(tmp_path / "front", "Bokeh", 5006)
    with bokeh(tmp_path / "service", front), front.running(), contextlib.ExitStack() as ends:
        url = front.origin
        if polled:
            bridge = Bridge(front.origin, front.trust)
            ends.callback(bridge.stop)
            url = bridge.url.replace("ws:", "http:")
        # It can set no header, and its certificates are the system's.
        done = subprocess.run(
            [sys.executable, APPS / "bokeh_client.py", url + "/app", TOKEN], capture_output=True, text=True, timeout=60,
            env={**os.environ, "SSL_CERT_FILE": str(front.place.cert)})
        assert done.stdout.strip() == "10000", done.stderr
        (opened,) = front.edge.expect_events("session opened")
        assert opened["transport"] == ("long-poll" if polled else "websocket")


# --- noVNC ----------------------------------------------------------------------------------------------------------
CANVAS = """
const canvas = document.querySelector("#screen canvas");
"""


def test_novnc_shows_a_screen_and_moves_its_pointer(open_host, browser):
    front = open_host(novnc, "noVNC", 6080)
    from Xlib.display import Display

    screen = Display(f":{front.service}")
    try:
        root = screen.screen().root
        browser.driver.get(front.origin + "/vnc_lite.html")
        browser.wait(CANVAS + "return canvas?.width === 640 && canvas.height === 400", what="the screen", timeout=60)
        for color in (0x123456, 0xABCDEF, 0x00FF7F):
            root.change_attributes(background_pixel=color)
            root.clear_area()
            screen.sync()
            browser.wait(CANVAS + """
                const [red, green, blue] = canvas.getContext("2d").getImageData(600, 300, 1, 1).data;
                return red << 16 | green << 8 | blue === arguments[0];""", color, what="the color")
        canvas = browser.driver.find_element("css selector", "#screen canvas")
        for x, y in ((-100, -50), (120, 80)):
            ActionChains(browser.driver).move_to_element_with_offset(canvas, x, y).perform()
            where = (320 + x, 200 + y)
            wait_for(lambda: near(root.query_pointer(), where), what=f"the pointer to be at {where}")
    finally:
        screen.close()
    front.check("/websockify")


def near(pointer, where):
    return abs(pointer.root_x - where[0]) <= 2 and abs(pointer.root_y - where[1]) <= 2


# --- Cockpit --------------------------------------------------------------------------------------------------------
def test_cockpit_logs_in_and_runs_programs(open_host, browser):
    front = open_host(cockpit, "Cockpit", 9090)
    driver = browser.driver
    driver.get(front.origin + "/cockpit/@localhost/hello/index.html")
    field = "const field = document.querySelector(arguments[0]);"
    browser.wait(field + "return field?.offsetParent", "#login-user-input", what="the login page")
    driver.find_element("css selector", "#login-user-input").send_keys("tester")
    driver.find_element("css selector", "#login-password-input").send_keys("secret")
    driver.find_element("css selector", "#login-button").click()
    browser.wait("return document.title === 'hello' && typeof cockpit === 'object'", what="the page")
    assert browser.run('return cockpit.spawn(["cat"]).input("grüße 👋")') == "grüße 👋"
    assert browser.run('return cockpit.spawn(["seq", "100000"])') == "".join(f"{n}\n" for n in range(1, 100_001))
    front.check("/cockpit/socket")


# --- each -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("service,heading,port,path,protocols,outcome", [
    (streamlit, "Streamlit", 8501, "/_stcore/stream", ["streamlit"], 403),
    (bokeh, "Bokeh", 5006, "/app/ws", ["bokeh"], 403),
    (novnc, "noVNC", 6080, "/websockify", ["binary"], 101),
    (cockpit, "Cockpit", 9090, "/cockpit/socket", ["cockpit1"], 403),
], ids=["streamlit", "bokeh", "novnc", "cockpit"])
def test_whether_the_service_checks_origins_itself(tmp_path, service, heading, port, path, protocols, outcome):
    """Culvert lets this origin in. noVNC has no list of its own."""
    front = Front(tmp_path / "front", heading, port)
    with service(tmp_path / "service", front), front.running():
        assert knock(front, path, OTHER_ORIGIN, protocols) == outcome


def test_jupyter_checks_origins_of_whoever_shows_its_cookie(tmp_path):
    """A request with Jupyter's token in the URL, which no other page knows, is taken from every origin."""
    front, path = Front(tmp_path / "front", "Jupyter", 8888), "/api/events/subscribe"
    with jupyter(tmp_path / "service", front), front.running():
        answer = httpx.get(front.origin + "/api/me?token=secret", verify=front.trust)
        assert answer.status_code == 200
        cookie = "; ".join(f"{name}={value}" for name, value in answer.cookies.items())
        assert knock(front, path, front.origin) == 403
        assert knock(front, path, front.origin, cookie=cookie) == 101
        assert knock(front, path, OTHER_ORIGIN, cookie=cookie) == 403
        assert knock(front, path + "?token=secret", OTHER_ORIGIN) == 101


def knock(front, path, origin, protocols=None, **fields):
    """The status of a WebSocket's opening, with Culvert's token."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Origin": origin, **fields}
    url = front.origin.replace("https:", "wss:") + path
    try:
        with connect(url, ssl=front.trust, additional_headers=headers, subprotocols=protocols) as ws:
            return ws.response.status_code
    except InvalidStatus as refused:
        return refused.response.status_code

"""Services with pages, which nobody here wrote, in Chromium, on a host that is divided as docs/services.md says: with
WebSockets, and where WebSockets are blocked. `Tests/services` installs them; `Tests/run` skips them."""

import pytest

from kit.front import Front
from kit.services import bokeh, jupyter, streamlit


@pytest.fixture(params=[False, True], ids=["native", "blocked"])
def open_host(request, tmp_path, browser):
    """Opens the host of a service; the browser has Culvert's token for it."""
    ends = []

    def enter(manager):
        ends.append(manager)
        return manager.__enter__()

    def open_host(service, heading, documented_port, *arguments):
        front = Front(tmp_path / "front", heading, documented_port, is_blocked=request.param)
        enter(service(tmp_path / "service", front.service_port, front, *arguments))
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

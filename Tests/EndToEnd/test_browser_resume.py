"""A session of the browser's client outlives what carries it, and says so when it cannot."""

import signal
import threading
import time

import pytest

from kit.admin import Admin
from kit.browser import options, page_routes
from kit.edge import wait_for
from kit.middlebox import CutBox, WebBox

TRANSPORTS = ["websocket", "polling"]
OPEN = """
globalThis.s = new CulvertSocket(given[0], [], given[1]);
globalThis.got = received(s);
globalThis.events = log(s);
globalThis.lanes = [];
s.addEventListener("lane", ({ detail }) => lanes.push(detail.lane));
s.addEventListener("close", (event) => { globalThis.close = ended(event); });
await opened(s);
"""
MESSAGES = 10000


@pytest.fixture
def page(browser, pages):
    browser.open(pages)
    return browser


@pytest.fixture
def edge(make_edge, fresh_backend, pages):
    """An edge whose backend nobody else has, so that its sessions can be counted."""
    return lambda **more: make_edge(fresh_backend.port, extra_routes=page_routes(pages), **more)


@pytest.fixture
def boxed():
    boxes = []

    def make(kind, target, **faults):
        boxes.append(kind(target, **faults))
        return boxes[-1]

    yield make
    for box in boxes:
        box.stop()


def at(box, path="/page"):
    return f"wss://localhost:{box.port}{path}"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_nothing_is_lost_or_doubled_while_the_network_is_cut_again_and_again(
        page, edge, boxed, fresh_backend, transport):
    """10,000 messages each way, and every 5 s no network for 2 s."""
    edge = edge()
    box = boxed(CutBox, edge.tls_port)
    page.run(OPEN, at(box), options(transport))
    done = threading.Event()

    def network():
        while not done.wait(3):
            box.cut()
            done.wait(2)
            box.mend()

    cutter = threading.Thread(target=network, daemon=True)
    cutter.start()
    try:
        # As many at a time as leave the network time for three cuts, and the last when it was found again as often: how
        # long that takes is the machine's affair.
        result = page.run("""
            const [count, cuts] = given;
            const last = count - 50;
            for (let n = 0; n < count; ) {
              for (let k = 0; k < 50 && n < count; k += 1, n += 1) s.send("message " + n);
              if (n === last) await until(() => s.culvert.reconnects >= cuts, "the cuts");
              await pause(80);
            }
            await until(() => got.length >= count, count + " messages");
            await pause(300);
            return [got.length, got.every((data, n) => data === "message " + n), s.culvert.reconnects >= cuts,
              s.readyState, events.filter((event) => !event.startsWith("message"))];
        """, MESSAGES, 3)
    finally:
        done.set()
        cutter.join(10)
        box.mend()
    assert result == [MESSAGES, True, True, 1, ["open"]]
    assert box.cuts >= 3
    assert page.run("const end = closed(s); s.close(1000); return (await end).wasClean") is True
    wait_for(lambda: len(fresh_backend.closed) == 1, what="the backend to see the close")
    assert [request.path for request in fresh_backend.requests] == ["/page"]
    event = edge.expect_events("session ended")[0]
    assert (event["messages_in"], event["messages_out"]) == (MESSAGES, MESSAGES)


def test_a_lost_lane_is_replaced_by_one_of_the_other_kind_and_back(page, edge, boxed, fresh_backend):
    box = boxed(WebBox, edge())
    page.run(OPEN, at(box), options())
    page.run("globalThis.n = 0; globalThis.pulse = setInterval(() => s.send('m' + n++), 10)")
    for fault, lane in [("reset", "polling"), ("pass", "websocket"), ("reset", "polling"), ("pass", "websocket")]:
        box.upgrades = fault
        if fault == "reset":
            box.call(box.reset_all)
        page.wait("return s.culvert.lane === arguments[0]", lane, what=lane, timeout=60)
    result = page.run("""
        clearInterval(pulse);
        await until(() => got.length === n);
        return [got.every((data, index) => data === "m" + index), lanes];
    """)
    assert result[0]
    kinds = [lane for lane in result[1] if lane]
    assert kinds == ["websocket", "polling", "websocket", "polling", "websocket"]
    assert len(fresh_backend.requests) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_happens_while_the_network_is_away_is_told_when_it_is_back(page, edge, boxed, fresh_backend, transport):
    box = boxed(CutBox, edge().tls_port)
    page.run(OPEN, at(box, "/page/flood"), options(transport))
    page.run("s.send('100 20'); await until(() => got.length === 100)")
    box.cut()
    (ws,) = fresh_backend.connections
    fresh_backend.call(ws.send("said meanwhile"))
    fresh_backend.call(ws.close(4321, "closed meanwhile"))
    page.run("await pause(300)")
    box.mend()
    page.wait("return s.readyState === 3", what="the end of the session")
    assert page.run("return [got.pop(), globalThis.close]") == [
        "said meanwhile", {"code": 4321, "reason": "closed meanwhile", "wasClean": True}]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_is_sent_and_closed_while_the_network_is_away_arrives(page, edge, boxed, fresh_backend, transport):
    box = boxed(CutBox, edge().tls_port)
    page.run(OPEN, at(box, "/page/record"), options(transport))
    box.cut()
    page.run("""
        await until(() => s.culvert.lane === null);
        for (let n = 0; n < 100; n += 1) s.send("m" + n);
        globalThis.end = closed(s);
        s.close(4000, "that was all");
    """)
    assert page.run("return [s.bufferedAmount > 100, s.readyState]") == [True, 2]
    box.mend()
    assert page.run("return end") == {"code": 4000, "reason": "that was all", "wasClean": True}
    wait_for(lambda: fresh_backend.closed, what="the backend to see the close")
    assert fresh_backend.received == [f"m{n}" for n in range(100)]
    assert fresh_backend.closed == [("/page/record", 4000, "that was all")]


def test_a_close_that_a_late_poll_learns_of_is_the_same(page, edge):
    """The answer to a poll that comes when all is over is an error, with the code and the reason in it."""
    close = page.run("""
        const [url, options] = given;
        const late = async (...request) => {
          if (!request[1].method) await pause(500);
          return fetch(...request);
        };
        const s = await opened(new CulvertSocket(url, [], { ...options, fetch: late }));
        const end = closed(s);
        s.close(1000);
        return end;
    """, edge().wss + "/page", options("polling"))
    assert close == {"code": 1000, "reason": "", "wasClean": True}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_what_waits_while_the_network_is_away_is_bounded(page, edge, boxed, transport):
    box = boxed(CutBox, edge().tls_port)
    page.run(OPEN, at(box), options(transport, maxBuffered=1000))
    box.cut()
    close = page.run("""
        await until(() => s.culvert.lane === null);
        const end = closed(s);
        for (let n = 0; n < 11; n += 1) s.send("x".repeat(100));
        return [await end, events];
    """)
    assert close == [{"code": 1006, "reason": "send buffer full", "wasClean": False},
                     ["open", "error", "close 1006"]]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_that_the_edge_does_not_know_any_more_is_lost_aloud(page, edge, transport):
    edge = edge()
    page.run(OPEN, edge.wss + "/page", options(transport if transport == "polling" else "both"))
    page.run("s.send('a'); await until(() => got.length === 1)")
    edge.process.kill()
    edge.process.wait(10)
    edge.start()
    page.wait("return s.readyState === 3", what="the end of the session")
    assert page.run("return events") == ["open", "message a", "error", "close 1006"]
    # A new one is opened as ever.
    page.run(OPEN, edge.wss + "/page", options(transport))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_network_that_stays_away_ends_the_session(page, edge, boxed, transport):
    box = boxed(CutBox, edge(session="resume: 2s").tls_port)
    page.run(OPEN, at(box), options(transport))
    box.cut()
    close = page.run("await until(() => s.readyState === 3); return globalThis.close")
    assert close["code"] == 1006 and close["reason"].startswith("session lost: ") and not close["wasClean"]


def test_without_resume_a_lost_websocket_is_the_end(page, edge, boxed):
    box = boxed(CutBox, edge().tls_port)
    page.run(OPEN, at(box), options("plain"))
    box.cut()
    page.wait("return s.readyState === 3", what="the end")
    assert page.run("return [events, globalThis.close]") == [
        ["open", "error", "close 1006"], {"code": 1006, "reason": "", "wasClean": False}]


def test_without_resume_a_lost_request_is_repeated(page, edge, boxed, fresh_backend):
    box = boxed(CutBox, edge().tls_port)
    page.run(OPEN, at(box), options("polling", resume=False))
    box.cut()
    page.run("s.send('a'); await pause(300)")
    box.mend()
    page.run("await until(() => got.length === 1)")
    assert len(fresh_backend.requests) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_page_can_cut_its_lane_itself(page, edge, transport):
    page.run(OPEN, edge().wss + "/page", options(transport))
    assert page.run("""
        const before = s.culvert;
        for (let n = 0; n < 5; n += 1) {
          s.send("m" + n);
          s.culvert.cut();
          await until(() => s.culvert.lane && got.length === n + 1);
        }
        const after = s.culvert;
        return [before.session === after.session, after.sent, after.received, after.acked <= 5, after.reconnects >= 5,
          typeof after.latency, got];
    """) == [True, 5, 5, True, True, "number", [f"m{n}" for n in range(5)]]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_lane_that_has_gone_silent_is_found_out(page, edge, boxed, transport):
    """No connection is cut; nothing comes any more."""
    box = boxed(WebBox, edge(session="hold: 1s"))
    page.run(OPEN, at(box), options("both" if transport == "websocket" else transport, timeout=1000))
    page.run("s.send('a'); await until(() => got.length === 1)")
    box.freeze()
    page.run("s.send('b')")
    started = time.monotonic()
    page.wait("return s.culvert.reconnects > 0", what="the lane to be given up", timeout=40)
    box.thaw()
    page.run("await until(() => got.length === 2)")
    assert time.monotonic() - started < 40


@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain"])
def test_a_server_that_drains_says_so(page, edge, transport):
    edge = edge(sections="drain: { spread: 1s, deadline: 20s }")
    page.run(OPEN, edge.wss + "/page", options(transport))
    page.run("for (let n = 0; n < 50; n += 1) s.send('m' + n); await until(() => got.length === 50)")
    edge.process.send_signal(signal.SIGTERM)
    page.wait("return s.readyState === 3", what="the end of the session")
    assert page.run("return [got.length, globalThis.close]") == [
        50, {"code": 1001, "reason": "server going away", "wasClean": True}]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_session_that_is_sent_away_gets_all_that_was_said_before(page, edge, boxed, fresh_backend, transport):
    edge = edge()
    box = boxed(CutBox, edge.tls_port)
    page.run(OPEN, at(box, "/page/record"), options(transport))
    box.cut()
    (ws,) = fresh_backend.connections

    async def say():
        for n in range(200):
            await ws.send(f"m{n}")
        # The edge has read it all when it answers this.
        await (await ws.ping())

    fresh_backend.call(say())
    with Admin(edge) as admin:
        url = f"ws://127.0.0.1:{fresh_backend.port}".replace(":", "%3A").replace("/", "%2F")
        answer = admin.put(f"/v1/upstreams/echo/servers/{url}", json={"state": "down"})
        assert answer.status_code == 200, answer.text
    box.mend()
    page.wait("return s.readyState === 3", what="the end of the session")
    assert page.run("return [got, globalThis.close]") == [
        [f"m{n}" for n in range(200)], {"code": 1012, "reason": "server taken down", "wasClean": True}]

"""Much at once, and peers that are slow, rate-limited or gone: the browser's client keeps order and bounds."""

import pytest

from kit.admin import Admin
from kit.browser import options, page_routes
from kit.edge import wait_for

TRANSPORTS = ["websocket", "polling"]
OPEN = """
globalThis.s = new CulvertSocket(given[0], [], given[1]);
s.binaryType = "arraybuffer";
globalThis.got = received(s);
s.addEventListener("close", (event) => { globalThis.close = ended(event); });
await opened(s);
"""


@pytest.fixture
def page(browser, pages):
    browser.open(pages)
    return browser


@pytest.fixture
def edge(make_edge, fresh_backend, pages):
    return make_edge(fresh_backend.port, extra_routes=page_routes(pages))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_flood_comes_whole_and_in_order(page, edge, transport):
    """More than the edge lets be unacknowledged, many times over."""
    page.run(OPEN, edge.wss + "/page/flood", options(transport))
    assert page.run("""
        s.send("20000 1000");
        await until(() => got.length === 20000, "the flood: " + got.length);
        return got.every((data, n) => Number(new DataView(data).getBigUint64(0)) === n && data.byteLength === 1000);
    """) is True


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_backend_that_does_not_read_is_waited_for(page, edge, fresh_backend, transport):
    # More than all the sockets on the way hold.
    page.run(OPEN, edge.wss + "/page/slow-reader", options(transport))
    assert page.run("""
        for (let n = 0; n < 200; n += 1) s.send(new Uint8Array(262144).fill(n));
        await pause(2000);
        return [s.bufferedAmount > 4000000, s.readyState];
    """) == [True, 1]
    fresh_backend.let_go()
    page.run("await until(() => s.bufferedAmount === 0, 'all to be sent')")
    wait_for(lambda: len(fresh_backend.received) == 200, timeout=40, what="the backend to have read it all")
    assert [(message[0], message[-1], len(message)) for message in fresh_backend.received] == [
        (n, n, 262144) for n in range(200)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_that_may_send_no_faster_is_slowed_down(page, edge, transport):
    with Admin(edge) as admin:
        token = admin.mint(routes=["/page"], limits={"messages_per_second": 20})
    page.run(OPEN, edge.wss + "/page", {**options(transport), "token": token["secret"]})
    assert page.run("""
        for (let n = 0; n < 60; n += 1) {
          s.send("m" + n);
          await pause(5);
        }
        await until(() => got.length === 60);
        return [got.every((data, n) => data === "m" + n), s.readyState];
    """) == [True, 1]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_many_small_messages_go_together(page, edge, fresh_backend, transport):
    page.run(OPEN, edge.wss + "/page", options(transport))
    page.run("""
        for (let n = 0; n < 20000; n += 1) s.send("m" + n);
        await until(() => got.length === 20000);
        if (!got.every((data, n) => data === "m" + n)) throw new Error("not in order");
        await until(() => s.bufferedAmount === 0);
    """)
    assert page.run("const end = closed(s); s.close(1000); return end") == {
        "code": 1000, "reason": "", "wasClean": True}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_backend_that_is_lost_is_told(page, edge, transport):
    page.run(OPEN, edge.wss + "/page/drop", options(transport))
    page.run("s.send('drop me')")
    page.wait("return s.readyState === 3", what="the end")
    assert page.run("return globalThis.close") == {"code": 1011, "reason": "upstream lost", "wasClean": True}


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_sockets_do_not_disturb_each_other(page, edge, transport):
    """Four polled ones, of the six connections that a browser has for them all."""
    assert page.run("""
        const [url, options] = given;
        const sockets = await Promise.all([0, 1, 2, 3].map(() => opened(new CulvertSocket(url, [], options))));
        const logs = sockets.map(received);
        for (let n = 0; n < 100; n += 1) sockets.forEach((socket, index) => socket.send(index + ":" + n));
        await until(() => logs.every((log) => log.length === 100));
        return logs.every((log, index) => log.every((data, n) => data === index + ":" + n));
    """, edge.wss + "/page", options(transport)) is True

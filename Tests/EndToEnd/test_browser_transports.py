"""Which way the browser's client takes, when it takes another, and when it must not."""

import pytest

from kit.browser import options
from kit.edge import wait_for
from kit.middlebox import WebBox

ECHO = """
const [url, options] = given;
const s = await opened(new CulvertSocket(url, [], options));
const got = received(s);
for (let n = 0; n < 20; n += 1) s.send("m" + n);
await until(() => got.length === 20, "20 messages");
const { lane } = s.culvert;
const all = got.every((data, n) => data === "m" + n);
const end = closed(s);
s.close(1000);
return [lane, all, await end];
"""
WELL = {"code": 1000, "reason": "", "wasClean": True}


@pytest.fixture
def box(page_edge):
    boxes = []

    def make(**faults):
        boxes.append(WebBox(page_edge, **faults))
        return boxes[-1]

    yield make
    for box in boxes:
        box.stop()


@pytest.fixture
def page(browser, pages):
    browser.open(pages)
    return browser


def at(box, path="/page"):
    return f"wss://localhost:{box.port}{path}"


def upgrades(box):
    return [seen for seen in box.seen if seen[2]]


# --- what is taken ---------------------------------------------------------------------------------------------------

def test_a_websocket_comes_first(page, box):
    box = box()
    assert page.run(ECHO, at(box), options()) == ["websocket", True, WELL]
    assert [(method, path.split("?")[0]) for method, path, _ in box.seen] == [("GET", "/page/_poll")]


@pytest.mark.parametrize("transport", ["websocket", "polling", "plain"])
@pytest.mark.parametrize("path", ["/free/", "/free/room/", "/free/room"])
def test_the_backend_sees_the_path_as_it_was_written(page, page_edge, backend, transport, path):
    """A last slash is a part of it, whatever carries the session."""
    assert page.run(ECHO, page_edge.wss + path, options(transport, token=None))[1:] == [True, WELL]
    assert backend.requests[-1].path == path


def test_a_page_of_the_edges_own_origin_has_to_be_listed_too(browser, backend, make_edge):
    edge = make_edge(backend.port, sections="client: /culvert.js")
    script = """
        const { CulvertSocket } = await import("/culvert.js");
        return new Promise((resolve) => {
          const s = new CulvertSocket("/chat", [], { ...given[0], remember: 0 });
          s.onopen = () => resolve("open");
          s.onclose = ({ code, reason }) => resolve([code, reason]);
        });"""

    def connect(transport):
        browser.driver.get(edge.https + "/culvert.js")
        return browser.run(script, options(transport))

    assert [connect(transport)[0] for transport in ("websocket", "polling")] == [1006, 4403]
    config = edge.config.read_text()
    edge.config.write_text(config.replace("origins: { allow: [", f'origins: {{ allow: ["{edge.https}", ', 1))
    edge.catch_up()
    assert [connect(transport) for transport in ("websocket", "polling")] == ["open", "open"]


@pytest.mark.parametrize("transports, lane", [
    (["polling"], "polling"), (["polling", "websocket"], "polling"), (["websocket"], "websocket")])
def test_an_order_can_be_forced(page, box, transports, lane):
    assert page.run(ECHO, at(box()), {**options(), "transports": transports}) == [lane, True, WELL]


def test_an_option_that_is_undefined_is_not_given(page, page_edge):
    assert page.run("""
        const nothing = { transports: undefined, resume: undefined, timeout: undefined, remember: undefined,
          maxBuffered: undefined, tokenIn: undefined, WebSocket: undefined, fetch: undefined };
        const s = await opened(new CulvertSocket(given[0], undefined, { ...nothing, token: given[1] }));
        return s.culvert.lane;
    """, page_edge.wss + "/page", options()["token"]) == "websocket"


# --- what is blocked -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("resume", [True, False], ids=["resume", "plain"])
@pytest.mark.parametrize("fault", ["reset", "up", "down", "both"])
def test_where_websockets_do_not_work_it_polls_and_knows_it_next_time(page, box, fault, resume):
    """`up`, `down` and `both`: the upgrade is let through, and then frames in that direction are not."""
    box = box(upgrades=fault)
    given = options(resume=resume, timeout=1000)
    assert page.run(ECHO, at(box), given) == ["polling", True, WELL]
    tried = len(upgrades(box))
    assert tried == 1
    assert page.run(ECHO, at(box), given) == ["polling", True, WELL]
    assert len(upgrades(box)) == tried


@pytest.mark.parametrize("fault", ["up", "down", "later"])
def test_a_lane_that_was_given_up_leaves_no_session_behind(page, box, page_edge, fault):
    assert page.run(ECHO, at(box(upgrades=fault)), options(timeout=500))[0] == "polling"
    page_edge.catch_up()
    page_edge.expect_events("session ended", len(page_edge.events("session opened")))


def test_what_is_remembered_expires(page, box):
    box = box(upgrades="reset")
    for _ in range(2):
        assert page.run(ECHO, at(box), options(remember=0))[0] == "polling"
    assert len(upgrades(box)) == 2
    assert page.run("""
        const key = "culvert:" + new URL(given[0]).origin;
        await opened(new CulvertSocket(given[0], [], given[1]));
        const { transport, until } = JSON.parse(localStorage.getItem(key));
        return [transport, until > Date.now() + 590000, until <= Date.now() + 600000];
    """, at(box), options()) == ["polling", True, True]
    page.run("""
        const key = "culvert:" + new URL(given[0]).origin;
        localStorage.setItem(key, JSON.stringify({ transport: "polling", until: Date.now() - 1 }));
        (await opened(new CulvertSocket(given[0], [], given[1]))).close();
    """, at(box), options())
    assert len(upgrades(box)) == 4


@pytest.mark.parametrize("junk", ["", "{", "null", "5", '{"transport": "pigeon", "until": 1e15}'])
def test_what_is_remembered_may_be_anything(page, box, junk):
    page.run("localStorage.setItem('culvert:' + new URL(given[0]).origin, given[1])", at(box := box()), junk)
    assert page.run(ECHO, at(box), options())[0] == "websocket"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_what_was_the_only_choice_is_not_remembered(page, page_edge, transport):
    page.run(ECHO, page_edge.wss + "/page", options(transport))
    assert page.run("return Object.keys(localStorage)") == []


def test_it_works_where_nothing_may_be_kept(page, box):
    page.run("localStorage.setItem = () => { throw new Error('full'); }")
    assert page.run(ECHO, at(box()), options())[0] == "websocket"


@pytest.mark.parametrize("resume", [True, False], ids=["resume", "plain"])
def test_where_polls_are_blocked_it_works_over_websocket(page, box, resume):
    box = box(polls="reset")
    assert page.run(ECHO, at(box), options(resume=resume)) == ["websocket" if resume else "plain", True, WELL]


def test_where_polls_are_blocked_what_was_remembered_does_not_bind(page, box):
    box = box(polls="reset")
    page.run("""
        localStorage.setItem("culvert:" + new URL(given[0]).origin,
          JSON.stringify({ transport: "polling", until: Date.now() + 60000 }));
    """, at(box))
    assert page.run(ECHO, at(box), options())[0] == "websocket"


@pytest.mark.parametrize("transport", ["both", "websocket", "polling", "plain"])
def test_where_nothing_gets_through_it_says_so(page, box, transport):
    box = box(upgrades="reset", polls="reset")
    events, close = page.run("""
        const s = new CulvertSocket(given[0], [], given[1]);
        const events = log(s);
        return [events, await closed(s)];
    """, at(box), options(transport))
    assert events == ["error", "close 1006"]
    assert close["reason"].startswith("no transport got through") and not close["wasClean"]


def test_a_plain_websocket_is_probed_once(page, box):
    box = box()
    given = options(resume=False)
    for _ in range(2):
        assert page.run(ECHO, at(box), given) == ["plain", True, WELL]
    assert [path.split("?")[0] for _, path, _ in box.seen] == ["/page/_poll/probe", "/page", "/page"]


def test_a_plain_websocket_with_no_other_way_is_not_probed(page, box):
    box = box()
    assert page.run(ECHO, at(box), options("plain")) == ["plain", True, WELL]
    assert [path for _, path, _ in box.seen] == ["/page"]


# --- up again --------------------------------------------------------------------------------------------------------

def test_it_moves_up_when_websockets_work_again(page, page_edge, box, sessions_left):
    box = box(upgrades="down")
    page.run("""
        const [url, options] = given;
        globalThis.s = new CulvertSocket(url, [], options);
        globalThis.lanes = [];
        s.addEventListener("lane", ({ detail }) => lanes.push(detail.lane));
        globalThis.got = received(s);
        await opened(s);
        globalThis.n = 0;
        globalThis.pulse = setInterval(() => s.send("m" + n++), 20);
        await until(() => got.length > 20);
    """, at(box), options(timeout=500))
    assert page.run("return s.culvert.lane") == "polling"
    box.upgrades = "pass"
    page.run("await until(() => s.culvert.lane === 'websocket')")
    result = page.run("""
        const mark = got.length;
        await until(() => got.length > mark + 20);
        clearInterval(pulse);
        await until(() => got.length === n);
        return [lanes, got.every((data, index) => data === "m" + index)];
    """)
    assert result == [["polling", "websocket"], True]
    page_edge.catch_up()
    wait_for(lambda: sessions_left() == 1, what="one session to be left")
    # The next socket takes what works now.
    assert page.run(ECHO, at(box), options())[0] == "websocket"


@pytest.fixture
def sessions_left(page_edge):
    """How many sessions there are of those opened since the test began."""
    page_edge.catch_up()
    before = len(page_edge.events("session opened"))

    def count():
        opened = page_edge.events("session opened")[before:]
        ended = {event["id"] for event in page_edge.events("session ended")}
        return len([event for event in opened if event["id"] not in ended])

    return count


# --- what is not the network's ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500, 503])
def test_a_refusal_of_the_backend_is_final(page, page_edge, backend, status):
    """Asked by WebSocket, whose refusals no page may read, and once more by a request, whose may be read."""
    before = len(backend.requests)
    events, close = page.run("""
        const s = new CulvertSocket(given[0], [], given[1]);
        const events = log(s);
        return [events, await closed(s)];
    """, page_edge.wss + f"/page/status/{status}", options())
    assert events == ["error", f"close {4000 + status}"]
    assert not close["wasClean"] and close["reason"]
    assert len(backend.requests) == before + 2
    page.run("await pause(1500)")
    assert len(backend.requests) == before + 2
    assert page.run("return Object.keys(localStorage).length") == 0


@pytest.mark.parametrize("token", [None, "wrong"])
def test_a_refusal_of_the_gate_is_final(page, page_edge, backend, token):
    before = len(backend.requests)
    given = {**options(), "token": token}
    close = page.run("return closed(new CulvertSocket(given[0], [], given[1]))", page_edge.wss + "/page", given)
    assert close["code"] == 4401 and close["reason"] and not close["wasClean"]
    assert len(backend.requests) == before


def test_a_route_without_websockets_is_polled(page, page_edge):
    assert page.run(ECHO, page_edge.wss + "/no-socket", options())[0] == "polling"


def test_a_websocket_alone_cannot_say_what_refused_it(page, page_edge):
    close = page.run("return closed(new CulvertSocket(given[0], [], given[1]))",
                     page_edge.wss + "/page/status/403", options("websocket"))
    assert close["code"] == 1006 and close["reason"].startswith("no transport got through")

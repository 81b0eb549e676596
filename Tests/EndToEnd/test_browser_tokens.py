"""Where the browser's client has its token from, how it says it, and what becomes of its session when that ends."""

import time

import pytest

from kit.admin import Admin
from kit.browser import options, page_routes
from kit.edge import TOKEN, Edge, digest, wait_for
from kit.jwt import Key, section
from kit.middlebox import WebBox

KEY = Key("HS256", "main")
TRANSPORTS = ["websocket", "polling"]
# `tokens` are given one after the other, the last for ever; `asked` counts.
OPEN = """
const [url, options, tokens] = given;
globalThis.asked = 0;
const token = async () => tokens[Math.min(asked++, tokens.length - 1)];
globalThis.s = new CulvertSocket(url, [], { ...options, token });
globalThis.got = received(s);
globalThis.events = log(s);
globalThis.lanes = [];
s.addEventListener("lane", ({ detail }) => lanes.push(detail.lane));
s.addEventListener("close", (event) => { globalThis.close = ended(event); });
await opened(s);
"""


def jwt(seconds, **claims):
    now = int(time.time())
    return KEY.token(exp=now + seconds, routes=["/page"], **claims)


@pytest.fixture
def page(browser, pages):
    browser.open(pages)
    return browser


@pytest.fixture(scope="module")
def jwt_edge(backend, pages, tmp_path_factory):
    keys = section(leeway="0s", keys=[{"id": "main", "algorithm": "HS256", "secret": KEY.private}])
    edge = Edge(tmp_path_factory.mktemp("jwt"), backend.port, extra_routes=page_routes(pages), authentication=keys)
    yield edge
    edge.end()


@pytest.fixture
def boxed():
    boxes = []

    def make(edge, **faults):
        boxes.append(WebBox(edge, **faults))
        return boxes[-1]

    yield make
    for box in boxes:
        box.stop()


def at(box, path="/page"):
    return f"wss://localhost:{box.port}{path}"


@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain", "both"])
@pytest.mark.parametrize("token", ["text", "function", "promise"])
def test_a_token_is_a_text_or_what_a_function_gives(page, page_edge, boxed, transport, token):
    box = boxed(page_edge)
    page.run("""
        const [url, options, kind] = given;
        const { token } = options;
        const late = async () => {
          await pause(50);
          return token;
        };
        options.token = { text: token, function: () => token, promise: late }[kind];
        const s = await opened(new CulvertSocket(url, [], options));
        s.send("a");
        await once(s, "message");
        s.close();
        await closed(s);
    """, at(box, "/page/deep?x=1"), options(transport), token)
    assert box.seen and all(TOKEN not in path for _, path, _ in box.seen)


@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain"])
def test_a_token_is_in_the_query_for_who_asks_for_it(page, page_edge, boxed, transport, backend):
    box = boxed(page_edge)
    page.run("""
        const s = await opened(new CulvertSocket(given[0], [], given[1]));
        s.send("a");
        await once(s, "message");
    """, at(box, "/page/asked?x=1"), options(transport, tokenIn="query"))
    wait_for(lambda: backend.requests[-1].path == "/page/asked?x=1", what="the backend's request, without a token")
    paths = [path for method, path, _ in box.seen if method != "OPTIONS"]
    assert paths and all(f"access_token={TOKEN}" in path for path in paths)


@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain"])
@pytest.mark.parametrize("how", ["text", "function"])
def test_blanks_and_line_breaks_around_a_token_are_no_part_of_it(page, page_edge, transport, how):
    """A file that `culvert tokens mint` has filled ends in a line break."""
    lane = page.run("""
        const [url, options, how] = given;
        const { token } = options;
        if (how === "function") options.token = async () => token;
        const s = await opened(new CulvertSocket(url, [], options));
        s.send("a");
        await once(s, "message");
        return s.culvert.lane;
    """, page_edge.wss + "/page", options(transport, token=f" {TOKEN}\r\n"), how)
    assert lane == transport


def test_a_token_that_no_subprotocol_can_carry_is_told_once_and_polled_with(page, backend, pages, tmp_path):
    token, text = "ab/cd==", "the token has characters that a subprotocol cannot carry"
    configured = f'    - {{ id: slash, sha256: "{digest(token)}", subject: slash, routes: ["/page"] }}'
    edge = Edge(tmp_path, backend.port, extra_routes=page_routes(pages), tokens=configured)
    try:
        page.console()
        lanes = page.run("""
            const s = await opened(new CulvertSocket(given[0], [], given[1]));
            const lanes = [s.culvert.lane];
            s.culvert.cut();
            await until(() => s.culvert.lane);
            s.send("a");
            await once(s, "message");
            return [...lanes, s.culvert.lane];
        """, edge.wss + "/page", options(token=token, remember=0))
        assert lanes == ["polling", "polling"]
        assert len([entry for entry in page.console() if text in entry["message"]]) == 1
        close = page.run("return closed(new CulvertSocket(given[0], [], given[1]))",
                         edge.wss + "/page", options("websocket", token=token))
        assert (close["code"], close["reason"].endswith(text)) == (1006, True), close
    finally:
        edge.end()


def test_without_a_token_cookies_are_sent(page, page_edge):
    """Of the edge's site, which the page is of too."""
    given = {**options("polling"), "token": None}
    page.run("document.cookie = 'culvert_token=' + given[0]", TOKEN)
    try:
        for transport in ("polling", "websocket"):
            page.run("(await opened(new CulvertSocket(given[0], [], given[1]))).close()",
                     page_edge.wss + "/page", {**given, "transports": [transport]})
    finally:
        page.run("document.cookie = 'culvert_token=; max-age=0'")


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_function_is_asked_for_each_lane(page, page_edge, transport):
    page.run(OPEN, page_edge.wss + "/page", options(transport), [TOKEN])
    assert page.run("return asked") == 1
    assert page.run("""
        s.culvert.cut();
        await until(() => s.culvert.lane);
        s.send("a");
        await until(() => got.length === 1);
        return asked >= 2;
    """) is True


def test_a_token_that_was_asked_for_earlier_and_comes_later_is_not_used(page, page_edge, boxed):
    """Lanes and the clock ask for tokens at the same time; the page's answers need not come in that order."""
    with Admin(page_edge) as admin:
        tokens = [admin.mint(subject="grace", routes=["/page"])]
        tokens += [admin.rotate(tokens[-1], overlap="10m") for _ in range(2)]
        secrets = [token["secret"] for token in tokens]
        box = boxed(page_edge)
        page.run("""
            const [url, options, [first, older, newer]] = given;
            let asked = 0;
            const late = new Promise((resolve) => { globalThis.answer = () => resolve(older); });
            // The second time it is asked it answers behind the third time.
            const token = () => [first, late][asked++] ?? newer;
            globalThis.s = new CulvertSocket(url, [], { ...options, token, timeout: 20000 });
            globalThis.got = received(s);
            await opened(s);
            // Where there is a network again, another lane replaces the request that may wait in vain.
            dispatchEvent(new Event("online"));
            await until(() => asked === 2);
            dispatchEvent(new Event("online"));
            await until(() => asked === 3);
            s.send("a");
            await until(() => got.length === 1);
        """, at(box), options("polling", tokenIn="query"), secrets)
        before = len(box.seen)
        page.run("""
            answer();
            await pause(0);
            for (let n = 2; n < 5; n += 1) {
              s.send("b");
              await until(() => got.length === n);
            }
        """)
    shown = [path for method, path, _ in box.seen[before:] if method != "OPTIONS"]
    assert shown and not any(secrets[1] in path for path in shown), shown


def test_a_function_that_fails_ends_what_was_not_open(page, page_edge):
    close = page.run("""
        const token = () => { throw new Error("who are you?"); };
        return closed(new CulvertSocket(given[0], [], { ...given[1], token }));
    """, page_edge.wss + "/page", options())
    assert close == {"code": 1006, "reason": "no transport got through: who are you?", "wasClean": False}


@pytest.mark.parametrize("thrown, reason", [
    ("null", "no token"), ("undefined", "no token"), ("''", ""), ("0", "0"), ("'text'", "text")])
def test_whatever_a_function_throws_ends_what_was_not_open(page, page_edge, thrown, reason):
    close = page.run("""
        const token = () => Promise.reject(%s);
        return closed(new CulvertSocket(given[0], [], { ...given[1], token }));
    """ % thrown, page_edge.wss + "/page", options())
    assert close == {"code": 1006, "reason": "no transport got through: " + reason, "wasClean": False}


def test_a_function_that_never_answers_has_a_deadline(page, page_edge):
    close = page.run("""
        const token = () => new Promise(() => {});
        return closed(new CulvertSocket(given[0], [], { ...given[1], timeout: 500, token }));
    """, page_edge.wss + "/page", {**options(), "transports": ["websocket", "polling"]})
    assert (close["code"], close["wasClean"]) == (1006, False)


def test_a_polled_page_that_is_shown_needs_no_new_token(page, page_edge):
    """The lane works, and a token for it is there."""
    page.run("""
        let tokens = [given[2]];
        const token = () => tokens.length ? tokens.pop() : Promise.reject(new Error("auth down"));
        globalThis.s = new CulvertSocket(given[0], [], { ...given[1], token });
        await opened(s);
        globalThis.lost = 0;
        s.addEventListener("lane", () => lost += 1);
        await pause(100);
        lost = 0;
        dispatchEvent(new Event("online"));
        await pause(500);
        s.send("x");
        await once(s, "message");
    """, page_edge.wss + "/page", options("polling"), TOKEN)
    assert page.run("return [s.readyState, s.culvert.lane, lost]") == [1, "polling", 0]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token_is_replaced_before_it_expires(page, jwt_edge, boxed, transport):
    box = boxed(jwt_edge)
    page.run(OPEN, at(box), options(transport), [jwt(4), jwt(600)])
    # Well beyond the first token's end.
    page.run("""
        let n = 0;
        for (const end = Date.now() + 6000; Date.now() < end; await pause(50)) s.send("m" + n++);
        await until(() => got.length === n);
    """)
    assert page.run("return [asked, s.readyState, lanes]") == [2, 1, [transport]]
    assert [method for method, path, _ in box.seen if path.endswith("/token") and method == "PUT"] == ["PUT"]


def test_where_requests_are_blocked_a_new_lane_brings_the_token(page, jwt_edge, boxed):
    box = boxed(jwt_edge, polls="reset")
    page.run(OPEN, at(box), options(), [jwt(4), jwt(600)])
    page.run("""
        let n = 0;
        for (const end = Date.now() + 6000; Date.now() < end; await pause(50)) s.send("m" + n++);
        await until(() => got.length === n);
    """)
    assert page.run("return [s.readyState, new Set(lanes).size, s.culvert.reconnects]") == [1, 1, 0]


@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain", "both"])
def test_a_token_that_expires_ends_the_session(page, jwt_edge, transport):
    page.run("""
        globalThis.s = new CulvertSocket(given[0], [], given[1]);
        s.addEventListener("close", (event) => { globalThis.close = ended(event); });
        await opened(s);
    """, jwt_edge.wss + "/page", {**options(transport), "token": jwt(3)})
    page.wait("return s.readyState === 3", what="the end")
    assert page.run("return globalThis.close") == {"code": 4401, "reason": "token expired", "wasClean": True}


@pytest.mark.parametrize("transport", [*TRANSPORTS, "plain", "both"])
@pytest.mark.parametrize("kind", ["text", "function"])
def test_a_token_that_is_revoked_ends_the_session(page, page_edge, transport, kind):
    with Admin(page_edge) as admin:
        token = admin.mint(subject="carol", routes=["/page"])
        page.run("""
            const [url, options, kind] = given;
            const { token } = options;
            if (kind === "function") options.token = () => token;
            globalThis.s = new CulvertSocket(url, [], options);
            s.addEventListener("close", (event) => { globalThis.close = ended(event); });
            await opened(s);
            s.send("a");
            await once(s, "message");
        """, page_edge.wss + "/page", {**options(transport), "token": token["secret"]}, kind)
        admin.revoke(token)
    page.wait("return s.readyState === 3", what="the end", timeout=60)
    assert page.run("return globalThis.close") == {"code": 4401, "reason": "token revoked", "wasClean": True}


def test_what_a_function_gives_again_does_not_make_it_ask_without_end(page, jwt_edge):
    """One that has no newer token is asked now and then, and the session ends with its token."""
    page.run(OPEN, jwt_edge.wss + "/page", options("websocket"), [jwt(5)])
    page.wait("return s.readyState === 3", what="the end")
    assert page.run("return [globalThis.close.code, asked < 12]") == [4401, True]


@pytest.mark.parametrize("transport", [*TRANSPORTS, "both"])
def test_a_token_that_is_rotated_goes_on_with_the_next(page, page_edge, transport):
    """Within the overlap: whoever connects anew shows the new secret, and the session is of that from then on."""
    with Admin(page_edge) as admin:
        token = admin.mint(subject="erin", routes=["/page"])
        page.run("globalThis.secret = given[0]", token["secret"])
        page.run("""
            globalThis.s = new CulvertSocket(given[0], [], { ...given[1], token: () => secret });
            globalThis.got = received(s);
            await opened(s);
        """, page_edge.wss + "/page", options(transport))
        rotated = admin.rotate(token, overlap="3s")
    page.run("""
        secret = given[0];
        s.culvert.cut();
        for (const end = Date.now() + 5000; Date.now() < end; await pause(100)) s.send("a");
        const { sent } = s.culvert;
        await until(() => got.length === sent);
    """, rotated["secret"])
    assert page.run("return s.readyState") == 1


@pytest.mark.parametrize("transport", [*TRANSPORTS, "both"])
def test_a_token_that_has_died_takes_its_session_along(page, page_edge, transport):
    """Rotated without an overlap: a better one that comes later is too late, and the reason is that of the first."""
    with Admin(page_edge) as admin:
        token = admin.mint(subject="frank", routes=["/page"])
        page.run("globalThis.secret = given[0]", token["secret"])
        page.run("""
            globalThis.s = new CulvertSocket(given[0], [], { ...given[1], token: () => secret });
            s.addEventListener("close", (event) => { globalThis.close = ended(event); });
            await opened(s);
        """, page_edge.wss + "/page", options(transport))
        rotated = admin.rotate(token, overlap="0s")
        page.run("secret = given[0]", rotated["secret"])
    page.wait("return s.readyState === 3", what="the end")
    assert page.run("return globalThis.close") == {"code": 4401, "reason": "token rotated", "wasClean": True}

"""CulvertSocket keeps to the standard of WebSocket: the same facts of each transport, and of the browser's own."""

import gzip
import json

import pytest

from kit.browser import served_script
from kit.edge import wait_for

KINDS = ["native", "lane", "polling", "plain"]
CLASSES = """
const [kind, url, ...more] = given;
const Socket = {
  native: WebSocket,
  lane: CulvertSocket.with({ transports: ["websocket"] }),
  polling: CulvertSocket.with({ transports: ["polling"] }),
  plain: CulvertSocket.with({ transports: ["websocket"], resume: false }),
}[kind];
let seed = 1;
const noise = (size) => new Uint8Array(size).map(() => (seed = (seed * 48271) % 2147483647) >> 8);
const make = (path = "", ...rest) => opened(new Socket(url + path, ...rest));
"""


@pytest.fixture(params=KINDS)
def page(request, browser, page_edge, pages):
    """Runs a script with `Socket`, the class under test, `url`, of an echo, and `make`, for a socket that is open."""
    # A new page where sockets take connections of which there are six.
    browser.open(pages, is_fresh=request.param == "polling")
    return lambda script, *arguments: browser.run(
        CLASSES + script, request.param, page_edge.wss + "/free", *arguments)


# --- the constructor -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("bad", [
    "wss://localhost:1/#", "wss://localhost:1/#part", "ftp://localhost/", "about:blank", "mailto:a@b.example",
    "wss://localhost:70000/", "wss://", "#part", "javascript:alert(1)"])
def test_a_url_that_is_none_of_a_websocket_is_a_syntax_error(page, bad):
    assert page("""
        try { new Socket(more[0]); } catch (error) { return [error.name, error.code, error instanceof DOMException]; }
    """, bad) == ["SyntaxError", 12, True]


@pytest.mark.parametrize("given, shown", [
    ("WSS://LOCALHOST:443/a b?c d", "wss://localhost/a%20b?c%20d"),
    ("https://localhost:1/x/../y", "wss://localhost:1/y"), ("http://localhost:80", "ws://localhost/"),
    ("ws://localhost:443/", "ws://localhost:443/")])
def test_a_url_is_shown_as_it_was_understood(page, given, shown):
    assert page("const s = new Socket(more[0]); s.close(); return s.url", given) == shown


def test_a_relative_url_is_of_the_page(page, pages):
    assert page("""
        return ["/a", "b?c", "//localhost:9/d", ""].map((url) => {
          const s = new Socket(url);
          s.close();
          return s.url;
        });
    """) == [pages.origin.replace("https", "wss") + "/a", pages.origin.replace("https", "wss") + "/b?c",
             "wss://localhost:9/d", pages.origin.replace("https", "wss") + "/"]


@pytest.mark.parametrize("bad", [
    '""', '"a b"', '"a\\u0000"', '"\\u007f"', '"é"', '"a,b"', '"a/b"', '"(a)"', '"{"', '"\\""', '["a", "a"]', '[""]',
    '["ok", "no no"]', '{"a": 1}'])
def test_protocols_are_different_tokens(page, bad):
    assert page("return exception(() => new Socket(url, JSON.parse(more[0])))", bad) == "SyntaxError"


@pytest.mark.parametrize("good", ["[]", '"a"', '["a", "A"]', "null", "5", '"!#$%&\'*+-.^_`|~09azAZ"', "[1, null]"])
def test_what_may_be_a_protocol(page, good):
    assert page("return exception(() => new Socket(url, JSON.parse(more[0])).close())", good) is None


def test_protocols_may_be_any_iterable(page):
    assert page("""
        const names = new Set(["other.v1", "chat.v2"]);
        return (await make("", names)).protocol;
    """) == "chat.v2"


def test_the_protocol_is_what_the_server_chose(page):
    assert page("""
        const s = new Socket(url, ["x", "chat.v2"]);
        const before = s.protocol;
        await opened(s);
        return [before, s.protocol, (await make()).protocol];
    """) == ["", "chat.v2", ""]


def test_a_socket_is_made_with_new_and_a_url(page):
    assert page("return [exception(() => Socket(url)), exception(() => new Socket())]") == ["TypeError", "TypeError"]


# --- the shape -------------------------------------------------------------------------------------------------------

def test_constants(page):
    assert page("""
        const s = await make();
        return ["CONNECTING", "OPEN", "CLOSING", "CLOSED"].map((name) => [
          Socket[name], Socket.prototype[name], s[name], Reflect.set(Socket, name, 7), Reflect.set(s, name, 7)]);
    """) == [[n, n, n, False, False] for n in range(4)]


def test_shape(page):
    assert page("""
        const s = await make();
        return [Socket.length, String(s), s instanceof Socket, s instanceof EventTarget, Object.keys(s),
          s.binaryType, s.bufferedAmount, typeof s.extensions];
    """) == [1, "[object WebSocket]", True, True, [], "blob", 0, "string"]


def test_members_can_be_enumerated(page):
    expected = ["url", "readyState", "bufferedAmount", "onopen", "onerror", "onclose", "extensions", "protocol",
                "onmessage", "binaryType", "close", "send", "CONNECTING", "OPEN", "CLOSING", "CLOSED"]
    assert set(expected) <= set(page("const names = []; for (const n in await make()) names.push(n); return names"))


def test_attributes_are_read_only(page):
    assert page("""
        const s = await make();
        return ["url", "readyState", "bufferedAmount", "protocol", "extensions"].map((name) => Reflect.set(s, name, 1));
    """) == [False] * 5


def test_members_of_the_prototype_need_a_socket(page):
    assert page("""
        return ["url", "readyState", "bufferedAmount", "onopen"].map((name) => exception(() => Socket.prototype[name]))
    """) == ["TypeError"] * 4


# --- states and events -----------------------------------------------------------------------------------------------

def test_states_and_the_order_of_events(page):
    assert page("""
        const s = new Socket(url);
        const states = [s.readyState];
        for (const type of ["open", "message", "error", "close"]) {
          s.addEventListener(type, (event) => states.push(type, s.readyState));
        }
        await opened(s);
        s.send("a");
        await once(s, "message");
        const gone = closed(s);
        s.close();
        states.push(s.readyState);
        await gone;
        return states;
    """) == [0, "open", 1, "message", 1, 2, "close", 3]


def test_the_classes_of_events(page):
    assert page("""
        const s = new Socket(url);
        const open = await once(s, "open");
        s.send("a");
        const message = await once(s, "message");
        s.close();
        const close = await once(s, "close");
        return [
          open.constructor === Event, message.constructor === MessageEvent, close.constructor === CloseEvent,
          ...[open, message, close].flatMap((e) => [e.target === s, e.bubbles, e.cancelable]),
          message.origin === new URL(url).origin, message.lastEventId, message.source, message.ports.length];
    """) == [True, True, True, *[True, False, False] * 3, True, "", None, 0]


def test_a_handler_may_be_anything_but_only_functions_are_called(page):
    assert page("""
        const s = await make();
        const object = {};
        const seen = [];
        for (const name of ["onopen", "onmessage", "onerror", "onclose"]) {
          seen.push(s[name]);
          for (const value of [5, "text", undefined, Symbol.iterator]) {
            s[name] = value;
            seen.push(s[name]);
          }
          s[name] = object;
          seen.push(s[name] === object);
          s[name] = null;
          seen.push(s[name]);
        }
        s.onmessage = object;
        s.send("a");
        await once(s, "message");
        return seen;
    """) == [None, None, None, None, None, True, None] * 4


def test_handlers_are_called_among_the_listeners_in_their_place(page):
    assert page("""
        const s = await make();
        const seen = [];
        s.addEventListener("message", () => seen.push(1));
        s.onmessage = () => seen.push("never");
        s.addEventListener("message", () => seen.push(3));
        s.onmessage = function (event) { seen.push(this === s && event.target === s); };
        s.send("a");
        await once(s, "message");
        s.onmessage = null;
        s.onmessage = () => seen.push("last");
        s.send("b");
        await once(s, "message");
        await pause(0);
        return seen;
    """) == [1, True, 3, 1, 3, "last"]


def test_promises_go_on_between_two_messages(page):
    """Who waits for one message after the other misses none, though they came together."""
    assert page("""
        const s = await make();
        for (let n = 0; n < 50; n += 1) s.send(String(n));
        const got = [];
        while (got.length < 50) got.push((await new Promise((resolve) => { s.onmessage = resolve; })).data);
        return got;
    """) == [str(n) for n in range(50)]


def test_what_a_handler_throws_stops_nothing(page):
    assert page("""
        const s = await make();
        let caught = 0;
        const note = (event) => { caught += 1; event.preventDefault(); };
        addEventListener("error", note);
        s.onmessage = () => { throw new Error("of the page"); };
        const got = received(s);
        for (const data of ["a", "b", "c"]) s.send(data);
        await until(() => got.length === 3);
        removeEventListener("error", note);
        return [got, caught];
    """) == [["a", "b", "c"], 3]


# --- close() ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [
    "0", "999", "1001", "1004", "1005", "1006", "1011", "1015", "2999", "5000", "65536", "66536", "-1", "null", "NaN",
    "'x'", "{}", "999.5", "1001.5", "2999.99", "5000.5", "Infinity", "1e300", "-1000"])
def test_a_close_code_of_others_is_an_invalid_access_error(page, code):
    assert page(f"""
        const s = await make();
        const before = exception(() => s.close({code}));
        return [before, s.readyState];
    """) == ["InvalidAccessError", 1]


@pytest.mark.parametrize("code", ["1000n", "Symbol()", "{ valueOf: null, toString: null }"])
def test_a_close_code_that_is_no_number_is_a_type_error(page, code):
    assert page(f"const s = await make(); return [exception(() => s.close({code})), s.readyState]") == ["TypeError", 1]


@pytest.mark.parametrize("code, sent", [
    ("1000", 1000), ("3000", 3000), ("4999", 4999), ("'3333'", 3333), ("undefined", 1005), ("1000.5", 1000),
    ("1000.99", 1000), ("3000.5", 3000), ("3001.5", 3001), ("4999.99", 4999), ("' 0xbb8 '", 3000),
    ("{ valueOf: () => 3000.5 }", 3000)])
def test_a_close_code_of_ones_own(page, code, sent):
    assert page(f"const s = await make(); const c = closed(s); s.close({code}); return c") == {
        "code": sent, "reason": "", "wasClean": True}


def test_a_reason_has_at_most_123_bytes(page):
    reason = "é" * 61 + "x"
    assert page("""
        const s = await make();
        const [reason] = more;
        const long = exception(() => s.close(1000, reason + "y"));
        const c = closed(s);
        s.close(3001, reason);
        return [long, s.readyState, await c];
    """, reason) == ["SyntaxError", 2, {"code": 3001, "reason": reason, "wasClean": True}]


def test_a_lone_surrogate_in_a_reason_is_replaced(page):
    assert page("const s = await make(); const c = closed(s); s.close(1000, 'a\\ud800b'); return (await c).reason") == \
        "a\ufffdb"


def test_a_close_before_the_socket_is_open(page):
    result = page("""
        const s = new Socket(url);
        const events = log(s);
        s.close(3000, "not needed");
        const state = s.readyState;
        const close = await closed(s);
        return [state, events, close.code, close.wasClean, s.readyState];
    """)
    assert result == [2, ["error", "close 1006"], 1006, False, 3]


def test_a_second_close_does_nothing(page):
    assert page("""
        const s = await make();
        const c = closed(s);
        s.close(3000, "first");
        s.close(3001, "second");
        const close = await c;
        s.close(3002);
        await pause(50);
        return [close.code, close.reason, s.readyState, exception(() => s.close(1))];
    """) == [3000, "first", 3, "InvalidAccessError"]


def test_nothing_is_dispatched_from_within_a_call(page):
    assert page("""
        const s = await make();
        let inside = true;
        let seen = 0;
        for (const type of ["message", "error", "close"]) s.addEventListener(type, () => { seen += inside; });
        s.send("a");
        s.close();
        inside = false;
        await closed(s);
        return seen;
    """) == 0


def test_no_message_comes_behind_a_close(page):
    assert page("""
        const s = await make();
        const events = log(s);
        for (let n = 0; n < 20; n += 1) s.send(String(n));
        await once(s, "message");
        s.close(1000);
        await closed(s);
        await pause(50);
        return events;
    """) in [["message 0", *more, "close 1000"] for more in ([], ["message 1"])]


def test_what_was_sent_before_a_close_arrives(page, backend):
    backend.received.clear()
    page("""
        const s = await make("/record");
        for (let n = 0; n < 500; n += 1) s.send("before " + n);
        s.close(1000);
        await closed(s);
    """)
    wait_for(lambda: len(backend.received) == 500, what="the backend to have read it all")
    assert backend.received == [f"before {n}" for n in range(500)]


def test_the_servers_close_is_told_as_it_was(page):
    assert page("""
        const s = new Socket(url + "/close");
        const events = log(s);
        const close = await closed(s);
        return [events, close];
    """) == [["open", "close 4321"], {"code": 4321, "reason": "backend says bye", "wasClean": True}]


def test_the_server_is_told_the_code_and_the_reason(page, backend):
    backend.closed.clear()
    page("""
        const s = await make("/told");
        s.close(4711, "grüße");
        await closed(s);
    """)
    def told():
        return [close for close in backend.closed if close[0] == "/free/told"]

    assert wait_for(told, what="the backend to see the close") == [("/free/told", 4711, "grüße")]


# --- send() ----------------------------------------------------------------------------------------------------------

def test_nothing_is_sent_while_connecting(page):
    assert page("""
        const s = new Socket(url);
        const early = [exception(() => s.send("a")), s.bufferedAmount];
        await opened(s);
        s.send("b");
        return [...early, exception(() => s.send()), (await once(s, "message")).data];
    """) == ["InvalidStateError", 0, "TypeError", "b"]


@pytest.mark.parametrize(
    "text", ["", "a", "grüße 👋", "\ufeffwith a mark", "x" * 125, "y" * 126, "z" * 65535, "é" * 40000])
def test_text_comes_back_as_it_was(page, text):
    assert page("const s = await make(); s.send(more[0]); return (await once(s, 'message')).data", text) == text


@pytest.mark.parametrize("value, text", [
    ("null", "null"), ("undefined", "undefined"), ("5", "5"), ("{ toString: () => 'own' }", "own"), ("[1, 2]", "1,2"),
    ("'\\ud800 and \\udc00'", "\ufffd and \ufffd"), ("'\\ud83d\\ude00'", "😀")])
def test_what_is_no_text_is_made_one(page, value, text):
    assert page(f"const s = await make(); s.send({value}); return (await once(s, 'message')).data") == text


def test_a_symbol_cannot_be_sent(page):
    assert page("const s = await make(); return exception(() => s.send(Symbol()))") == "TypeError"


@pytest.mark.parametrize("kind", ["arraybuffer", "blob"])
@pytest.mark.parametrize("data", [
    "new Uint8Array([1, 2, 250]).buffer", "new Uint8Array([9, 1, 2, 250, 9]).subarray(1, 4)",
    "new DataView(new Uint8Array([9, 1, 2, 250]).buffer, 1)",
    "new Blob([new Uint8Array([1, 2]), new Uint8Array([250])])"])
def test_bytes_come_back_as_they_were(page, kind, data):
    assert page(f"""
        const s = await make();
        s.binaryType = {json.dumps(kind)};
        s.send({data});
        const {{ data }} = await once(s, "message");
        const buffer = data instanceof Blob ? await data.arrayBuffer() : data;
        return [data.constructor.name, ...new Uint8Array(buffer)];
    """) == ["ArrayBuffer" if kind == "arraybuffer" else "Blob", 1, 2, 250]


@pytest.mark.parametrize("view", ["Int8", "Uint8Clamped", "Int16", "Uint16", "Int32", "Uint32", "Float32", "Float64"])
def test_any_view_is_sent_with_its_bytes(page, view):
    assert page(f"""
        const s = await make();
        s.binaryType = "arraybuffer";
        const sent = new {view}Array([1, 2, 3]);
        s.send(sent);
        const got = new {view}Array((await once(s, "message")).data);
        return String(got) === String(sent);
    """) is True


def test_what_is_sent_is_what_was_there_at_that_moment(page):
    assert page("""
        const s = await make();
        s.binaryType = "arraybuffer";
        const got = received(s);
        const bytes = new Uint8Array([1, 2, 3]);
        s.send(bytes);
        bytes.fill(9);
        s.send(bytes.buffer);
        bytes.fill(0);
        await until(() => got.length === 2);
        return got.map((data) => [...new Uint8Array(data)]);
    """) == [[1, 2, 3], [9, 9, 9]]


def test_memory_that_is_shared_is_refused(page):
    assert page("""
        const s = await make();
        const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
        return [exception(() => s.send(new Uint8Array(buffer))), s.readyState];
    """) == ["TypeError", 1]


def test_blobs_keep_their_place(page):
    assert page("""
        const s = await make();
        const got = received(s);
        for (let n = 0; n < 20; n += 2) {
          s.send(new Blob([new Uint8Array(n ? 10 : 500000), String(n)]));
          s.send(String(n + 1));
        }
        await until(() => got.length === 20);
        const read = async (data) => data instanceof Blob ? (await data.text()).replace(/\\0/g, "") : data;
        return Promise.all(got.map(read));
    """) == [str(n) for n in range(20)]


def test_a_close_waits_for_blobs(page, backend):
    backend.received.clear()
    page("""
        const s = await make("/record");
        s.send(new Blob(["one"]));
        s.send("two");
        s.close(1000);
        await closed(s);
    """)
    wait_for(lambda: len(backend.received) == 2, what="the backend to have read it all")
    assert backend.received == [b"one", "two"]


def test_binary_type_takes_two_values(page):
    assert page("""
        const s = await make();
        return ["arraybuffer", "other", null, "Blob", "", "blob"].map((value) => {
          s.binaryType = value;
          return s.binaryType;
        });
    """) == ["arraybuffer"] * 5 + ["blob"]


def test_binary_type_counts_when_the_message_is_dispatched(page):
    assert page("""
        const s = await make();
        s.send(new Uint8Array(3));
        s.send(new Uint8Array(4));
        const seen = [];
        s.onmessage = ({ data }) => { seen.push(data.constructor.name); s.binaryType = "arraybuffer"; };
        await until(() => seen.length === 2);
        return seen;
    """) == ["Blob", "ArrayBuffer"]


# --- bufferedAmount --------------------------------------------------------------------------------------------------

def test_the_buffered_amount_is_of_bytes_and_grows_at_once(page):
    assert page("""
        const s = await make();
        const seen = [s.bufferedAmount];
        for (const data of ["grüße", new Uint8Array(100), new Blob(["12345"])]) {
          s.send(data);
          seen.push(s.bufferedAmount);
        }
        await until(() => s.bufferedAmount === 0);
        return seen;
    """) == [0, 7, 107, 112]


def test_the_buffered_amount_grows_when_nothing_is_sent_any_more(page):
    assert page("""
        const s = await make();
        const c = closed(s);
        s.close();
        const before = s.bufferedAmount;
        s.send("12345");
        s.send(new Uint8Array(10));
        const closing = s.bufferedAmount - before;
        await c;
        const closed_ = s.bufferedAmount;
        s.send(new Blob(["12"]));
        return [closing, s.bufferedAmount - closed_];
    """) == [15, 2]


def test_a_mebibyte_both_ways(page):
    """A browser's own compresses, which makes noise longer: there the limit is reached a little earlier."""
    assert page("""
        const s = await make();
        s.binaryType = "arraybuffer";
        const sent = noise(s.extensions ? 1040000 : 1048576);
        s.send(sent);
        const got = new Uint8Array((await once(s, "message")).data);
        return got.length === sent.length && got.every((value, n) => value === sent[n]);
    """) is True


def test_a_message_that_is_too_long_closes(page):
    result = page("""
        const s = await make();
        const got = received(s);
        const c = closed(s);
        s.send("before");
        s.send(noise(1048577));
        s.send("behind");
        return c;
    """)
    assert (result["code"], result["wasClean"]) == (1009, True)


# --- of CulvertSocket alone ------------------------------------------------------------------------------------------

def test_the_script_is_below_six_kibibytes():
    assert len(gzip.compress(served_script().encode(), 9)) < 6144


def test_what_comes_from_another_frame_is_what_it_is(page):
    """Its ArrayBuffer is not this frame's."""
    assert page("""
        const frame = document.createElement("iframe");
        document.body.append(frame);
        const other = frame.contentWindow;
        const s = await opened(new Socket(url));
        s.binaryType = "arraybuffer";
        const sizes = [];
        for (const data of [new other.ArrayBuffer(3), new other.Uint8Array(4), new other.Blob(["12345"])]) {
          s.send(data);
          const { data: echo } = await once(s, "message");
          sizes.push(echo.byteLength);
        }
        s.close();
        return sizes;
    """) == [3, 4, 5]

"""CulvertSocket in the place of WebSocket, for code that makes its sockets itself: what such code looks at."""

import pytest

from kit.edge import TOKEN

# Each class that may stand in the place of WebSocket; the browser's own is what they are measured by.
CLASSES = """
class Chat extends CulvertSocket {
  static room = "lobby";
  send(data) { super.send("chat: " + data); }
}
const Socket = {
  native: WebSocket,
  base: CulvertSocket,
  with: CulvertSocket.with({ token: "secret" }),
  "with, twice": CulvertSocket.with({ token: "secret" }).with({ resume: false }),
}[given[0]];
"""
OURS = ["base", "with", "with, twice"]


@pytest.fixture
def page(browser, pages):
    browser.open(pages, is_fresh=False)
    yield browser
    # A page whose WebSocket was replaced is no use to the next test.
    browser.driver.get("about:blank")


def shape(page, name):
    return page.run(CLASSES + """
        const kind = ([name, { get, set, value, enumerable, writable }]) =>
          [name, [typeof get, typeof set, typeof value, enumerable, writable]];
        const describe = (object) => Object.fromEntries(
          Object.entries(Object.getOwnPropertyDescriptors(object)).map(kind));
        return [describe(Socket), describe(Socket.prototype),
          Object.getOwnPropertyDescriptor(Socket.prototype, Symbol.toStringTag).value, Socket.name, Socket.length,
          Socket.prototype.constructor === Socket];
    """, name)


@pytest.mark.parametrize("name", OURS)
def test_it_has_the_members_of_a_websocket_as_its_own(page, name):
    statics, members, *rest = shape(page, "native")
    our_statics, our_members, *our_rest = shape(page, name)
    assert our_rest == rest == ["WebSocket", "WebSocket", 1, True]
    # A method of a class can be replaced, as one of the browser's can.
    assert {member: our_members.get(member) for member in members} == members
    assert {member: our_statics.get(member) for member in statics} == statics


@pytest.mark.parametrize("name", ["native", *OURS])
def test_a_library_that_looks_for_members_on_the_prototype_finds_them(page, page_edge, name):
    """As noVNC does, which takes what has them for a WebSocket and asks nothing more."""
    assert page.run(CLASSES + """
        const socket = new Socket(given[1]);
        const names = [...Object.keys(socket), ...Object.getOwnPropertyNames(Object.getPrototypeOf(socket))];
        socket.close();
        return ["send", "close", "binaryType", "onerror", "onmessage", "onopen", "onclose", "protocol", "readyState"]
          .filter((name) => !names.includes(name));
    """, name, page_edge.wss + "/free") == []


def test_options_are_added_to_those_of_the_class_before(page):
    assert page.run("""
        CulvertSocket.defaults = { timeout: 7000, remember: 0 };
        const One = CulvertSocket.with({ token: "a", remember: 5 });
        const Two = One.with({ token: "b" });
        return [One.defaults, Two.defaults, CulvertSocket.defaults];
    """) == [{"timeout": 7000, "remember": 5, "token": "a"}, {"timeout": 7000, "remember": 5, "token": "b"},
             {"timeout": 7000, "remember": 0}]


def test_a_class_of_ones_own_keeps_its_own_members(page, page_edge):
    assert page.run(CLASSES + """
        const Given = Chat.with({ transports: ["websocket"] });
        const s = await opened(new Given(given[1]));
        s.send("hi");
        const { data } = await once(s, "message");
        return [data, Given.room, Given.name, s instanceof Chat, s.constructor === Given, Given.OPEN];
    """, "base", page_edge.wss + "/free") == ["chat: hi", "lobby", "Chat", True, True, 1]


def test_a_second_copy_of_the_script_uses_the_browsers_own(page, page_edge):
    """As with two bundles, or with a bundler that loads a changed module anew: the first copy has replaced it."""
    assert page.run("""
        const native = WebSocket;
        globalThis.WebSocket = CulvertSocket.with({ transports: ["polling"] });
        const { CulvertSocket: Again } = await import(location.origin + "/culvert.js?again");
        const s = await opened(new Again(given[0], [], { transports: ["websocket"] }));
        s.send("hi");
        const { data } = await once(s, "message");
        return [Again === CulvertSocket, Again.native === native, WebSocket.native === native, data, s.culvert.lane];
    """, page_edge.wss + "/free") == [False, True, True, "hi", "websocket"]


def test_it_takes_the_place_of_websocket(page, page_edge):
    """In one line; what makes sockets itself then has the token without knowing of it."""
    assert page.run("""
        const native = WebSocket;
        globalThis.WebSocket = CulvertSocket.with({ token: given[1] });
        const s = new WebSocket(given[0] + "/page", "chat.v2");
        await opened(s);
        s.send("hi");
        const { data } = await once(s, "message");
        return [data, s.protocol, s instanceof WebSocket, s instanceof CulvertSocket, s.culvert.lane, WebSocket.OPEN,
          WebSocket.length, s.constructor === WebSocket, native !== WebSocket];
    """, page_edge.wss, TOKEN) == [
        "hi", "chat.v2", True, True, "websocket", 1, 1, True, True]


def test_defaults_are_for_all_that_follow(page, page_edge):
    assert page.run("""
        CulvertSocket.defaults = { transports: ["polling"], token: given[1] };
        const first = await opened(new CulvertSocket(given[0] + "/page"));
        const second = await opened(new CulvertSocket(given[0] + "/page", [], { transports: ["websocket"] }));
        return [first.culvert.lane, second.culvert.lane];
    """, page_edge.wss, TOKEN) == ["polling", "websocket"]

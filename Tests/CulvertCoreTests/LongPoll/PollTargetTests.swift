import CulvertCore
import Testing

struct PollTargetTests {
    @Test(
        "A long-poll path names its base, its session and its verb",
        arguments: [
            ("/_poll", PollTarget.open(base: "/")),
            ("/chat/_poll", .open(base: "/chat")),
            ("/a/b/_poll", .open(base: "/a/b")),
            ("/_poll/ID", .session(base: "/", id: "ID")),
            ("/chat/_poll/ID", .session(base: "/chat", id: "ID")),
            ("/_poll/ID/close", .close(base: "/", id: "ID")),
            ("/chat/_poll/ID/close", .close(base: "/chat", id: "ID")),
            ("/_poll/ID/socket", .socket(base: "/", id: "ID")),
            ("/chat/_poll/ID/token", .token(base: "/chat", id: "ID")),
            ("/chat/_poll/probe", .probe(base: "/chat")),
            ("/chat/_poll/probe/socket", .socket(base: "/chat", id: "probe")),
            // "close" is a verb only behind an identifier.
            ("/chat/_poll/close", .session(base: "/chat", id: "close")),
            ("/chat/_poll/close/close", .close(base: "/chat", id: "close")),
            // The rightmost marker counts.
            ("/a/_poll/_poll", .open(base: "/a/_poll")),
            ("/a/_poll/b/_poll", .open(base: "/a/_poll/b")),
            ("/a/_poll/_poll/x", .session(base: "/a/_poll", id: "x")),
        ])
    func parses(path: String, target: PollTarget) {
        #expect(PollTarget.parse(path: path) == target)
    }

    @Test(
        "Any other path is a WebSocket path",
        arguments: [
            "", "/", "/chat", "_poll", "/poll", "/_pollx", "/x_poll", "/_POLL", "/%5Fpoll", "/_poll?x",
            "/chat/_poll/ID/open", "/chat/_poll/ID/close/", "/chat/_poll/ID/close/x", "/chat/_poll/a/b/c",
        ])
    func isNotPolling(path: String) {
        #expect(PollTarget.parse(path: path) == nil)
    }

    @Test("The base of every kind is the WebSocket path", arguments: ["/c/_poll", "/c/_poll/i", "/c/_poll/i/close"])
    func base(path: String) {
        #expect(PollTarget.parse(path: path)?.base == "/c")
    }
}

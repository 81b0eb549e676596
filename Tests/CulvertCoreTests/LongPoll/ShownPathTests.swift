import CulvertCore
import Testing

@Suite("The path that a log shows of a request")
struct ShownPathTests {
    @Test(
        "It ends with the marker of the session protocol, in whatever form the client sent it",
        arguments: [
            ("/chat", "/chat"), ("/", "/"), ("", ""), ("/a%20b/c", "/a%20b/c"), ("/a%", "/a%"), ("/a%2", "/a%2"),
            ("/chat/_poll", "/chat/_poll"), ("/chat/_poll/ID", "/chat/_poll"), ("/chat//_poll//ID", "/chat//_poll"),
            ("/chat/x/../_poll/ID", "/chat/x/../_poll"), ("/chat/%5Fpoll/ID", "/chat/%5Fpoll"),
            ("/chat/_%70%6f%6C%6c/ID", "/chat/_%70%6f%6C%6c"), ("/chat/%255Fpoll/ID", "/chat/%255Fpoll"),
            ("/chat/%25255fpoll%25252FID", "/chat/%25255fpoll"), ("/chat/_poll%2FID", "/chat/_poll"),
            ("/chat%2F_poll%2FID", "/chat%2F_poll"), ("/chat\\_poll\\ID", "/chat\\_poll"),
            ("/chat/_POLL/ID", "/chat/_POLL"), ("/chat/_poll;a/ID", "/chat/_poll"), ("/chat/_poll./ID", "/chat/_poll"),
            ("/chat/_poll%20/ID", "/chat/_poll"), ("/chat/_poll%00/ID", "/chat/_poll"),
            ("/chat/_poll%c0%afID", "/chat/_poll"), ("/chat/_poll%/ID", "/chat/_poll"),
            ("/chat/_polls/ID", "/chat/_polls/ID"), ("/chat/_poll-a/ID", "/chat/_poll-a/ID"),
            ("/chat/a_poll/ID", "/chat/a_poll/ID"), ("/chat/_pol/ID", "/chat/_pol/ID"),
            ("/chat#access_token=S", "/chat"), ("/chat;access_token=S", "/chat"), ("/chat%3Faccess_token=S", "/chat"),
            ("/chat%23access_token=S", "/chat"), ("/chat%3baccess_token=S", "/chat"), ("/chat%253Ftoken=S", "/chat"),
        ])
    func shown(path: String, shown: String) {
        #expect(PollTarget.shown(path) == shown)
    }

    @Test("It is cut, and has no control characters")
    func cut() {
        let long = "/" + String(repeating: "%25", count: 4000)
        #expect(PollTarget.shown(long).utf8.count <= ShownText.longestPath + 3)
        #expect(PollTarget.shown("/a\u{1B}[31m") == "/a?[31m")
        let hidden = "/" + String(repeating: "\u{202E}", count: 400)
        #expect(PollTarget.shown(hidden + "/_poll/ID") == "/" + String(repeating: "?", count: 400) + "/_poll")
    }
}

import CulvertCore
import Testing

@Suite struct GateRouteTests {
    private static let table = RouteTable([
        GateFixture.route("/", upstream: "root"),
        GateFixture.route("/chat", upstream: "chat"),
        GateFixture.route("/chat/private", upstream: "private"),
        GateFixture.route("/files/", upstream: "files"),
        GateFixture.route("/", host: "A.example", upstream: "a-root"),
        GateFixture.route("/chat", host: "a.example", upstream: "a-chat"),
        GateFixture.route("/only", host: "b.example", upstream: "b-only"),
        GateFixture.route("/six", host: "[::1]", upstream: "six"),
    ])

    @Test(
        arguments: [
            // host, path, upstream: the longest prefix on segment borders wins
            (nil, "/", "root"), (nil, "/x", "root"), (nil, "/chat", "chat"), (nil, "/chat/", "chat"),
            (nil, "/chat/room", "chat"), (nil, "/chatter", "root"), (nil, "/chat/private", "private"),
            (nil, "/chat/private/x", "private"), (nil, "/chat/privately", "chat"), (nil, "/Chat", "root"),
            (nil, "/files/x", "files"), (nil, "/files/", "files"), (nil, "/files", "root"),
            // a route of the request's host comes before any longer one of every host
            ("a.example", "/chat/private", "a-chat"), ("a.example", "/chatter", "a-root"),
            ("a.example", "/x", "a-root"),
            ("A.EXAMPLE", "/chat", "a-chat"), ("a.example:8443", "/chat", "a-chat"), ("a.example:", "/chat", "a-chat"),
            ("x.a.example", "/chat", "chat"), ("a.example.evil", "/chat", "chat"), ("c.example", "/chat", "chat"),
            // a host whose routes do not cover the path falls back to those of every host
            ("b.example", "/only/x", "b-only"), ("b.example", "/chat", "chat"),
            ("[::1]:8443", "/six", "six"), ("[::1]", "/six", "six"), ("[::2]", "/six", "root"), ("[", "/six", "root"),
            ("", "/chat", "chat"), (":", "/chat", "chat"),
        ] as [(String?, String, String)])
    func theRouteIsTheMostSpecificOne(_ host: String?, _ path: String, _ upstream: String) {
        #expect(Self.table.match(host: host, path: path)?.upstream == upstream)
    }

    @Test func theOrderOfTheFileDoesNotMatter() {
        let routes = ["/", "/a", "/a/b", "/a/b/c"].map { GateFixture.route($0, upstream: $0) }
        for table in [RouteTable(routes), RouteTable(routes.reversed())] {
            #expect(table.match(host: nil, path: "/a/b/x")?.upstream == "/a/b")
            #expect(table.match(host: nil, path: "/a/b/c")?.upstream == "/a/b/c")
            #expect(table.match(host: nil, path: "/ab")?.upstream == "/")
        }
    }

    @Test func withoutACoveringRouteThereIsNone() {
        let table = RouteTable([GateFixture.route("/chat"), GateFixture.route("/x", host: "a.example")])
        #expect(table.match(host: nil, path: "/") == nil)
        #expect(table.match(host: nil, path: "/x") == nil)
        #expect(table.match(host: "b.example", path: "/x") == nil)
        #expect(RouteTable([]).match(host: nil, path: "/") == nil)
    }

    @Test func aRouteIsNamedByHostAndPath() {
        #expect(GateFixture.route("/chat").name == "/chat")
        #expect(GateFixture.route("/chat", host: "a.example").name == "a.example/chat")
    }

    @Test(arguments: [
        "/", "/chat", "/chat/", "/chat/room", "/a.b", "/.well-known/x", "/..a", "/a..", "/...", "/a..b/c", "/%20",
        "/caf%C3%A9", "/%2", "/%", "/%zz", "/a;b=c", "/~x", "/a:b@c", "/%2e%2e%2e", "/%E9", "/a%252Fb", "/a+b",
        "/a%3Bb",
        "/a.", "/a%20/b", "/%C3%80", "/%u00", "/100%25", "/;x", "/a/;jsessionid=1",
    ])
    func anOrdinaryPathPasses(_ path: String) {
        #expect(PathPrefix.isSafe(path))
    }

    @Test(arguments: [
        "", "chat", "*", "http://a/", "?", ".", "..", "/.", "/..", "/./", "/../", "/chat/..", "/chat/.", "/chat/../x",
        "/chat/./x", "/%2e", "/%2E", "/%2e%2e", "/%2E%2e/x", "/.%2e/x", "/%2e./x", "/chat/%2e%2E/x", "/chat/.%2E",
        "/chat%2f..", "/a%2fb", "/a%2Fb", "/%2f", "/..%2fx", "/a%5cb", "/a%5Cb", "/a\\b", "/..\\x", "/a%00", "/a\0b",
        "/a b", "/a\tb", "/a\r\nb", "/a\u{7F}", "/a%0Ab", "/a%7F", "/a%0d",
        // Encoded more than once
        "/%252e%252e/x", "/%25252e%25252E/x", "/%25%32e", "/a%255c..%255cb", "/a;x%252Fy",
        // With parameters, with what Windows takes off, and up to a question mark
        "/..;x/a", "/..%3Bx/a", "/..%253Bx/a", "/;x/a", "/a/%3Bx/b", "/..%20/a", "/.%20", "/..%3Fx", "/..%23",
        // In UTF-8 that is too long, and in IIS's own encoding
        "/%c0%ae%c0%ae/a", "/a%c0%afb", "/a%C1%9Cb", "/a%e0%80%afb", "/a%f0%80%80%afb", "/a%f8%80%80%80%afb", "/a%FC%80%80%80%80%AFb", "/%u002e", "/%U0061dmin",
    ])
    func aPathThatMayLeaveItsPrefixDoesNot(_ path: String) {
        #expect(!PathPrefix.isSafe(path))
        for transport in Transport.allCases {
            var request = GateFixture.request(transport, path)
            request.authorization = ["Bearer " + GateFixture.good]
            let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
            #expect(decision.rejection?.status == 400)
        }
    }

    @Test(arguments: [
        ("/", "/", true), ("/", "/x", true), ("/chat", "/chat", true), ("/chat", "/chat/", true),
        ("/chat", "/chat/a/b", true), ("/chat", "/chatter", false), ("/chat", "/cha", false), ("/chat", "/", false),
        ("/chat", "/CHAT", false), ("/chat/", "/chat", false), ("/chat/", "/chat/x", true), ("/chat", "", false),
        ("/chat", "/x/chat", false), ("/chat", "/chat-x", false), ("/chat", "/chat%20", false),
    ])
    func prefixesEndOnSegmentBorders(_ prefix: String, _ path: String, _ covered: Bool) {
        #expect(PathPrefix.covers(prefix, path) == covered)
    }

    @Test(
        "Two prefixes meet where one covers the other, in either order",
        arguments: [
            ("/", "/chat", true), ("/chat", "/chat", true), ("/chat", "/chat/a", true), ("/chat", "/chat/", true),
            ("/%61dmin", "/admin/x", true), ("/ü", "/%C3%BC/a", true), ("/chat", "/chatter", false),
            ("/a", "/b", false),
        ])
    func meeting(_ one: String, _ other: String, _ meet: Bool) throws {
        #expect(try PathPrefix(one).meets(try PathPrefix(other)) == meet)
        #expect(try PathPrefix(other).meets(try PathPrefix(one)) == meet)
    }
}

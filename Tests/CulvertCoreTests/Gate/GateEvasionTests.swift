import CulvertCore
import Testing

/// Ways round the gate: what reads as one thing here and as another behind it.
@Suite struct GateEvasionTests {
    private func decide(_ request: GateRequest) -> Gate.Decision {
        GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
    }

    @Test(arguments: ["/a/../\u{301}b", "/a%2f\u{301}b", "/%5c\u{301}"])
    func aCombiningMarkHidesNoDotSegmentAndNoSlash(_ path: String) {
        #expect(!PathPrefix.isSafe(path))
    }

    @Test(arguments: ["/a/..;/b", "/a/..;x=1/b", "/a/.;/b", "/a/%2e%2e;/b", "/admin#x", "//admin", "/a//b"])
    func aPathThatSomeServersReadOtherwiseDoesNotPass(_ path: String) {
        #expect(!PathPrefix.isSafe(path))
    }

    @Test(arguments: [("/admin", "/%61dmin"), ("/admin", "/adm%69n/x"), ("/caf%C3%A9", "/caf%c3%a9")])
    func anEncodedLetterIsTheSameLetter(_ prefix: String, _ path: String) {
        #expect(PathPrefix.covers(prefix, path))
    }

    @Test(arguments: [("/e\u{301}", "/\u{E9}x"), ("", "/x")])
    func aPrefixCoversItsOwnBytesOnly(_ prefix: String, _ path: String) {
        #expect(!PathPrefix.covers(prefix, path))
    }

    /// Of each path a broad route that asks for nothing, and a narrow one that asks for a token, lead to one upstream.
    private static let twoRoutes = KeyedGate(
        routes: RouteTable(
            [GateFixture.route("/", authenticationRequired: false)]
                + ["/admin", "/@ops", "/a+b:c", "/é", "/x/y%20z", "/desk", "/strasse", "/slash/"].map { GateFixture.route($0) }),
        keyring: GateFixture.keyring, carriers: GateFixture.carriers)

    @Test(arguments: [
        // As it is, and encoded: aiohttp, Node, nginx
        "/admin", "/admin/", "/admin/x", "/%61dmin", "/adm%69n/x", "/%40ops", "/a%2Bb%3Ac", "/a+b%3ac", "/%C3%A9",
        "/%c3%a9/x",
        // With parameters, in whichever segment: Jetty, Tomcat, Spring
        "/admin;x=1", "/admin;/ws", "/admin;x=1/ws", "/%61dmin;x", "/admin%3Bx", "/admin;a;b", "/;/admin", "/%40ops;x",
        // Encoded twice: behind a gateway that decodes
        "/%2561dmin", "/%252561dmin", "/admin%253Bx", "/admin%252Fx", "/%25%36%31dmin",
        // Cut off at what is decoded to a question mark or a fragment
        "/admin%3Fx", "/admin%23x", "/admin%253Fx",
        // As Windows reads names
        "/admin.", "/admin%20", "/admin./x", "/admin.%20.", "/admin%2e",
        // In another case: IIS, ASP.NET, Express
        "/Admin", "/ADMIN/x", "/adMin;x", "/%41dmin", "/@OPS", "/%C3%89", "/e%CC%81", "/E%CC%81/x",
        // As Jetty reads what is no UTF-8
        "/%E9", "/%E9/x",
        // Case as Unicode has it: U+212A is a k, U+017F an s, U+0131 and U+0130 an i, and ß is ss
        "/des%E2%84%AA", "/de%C5%BFk", "/DE%C5%BFK/x", "/%E2%84%AA/../desk", "/des%E2%84%AA;x", "/adm%C4%B1n",
        "/adm%C4%B0n", "/stra%C3%9Fe", "/%40op%C5%BF",
        // Compatibility forms (NFKC): fullwidth letters, mathematical letters, ligatures, dots and slashes
        "/%EF%BD%84esk", "/%EF%BC%84/../desk", "/x/%EF%BC%8E%EF%BC%8E/desk", "/x/%E2%80%A5/desk", "/x%EF%BC%8F../desk",
        "/%EF%BC%8Fdesk", "/desk%EF%BC%8Fx", "/%F0%9D%90%9Aesk/../desk", "/%F0%9D%90%9Desk", "/a%EF%BD%84min",
        "/%EF%BD%81%EF%BD%84%EF%BD%8D%EF%BD%89%EF%BD%8E/x",
        // Forms of the backslash and of the percent sign, control characters outside ASCII, and the next line as a blank
        "/desk%EF%BC%BCx", "/desk%EF%B9%A8x", "/%EF%BC%85%EF%BC%94%EF%BC%91dmin", "/%EF%B9%AA41dmin", "/admin%C2%80",
        "/admin%C2%85", "/admin%85",
        // Without the slash at the end, which Express and Rails do not care for
        "/slash", "/SLASH", "/slash;", "/slash.", "/%73lash", "/slash/", "/slash/x",
        // Spaces, and bytes outside ASCII
        "/x/y%20z", "/x/y%20z;1", "/é", "/e\u{301}", "/admin\u{301}",
    ])
    func noSpellingOfANarrowRouteTakesABroadOne(_ path: String) {
        for transport in Transport.allCases {
            let decision = Self.twoRoutes.decide(
                GateFixture.request(transport, path), now: GateFixture.now, load: GateFixture.idle)
            let status = decision.rejection?.status
            #expect(
                status == 400 || status == 401, "\(path) is answered \(status.map(String.init) ?? "with admission")")
            if status == 400 { #expect(decision.rejection?.detail.isEmpty == false) }
        }
    }

    @Test(arguments: [
        "/", "/x", "/administrator", "/a", "/admi", "/xadmin", "/x/admin", "/x;admin", "/x;/admin", "/x%3Badmin",
        "/a%252Fb",
        "/caf%C3%A9", "/ops", "/%25", "/x.", "/X", "/a+b", "/%E8",
        "/des%E2%84%AAs", "/des%CC%81k", "/%EF%BD%84es", "/x/%EF%BC%8E%EF%BC%8Ea", "/a%E2%80%A6", "/slashes", "/slas",
        "/%E5%AE%A4%EF%BC%8F1", "/x/%E2%80%A6",
    ])
    func whatIsNoSpellingOfItPasses(_ path: String) {
        let decision = Self.twoRoutes.decide(
            GateFixture.request(.webSocket, path), now: GateFixture.now, load: GateFixture.idle)
        #expect(decision.admission?.route.path == "/", "\(path): \(decision.rejection?.detail ?? "")")
    }

    @Test func aTokenOpensNoOtherReadingOfItsPaths() {
        for (path, isOpen) in [
            ("/chat/a", true), ("/chat/%61", true), ("/chat/a/b", true), ("/chat/a;x", false), ("/chat/a;x/b", false),
            ("/chat/a/b;x", true), ("/chat/a.", false), ("/chat/A", false), ("/chat/a%3Fb", false),
            ("/chat/a%2561", false),
        ] {
            var request = GateFixture.request(.webSocket, path)
            request.authorization = ["Bearer " + GateFixture.narrow]
            let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
            #expect((decision.admission != nil) == isOpen, "\(path)")
        }
    }

    @Test(arguments: [
        "/a;b", "/a%3Bb", "/a?b", "/a%3Fb", "/a#b", "/a%23b", "/a.", "/a/b%20", "/%E9", "/a/%2561", "/a%2fb", "/a//b",
        "a",
        "/a/../b", "/a%00", "",
    ])
    func aPrefixThatNoRequestCanMatchIsNone(_ text: String) {
        #expect(throws: PathFault.self) { try PathPrefix(text) }
        #expect(!PathPrefix.covers(text, text))
    }

    @Test(arguments: [
        ("/é", "/%C3%A9"), ("/%C3%A9", "/%c3%a9/x"), ("/@ops", "/%40ops"), ("/%40ops", "/@ops"), ("/a%20b", "/a%20b"),
        ("/100%25", "/100%25"), ("/100%25", "/100%"), ("/a%2Bb", "/a+b"), ("/...", "/..."),
    ])
    func prefixesMatchByWhatTheyDecodeTo(_ prefix: String, _ path: String) {
        #expect(PathPrefix.covers(prefix, path))
    }

    @Test func prefixesAreOrderedByWhatTheyDecodeTo() {
        // As they are written the first is the longer one.
        let table = RouteTable([
            GateFixture.route("/%61%62", upstream: "short"), GateFixture.route("/ab/cd", upstream: "long"),
        ])
        #expect(table.match(host: nil, path: "/ab/cd")?.upstream == "long")
        #expect(table.match(host: nil, path: "/%61b/%63d/x")?.upstream == "long")
        #expect(table.match(host: nil, path: "/ab/x")?.upstream == "short")
    }

    @Test func pathsOfOtherUpstreamsMayDifferByCase() {
        let table = RouteTable([
            GateFixture.route("/", upstream: "one"), GateFixture.route("/chat", upstream: "two"),
            GateFixture.route("/Room", upstream: "three"), GateFixture.route("/room", upstream: "three"),
        ])
        #expect(table.match(host: nil, path: "/Chat")?.upstream == "one")
        #expect(table.match(host: nil, path: "/room")?.path == "/room")
        #expect(table.match(host: nil, path: "/Room/x")?.path == "/Room")
    }

    @Test func twoRoutesMayDifferByASlash() {
        let table = RouteTable([
            GateFixture.route("/"), GateFixture.route("/ops"), GateFixture.route("/ops/"),
        ])
        #expect(table.match(host: nil, path: "/ops")?.path == "/ops")
        #expect(table.match(host: nil, path: "/ops/")?.path == "/ops/")
        #expect(table.match(host: nil, path: "/ops/x")?.path == "/ops/")
        #expect(table.match(host: nil, path: "/OPS") == nil)
    }

    @Test(arguments: [
        "a.example", "A.EXAMPLE", "a.example.", "a.example:80", "a.example.:443", "[::1]", "[0:0::1]:80", "[::0001]",
    ])
    func noSpellingOfAHostTakesTheRouteOfEveryHost(_ host: String) {
        let table = RouteTable([
            GateFixture.route("/", host: "a.example", upstream: "own"),
            GateFixture.route("/", host: "[::1]", upstream: "own"),
            GateFixture.route("/", upstream: "any"),
        ])
        #expect(table.match(host: host, path: "/x")?.upstream == "own")
    }

    @Test(arguments: [
        "", "a", "a.example", "A_b-c.example.", "a:", "a:0", "a:65535", "1.2.3.4:80", "[::1]", "[::1]:80",
        "[2001:db8::7]:",
    ])
    func aHostAndPerhapsAPortIsOne(_ text: String) {
        #expect(HostPort.isValid(text))
    }

    @Test(arguments: [
        ":", ":80", "a:b", "a:80:80", "a:65536", "a:+1", "a:1 ", "a b", "a,b", "a\"b", "a\\b", "a;b", "a=b", "a/b",
        "a@b", "a%41",
        "*.a", "é", "a\u{301}", "a:\u{600}80", "a:8\u{301}", "a:\u{661}", "[::1", "[::1]x", "[::1]80", "[::1]:x",
        "[1.2.3.4]", "[]", ".", "..", ".a", "a..", "a..b", "a..:80", ".:80",
        "[::1%25eth0]", "a\u{301}\", for=6.6.6.6;x=\"\u{301}", "[::1]\u{301}:80",
    ])
    func whatElseAHostSaysIsNone(_ text: String) {
        #expect(!HostPort.isValid(text))
    }

    @Test(arguments: ["https://\u{212A}.example", "https://a..example", "https://[::1", "https://a[b.example"])
    func aMalformedHostIsNoOrigin(_ text: String) {
        #expect(Origin(text) == nil)
    }

    @Test func anAddressHasNoWildcard() {
        #expect(OriginPattern("https://*.[::1]") == nil)
    }

    @Test(arguments: [("HTTPS://A.Example", "https://a.example"), ("https://a.example:443", "https://a.example")])
    func equalPatternsAreEqual(_ one: String, _ other: String) {
        #expect(OriginPattern(one) == OriginPattern(other))
    }

    @Test(arguments: Carrier.allCases)
    func nothingIsNoToken(_ carrier: Carrier) {
        let gate = KeyedGate(
            routes: RouteTable([GateFixture.route("/")]),
            keyring: TokenKeyring([GateFixture.token("empty", "", routes: ["/"])]), carriers: GateFixture.carriers)
        var request = GateFixture.request(.webSocket, "/")
        carrier.put("", into: &request)
        let decision = gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        #expect(decision.rejection?.code == "invalid_token")
    }

    @Test(arguments: [GateFixture.good, GateFixture.expired, GateFixture.narrow])
    func ourOwnBearerTokenGoesToNoUpstream(_ secret: String) throws {
        var request = GateFixture.request(.webSocket, "/open")
        request.authorization = ["Bearer " + secret]
        let admission = try #require(self.decide(request).admission)
        #expect(admission.forwardAuthorization == nil)
    }

    @Test func aBearerTokenBehindATabGoesToNoUpstream() throws {
        var request = GateFixture.request(.webSocket)
        request.authorization = ["Bearer\t" + GateFixture.good]
        request.query = "access_token=" + GateFixture.good
        let admission = try #require(self.decide(request).admission)
        #expect(admission.forwardAuthorization == nil)
    }

    @Test(arguments: Transport.allCases, Carrier.allCases)
    func anExpiredTokenLooksLikeAnUnknownOne(_ transport: Transport, _ carrier: Carrier) {
        let answers = [GateFixture.unknown, GateFixture.expired].map { secret in
            var request = GateFixture.request(transport)
            carrier.put(secret, into: &request)
            return self.decide(request).rejection
        }
        #expect(answers[0] == answers[1])
    }

    @Test func aPlusInTheQueryTokenIsAPlus() {
        let gate = KeyedGate(
            routes: RouteTable([GateFixture.route("/")]),
            keyring: TokenKeyring([GateFixture.token("plus", "a+b", routes: ["/"])]),
            carriers: GateFixture.carriers)
        var request = GateFixture.request(.longPoll, "/")
        request.query = "access_token=a+b"
        #expect(gate.decide(request, now: GateFixture.now, load: GateFixture.idle).admission?.token?.id == "plus")
    }

    @Test(arguments: ["a=\"x;y\"", "a=1;b=2", " a=1"])
    func aCookieLineWithoutATokenStaysAsItWas(_ line: String) throws {
        var request = GateFixture.request(.webSocket, "/open")
        request.cookies = [line]
        let admission = try #require(self.decide(request).admission)
        #expect(admission.forwardCookies == [line])
    }
}

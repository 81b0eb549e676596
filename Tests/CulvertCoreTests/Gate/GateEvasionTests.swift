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

import CulvertCore
import Testing

@Suite struct GateTokenTests {
    @Test func aDigestIsSHA256() {
        // FIPS 180-2, B.1.
        let hex = TokenDigest(of: "abc").bytes.map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
        #expect(hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    private static func verify(_ entries: [TokenEntry], _ secret: String, now: Int64) -> (String?, TokenFault?) {
        var keyring = TokenKeyring(entries)
        guard let credential = keyring.credential(for: secret) else { return (nil, .unknown) }
        return (credential.token.id, keyring.fault(of: credential, now: now))
    }

    @Test func onlyTheTokenItselfIsValid() {
        let entries = [
            GateFixture.token("a", "secret", routes: ["/"]), GateFixture.token("b", "other", routes: []),
        ]
        #expect(Self.verify(entries, "secret", now: 0) == ("a", nil))
        for wrong in ["", "secre", "secrets", "Secret", "secret ", " secret", "secret\0", "a"] {
            #expect(Self.verify(entries, wrong, now: 0) == (nil, .unknown))
        }
        #expect(Self.verify([], "secret", now: 0) == (nil, .unknown))
    }

    @Test(
        arguments: [
            (Int64.max, nil, true), (Int64.min, nil, true), (99, 100, true), (100, 100, false), (101, 100, false),
            (Int64.max, Int64.max, false), (Int64.min, Int64.max, true), (0, Int64.min, false),
        ] as [(Int64, Int64?, Bool)])
    func aTokenEndsWithItsSecond(_ now: Int64, _ expires: Int64?, _ valid: Bool) {
        let token = GateFixture.token("a", "secret", routes: ["/"], expires: expires)
        #expect(Self.verify([token], "secret", now: now) == ("a", valid ? nil : .expired))
    }

    @Test(
        "A JWT that is refused tells the log why, and its client gets one answer for every reason",
        arguments: [
            (nil, nil, [], nil), (nil, 100, [], .expired), (101, nil, [], .notYetValid),
            (nil, nil, [.jwtKeys(["k": 100])], .endedKey), (nil, nil, [.jwtKeys([:])], .endedKey),
            (
                nil, nil, [.revokeJWT(JWTRevocation(target: .id("j"), before: 0, until: 200))], .revoked
            ),
        ] as [(Int64?, Int64?, [TokenChange], JWTFault?)])
    func aRefusedJWTHasAFault(_ begin: Int64?, _ end: Int64?, _ changes: [TokenChange], _ fault: JWTFault?) {
        let token = Token(id: "j", source: .jwt, subject: "s", routes: ["/"], notBefore: begin, expires: end)
        var keyring = TokenKeyring()
        keyring.apply(.jwtKeys(["k": .max]))
        keyring.remember(
            Credential(entry: TokenEntry(token: token, secrets: [], keyID: "k"), generation: 0), for: "a.b.c")
        for change in changes { keyring.apply(change) }
        let gate = KeyedGate(
            routes: RouteTable([GateFixture.route("/")]), keyring: keyring, carriers: GateFixture.carriers)
        var request = GateFixture.request(.longPoll, "/")
        request.authorization = ["Bearer a.b.c"]
        let rejection = gate.decide(request, now: 100, load: GateFixture.idle).rejection
        #expect(rejection?.jwtFault == fault)
        #expect(rejection?.code == (fault == nil ? nil : "invalid_token") && rejection?.fault == nil)
    }

    @Test(arguments: [0, 31, 33])
    func aDigestHas32Bytes(_ length: Int) {
        #expect(TokenDigest(bytes: [UInt8](repeating: 7, count: length)) == nil)
    }

    @Test func everyTokenOfManyIsFound() {
        let tokens = (0..<500).map { GateFixture.token("t\($0)", "secret-\($0)", routes: ["/"]) }
        for index in tokens.indices {
            #expect(Self.verify(tokens, "secret-\(index)", now: 0) == ("t\(index)", nil))
        }
    }

    @Test(arguments: [
        (["/"], "/chat/x", true), (["/chat"], "/chat", true), (["/chat"], "/chat/x", true),
        (["/chat/x"], "/chat", false), (["/chat/x"], "/chat/xy", false), (["/other", "/chat"], "/chat/x", true),
        ([], "/chat", false), (["/chatter"], "/chat", false),
    ])
    func aTokenOpensItsPathsOnly(_ routes: [String], _ path: String, _ opens: Bool) {
        let gate = KeyedGate(
            routes: RouteTable([GateFixture.route("/")]),
            keyring: TokenKeyring([GateFixture.token("a", "secret", routes: routes)]), carriers: GateFixture.carriers)
        var request = GateFixture.request(.longPoll, path)
        request.authorization = ["Bearer secret"]
        let decision = gate.decide(request, now: 0, load: GateFixture.idle)
        #expect((decision.admission != nil) == opens)
        #expect(decision.rejection?.code == (opens ? nil : "insufficient_scope"))
    }

    @Test(
        "A beacon's body is read as forms are written (RFC 6750 2.2), and holds nothing but the token for the gate",
        arguments: [
            ("access_token=good-token", nil), ("a=b&access_token=good%2Dtoken&c", nil),
            ("access_token=good+token", "invalid_token"), ("access_token=", "invalid_token"),
            ("token=good-token", "token_missing"), ("", "token_missing"), ("access_token=%zz", "invalid_token"),
            ("access_token=good-token&access_token=narrow-token", "conflicting_tokens"),
        ])
    func aFormHoldsAToken(_ form: String, _ code: String?) {
        var request = GateFixture.request(.longPoll)
        request.form = form
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        #expect(decision.rejection?.code == code)
        #expect((decision.admission != nil) == (code == nil))
    }

    @Test(
        "An upgrade of the session protocol is the route's transport websocket, a request long-poll",
        arguments: [("/ws", true, true), ("/ws", false, false), ("/poll", true, false), ("/poll", false, true)])
    func aLaneIsAWebSocket(_ path: String, _ wantsUpgrade: Bool, _ passes: Bool) {
        var request = GateFixture.request(.longPoll, path)
        request.wantsUpgrade = wantsUpgrade
        request.authorization = ["Bearer good-token"]
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        #expect((decision.admission != nil) == passes)
    }
}

import CulvertCore
import Testing

@Suite struct GateTokenTests {
    @Test func aDigestIsSHA256() {
        // FIPS 180-2, B.1.
        let hex = Token.digest(of: "abc").map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
        #expect(hex == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    @Test func onlyTheTokenItselfIsValid() {
        let token = GateFixture.token("a", "secret", routes: ["/"])
        let keyring = TokenKeyring([token, GateFixture.token("b", "other", routes: [])])
        #expect(keyring.verify(secret: "secret", now: 0) == .valid(token))
        for wrong in ["", "secre", "secrets", "Secret", "secret ", " secret", "secret\0", "a"] {
            #expect(keyring.verify(secret: wrong, now: 0) == .unknown)
        }
        #expect(TokenKeyring([]).verify(secret: "secret", now: 0) == .unknown)
    }

    @Test(
        arguments: [
            (Int64.max, nil, true), (Int64.min, nil, true), (99, 100, true), (100, 100, false), (101, 100, false),
            (Int64.max, Int64.max, false), (Int64.min, Int64.max, true), (0, Int64.min, false),
        ] as [(Int64, Int64?, Bool)])
    func aTokenEndsWithItsSecond(_ now: Int64, _ expires: Int64?, _ valid: Bool) {
        let token = GateFixture.token("a", "secret", routes: ["/"], expires: expires)
        #expect(TokenKeyring([token]).verify(secret: "secret", now: now) == (valid ? .valid(token) : .expired))
    }

    @Test func aDigestOfAnotherLengthOpensNothing() {
        let digest = Token.digest(of: "secret")
        for wrong in [[], Array(digest.dropLast()), digest + [0]] {
            let token = Token(id: "a", digest: wrong, subject: "a", routes: ["/"], expires: nil)
            #expect(TokenKeyring([token]).verify(secret: "secret", now: 0) == .unknown)
        }
    }

    @Test func everyTokenOfManyIsFound() {
        let tokens = (0..<500).map { GateFixture.token("t\($0)", "secret-\($0)", routes: ["/"]) }
        let keyring = TokenKeyring(tokens)
        for (index, token) in tokens.enumerated() {
            #expect(keyring.verify(secret: "secret-\(index)", now: 0) == .valid(token))
        }
    }

    @Test(arguments: [
        (["/"], "/chat/x", true), (["/chat"], "/chat", true), (["/chat"], "/chat/x", true),
        (["/chat/x"], "/chat", false), (["/chat/x"], "/chat/xy", false), (["/other", "/chat"], "/chat/x", true),
        ([], "/chat", false), (["/chatter"], "/chat", false),
    ])
    func aTokenOpensItsPathsOnly(_ routes: [String], _ path: String, _ opens: Bool) {
        let gate = Gate(
            routes: RouteTable([GateFixture.route("/")]),
            keyring: TokenKeyring([GateFixture.token("a", "secret", routes: routes)]), carriers: GateFixture.carriers)
        var request = GateFixture.request(.longPoll, path)
        request.authorization = ["Bearer secret"]
        let decision = gate.decide(request, now: 0, load: GateFixture.idle)
        #expect((decision.admission != nil) == opens)
        #expect(decision.rejection?.code == (opens ? nil : "insufficient_scope"))
    }
}

import CulvertCore
import Testing

@Suite("JWT: claims")
struct JWTClaimRulesTests {
    private static let good: [String: JSONValue] = ["exp": .integer(1000), "sub": .string("s")]

    private static func token(
        _ more: [String: JSONValue], rules: JWTClaimRules = JWTClaimRules(leeway: 5)
    ) -> Result<Token, JWTFault> {
        Result { () throws(JWTFault) in
            try rules.token(from: self.good.merging(more) { $1 }, fallbackID: "jwt_x")
        }
    }

    @Test("A token of the least there must be opens what the configuration says")
    func least() {
        let token = Token(id: "jwt_x", source: .jwt, subject: "s", routes: ["/"], expires: 1005)
        #expect(Self.token([:]) == .success(token))
    }

    @Test("Begin and end have the leeway; a fraction of a second never lengthens it")
    func times() throws {
        let token = try Self.token(["nbf": .number(10.2), "iat": .integer(30), "exp": .number(99.9)]).get()
        #expect((token.notBefore, token.expires, token.issued) == (25, 104, 30))
        #expect(try Self.token(["nbf": .number(40.2), "iat": .integer(30)]).get().notBefore == 36)
    }

    @Test("What the claims say of routes, origins and the id is taken over")
    func restrictions() throws {
        let rules = JWTClaimRules(routesClaim: "r", originsClaim: "o", defaultRoutes: [])
        let claims: [String: JSONValue] = [
            "r": .array([.string("/a"), .string("/b")]), "o": .string("https://a.example https://*.b.example"),
            "jti": .string("j"),
        ]
        let token = try Self.token(claims, rules: rules).get()
        #expect((token.id, token.routes) == ("j", ["/a", "/b"]))
        #expect(token.origins?.map(\.description) == ["https://a.example", "https://*.b.example"])
        #expect(try Self.token([:], rules: rules).get().routes == [])
        #expect(try Self.token(["r": .string("")], rules: rules).get().routes == [])
    }

    @Test(arguments: [
        ("exp", JSONValue.string("1000")), ("exp", .null), ("exp", .integer(.max)), ("exp", .integer(.min)),
        ("exp", .number(1e300)), ("nbf", .bool(true)), ("nbf", .integer(.max)), ("iat", .string("now")),
        ("sub", .integer(1)), ("sub", .string("")), ("sub", .string("é")), ("sub", .string("a\nb")),
        ("sub", .string(String(repeating: "a", count: 257))), ("jti", .integer(1)), ("jti", .string("")),
        ("routes", .integer(1)), ("routes", .array([.string("/"), .integer(1)])), ("routes", .string("chat")),
        ("routes", .null), ("routes", .array(Array(repeating: .string("/"), count: 65))),
        ("origins", .string("example.com")), ("origins", .object([:])),
    ])
    func aClaimOfAnotherShapeIsNotOverlooked(_ name: String, _ value: JSONValue) {
        #expect(Self.token([name: value]) == .failure(.claim(name)))
    }

    @Test(arguments: ["exp", "sub"])
    func whatMustBeThereIsMissed(_ name: String) {
        var claims = Self.good
        claims[name] = nil
        #expect(throws: JWTFault.claim(name)) { try JWTClaimRules().token(from: claims, fallbackID: "x") }
    }

    @Test(
        arguments: [
            ([], nil, true), ([], JSONValue.string("a"), false), (["a"], nil, false), (["a"], .string("a"), true),
            (["a", "b"], .string("b"), true), (["a"], .array([.string("x"), .string("a")]), true),
            (["a"], .array([.string("a"), .integer(1)]), false), (["a"], .string("A"), false),
            (["K"], .string("\u{212A}"), false), (["K"], .array([.string("\u{212A}")]), false),
            (["a"], .object([:]), false),
        ] as [([String], JSONValue?, Bool)])
    func anAudienceIsTheOneItIsMeantFor(_ audiences: [String], _ claim: JSONValue?, _ passes: Bool) {
        var claims = Self.good
        claims["aud"] = claim
        let rules = JWTClaimRules(audiences: audiences)
        let result = Result { () throws(JWTFault) in try rules.token(from: claims, fallbackID: "x") }
        if passes { #expect((try? result.get()) != nil) } else { #expect(result == .failure(.audience)) }
    }

    @Test(
        arguments: [
            (nil, false), (.string("i"), true), (.string("j"), true), (.string("k"), false), (.null, false),
            (.string("j\u{301}"), false),
        ]
            as [(JSONValue?, Bool)])
    func anIssuerIsOneOfThose(_ claim: JSONValue?, _ passes: Bool) {
        var claims = Self.good
        claims["iss"] = claim
        let rules = JWTClaimRules(issuers: ["i", "j"])
        let result = Result { () throws(JWTFault) in try rules.token(from: claims, fallbackID: "x") }
        if passes { #expect((try? result.get()) != nil) } else { #expect(result == .failure(.issuer)) }
    }
}

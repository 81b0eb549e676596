import CulvertCore
import Testing

/// A token of Culvert's goes upstream by no name that a route gives to a carrier, also where that route is not asked.
@Suite("Tokens of Culvert's own where no token is read")
struct GateOwnTokensTests {
    private static let issuer = "https://id.example"
    private static let rules = JWTClaimRules(issuers: [issuer])

    private static func route(_ path: String, isAsked: Bool = true, _ carriers: CarrierNames? = nil) -> Route {
        var route = GateFixture.route(path, host: path == "/b" ? "edge.example" : nil, authenticationRequired: isAsked)
        route.carriers = carriers
        return route
    }

    private static let routes = RouteTable([
        route("/"), route("/open", isAsked: false),
        route("/b", CarrierNames(queryParameter: "access_token", cookie: "b_token")),
        route("/key", CarrierNames(queryParameter: "key", cookie: nil)),
        route("/bare", CarrierNames(queryParameter: nil, cookie: nil, subprotocol: false)),
        route("/open/own", isAsked: false, CarrierNames(queryParameter: "own", cookie: "own_token")),
    ])

    private static func jwt(_ claims: String, header: String = #"{"alg":"ES256"}"#) -> String {
        [header, claims].map { Base64URL.encode(Array($0.utf8)) }.joined(separator: ".") + ".c2ln"
    }

    private static let ours = jwt(#"{"iss":"https://id.example","sub":"s","exp":1}"#)
    private static let names = ["access_token", "key", "own", "culvert_token", "b_token", "own_token"]
    private static let paths = ["/", "/open", "/b", "/key", "/bare", "/open/own"]

    private func admit(
        _ path: String, rules: JWTClaimRules? = GateOwnTokensTests.rules, keyring: TokenKeyring? = nil,
        _ change: (inout GateRequest) -> Void
    ) throws -> Admission {
        let gate = Gate(routes: Self.routes, carriers: GateFixture.carriers, jwtRules: rules)
        var request = GateFixture.request(.webSocket, path)
        change(&request)
        var keyring = keyring ?? GateFixture.keyring
        if rules != nil { keyring.apply(.jwtKeys(["k": .max])) }
        let decision = gate.decide(request, keyring: &keyring, now: GateFixture.now, load: GateFixture.idle)
        return try #require(decision.admission)
    }

    private static func put(_ value: String, by name: String, into request: inout GateRequest) {
        if ["access_token", "key", "own"].contains(name) {
            request.query = "a=1&\(name)=\(value)"
        } else {
            request.cookies = ["a=1; \(name)=\(value)"]
        }
    }

    @Test("By the name of any route, on any route", arguments: Self.names, Self.paths)
    func everyNameOnEveryRoute(name: String, path: String) throws {
        let admission = try self.admit(path) {
            $0.authorization = ["Bearer " + GateFixture.good]
            Self.put(GateFixture.good, by: name, into: &$0)
        }
        #expect(admission.forwardQuery ?? "a=1" == "a=1")
        #expect(admission.forwardCookies == [] || admission.forwardCookies == ["a=1"])
    }

    @Test("An application's value by the name of another route is its own", arguments: Self.names)
    func applications(name: String) throws {
        for value in ["x", GateFixture.unknown, "three.parts.here"] {
            let admission = try self.admit("/open") { Self.put(value, by: name, into: &$0) }
            #expect(admission.forwardQuery ?? "a=1&\(name)=\(value)" == "a=1&\(name)=\(value)")
            #expect(admission.forwardCookies.allSatisfy { $0 == "a=1; \(name)=\(value)" })
        }
    }

    @Test("A JWT that nobody has verified goes no further by any of these names", arguments: Self.names, Self.paths)
    func unverified(name: String, path: String) throws {
        // A route that reads a token by this name reads this one.
        if path == "/" && ["access_token", "culvert_token"].contains(name) { return }
        if path == "/b" && ["access_token", "b_token"].contains(name) { return }
        if path == "/key" && name == "key" { return }
        let admission = try self.admit(path) {
            $0.authorization = path.utf8.starts(with: "/open".utf8) ? [] : ["Bearer " + GateFixture.good]
            Self.put(Self.ours, by: name, into: &$0)
        }
        #expect(admission.forwardQuery ?? "a=1" == "a=1")
        #expect(admission.forwardCookies == [] || admission.forwardCookies == ["a=1"])
    }

    @Test(
        "Of JWTs those are taken out that are taken once they are verified",
        arguments: [
            (#"{"iss":"https://id.example","sub":"s","exp":1}"#, true),
            (#"{"iss":"https://app.example","sub":"s","exp":1}"#, false), (#"{"sub":"s","exp":1}"#, false),
            (#"{"iss":["https://id.example"],"sub":"s","exp":1}"#, false),
            (#"{"iss":"https://id.example","sub":"s","exp":1,"aud":"app"}"#, false),
            (#"{"iss":"https://id.example","sub":"s"}"#, false),
            (#"{"iss":"https://app.example","iss":"https://id.example","sub":"s","exp":1}"#, false), ("x", false),
        ])
    func claims(claims: String, isTaken: Bool) throws {
        let text = Self.jwt(claims)
        let admission = try self.admit("/open") {
            $0.authorization = ["Bearer " + text]
            $0.query = "access_token=" + text
            $0.cookies = ["b_token=" + text]
            $0.protocols = ["bearer." + text, "a"]
        }
        #expect(admission.forwardAuthorization == (isTaken ? nil : "Bearer " + text))
        #expect(admission.forwardQuery == (isTaken ? nil : "access_token=" + text))
        #expect(admission.forwardCookies == (isTaken ? [] : ["b_token=" + text]))
        #expect(admission.forwardProtocols == (isTaken ? ["a"] : ["bearer." + text, "a"]))
    }

    @Test("With no issuer named it is every JWT, and no other text of three parts")
    func anyIssuer() throws {
        for (text, isTaken) in [
            (Self.jwt(#"{"iss":"https://app.example","sub":"s","exp":1}"#), true), ("a.b.c", false),
            (Self.jwt("{}", header: #"{"alg":"none"}"#), false),
        ] {
            let admission = try self.admit("/open", rules: JWTClaimRules()) { $0.query = "access_token=" + text }
            #expect(admission.forwardQuery == (isTaken ? nil : "access_token=" + text))
        }
    }

    @Test("Where no JWT is taken, each is the application's")
    func noJWT() throws {
        let admission = try self.admit("/open", rules: nil) { $0.query = "access_token=" + Self.ours }
        #expect(admission.forwardQuery == "access_token=" + Self.ours)
    }

    @Test("The JWT by which a request is let in goes no further in any carrier")
    func letIn() throws {
        // The claims are of another issuer. So only the memory of verified tokens tells whose the token is.
        let text = Self.jwt(#"{"iss":"https://app.example","sub":"s","exp":1}"#)
        var keyring = GateFixture.keyring
        keyring.apply(.jwtKeys(["k": .max]))
        let token = Token(id: "j", source: .jwt, subject: "s", routes: ["/"], expires: GateFixture.now + 60)
        keyring.remember(
            Credential(entry: TokenEntry(token: token, secrets: [], keyID: "k"), generation: 0), for: text)
        let admission = try self.admit("/bare", keyring: keyring) {
            $0.authorization = ["Bearer " + text]
            $0.query = "access_token=" + text
            $0.cookies = ["culvert_token=" + text + "; b_token=\"" + text + "\""]
            $0.protocols = ["bearer." + text, "a"]
        }
        #expect(admission.token?.id == "j")
        #expect(admission.forwardAuthorization == nil && admission.forwardQuery == nil)
        #expect(admission.forwardCookies == [] && admission.forwardProtocols == ["a"])
    }
}

import CulvertCore
import Testing

/// What is left of a request when its tokens are taken out; asked on a route that needs none, so that any may come.
@Suite struct GateStripTests {
    private func admit(_ change: (inout GateRequest) -> Void, path: String = "/open") throws -> Admission {
        var request = GateFixture.request(.webSocket, path)
        change(&request)
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        return try #require(decision.admission)
    }

    @Test(
        arguments: [
            // The other parameters stay byte for byte.
            (nil, nil), ("", ""), ("a=1", "a=1"), ("access_token=t", nil), ("a=1&access_token=t", "a=1"),
            ("access_token=t&a=1", "a=1"), ("a=1&access_token=t&b=2", "a=1&b=2"), ("a=1&&b=2", "a=1&&b=2"),
            ("a=%2F%2f+x&access_token=t", "a=%2F%2f+x"), ("a=%zz&access_token=t", "a=%zz"),
            ("access_token=t&a=1&access_token=t", "a=1"), ("access_token", nil), ("access_token=", nil),
            ("access_token=t=u", nil), ("a=access_token=t", "a=access_token=t"), ("xaccess_token=t", "xaccess_token=t"),
            ("access_token2=t", "access_token2=t"), ("Access_Token=t", "Access_Token=t"),
            ("=access_token", "=access_token"),
            // An encoded name is the same name behind us.
            ("access%5Ftoken=t", nil), ("%61ccess_token=t&a", "a"), ("a=1;b=2&access_token=t", "a=1;b=2"),
        ] as [(String?, String?)])
    func theQueryLosesItsTokenOnly(_ query: String?, _ expected: String?) throws {
        let admission = try self.admit { $0.query = query }
        #expect(admission.forwardQuery == expected)
    }

    @Test(arguments: [
        ([], []), (["a=1"], ["a=1"]), (["culvert_token=t"], []), (["a=1; culvert_token=t"], ["a=1"]),
        (["culvert_token=t; a=1"], ["a=1"]), (["a=1; culvert_token=t; b=2"], ["a=1; b=2"]),
        (["culvert_token=\"t\"; a=\"x y\""], ["a=\"x y\""]), (["a=1;culvert_token=t;b=2"], ["a=1; b=2"]),
        (["a=1", "culvert_token=t", "b=2"], ["a=1", "b=2"]), (["culvert_token = t; a=1"], ["a=1"]),
        (["xculvert_token=t"], ["xculvert_token=t"]), (["culvert_token2=t"], ["culvert_token2=t"]),
        (["a=culvert_token=t"], ["a=culvert_token=t"]), (["Culvert_Token=t"], ["Culvert_Token=t"]),
        (["culvert_token=t; culvert_token=t"], []), (["culvert_token"], []), (["a=b=c; culvert_token=t"], ["a=b=c"]),
    ])
    func theCookiesLoseTheTokenOnly(_ cookies: [String], _ expected: [String]) throws {
        let admission = try self.admit { $0.cookies = cookies }
        #expect(admission.forwardCookies == expected)
    }

    @Test(arguments: [
        ([], [], false), (["b", "a"], ["b", "a"], false), (["culvert.auth"], [], true),
        (["b", "culvert.auth", "bearer.t", "a"], ["b", "a"], true), (["bearer.t", "a"], ["a"], false),
        (["bearer."], [], false), (["bearer", "culvert.authx"], ["bearer", "culvert.authx"], false),
        (["a", "b", "a"], ["a", "b", "a"], false),
    ])
    func theProtocolsKeepTheirOrder(_ offered: [String], _ forwarded: [String], _ answers: Bool) throws {
        let admission = try self.admit { $0.protocols = offered }
        #expect(admission.forwardProtocols == forwarded)
        #expect(admission.answersAuthProtocol == answers)
    }

    @Test(
        arguments: [
            ([], nil), (["Basic dTpw"], "Basic dTpw"), (["Bearer somebody's"], "Bearer somebody's"),
            (["Bearer good-token"], nil), (["Bearer good-token", "Bearer x"], nil),
            (["Bearer x", "Bearer good-token"], nil),
            (["Basic dTpw", "bearer\tgood-token"], "Basic dTpw"),
        ] as [([String], String?)])
    func oursIsNotPassedOnInWhateverLine(_ lines: [String], _ forwarded: String?) throws {
        let admission = try self.admit { $0.authorization = lines }
        #expect(admission.forwardAuthorization == forwarded)
    }

    @Test func anotherSchemePassesWhenTheTokenCameOtherwise() throws {
        let admission = try self.admit(
            {
                $0.authorization = ["Basic dTpw"]
                $0.query = "access_token=" + GateFixture.good
            }, path: "/chat")
        #expect(admission.forwardAuthorization == "Basic dTpw")
        #expect(admission.token?.id == "good")
    }

    @Test(arguments: ["Basic dTpw", "Bearer of-the-upstream"])
    func whereNoTokenIsAskedForCredentialsAreTheUpstreams(_ value: String) throws {
        let admission = try self.admit { $0.authorization = [value] }
        #expect(admission.forwardAuthorization == value)
        #expect(admission.token == nil)
    }

    @Test func whereNoTokenIsAskedForNoneIsChecked() throws {
        let admission = try self.admit {
            $0.query = "access_token=" + GateFixture.unknown
            $0.cookies = ["culvert_token=" + GateFixture.expired]
            $0.protocols = ["culvert.auth", "bearer." + GateFixture.good, "a"]
        }
        #expect(admission.token == nil)
        #expect(admission.forwardQuery == nil)
        #expect(admission.forwardCookies == [])
        #expect(admission.forwardProtocols == ["a"])
    }
}

/// How a token is read out of each carrier.
@Suite struct GateTokenReadingTests {
    /// Characters that the token alphabet of RFC 6750 2.1 allows and a query must escape.
    private static let secret = "a-._~+/b=="
    private static let gate = KeyedGate(
        routes: RouteTable([GateFixture.route("/")]),
        keyring: TokenKeyring([GateFixture.token("odd", secret, routes: ["/"])]), carriers: GateFixture.carriers)

    private func code(_ change: (inout GateRequest) -> Void) -> String {
        var request = GateFixture.request(.longPoll, "/")
        change(&request)
        switch Self.gate.decide(request, now: GateFixture.now, load: GateFixture.idle) {
        case .admit(let admission): return admission.token?.id ?? "none"
        case .reject(let rejection): return rejection.code
        case .verify: return "verify"
        case .preflight: return "preflight"
        }
    }

    @Test(arguments: [
        ("Bearer a-._~+/b==", "odd"), ("bearer a-._~+/b==", "odd"), ("BEARER   a-._~+/b==", "odd"),
        ("Bearer a-._~+/b== ", "odd"), ("Bearer a-._~+/b=", "invalid_token"), ("Bearer", "invalid_token"),
        ("Bearer ", "invalid_token"), ("Bearer a b", "invalid_token"), ("Bearera-._~+/b==", "token_missing"),
        ("a-._~+/b==", "token_missing"), ("Basic a-._~+/b==", "token_missing"), ("", "token_missing"),
    ])
    func theHeader(_ value: String, _ expected: String) {
        #expect(self.code { $0.authorization = [value] } == expected)
    }

    @Test(arguments: [
        ("access_token=a-._~%2B%2Fb%3D%3D", "odd"), ("access_token=%61%2d._~%2b/b==", "odd"),
        ("access%5Ftoken=a-._~%2B%2Fb%3D%3D", "odd"), ("access_token=a-._~%2B%2Fb%3D", "invalid_token"),
        ("access_token=%zz", "invalid_token"), ("access_token=%", "invalid_token"),
        ("access_token=%FF", "invalid_token"), ("access_token=", "invalid_token"), ("access_token", "invalid_token"),
        ("token=a-._~%2B%2Fb%3D%3D", "token_missing"), ("", "token_missing"),
    ])
    func theQuery(_ query: String, _ expected: String) {
        #expect(self.code { $0.query = query } == expected)
    }

    @Test(arguments: [
        (["culvert_token=a-._~+/b=="], "odd"), (["culvert_token=\"a-._~+/b==\""], "odd"),
        (["a=1; culvert_token=a-._~+/b==; b=2"], "odd"), (["a=1;culvert_token=a-._~+/b=="], "odd"),
        (["a=1", "culvert_token=a-._~+/b=="], "odd"), ([";; culvert_token=a-._~+/b==;"], "odd"),
        (["culvert_token=a-._~+/b==", "culvert_token=x"], "conflicting_tokens"),
        (["culvert_token=a-._~%2B/b=="], "invalid_token"), (["culvert_token="], "invalid_token"),
        (["token=a-._~+/b=="], "token_missing"), ([""], "token_missing"), ([";=;"], "token_missing"),
    ])
    func theCookie(_ cookies: [String], _ expected: String) {
        #expect(self.code { $0.cookies = cookies } == expected)
    }

    @Test(arguments: [
        (["culvert.auth", "bearer.a-._~+/b=="], "odd"), (["bearer.a-._~+/b==", "culvert.auth", "x"], "odd"),
        (["bearer.a-._~+/b=="], "odd"), (["culvert.auth"], "token_missing"), (["a-._~+/b=="], "token_missing"),
        (["bearer."], "invalid_token"), (["Bearer.a-._~+/b=="], "token_missing"),
        (["bearer.a-._~+/b==", "bearer.x"], "conflicting_tokens"),
    ])
    func theSubprotocol(_ protocols: [String], _ expected: String) {
        #expect(self.code { $0.protocols = protocols } == expected)
    }
}

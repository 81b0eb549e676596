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
            (nil, nil), ("", ""), ("a=1", "a=1"), ("access_token=good-token", nil),
            ("a=1&access_token=good-token", "a=1"),
            ("access_token=good-token&a=1", "a=1"), ("a=1&access_token=good-token&b=2", "a=1&b=2"),
            ("a=1&&b=2", "a=1&&b=2"),
            ("a=%2F%2f+x&access_token=good-token", "a=%2F%2f+x"), ("a=%zz&access_token=good-token", "a=%zz"),
            ("access_token=good-token&a=1&access_token=good-token", "a=1"), ("access_token", "access_token"),
            ("access_token=", "access_token="),
            ("access_token=t=u&a=1", "access_token=t=u&a=1"), ("a=access_token=t", "a=access_token=t"),
            ("xaccess_token=t", "xaccess_token=t"),
            ("access_token2=t", "access_token2=t"), ("Access_Token=t", "Access_Token=t"),
            ("=access_token", "=access_token"),
            // The application's own stays, and goes alone.
            ("access_token=t", "access_token=t"), ("access_token=t&access_token=good-token", "access_token=t"),
            ("access_token=good%2Dtoken&access_token=%74", "access_token=%74"),
            // An encoded name is the same name behind us.
            ("access%5Ftoken=good-token", nil), ("%61ccess_token=good-token&a", "a"),
            ("a=1;b=2&access_token=good-token", "a=1;b=2"),
        ] as [(String?, String?)])
    func theQueryLosesItsTokenOnly(_ query: String?, _ expected: String?) throws {
        let admission = try self.admit { $0.query = query }
        #expect(admission.forwardQuery == expected)
    }

    @Test(arguments: [
        ([], []), (["a=1"], ["a=1"]), (["culvert_token=good-token"], []), (["a=1; culvert_token=good-token"], ["a=1"]),
        (["culvert_token=good-token; a=1"], ["a=1"]), (["a=1; culvert_token=good-token; b=2"], ["a=1; b=2"]),
        (["culvert_token=\"good-token\"; a=\"x y\""], ["a=\"x y\""]),
        (["a=1;culvert_token=good-token;b=2"], ["a=1; b=2"]),
        (["a=1", "culvert_token=good-token", "b=2"], ["a=1", "b=2"]), (["culvert_token = good-token; a=1"], ["a=1"]),
        (["xculvert_token=t"], ["xculvert_token=t"]), (["culvert_token2=t"], ["culvert_token2=t"]),
        (["a=culvert_token=t"], ["a=culvert_token=t"]), (["Culvert_Token=t"], ["Culvert_Token=t"]),
        (["culvert_token=good-token; culvert_token=good-token"], []), (["culvert_token"], ["culvert_token"]),
        (["a=b=c; culvert_token=good-token"], ["a=b=c"]),
        (["a=1;culvert_token=t"], ["a=1;culvert_token=t"]), (["culvert_token=good%2Dtoken"], []),
        (["culvert_token=t; culvert_token=good-token"], ["culvert_token=t"]),
        (["culvert_token=%zz"], ["culvert_token=%zz"]),
    ])
    func theCookiesLoseTheTokenOnly(_ cookies: [String], _ expected: [String]) throws {
        let admission = try self.admit { $0.cookies = cookies }
        #expect(admission.forwardCookies == expected)
    }

    @Test(arguments: [
        ([], [], false), (["b", "a"], ["b", "a"], false), (["culvert.auth"], [], true),
        (["b", "culvert.auth", "bearer.good-token", "a"], ["b", "a"], true),
        (["bearer.good-token", "a"], ["a"], false),
        (["bearer."], ["bearer."], false), (["bearer", "culvert.authx"], ["bearer", "culvert.authx"], false),
        (["a", "b", "a"], ["a", "b", "a"], false),
        (["bearer.t", "a"], ["bearer.t", "a"], false), (["culvert.auth", "bearer.t"], ["bearer.t"], true),
        (["bearer.t", "bearer.good-token"], ["bearer.t"], false),
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
        // What is no token of Culvert's is the application's; one that has expired is Culvert's still.
        #expect(admission.forwardQuery == "access_token=" + GateFixture.unknown)
        #expect(admission.forwardCookies == [])
        #expect(admission.forwardProtocols == ["a"])
    }

    @Test func ofMoreValuesThanAreComparedNoneGoesUpstream() throws {
        let many = (0..<40).map { "access_token=\($0)" }.joined(separator: "&")
        let admission = try self.admit { $0.query = many + "&a=1&access_token=" + GateFixture.good }
        let expected = (0..<16).map { "access_token=\($0)" }.joined(separator: "&") + "&a=1"
        #expect(admission.forwardQuery == expected)
    }
}

/// A route says where its tokens travel.
@Suite struct GateCarrierTests {
    private func decide(
        _ own: CarrierNames, isAsked: Bool = true, _ change: (inout GateRequest) -> Void
    ) -> Gate.Decision {
        var route = GateFixture.route("/", authenticationRequired: isAsked)
        route.carriers = own
        let gate = KeyedGate(
            routes: RouteTable([route]), keyring: GateFixture.keyring, carriers: GateFixture.carriers)
        var request = GateFixture.request(.webSocket, "/")
        change(&request)
        return gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
    }

    private static let off = CarrierNames(authorization: false, queryParameter: nil, cookie: nil, subprotocol: false)

    private static func only(_ carrier: Carrier) -> CarrierNames {
        CarrierNames(
            authorization: carrier == .authorization, queryParameter: carrier == .query ? "access_token" : nil,
            cookie: carrier == .cookie ? "culvert_token" : nil, subprotocol: carrier == .subprotocol)
    }

    private static let carriers = Carrier.allCases.filter { $0 != .form }

    @Test(arguments: Self.carriers, Self.carriers)
    func aTokenIsReadWhereItTravelsAndNowhereElse(_ read: Carrier, _ used: Carrier) {
        let decision = self.decide(Self.only(read)) { used.put(GateFixture.good, into: &$0) }
        if read == used {
            #expect(decision.admission?.token?.id == "good")
        } else {
            #expect(decision.rejection?.code == "token_missing")
        }
    }

    @Test(arguments: Self.carriers)
    func whatTravelsInACarrierThatIsOffIsTheApplications(_ read: Carrier) throws {
        let admission = try #require(
            self.decide(Self.only(read)) { request in
                for carrier in Self.carriers {
                    carrier.put(carrier == read ? GateFixture.good : "of-the-application", into: &request)
                }
            }.admission)
        #expect(admission.token?.id == "good")
        #expect(admission.forwardAuthorization == (read == .authorization ? nil : "Bearer of-the-application"))
        #expect(admission.forwardQuery == (read == .query ? nil : "access_token=of-the-application"))
        #expect(admission.forwardCookies == (read == .cookie ? [] : ["culvert_token=of-the-application"]))
        #expect(admission.forwardProtocols == (read == .subprotocol ? [] : ["bearer.of-the-application"]))
    }

    @Test(arguments: [true, false])
    func aTokenOfCulvertsGoesUpstreamInNoCarrier(_ isAsked: Bool) throws {
        let own = isAsked ? Self.only(.authorization) : Self.off
        let admission = try #require(
            self.decide(own, isAsked: isAsked) { request in
                for carrier in Self.carriers { carrier.put(GateFixture.good, into: &request) }
            }.admission)
        #expect(admission.forwardAuthorization == nil && admission.forwardQuery == nil)
        #expect(admission.forwardCookies.isEmpty && admission.forwardProtocols.isEmpty)
    }

    @Test func aRouteHasNamesOfItsOwn() throws {
        let own = CarrierNames(queryParameter: "key", cookie: "sid")
        let admission = try #require(
            self.decide(own) {
                $0.query = "key=good%2Dtoken&access_token=x"
                $0.cookies = ["sid=good-token; culvert_token=x"]
            }.admission)
        #expect(admission.token?.id == "good")
        #expect(admission.forwardQuery == "access_token=x" && admission.forwardCookies == ["culvert_token=x"])
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
        (["culvert_token=a-._~%2B/b=="], "odd"), (["culvert_token=\"a-._~%2B%2Fb%3D%3D\""], "odd"),
        (["culvert_token=a-._~%2B%2Fb%3D"], "invalid_token"), (["culvert_token=%zz"], "invalid_token"),
        (["culvert_token=a-._~%2B%2Fb%3D%3D; culvert_token=a-._~+/b=="], "odd"), (["culvert_token="], "invalid_token"),
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

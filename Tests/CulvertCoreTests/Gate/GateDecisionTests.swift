import CulvertCore
import Testing

/// One way to be refused, or none.
enum Denial: String, CaseIterable, Sendable {
    case nothing, dotSegment, noRoute, transportNotServed, foreignOrigin, twoOrigins, malformedOrigin, missingOrigin
    case tokenMissing, tokenUnknown, tokenExpired, tokenForElsewhere, tokenForNothing, tokensDiffer, draining,
        memoryFull

    /// Status, code and the `WWW-Authenticate` that goes with it.
    var expected: (status: Int, code: String, challenge: String?)? {
        let bearer = #"Bearer realm="culvert""#
        return switch self {
        case .nothing: nil
        case .dotSegment: (400, "bad_path", nil)
        case .noRoute, .transportNotServed: (404, "no_route", nil)
        case .foreignOrigin, .twoOrigins, .malformedOrigin, .missingOrigin: (403, "origin_not_allowed", nil)
        case .tokenMissing: (401, "token_missing", bearer)
        case .tokenUnknown, .tokenExpired: (401, "invalid_token", bearer + #", error="invalid_token""#)
        case .tokenForElsewhere, .tokenForNothing:
            (403, "insufficient_scope", bearer + #", error="insufficient_scope""#)
        case .tokensDiffer: (400, "conflicting_tokens", bearer + #", error="invalid_request""#)
        case .draining: (503, "draining", nil)
        case .memoryFull: (503, "memory_full", nil)
        }
    }

    var secret: String? {
        switch self {
        case .tokenMissing: nil
        case .tokenUnknown: GateFixture.unknown
        case .tokenExpired: GateFixture.expired
        case .tokenForElsewhere: GateFixture.narrow
        case .tokenForNothing: GateFixture.useless
        default: GateFixture.good
        }
    }

    var load: Gate.Load {
        switch self {
        case .draining: GateFixture.draining
        case .memoryFull: GateFixture.memoryFull
        default: GateFixture.idle
        }
    }

    func request(_ transport: Transport, _ carrier: Carrier) -> GateRequest {
        var request = GateFixture.request(transport)
        switch self {
        case .dotSegment: request.path = "/chat/../secret"
        case .noRoute: request.path = "/chatter"
        case .transportNotServed: request.path = transport == .webSocket ? "/poll" : "/ws"
        case .foreignOrigin: request.origins = ["https://evil.example"]
        case .twoOrigins: request.origins = [GateFixture.origin, GateFixture.origin]
        case .malformedOrigin: request.origins = [GateFixture.origin + "/"]
        case .missingOrigin:
            request.path = "/strict"
            request.origins = []
        case .tokensDiffer:
            for other in Carrier.allCases where other != carrier { other.put(GateFixture.unknown, into: &request) }
        default: break
        }
        if let secret = self.secret { carrier.put(secret, into: &request) }
        return request
    }
}

@Suite struct GateDecisionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var transport: Transport
        var carrier: Carrier
        var denial: Denial
        var testDescription: String { "\(transport.rawValue), \(carrier.rawValue), \(denial.rawValue)" }

        static let all = Transport.allCases.flatMap { transport in
            Carrier.allCases.flatMap { carrier in
                Denial.allCases.map { Case(transport: transport, carrier: carrier, denial: $0) }
            }
        }
    }

    @Test(arguments: Case.all)
    func everyTransportAndCarrierIsDecidedTheSame(_ row: Case) throws {
        let request = row.denial.request(row.transport, row.carrier)
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: row.denial.load)
        guard let expected = row.denial.expected else {
            let admission = try #require(decision.admission)
            #expect(admission.token?.id == "good")
            #expect(admission.route.path == "/chat")
            #expect(admission.allowedOrigin == GateFixture.origin)
            #expect(admission.answersAuthProtocol == (row.carrier == .subprotocol))
            return
        }
        let rejection = try #require(decision.rejection)
        #expect(rejection.status == expected.status)
        #expect(rejection.code == expected.code)
        #expect(rejection.header("WWW-Authenticate") == expected.challenge)
        #expect((rejection.header("Retry-After") != nil) == (expected.status == 503))
        // Only an origin that passed may read the answer.
        let origin =
            [400, 401, 403, 503].contains(expected.status) && row.denial.expected?.code != "bad_path"
            && expected.code != "origin_not_allowed"
        #expect(rejection.allowedOrigin == (origin ? GateFixture.origin : nil))
        let shown = String(describing: rejection)
        for secret in GateFixture.secrets { #expect(!shown.contains(secret)) }
    }

    @Test(arguments: Transport.allCases, Carrier.allCases)
    func whatComesUpstreamHoldsNoToken(_ transport: Transport, _ carrier: Carrier) throws {
        var request = GateFixture.request(transport)
        request.query = "room=1"
        request.cookies = ["theme=dark"]
        request.protocols = ["chat.v2", "chat.v1"]
        carrier.put(GateFixture.good, into: &request)
        let admission = try #require(
            GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle).admission)
        #expect(admission.forwardQuery == "room=1")
        #expect(admission.forwardCookies == ["theme=dark"])
        #expect(admission.forwardProtocols == ["chat.v2", "chat.v1"])
        #expect(admission.forwardAuthorization == nil)
    }

    /// The first check that fails answers, so a later one tells nothing to who fails an earlier one.
    @Test(arguments: Transport.allCases)
    func checksAnswerInOrder(_ transport: Transport) {
        // Everything is wrong at first; each step puts right what answered.
        var request = GateFixture.request(transport, "/nowhere/../x", origins: ["https://evil.example"])
        var load = GateFixture.draining
        var codes: [String?] = []
        func ask() {
            codes.append(GateFixture.gate.decide(request, now: GateFixture.now, load: load).rejection?.code)
        }
        ask()
        request.path = "/nowhere"
        ask()
        request.path = transport == .webSocket ? "/poll/x" : "/ws/x"
        ask()
        request.path = "/chat"
        ask()
        request.origins = [GateFixture.origin]
        ask()
        request.authorization = ["Bearer " + GateFixture.unknown]
        request.cookies = ["culvert_token=" + GateFixture.narrow]
        ask()
        request.cookies = []
        ask()
        request.authorization = ["Bearer " + GateFixture.narrow]
        ask()
        request.authorization = ["Bearer " + GateFixture.good]
        ask()
        load = GateFixture.memoryFull
        ask()
        load = GateFixture.idle
        ask()
        #expect(
            codes == [
                "bad_path", "no_route", "no_route", "origin_not_allowed", "token_missing", "conflicting_tokens",
                "invalid_token", "insufficient_scope", "draining", "memory_full", nil,
            ])
    }

    @Test func aTransportNotServedLooksLikeNoRoute() {
        for transport in Transport.allCases {
            let unserved = GateFixture.request(transport, transport == .webSocket ? "/poll" : "/ws")
            let absent = GateFixture.request(transport, "/nowhere")
            let answers = [unserved, absent].map {
                GateFixture.gate.decide($0, now: GateFixture.now, load: GateFixture.idle).rejection
            }
            #expect(answers[0] == answers[1])
            #expect(answers[0] != nil)
        }
    }

    @Test(arguments: Carrier.allCases, Carrier.allCases)
    func theSameTokenTwiceIsOneToken(_ first: Carrier, _ second: Carrier) {
        var request = GateFixture.request(.webSocket)
        first.put(GateFixture.good, into: &request)
        second.put(GateFixture.good, into: &request)
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        #expect(decision.admission?.token?.id == "good")
    }

    @Test(arguments: Carrier.allCases)
    func twoTokensInOneCarrierConflict(_ carrier: Carrier) {
        var request = GateFixture.request(.longPoll)
        carrier.put(GateFixture.good, into: &request)
        carrier.put(GateFixture.unknown, into: &request)
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        #expect(decision.rejection?.code == "conflicting_tokens")
    }

    @Test func anOpenSessionIsRefusedByNoLimit() {
        var request = GateFixture.request(.longPoll)
        request.authorization = ["Bearer " + GateFixture.good]
        #expect(GateFixture.gate.decide(request, now: GateFixture.now, load: nil).admission != nil)
    }

    @Test(arguments: [
        ("GET", 426, "upgrade_required"), ("HEAD", 426, "upgrade_required"), ("POST", 405, "method_not_allowed"),
        ("DELETE", 405, "method_not_allowed"), ("OPTIONS", 405, "method_not_allowed"),
    ])
    func plainHTTPOnAWebSocketURLIsToldSo(_ method: String, _ status: Int, _ code: String) throws {
        var request = GateRequest(method: method, path: "/chat")
        request.authorization = ["Bearer " + GateFixture.good]
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        let rejection = try #require(decision.rejection)
        #expect(rejection.status == status)
        #expect(rejection.code == code)
        #expect(rejection.header("Upgrade") == (status == 426 ? "websocket" : nil))
        #expect(rejection.header("Sec-WebSocket-Version") == (status == 426 ? "13" : nil))
        #expect(rejection.header("Allow") == (status == 405 ? "GET" : nil))
    }
}

import CulvertCore
import Testing

@Suite struct GatePreflightTests {
    private func preflight(_ path: String, _ origins: [String]) -> Gate.Decision {
        var request = GateFixture.request(.longPoll, path, origins: origins)
        request.method = "OPTIONS"
        request.preflightMethod = "POST"
        // A preflight is no session, so a server that stops answers it too.
        return GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.draining)
    }

    @Test(arguments: ["https://app.example.com", "https://a.b.wild.example", "https://APP.example.com:443"])
    func anAllowedOriginPassesWithoutAToken(_ origin: String) {
        // As it came, never `*`: a browser compares the bytes.
        #expect(self.preflight("/chat", [origin]).preflight?.allowedOrigin == origin)
    }

    @Test(arguments: [
        ("/chat", ["https://evil.example"], 403), ("/chat", ["null"], 403),
        ("/chat", ["https://app.example.com", "https://app.example.com"], 403),
        ("/strict", [], 403), ("/nowhere", ["https://app.example.com"], 404), ("/ws", ["https://app.example.com"], 404),
        ("/chat/%2e%2E/x", ["https://app.example.com"], 400), ("/chat", [], 401),
    ])
    func whatTheRequestItselfWouldBeRefusedForRefusesThePreflight(_ path: String, _ origins: [String], _ status: Int) {
        let rejection = self.preflight(path, origins).rejection
        #expect(rejection?.status == status)
        #expect(rejection?.allowedOrigin == nil)
    }

    @Test(arguments: ["GET", "POST", "DELETE"])
    func onlyOPTIONSIsAPreflight(_ method: String) {
        var request = GateFixture.request(.longPoll)
        request.method = method
        request.preflightMethod = "POST"
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        #expect(decision.rejection?.code == "token_missing")
    }

    @Test func anOPTIONSThatAsksForNothingNeedsAToken() {
        var request = GateFixture.request(.longPoll)
        request.method = "OPTIONS"
        let decision = GateFixture.gate.decide(request, now: GateFixture.now, load: GateFixture.idle)
        #expect(decision.rejection?.status == 401)
    }
}

import CulvertCore
import Testing

@Suite("What a session ends with for what a peer did")
struct BreachTests {
    private static func event(_ sender: Endpoint, _ code: CloseCode, limit: Int) -> CloseNegotiation.Event {
        let scanner = FrameScanner(
            sender: sender, messageLimit: limit, allowedRSV: 0, validateText: true, fragmentLimit: 1000)
        return .breach(of: scanner, code: code, why: "reserved bits")
    }

    @Test(
        "A limit names the side whose message exceeded it, the key and the size",
        arguments: [
            (.client, .messageTooBig, 1 << 20, "message of the client exceeds limits.message.from_client (1MiB)"),
            (.server, .messageTooBig, 1000, "message of the upstream exceeds limits.message.from_upstream (1000B)"),
            (.client, .policyViolation, 1, "message of the client exceeds limits.session.fragments (1000)"),
            (.server, .policyViolation, 1, "message of the upstream exceeds limits.session.fragments (1000)"),
        ] as [(Endpoint, CloseCode, Int, String)])
    func limits(sender: Endpoint, code: CloseCode, limit: Int, reason: String) {
        let frame = CloseFrame(code: code, reason: reason)
        #expect(Self.event(sender, code, limit: limit) == .excess(by: sender, frame))
        // Both sides are told, whole.
        var negotiation = CloseNegotiation()
        let actions = negotiation.handle(.excess(by: sender, frame))
        for told in [actions.toClient, actions.toUpstream] {
            #expect(told?.reason == reason && told?.payload().count == 2 + reason.utf8.count)
        }
    }

    @Test("A limit of any size has a reason that fits into a Close frame", arguments: [Endpoint.client, .server])
    func longest(sender: Endpoint) {
        guard case .excess(_, let frame) = Self.event(sender, .messageTooBig, limit: .max) else {
            Issue.record("no excess")
            return
        }
        #expect(frame.payload().count == 2 + frame.reason.utf8.count)
    }

    @Test("Whatever else breaks a rule of the protocol", arguments: [CloseCode.protocolError, .invalidPayload])
    func violations(code: CloseCode) {
        let frame = CloseFrame(code: code, reason: "reserved bits")
        #expect(Self.event(.server, code, limit: 1) == .violation(by: .server, frame))
    }
}

@Suite("Limits of messages")
struct MessageLimitsTests {
    @Test("Without a limit a message that passes in parts has none, and one that is kept whole has a bound")
    func unset() {
        let limits = MessageLimits()
        #expect(limits.passing(from: .client) == .max && limits.passing(from: .server) == .max)
        #expect(limits.kept(from: .client) == 1 << 20 && limits.kept(from: .server) == 16 << 20)
    }

    @Test("A limit holds for both")
    func set() {
        let limits = MessageLimits(fromClient: 5, fromUpstream: 32 << 20)
        #expect(limits.passing(from: .client) == 5 && limits.kept(from: .client) == 5)
        #expect(limits.passing(from: .server) == 32 << 20 && limits.kept(from: .server) == 32 << 20)
    }

    @Test(
        "Sizes are written with the largest unit",
        arguments: [(0, "0B"), (1000, "1000B"), (1 << 14, "16KiB"), (3 << 30, "3GiB")])
    func text(bytes: Int, text: String) {
        #expect(SizeText.text(bytes) == text)
    }
}

import CulvertCore
import Testing

struct CloseNegotiationTests {
    typealias Event = CloseNegotiation.Event

    static let clientClose = CloseFrame(code: .normal, reason: "client")
    static let upstreamClose = CloseFrame(code: CloseCode(rawValue: 4001), reason: "upstream")
    static let violation = CloseFrame(code: .protocolError, reason: "bad")
    static let excess = CloseFrame(code: .messageTooBig, reason: "message of the client exceeds x")
    static let shutdown = CloseFrame(code: .goingAway, reason: "stop")

    struct Step: Sendable {
        var event: Event
        var toClient: UInt16?
        var toUpstream: UInt16?
        /// Letters: c and u cut the client's or the upstream's transport.
        var cut = ""
        var ended = false
    }

    struct Scenario: Sendable, CustomTestStringConvertible {
        var name: String
        var steps: [Step]
        var code: UInt16
        var closer: Closer
        var testDescription: String { self.name }
    }

    static let scenarios = [
        Scenario(
            name: "the client closes: the handshake passes through",
            steps: [
                Step(event: .close(from: .client, clientClose), toUpstream: 1000),
                Step(event: .close(from: .server, upstreamClose), toClient: 4001, cut: "cu", ended: true),
            ], code: 1000, closer: .client),
        Scenario(
            name: "the upstream closes: the handshake passes through",
            steps: [
                Step(event: .close(from: .server, upstreamClose), toClient: 4001),
                Step(event: .close(from: .client, clientClose), toUpstream: 1000, cut: "cu", ended: true),
            ], code: 4001, closer: .upstream),
        Scenario(
            name: "the client is lost: the upstream is told 1001",
            steps: [
                Step(event: .lost(.client), toUpstream: 1001),
                Step(event: .close(from: .server, upstreamClose), cut: "u", ended: true),
            ], code: 1006, closer: .client),
        Scenario(
            name: "the upstream is lost: the client is told 1011",
            steps: [
                Step(event: .lost(.server), toClient: 1011),
                Step(event: .close(from: .client, clientClose), cut: "c", ended: true),
            ], code: 1006, closer: .upstream),
        Scenario(
            name: "both are lost",
            steps: [
                Step(event: .lost(.server), toClient: 1011),
                Step(event: .lost(.client), ended: true),
            ], code: 1006, closer: .upstream),
        Scenario(
            name: "the upstream goes without an answer: a closing client gets its own code",
            steps: [
                Step(event: .close(from: .client, clientClose), toUpstream: 1000),
                Step(event: .lost(.server), toClient: 1000, cut: "c", ended: true),
            ], code: 1000, closer: .client),
        Scenario(
            name: "a closing client goes before the answer",
            steps: [
                Step(event: .close(from: .client, clientClose), toUpstream: 1000),
                Step(event: .lost(.client)),
                Step(event: .close(from: .server, upstreamClose), cut: "u", ended: true),
            ], code: 1000, closer: .client),
        Scenario(
            name: "the client breaks the protocol",
            steps: [
                Step(event: .violation(by: .client, violation), toClient: 1002, toUpstream: 1001, cut: "c"),
                Step(event: .close(from: .server, upstreamClose), cut: "cu", ended: true),
            ], code: 1002, closer: .culvert),
        Scenario(
            name: "the upstream breaks the protocol",
            steps: [
                Step(event: .violation(by: .server, violation), toClient: 1011, toUpstream: 1002, cut: "u"),
                Step(event: .lost(.server)),
                Step(event: .close(from: .client, clientClose), cut: "c", ended: true),
            ], code: 1002, closer: .culvert),
        Scenario(
            name: "the client exceeds a limit",
            steps: [
                Step(event: .excess(by: .client, excess), toClient: 1009, toUpstream: 1001, cut: "c"),
                Step(event: .close(from: .server, upstreamClose), cut: "cu", ended: true),
            ], code: 1009, closer: .culvert),
        Scenario(
            name: "the upstream exceeds a limit",
            steps: [
                Step(event: .excess(by: .server, excess), toClient: 1011, toUpstream: 1009, cut: "u"),
                Step(event: .lost(.server)),
                Step(event: .close(from: .client, clientClose), cut: "c", ended: true),
            ], code: 1009, closer: .culvert),
        Scenario(
            name: "a shutdown tells both",
            steps: [
                Step(event: .shutdown(shutdown), toClient: 1001, toUpstream: 1001),
                Step(event: .close(from: .server, upstreamClose), cut: "u"),
                Step(event: .close(from: .client, clientClose), cut: "cu", ended: true),
            ], code: 1001, closer: .culvert),
        Scenario(
            name: "a client that never came back is as good as lost",
            steps: [
                Step(event: .abandoned(shutdown), toUpstream: 1001),
                Step(event: .close(from: .server, upstreamClose), cut: "u", ended: true),
            ], code: 1001, closer: .culvert),
        Scenario(
            name: "a peer that never answers is cut off by the deadline",
            steps: [
                Step(event: .close(from: .client, clientClose), toUpstream: 1000),
                Step(event: .deadline, cut: "cu", ended: true),
            ], code: 1000, closer: .client),
        Scenario(
            name: "only what is left is cut by the deadline",
            steps: [
                Step(event: .lost(.client), toUpstream: 1001),
                Step(event: .deadline, cut: "u", ended: true),
            ], code: 1006, closer: .client),
    ]

    @Test("Each way to end has its frames, in the table of close codes", arguments: Self.scenarios)
    func table(scenario: Scenario) {
        var negotiation = CloseNegotiation()
        for (index, step) in scenario.steps.enumerated() {
            let actions = negotiation.handle(step.event)
            let name: Comment = "\(scenario.name), step \(index)"
            #expect(actions.toClient?.code?.rawValue == step.toClient, name)
            #expect(actions.toUpstream?.code?.rawValue == step.toUpstream, name)
            #expect(actions.cutClient == step.cut.contains("c"), name)
            #expect(actions.cutUpstream == step.cut.contains("u"), name)
            #expect(actions.ended == step.ended, name)
            #expect(actions.began == (index == 0), name)
        }
        #expect(negotiation.isEnded)
        #expect(negotiation.ending?.frame.code?.rawValue == scenario.code)
        #expect(negotiation.ending?.closer == scenario.closer)
    }

    static let alphabet: [Event] = [
        .close(from: .client, clientClose), .close(from: .server, upstreamClose), .lost(.client), .lost(.server),
        .violation(by: .client, violation), .violation(by: .server, violation), .excess(by: .client, excess),
        .excess(by: .server, excess), .shutdown(shutdown),
        .abandoned(shutdown), .deadline,
    ]

    /// What may be relied on in every order, whatever the table says.
    @Test("In every order of five events each leg gets one Close at most and the session ends once")
    func everyOrder() {
        let count = Self.alphabet.count
        var sequence = [Int](repeating: 0, count: 5)
        for number in 0..<(count * count * count * count * count) {
            var rest = number
            for index in sequence.indices {
                sequence[index] = rest % count
                rest /= count
            }
            if let broken = Self.firstBroken(sequence.map { Self.alphabet[$0] }) {
                Issue.record("\(broken): \(sequence)")
                return
            }
        }
    }

    private static func firstBroken(_ events: [Event]) -> String? {
        var negotiation = CloseNegotiation()
        var toClient = 0
        var toUpstream = 0
        var lostClient = false
        var lostUpstream = false
        var ended = 0
        var ending: Ending?
        for (index, event) in events.enumerated() {
            let wasEnded = negotiation.isEnded
            let mayClient = negotiation.maySend(to: .client)
            let mayUpstream = negotiation.maySend(to: .server)
            if event == .lost(.client) || event == .abandoned(Self.shutdown) { lostClient = true }
            if event == .lost(.server) { lostUpstream = true }
            let actions = negotiation.handle(event)
            if wasEnded, actions != CloseNegotiation.Actions() { return "acts behind the end" }
            if actions.began != (index == 0) { return "began other than once" }
            if actions.toClient != nil {
                toClient += 1
                if lostClient || !mayClient || negotiation.maySend(to: .client) { return "writes to a closed client" }
            }
            if actions.toUpstream != nil {
                toUpstream += 1
                if lostUpstream || !mayUpstream || negotiation.maySend(to: .server) {
                    return "writes to a closed upstream"
                }
            }
            if toClient > 1 || toUpstream > 1 { return "two Close frames on a leg" }
            ended += actions.ended ? 1 : 0
            if negotiation.isEnded != (ended == 1) { return "ended is not said once" }
            if ending == nil { ending = negotiation.ending }
            if negotiation.ending == nil || negotiation.ending != ending { return "the ending changed" }
            if event == .deadline, !negotiation.isEnded { return "the deadline did not end it" }
        }
        return nil
    }

    @Test("A peer's bytes behind its own Close, and ours behind ours, are not for the other side")
    func borders() {
        var negotiation = CloseNegotiation()
        for endpoint in [Endpoint.client, .server] {
            #expect(negotiation.maySend(to: endpoint))
            #expect(negotiation.mayReceive(from: endpoint))
        }
        _ = negotiation.handle(.close(from: .client, Self.clientClose))
        #expect(!negotiation.mayReceive(from: .client))
        #expect(!negotiation.maySend(to: .server))
        // What the upstream had under way still reaches the client (RFC 6455 7.1.2).
        #expect(negotiation.mayReceive(from: .server))
        #expect(negotiation.maySend(to: .client))
    }
}

package import NIOCore

/// When a server that cannot be reached is left alone, and for how long.
package struct EjectionPolicy: Equatable, Sendable {
    /// Failures in a row that eject it; nil to eject none.
    package var failures: Int?
    /// How long the first time; twice as long each time after, if it fails at once when it comes back.
    package var time: TimeAmount
    package var longest: TimeAmount
    /// After an ejection its weight grows for so long.
    package var slowStart: TimeAmount

    package init(
        failures: Int? = 3, time: TimeAmount = .seconds(10), longest: TimeAmount = .minutes(5),
        slowStart: TimeAmount = .seconds(30)
    ) {
        self.failures = failures
        self.time = time
        self.longest = longest
        self.slowStart = slowStart
    }
}

/// How a server failed an opening.
package enum ServerFault: Equatable, Sendable {
    /// There was no connection to it, or no trust in it. No request had gone out.
    case unreachable
    /// The server had accepted the connection of this client's opening, and gave no answer. The request may be the
    /// reason: a server that ends a connection because of its request fails only this client.
    case unanswered(client: AddressKey)
}

/// The failures of one server, as the sessions that went to it have shown them.
package struct Ejection: Equatable, Sendable {
    package var policy: EjectionPolicy
    /// In a row.
    private var failures = 0
    private var witness = Witness.none
    /// How often it was ejected since it last served.
    private var times = 0
    private var until: NIODeadline?

    /// The clients of the failures in a row. A single client ejects no server by openings that are not answered.
    private enum Witness: Equatable, Sendable {
        case none
        case client(AddressKey)
        /// Openings of several clients failed, or the edge itself did not reach the server.
        case several
    }

    package init(_ policy: EjectionPolicy) {
        self.policy = policy
    }

    package func isEjected(now: NIODeadline) -> Bool { self.until.map { now < $0 } ?? false }

    /// How much of its weight counts.
    package func share(now: NIODeadline) -> Double {
        guard let until = self.until, now >= until, self.policy.slowStart > .zero else { return 1 }
        let elapsed = Double((now - until).nanoseconds) / Double(self.policy.slowStart.nanoseconds)
        return min(1, max(0.1, elapsed))
    }

    /// - Returns: for how long it is ejected now; nil if it is not, or was already.
    package mutating func failed(_ fault: ServerFault, now: NIODeadline) -> TimeAmount? {
        self.failures += 1
        let witness: Witness =
            switch fault {
            case .unreachable: .several
            case .unanswered(let client): .client(client)
            }
        self.witness = self.witness == .none || self.witness == witness ? witness : .several
        guard self.witness == .several, let most = self.policy.failures, !self.isEjected(now: now) else { return nil }
        // A server that has come back is on probation: its first failure ejects it again.
        guard self.failures >= most || self.times > 0 else { return nil }
        let doublings = min(self.times, 20)
        let (time, overflow) = self.policy.time.nanoseconds.multipliedReportingOverflow(by: 1 << Int64(doublings))
        let length = TimeAmount.nanoseconds(overflow ? .max : time)
        let bounded = min(length, self.policy.longest)
        self.until = now + bounded
        self.times += 1
        self.failures = 0
        self.witness = .none
        return bounded
    }

    package mutating func succeeded() {
        self.failures = 0
        self.witness = .none
        self.times = 0
    }
}

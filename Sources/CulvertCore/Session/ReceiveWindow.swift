/// Takes numbered messages once each and in order.
package struct ReceiveWindow: Equatable, Sendable {
    package enum Verdict: Equatable, Sendable {
        /// Take the batch from its `skip`th message on; those before were seen.
        case accept(skip: Int)
        case duplicate
        case gap(expected: UInt64)
    }

    /// The last number taken; 0 for none.
    package private(set) var received: UInt64 = 0

    package init() {}

    /// The verdict of ``receive(first:count:)``, without taking anything.
    package func inspect(first: UInt64, count: Int) -> Verdict {
        let (expected, exhausted) = self.received.addingReportingOverflow(1)
        if exhausted { return .duplicate }
        // An empty batch names what would come next: a Close in it must not overtake messages on their way.
        if first > expected { return .gap(expected: expected) }
        guard count > 0 else { return .duplicate }
        if first == 0 { return .gap(expected: expected) }
        let seen = expected - first
        guard seen < UInt64(count) else { return .duplicate }
        return .accept(skip: Int(clamping: seen))
    }

    package mutating func receive(first: UInt64, count: Int) -> Verdict {
        let verdict = self.inspect(first: first, count: count)
        if case .accept(let skip) = verdict {
            let (sum, overflow) = self.received.addingReportingOverflow(UInt64(count - skip))
            if overflow { return .gap(expected: self.received &+ 1) }
            self.received = sum
        }
        return verdict
    }
}

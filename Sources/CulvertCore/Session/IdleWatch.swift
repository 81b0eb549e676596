package import NIOCore

/// Finds out that nothing has passed for a time, from counters that are looked at four times in it: no clock is read
/// for a message. It is at most a quarter of the time late, and never early.
package struct IdleWatch: Equatable, Sendable {
    package enum OnLook: Equatable, Sendable {
        case idle
        case lookAgain(at: NIODeadline)
    }

    private var counted: UInt64 = 0
    /// The last time at which a message is known to have passed. No message has passed since.
    private var since: NIODeadline

    package init(now: NIODeadline) {
        self.since = now
    }

    /// Counts an event that is not a message as one.
    package mutating func touch(now: NIODeadline) { self.since = now }

    /// - Parameter count: of whatever passes; any other than at the last look will do.
    package mutating func look(count: UInt64, limit: TimeAmount, now: NIODeadline) -> OnLook {
        if count != self.counted {
            self.counted = count
            self.since = now
        }
        let end = self.since + limit
        if end <= now { return .idle }
        return .lookAgain(at: min(end, now + max(.milliseconds(1), .nanoseconds(limit.nanoseconds / 4))))
    }
}

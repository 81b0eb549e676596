package import NIOCore
import Synchronization

/// The rate and counts that all sessions of one token share, on all event loops. This is the only state that loops
/// share for a token, and it has no lock.
package final class TokenUse: Sendable {
    private let sessions = Atomic<Int>(0)
    /// When the messages taken so far would have arrived at the permitted rate: nanoseconds of `NIODeadline`. (The
    /// virtual scheduling form of the generic cell rate algorithm, ITU-T I.371.)
    private let schedule = Atomic<Int64>(0)

    /// Nanoseconds of messages at the permitted rate that may come at once.
    private static let burst: Int64 = 1_000_000_000

    package init() {}

    package var openSessions: Int { self.sessions.load(ordering: .relaxed) }

    /// - Returns: false if there are `limit` already.
    package func sessionOpened(limit: Int?) -> Bool {
        let sessions = self.sessions.wrappingAdd(1, ordering: .relaxed).newValue
        if sessions <= limit ?? .max { return true }
        self.sessionClosed()
        return false
    }

    package func sessionOpened() { self.sessions.wrappingAdd(1, ordering: .relaxed) }
    package func sessionClosed() { self.sessions.wrappingSubtract(1, ordering: .relaxed) }

    /// Counts messages that were taken.
    ///
    /// - Parameter rate: messages a second, at least 1.
    package func take(_ count: Int, rate: Int, now: NIODeadline) {
        let interval = 1_000_000_000 / Int64(max(1, rate))
        let (cost, overflow) = interval.multipliedReportingOverflow(by: Int64(count))
        let now = Self.nanoseconds(now)
        // No debt is longer than an hour: what led to it was one batch, and it is bounded by its bytes.
        let most = min(overflow ? .max : cost, 3_600_000_000_000)
        var seen = self.schedule.load(ordering: .relaxed)
        while true {
            let (done, latest) = self.schedule.weakCompareExchange(
                expected: seen, desired: max(seen, now) + most, ordering: .relaxed)
            if done { return }
            seen = latest
        }
    }

    /// How long to wait before the next message is taken; zero when it may be now.
    package func wait(now: NIODeadline) -> TimeAmount {
        let ahead = self.schedule.load(ordering: .relaxed) - Self.nanoseconds(now) - Self.burst
        return .nanoseconds(max(0, ahead))
    }

    private static func nanoseconds(_ deadline: NIODeadline) -> Int64 {
        Int64(clamping: deadline.uptimeNanoseconds)
    }
}

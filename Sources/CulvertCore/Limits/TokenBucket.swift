package import NIOCore

/// How often something may happen, and how often at once after a rest.
package struct BucketRate: Equatable, Sendable {
    /// A second.
    package let rate: Int
    package let burst: Int

    /// Both from 1 to a million.
    package init(rate: Int, burst: Int) {
        self.rate = min(max(rate, 1), 1_000_000)
        self.burst = min(max(burst, 1), 1_000_000)
    }

    /// Nanoseconds that one takes to come back.
    fileprivate var interval: Int64 { 1_000_000_000 / Int64(self.rate) }
    /// Nanoseconds from empty to full.
    fileprivate var depth: Int64 { self.interval * Int64(self.burst) }
}

/// A token bucket, as the time at which it is full again: nothing has to run for it to fill. Full when made.
package struct TokenBucket: Equatable, Sendable {
    private var full = NIODeadline.uptimeNanoseconds(0)

    package init() {}

    package func isFull(now: NIODeadline) -> Bool { self.full <= now }

    /// Takes one.
    ///
    /// - Returns: nil if there was one, else how long until there is.
    package mutating func take(_ rate: BucketRate, now: NIODeadline) -> TimeAmount? {
        // Before a reload the bucket had another rate, with which it may be full later than this rate allows.
        self.full = min(self.full, now + .nanoseconds(rate.depth))
        let after = max(self.full, now) + .nanoseconds(rate.interval)
        let missing = (after - now).nanoseconds - rate.depth
        guard missing <= 0 else { return .nanoseconds(missing) }
        self.full = after
        return nil
    }

    /// Gives back what was taken for something that did not happen.
    package mutating func giveBack(_ rate: BucketRate) {
        let taken = TimeAmount.nanoseconds(rate.interval)
        if self.full > .uptimeNanoseconds(0) + taken { self.full = self.full - taken }
    }
}

package import NIOCore

/// The rate limit of one direction of a session, from `limits.session` of the configuration.
package struct SessionRateLimit: Equatable, Sendable {
    package enum Excess: String, CaseIterable, Sendable {
        /// Reading pauses until the rate is kept again.
        case pause
        case close
    }

    /// Messages a second; nil for no limit.
    package var messages: Int?
    /// Messages that may come at once.
    package var messageBurst: Int
    /// Bytes of payload a second; nil for no limit.
    package var bytes: Int?
    package var byteBurst: Int
    package var excess: Excess

    package init(messages: Int?, messageBurst: Int, bytes: Int?, byteBurst: Int, excess: Excess) {
        self.messages = messages
        self.messageBurst = messageBurst
        self.bytes = bytes
        self.byteBurst = byteBurst
        self.excess = excess
    }
}

/// Two token buckets, of messages and of bytes, for one direction of a session.
///
/// They are charged after the fact, with what a read has brought, and may go into debt: the next read waits until it is
/// paid. So no message is counted by itself, and no clock is read for it.
package struct SessionRate: Equatable, Sendable {
    package enum Verdict: Equatable, Sendable {
        case within
        /// Over the rate; read on after `wait`.
        case tooManyMessages(wait: TimeAmount)
        case tooManyBytes(wait: TimeAmount)
    }

    private struct Bucket: Equatable, Sendable {
        /// No debt is longer than an hour: what led to it was one read, or one batch.
        private static let longestDebt = 3600.0
        /// A full bucket that is used up is left alone for this long, or until it is full again: with a pause for each
        /// message there would be a timer for each.
        private static let pause = 0.1

        /// Negative is debt. More than any burst at first: full.
        var level = Double.infinity

        mutating func fill(_ seconds: Double, rate: Double, burst: Double) {
            self.level = min(burst, self.level + seconds * rate)
        }

        mutating func take(_ count: UInt64, rate: Double) {
            self.level = max(self.level - Double(count), -Self.longestDebt * rate)
        }

        /// The time until the debt is paid and some more may pass; nil without a debt.
        func wait(rate: Double, burst: Double) -> TimeAmount? {
            guard self.level < 0 else { return nil }
            return Self.time((min(burst, rate * Self.pause) - self.level) / rate)
        }

        static func time(_ seconds: Double) -> TimeAmount {
            .nanoseconds(Int64(min(max(0, seconds), 2 * Self.longestDebt) * 1e9) + 1)
        }
    }

    private var messages = Bucket()
    private var bytes = Bucket()
    private var filledAt: NIODeadline
    private var messagesCounted: UInt64 = 0
    private var bytesCounted: UInt64 = 0
    /// Whether there was a limit when the counters were looked at last.
    private var isLimited: Bool

    /// - Parameter isLimited: whether there is a limit from the first message on.
    package init(isLimited: Bool, now: NIODeadline) {
        self.isLimited = isLimited
        self.filledAt = now
    }

    /// Call this when the limit is removed. A later limit does not count what passes until then.
    package mutating func suspend() { self.isLimited = false }

    /// Charges what has come since the last call.
    ///
    /// - Parameters:
    ///   - messages: all there were so far.
    ///   - bytes: likewise, of payload.
    package mutating func charge(
        messages: UInt64, bytes: UInt64, limit: SessionRateLimit, now: NIODeadline
    ) -> Verdict {
        let newMessages = messages &- self.messagesCounted
        let newBytes = bytes &- self.bytesCounted
        self.messagesCounted = messages
        self.bytesCounted = bytes
        guard self.isLimited else {
            self = SessionRate(isLimited: true, now: now)
            self.messagesCounted = messages
            self.bytesCounted = bytes
            return .within
        }
        self.fill(limit, now: now)
        if let rate = limit.messages { self.messages.take(newMessages, rate: Double(rate)) }
        if let rate = limit.bytes { self.bytes.take(newBytes, rate: Double(rate)) }
        return self.verdict(limit)
    }

    /// How things stand, with nothing new.
    package mutating func look(limit: SessionRateLimit, now: NIODeadline) -> Verdict {
        self.fill(limit, now: now)
        return self.verdict(limit)
    }

    private mutating func fill(_ limit: SessionRateLimit, now: NIODeadline) {
        let seconds = Double(max(0, (now - self.filledAt).nanoseconds)) / 1e9
        self.filledAt = max(now, self.filledAt)
        if let rate = limit.messages {
            self.messages.fill(seconds, rate: Double(rate), burst: Double(limit.messageBurst))
        }
        if let rate = limit.bytes { self.bytes.fill(seconds, rate: Double(rate), burst: Double(limit.byteBurst)) }
    }

    private func verdict(_ limit: SessionRateLimit) -> Verdict {
        let forMessages = limit.messages.flatMap {
            self.messages.wait(rate: Double($0), burst: Double(limit.messageBurst))
        }
        let forBytes = limit.bytes.flatMap { self.bytes.wait(rate: Double($0), burst: Double(limit.byteBurst)) }
        switch (forMessages, forBytes) {
        case (nil, nil): return .within
        case (let wait?, nil): return .tooManyMessages(wait: wait)
        case (nil, let wait?): return .tooManyBytes(wait: wait)
        case (let wait?, let other?): return wait < other ? .tooManyBytes(wait: other) : .tooManyMessages(wait: wait)
        }
    }
}

extension SessionRate.Verdict {
    /// Nil within the rate.
    package var wait: TimeAmount? {
        switch self {
        case .within: nil
        case .tooManyMessages(let wait), .tooManyBytes(let wait): wait
        }
    }

    /// The reason of the Close, if the session is closed for it.
    package var reason: String {
        switch self {
        case .within: ""
        case .tooManyMessages: "too many messages"
        case .tooManyBytes: "too many bytes"
        }
    }
}

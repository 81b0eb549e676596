package import NIOCore

/// Owns the measurements of a session's limits: the rate and the pauses of each side, the silence of both, and the time
/// for which a side takes nothing. A part of ``SessionLife``.
///
/// The limits themselves are arguments, so that the limits of a reload apply to open sessions.
package struct LimitWatch: Sendable {
    /// The measurements of one side: the client or the upstream.
    package struct Side: Equatable, Sendable {
        fileprivate var rate: SessionRate
        /// The end of a pause in which the side is not read, because its messages came too fast; nil without a pause.
        package fileprivate(set) var pause: NIODeadline?
        /// The end of a pause in which the side is not read, because its pings and pongs came too fast; nil without a
        /// pause.
        package fileprivate(set) var controlPause: NIODeadline?
        /// The time since which the side takes nothing, because its leg's queue or its window is full; nil while it
        /// takes more.
        package fileprivate(set) var stalledSince: NIODeadline?

        fileprivate func deadline(stall: TimeAmount?) -> NIODeadline {
            var earliest = min(self.pause ?? .distantFuture, self.controlPause ?? .distantFuture)
            if let stall, let since = self.stalledSince { earliest = min(earliest, since + stall) }
            return earliest
        }
    }

    package private(set) var client: Side
    package private(set) var upstream: Side
    /// The end of a pause in which the client is not read, because its token's messages came too fast; nil without a
    /// pause.
    package private(set) var tokenPause: NIODeadline?
    /// The number of the client's messages that have been charged to its token.
    private var tokenMessages: UInt64 = 0
    private var idle: IdleWatch
    /// The time of the next look for silence; nil without a limit.
    private var nextLook: NIODeadline?

    /// - Parameter limitsClient: whether the client's messages have a rate; likewise `limitsUpstream`.
    package init(limitsClient: Bool, limitsUpstream: Bool, now: NIODeadline) {
        self.client = Side(rate: SessionRate(isLimited: limitsClient, now: now))
        self.upstream = Side(rate: SessionRate(isLimited: limitsUpstream, now: now))
        self.idle = IdleWatch(now: now)
    }

    package subscript(side: Endpoint) -> Side {
        side == .client ? self.client : self.upstream
    }

    private mutating func change(_ side: Endpoint, _ change: (inout Side) -> Void) {
        if side == .client { change(&self.client) } else { change(&self.upstream) }
    }

    // MARK: - rates

    package enum OnCharge: Equatable, Sendable {
        case within
        /// The side is over its rate, and the driver does not read it for this time.
        case wait(TimeAmount)
        /// The side is over its rate, and the driver closes the session for this reason.
        case close(reason: String)
    }

    /// Charges the messages and bytes that `side` has sent since the last call.
    ///
    /// - Parameters:
    ///   - messages: the number of all messages that the side has sent so far; likewise `bytes`.
    ///   - limit: nil for no limit.
    package mutating func charge(
        _ side: Endpoint, messages: UInt64, bytes: UInt64, limit: SessionRateLimit?, now: NIODeadline
    ) -> OnCharge {
        guard let limit else { return .within }
        var verdict = SessionRate.Verdict.within
        self.change(side) { verdict = $0.rate.charge(messages: messages, bytes: bytes, limit: limit, now: now) }
        guard let wait = verdict.wait else { return .within }
        return limit.excess == .pause ? .wait(wait) : .close(reason: verdict.reason)
    }

    /// The time that the client has to wait before it sends more; nil when it may send now.
    package mutating func waitToSend(limit: SessionRateLimit?, now: NIODeadline) -> TimeAmount? {
        guard let limit, limit.excess == .pause else { return nil }
        return self.client.rate.look(limit: limit, now: now).wait
    }

    /// Notes that a side has no limit now. A later limit does not count the messages that passed without a limit.
    package mutating func suspend(client: Bool, upstream: Bool) {
        if client { self.client.rate.suspend() }
        if upstream { self.upstream.rate.suspend() }
    }

    /// Takes the number of the client's messages that its token has not been charged for. The client has sent `all` so
    /// far.
    package mutating func takeTokenMessages(_ all: UInt64) -> UInt64 {
        defer { self.tokenMessages = all }
        return all &- self.tokenMessages
    }

    // MARK: - pauses

    package enum Cause: Equatable, Sendable {
        case rate
        case controls
    }

    package struct Pause: Equatable, Sendable {
        package let side: Endpoint
        package let cause: Cause

        package init(side: Endpoint, cause: Cause) {
            self.side = side
            self.cause = cause
        }
    }

    package mutating func pause(_ side: Endpoint, for cause: Cause, until: NIODeadline) {
        self.change(side) { if cause == .rate { $0.pause = until } else { $0.controlPause = until } }
    }

    /// Pauses the client, because its token is over its rate.
    ///
    /// - Returns: false if the token pauses the client already.
    package mutating func pauseForToken(until: NIODeadline) -> Bool {
        guard self.tokenPause == nil else { return false }
        self.tokenPause = until
        return true
    }

    /// Whether the token's pause was set and is over now. If so, the pause is removed.
    package mutating func takeTokenPause(now: NIODeadline) -> Bool {
        guard let pause = self.tokenPause, pause <= now else { return false }
        self.tokenPause = nil
        return true
    }

    /// Removes and returns the other pauses that are over.
    package mutating func takePauses(now: NIODeadline) -> [Pause] {
        var over: [Pause] = []
        for cause in [Cause.controls, .rate] {
            for side in [Endpoint.client, .server] {
                let until = cause == .rate ? self[side].pause : self[side].controlPause
                guard let until, until <= now else { continue }
                self.change(side) { if cause == .rate { $0.pause = nil } else { $0.controlPause = nil } }
                over.append(Pause(side: side, cause: cause))
            }
        }
        return over
    }

    /// The session begins to close. Removes the pauses of both sides, so that a peer's answer to a Close is read. The
    /// token's pause stays.
    mutating func closes() {
        for side in [Endpoint.client, .server] { self.change(side) { ($0.pause, $0.controlPause) = (nil, nil) } }
    }

    // MARK: - silence

    /// Looks whether the session has been silent for `limit`.
    ///
    /// - Parameters:
    ///   - count: a number that grows with everything that passes.
    ///   - limit: nil for no limit.
    /// - Returns: whether nothing has passed for `limit`.
    package mutating func lookForSilence(count: UInt64, limit: TimeAmount?, now: NIODeadline) -> Bool {
        self.nextLook = nil
        guard let limit else { return false }
        // A peer that is not read may have sent any number of messages.
        if self.client.pause != nil || self.upstream.pause != nil { self.idle.touch(now: now) }
        switch self.idle.look(count: count, limit: limit, now: now) {
        case .lookAgain(let deadline):
            self.nextLook = deadline
            return false
        case .idle: return true
        }
    }

    package func isLookDue(now: NIODeadline) -> Bool { self.nextLook.map { $0 <= now } ?? false }

    // MARK: - sides that take nothing

    /// Notes that `side` takes nothing from now on, unless that is noted already.
    package mutating func stalls(_ side: Endpoint, now: NIODeadline) {
        self.change(side) { $0.stalledSince = $0.stalledSince ?? now }
    }

    /// Notes that `side` takes more again.
    package mutating func flows(_ side: Endpoint) { self.change(side) { $0.stalledSince = nil } }

    /// The side that has taken nothing for the time `stall`, or nil. If a side is returned, the stalls of both are
    /// forgotten.
    package mutating func takeStalled(stall: TimeAmount?, now: NIODeadline) -> Endpoint? {
        guard let stall else { return nil }
        let side = [Endpoint.client, .server].first { side in
            self[side].stalledSince.map { $0 + stall <= now } ?? false
        }
        guard side != nil else { return nil }
        self.client.stalledSince = nil
        self.upstream.stalledSince = nil
        return side
    }

    /// The time at which the next of the limits is due.
    package func deadline(stall: TimeAmount?) -> NIODeadline {
        min(
            self.client.deadline(stall: stall), self.upstream.deadline(stall: stall),
            self.nextLook ?? .distantFuture)
    }
}

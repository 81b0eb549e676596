package import NIOCore

/// The life of a session of either kind, from its start until its connections are gone: the close handshakes, and the
/// times at which something is due.
///
/// The session's driver owns it, calls a verb for each event on the session's loop, and does what the verb returns.
/// Time is an argument.
package struct SessionLife: Sendable {
    package enum State: Equatable, Sendable {
        /// The session is open, and its end has not begun.
        case open
        /// A Close of Culvert's waits until no message is on its way in either direction, or for `until`.
        case leaving(CloseFrame, until: NIODeadline)
        /// The close handshakes are under way. At `until` they are cut short.
        case closing(until: NIODeadline)
        /// Both close handshakes are over. Connections may stay until their last bytes are written.
        case ended
        /// The descriptors of all connections are closed as well.
        case gone
    }

    package private(set) var state = State.open
    package private(set) var closing = CloseNegotiation()
    /// Whether a Close of Culvert's waits for the end of a message, and not only for the end of a frame.
    package private(set) var waitsForMessageEnd = false
    /// The side that broke the protocol or exceeded a limit last; nil if no side did.
    package private(set) var violator: Endpoint?
    package var keepalives = Keepalives()
    package var tokens = TokenClock()
    package var limits: LimitWatch
    package let openedAt: NIODeadline
    /// The time at which the current period of keepalive ends.
    private var nextTick: NIODeadline

    /// - Parameters:
    ///   - period: the period of keepalive.
    ///   - limitsClient: whether the client's messages have a rate; likewise `limitsUpstream`.
    package init(period: TimeAmount, limitsClient: Bool, limitsUpstream: Bool, now: NIODeadline) {
        self.openedAt = now
        self.nextTick = now + period
        self.limits = LimitWatch(limitsClient: limitsClient, limitsUpstream: limitsUpstream, now: now)
    }

    /// Whether the session's end has not begun. A Close that waits does not begin it.
    package var isOpen: Bool { !self.hasEnded && self.closing.ending == nil }

    /// Whether both close handshakes are over.
    package var hasEnded: Bool { self.state == .ended || self.state == .gone }

    package var isGone: Bool { self.state == .gone }

    // MARK: - closing

    package enum OnShutdown: Equatable, Sendable {
        /// The Close waits for the end of a message, until ``deadline(lifetime:stall:)``.
        case wait
        case close(CloseNegotiation.Actions)
    }

    /// Culvert closes the session between two messages: each side's Close comes behind the message that is on its way
    /// there.
    ///
    /// - Parameters:
    ///   - patience: the time to wait for a moment in which nothing is on its way in either direction, since a peer
    ///     that reads a Close may leave its own message unfinished.
    ///   - isAmidMessage: whether a message is on its way in either direction.
    ///   - time: the longest time that the close handshakes may take.
    package mutating func shutdown(
        _ frame: CloseFrame, patience: TimeAmount, isAmidMessage: Bool, time: TimeAmount, now: NIODeadline
    ) -> OnShutdown {
        if patience > .zero, isAmidMessage, self.isOpen {
            self.state = .leaving(frame, until: now + patience)
            return .wait
        }
        self.waitsForMessageEnd = true
        return .close(self.handle(.shutdown(frame), time: time, now: now))
    }

    /// Handles an event that begins the session's end, or continues it.
    ///
    /// - Parameter time: the longest time that the close handshakes may take.
    package mutating func handle(
        _ event: CloseNegotiation.Event, time: TimeAmount, now: NIODeadline
    ) -> CloseNegotiation.Actions {
        switch event {
        case .violation(let side, _), .excess(let side, _): self.violator = side
        default: break
        }
        let actions = self.closing.handle(event)
        if actions.began {
            self.state = .closing(until: now + time)
            self.limits.closes()
        }
        return actions
    }

    /// Gives the close handshakes the whole of `time` from now on, because a Close that had to wait is sent now.
    package mutating func beginHandshake(time: TimeAmount, now: NIODeadline) {
        if case .closing = self.state { self.state = .closing(until: now + time) }
    }

    /// Leaves the close handshakes at most `time` from now on.
    package mutating func hasten(_ time: TimeAmount, now: NIODeadline) {
        if case .closing(let until) = self.state { self.state = .closing(until: min(until, now + time)) }
    }

    /// The longest time that the last bytes to a peer may take after its close handshake.
    ///
    /// - Parameters:
    ///   - least: the least time, for a handshake that ends just before its deadline.
    ///   - time: the longest time of a close handshake, which is the result while no handshake is under way.
    package func timeToClose(least: TimeAmount, time: TimeAmount, now: NIODeadline) -> TimeAmount {
        guard case .closing(let until) = self.state else { return time }
        return max(until - now, least)
    }

    /// The close handshakes are over, and the session has ended.
    ///
    /// - Returns: false if the session had ended before.
    package mutating func end() -> Bool {
        guard !self.hasEnded else { return false }
        self.state = .ended
        return true
    }

    /// The descriptors of all connections are closed.
    ///
    /// - Returns: whether the session had ended, and is gone now.
    package mutating func connectionsClosed() -> Bool {
        guard self.state == .ended else { return false }
        self.state = .gone
        return true
    }

    // MARK: - time

    package enum OnTime: Equatable, Sendable {
        case nothing
        /// The time to wait for the end of a message is over. The driver closes the session with this frame.
        case shutdown(CloseFrame)
        /// A close handshake took too long.
        case cut
    }

    /// - Parameters:
    ///   - hasQueuedClose: whether the Close for the upstream waits behind messages. The upstream cannot answer it yet,
    ///     so the close handshakes get `time` again.
    ///   - time: the longest time that the close handshakes may take.
    package mutating func timePassed(hasQueuedClose: Bool, time: TimeAmount, now: NIODeadline) -> OnTime {
        switch self.state {
        case .leaving(let frame, let until) where until <= now:
            return .shutdown(frame)
        case .closing(let until) where until <= now:
            guard hasQueuedClose else { return .cut }
            self.state = .closing(until: now + time)
            return .nothing
        case .open, .leaving, .closing, .ended, .gone:
            return .nothing
        }
    }

    /// Whether a period of keepalive has passed. If so, the next period begins.
    package mutating func takeTick(period: TimeAmount, now: NIODeadline) -> Bool {
        guard !self.hasEnded, self.nextTick <= now else { return false }
        self.nextTick = now + period
        return true
    }

    /// The time of the session's next deadline.
    ///
    /// - Parameters:
    ///   - lifetime: the longest time that the session may be open; nil for no limit.
    ///   - stall: the longest time that a side may take nothing; nil for no limit.
    package func deadline(lifetime: TimeAmount?, stall: TimeAmount?) -> NIODeadline {
        let callers = self.tokens.callersEnd ?? .distantFuture
        if self.hasEnded { return callers }
        var earliest = min(callers, self.nextTick)
        switch self.state {
        case .leaving(_, let until), .closing(let until): earliest = min(earliest, until)
        case .open, .ended, .gone: break
        }
        for deadline in [self.tokens.ownEnd, self.limits.tokenPause] {
            if let deadline { earliest = min(earliest, deadline) }
        }
        guard self.isOpen else { return earliest }
        if let lifetime { earliest = min(earliest, self.openedAt + lifetime) }
        return min(earliest, self.limits.deadline(stall: stall))
    }
}

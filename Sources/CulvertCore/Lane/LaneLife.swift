package import NIOCore

/// The life of a WebSocket that is a lane of a resumable session: from its handshake until its connection is gone.
///
/// The lane's driver owns it, and calls a verb for each event on the lane's loop, which may be another than the
/// session's. A verb returns what the driver does. Time is an argument. A verb that is called for each read or message
/// returns no list, so that it costs no allocation.
package struct LaneLife: Equatable, Sendable {
    package enum State: Equatable, Sendable {
        /// The session does not know the lane yet.
        case joining
        /// The session knows the lane by this generation. The client has brought no envelope.
        case joined(UInt64)
        /// The client has brought an envelope, and the session uses the lane.
        case inUse(UInt64)
        /// The lane's Close was sent. Nothing follows it, and nothing that still comes counts but the client's Close.
        /// That does not count either if `isFailure`, because the client has broken the protocol.
        case closing(isFailure: Bool)
        /// The connection is gone.
        case gone
    }

    /// What the lane waits for, and for how long. A lane has one timer.
    package enum Wait: Equatable, Sendable {
        case nothing
        /// The client's first envelope.
        case envelope(until: NIODeadline)
        /// The session takes what came before the end of the client's direction: there may be a Close in it.
        case rest(until: NIODeadline)
        /// The session's Close is on its way to the client. Until it is written the session's own time counts.
        case final
        /// The client may acknowledge the session's Close, which is written, but need not.
        case end(until: NIODeadline)
        /// The client answers the lane's Close.
        case answer(until: NIODeadline)
    }

    /// The time that the client has to answer the lane's Close.
    static let closingTime = TimeAmount.seconds(2)

    package internal(set) var state = State.joining
    package internal(set) var wait = Wait.nothing
    package internal(set) var intake = LaneIntake()
    package var keepalive = Keepalive()
    /// The server stops, and waits for the client only briefly.
    var isGoingAway = false

    package init() {}

    /// The session's name of the lane; nil until the session knows the lane, and when it is to know nothing more of it.
    package var generation: UInt64? {
        switch self.state {
        case .joined(let generation), .inUse(let generation): generation
        case .joining, .closing, .gone: nil
        }
    }

    package var isInUse: Bool { if case .inUse = self.state { true } else { false } }

    /// Whether the lane's Close was sent, or the connection is gone.
    package var isClosing: Bool {
        switch self.state {
        case .closing, .gone: true
        case .joining, .joined, .inUse: false
        }
    }

    /// Whether a Close of the client is of use behind the lane's own Close.
    package var hearsClose: Bool { self.state == .closing(isFailure: false) }

    /// The session's Close was sent.
    var hasFinal: Bool {
        switch self.wait {
        case .final, .end: true
        case .nothing, .envelope, .rest, .answer: false
        }
    }

    // MARK: - the session

    /// The session knows the lane by `generation`. What the client has sent meanwhile comes now.
    ///
    /// - Parameters:
    ///   - isConnected: false for a connection that was gone before the lane had its place in it.
    ///   - isWritable: whether the connection has room.
    ///   - time: for the client's first envelope.
    package mutating func joined(
        _ generation: UInt64, isConnected: Bool, isWritable: Bool, time: TimeAmount, now: NIODeadline
    ) -> [LaneAction] {
        // It may have gone while the handlers changed places, or been closed by the session as it started.
        guard isConnected, !self.isClosing else {
            if !isConnected { self.state = .gone }
            return [.lost(generation)]
        }
        self.state = .joined(generation)
        var out: [LaneAction] = []
        if !self.hasFinal { out.append(self.waitFor(.envelope(until: now + time))) }
        out.append(.startKeepalive)
        if !isWritable { out.append(.tellFull) }
        out.append(.takeMore)
        return out
    }

    package enum OnTurn: Equatable, Sendable {
        /// The lane takes what has come, and then calls ``readOn()``.
        case take
        /// The lane takes the rest in a later turn, and then calls ``turnCame()``.
        case later
    }

    /// The session has taken everything that came, and lets the lane bring more.
    package mutating func sessionTook() -> OnTurn { self.intake.sessionTook() ? .take : .later }

    /// The later turn has come in which the lane takes more. The driver goes on as if the session had taken everything.
    package mutating func turnCame() { self.intake.turnCame() }

    /// Makes `wait` what the lane waits for.
    mutating func waitFor(_ wait: Wait) -> LaneAction {
        self.wait = wait
        return .wake(self.deadline)
    }

    // MARK: - the client

    /// Whether the lane takes the envelopes that have come.
    package var mayTake: Bool { self.intake.turn == .client && self.generation != nil }

    package enum OnTaken: Equatable, Sendable {
        case nothing
        /// The session is told of the envelopes and controls.
        case tell
        /// The same, of the first envelope: the lane counts among the handshakes no more, and what it holds is the
        /// session's. The driver cancels the timer if `endsWait`.
        case begin(endsWait: Bool)
        /// A part of an envelope has come, of which the session learns nothing. A later turn takes more of it.
        case later
    }

    /// The lane has taken what has come, or as much of it as there was room for.
    ///
    /// - Parameters:
    ///   - hasBatches: whether whole envelopes are in it.
    ///   - hasControls: likewise pings, pongs or empty fragments. A lane without an envelope is not the session's yet:
    ///     they are bounded by the lane alone.
    ///   - hasMore: whether there was no room for the rest.
    package mutating func took(hasBatches: Bool, hasControls: Bool, hasMore: Bool) -> OnTaken {
        switch self.state {
        case .joined(let generation) where hasBatches:
            self.intake.took(hasMore: hasMore)
            self.state = .inUse(generation)
            guard !self.hasFinal else { return .begin(endsWait: false) }
            self.wait = .nothing
            return .begin(endsWait: true)
        case .inUse where hasBatches || hasControls:
            self.intake.took(hasMore: hasMore)
            return .tell
        case .joined, .inUse:
            guard hasMore else { return .nothing }
            self.intake.took(hasMore: true)
            return .later
        case .joining, .closing, .gone: return .nothing
        }
    }

    package enum OnRead: Equatable, Sendable {
        case nothing
        case cut
        case read
    }

    /// The lane has taken what had come, and nothing keeps it from reading on but what `took` has said.
    package mutating func readOn() -> OnRead {
        guard self.intake.turn == .client, !self.isClosing else { return .nothing }
        // Without a Close it is gone, whatever it might still read.
        if self.intake.isInputClosed { return .cut }
        return self.intake.isRead && self.intake.takeRead() ? .read : .nothing
    }

    /// The channel asks for a read.
    ///
    /// - Returns: whether it gets it now.
    package mutating func readAsked() -> Bool {
        self.intake.ask()
        return (self.intake.isRead || self.isClosing) && self.intake.takeRead()
    }

    /// The client's pings and pongs came too fast. It is not read until ``endPause()``.
    package mutating func pause() { self.intake.pause() }

    /// - Returns: whether the connection is read now.
    package mutating func endPause() -> Bool {
        self.intake.endPause()
        return self.intake.isRead && self.intake.takeRead()
    }

    /// A period of keepalive has passed.
    package mutating func tick() -> Keepalive.OnTick {
        guard !self.isClosing else { return .nothing }
        // A client that is not read cannot prove that it lives, so it counts as heard.
        if !self.intake.isRead { self.keepalive.hear() }
        return self.keepalive.tick()
    }
}

/// Decides when the connection of a lane is read, and when the lane takes the envelopes that have come. A part of
/// ``LaneLife``.
///
/// A lane brings its session a read's worth of envelopes, and no more until the session has taken that.
package struct LaneIntake: Equatable, Sendable {
    /// The party that acts before the lane takes the next envelopes.
    enum Turn: Equatable, Sendable {
        /// The session: it does not know the lane, or has not taken what the lane has brought.
        case session
        /// The lane, in a later turn of its loop: more envelopes have come than one turn takes.
        case lane
        /// The client, which has to send more.
        case client
    }

    private(set) var turn = Turn.session
    /// The client is not read for a while, because its pings and pongs came too fast.
    private(set) var isPaused = false
    /// The client has ended its direction of the connection.
    private(set) var isInputClosed = false
    /// The channel has asked for a read that it has not got. At first that is the read behind the handshake.
    private var isReadPending = true

    /// Whether the connection is read.
    var isRead: Bool { self.turn == .client && !self.isPaused }

    // MARK: - turns

    /// The session has taken everything.
    ///
    /// - Returns: false if the lane has more, which it takes in a later turn.
    mutating func sessionTook() -> Bool {
        guard self.turn != .lane else { return false }
        self.turn = .client
        return true
    }

    /// The later turn has come.
    mutating func turnCame() { if self.turn == .lane { self.turn = .session } }

    /// Envelopes were taken that go to the session, or there was no room for all.
    ///
    /// - Parameter hasMore: whether a later turn takes the rest.
    mutating func took(hasMore: Bool) { self.turn = hasMore ? .lane : .session }

    /// The connection is gone. The lane takes the envelopes that have come, whichever turn it was.
    mutating func connectionClosed() { self.turn = .client }

    // MARK: - reads

    mutating func pause() { self.isPaused = true }

    mutating func endPause() { self.isPaused = false }

    mutating func inputClosed() { self.isInputClosed = true }

    /// The channel asks for a read.
    mutating func ask() { self.isReadPending = true }

    /// - Returns: whether the channel waits for a read, which it gets now.
    mutating func takeRead() -> Bool {
        defer { self.isReadPending = false }
        return self.isReadPending
    }
}

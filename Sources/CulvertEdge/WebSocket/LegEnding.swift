import NIOCore

/// How far the end of a leg's connection has come. Its ``PeerConnection`` owns it, on the
/// connection's event loop.
struct LegEnding {
    /// The connection ends when the peer ends its direction of it. Not so between the peer's Close and ours, for which
    /// the peer may wait (RFC 6455 7.1.1).
    var endsWithInput = true
    /// The peer has ended its direction of the connection.
    var isInputClosed = false
    /// The peer is told nothing more, and read for its end alone.
    private(set) var isLingering = false
    /// The connection has ended, and its descriptor is closed.
    private(set) var isLost = false
    /// The session is still to be told of the connection's end.
    private(set) var owesLoss = false
    /// Closes the connection at the latest, once something has begun to close it.
    private var closing: (task: Scheduled<Void>, due: NIODeadline)?

    /// The peer has ended its direction, and the connection ends with it.
    var isDue: Bool { self.isInputClosed && self.endsWithInput }

    /// Something has begun to close the connection.
    var hasBegun: Bool { self.closing != nil }

    /// From now on the peer is told nothing more, and its own end is the connection's.
    mutating func linger() {
        self.isLingering = true
        self.endsWithInput = true
    }

    /// The descriptor is closed after `time`, or before that. No task is made for a connection that has ended already.
    mutating func closeAtLatest(in time: TimeAmount, _ channel: any Channel) {
        guard !self.isLost else { return }
        let due = channel.eventLoop.now + time
        if let closing = self.closing, closing.due <= due { return }
        self.closing?.task.cancel()
        self.closing = (channel.eventLoop.scheduleTask(deadline: due) { channel.cut() }, due)
    }

    /// The connection is closed.
    ///
    /// - Returns: false if that was known.
    mutating func lose() -> Bool {
        guard !self.isLost else { return false }
        self.isLost = true
        self.closing?.task.cancel()
        self.closing = nil
        return true
    }

    /// The connection is gone, and the session is to be told.
    mutating func oweLoss() {
        self.isLost = true
        self.owesLoss = true
    }

    /// - Returns: whether the session is told of the end now: once.
    mutating func takeLoss() -> Bool {
        defer { self.owesLoss = false }
        return self.owesLoss
    }
}

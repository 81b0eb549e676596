import NIOCore

/// How far the end of a leg's connection has come. The leg owns it, on the connection's event loop.
struct LegEnding {
    /// The connection ends when the peer ends its direction of it. Not so between the peer's Close and ours, for which
    /// the peer may wait (RFC 6455 7.1.1).
    var endsWithInput = true
    /// The peer has ended its direction of the connection.
    var isInputClosed = false
    /// The peer is told nothing more, and read for its end alone.
    var isLingering = false
    /// Our direction is to be ended behind the frames that wait for the end of another frame.
    var endsOutputAtBoundary = false
    /// Closes the connection at the latest, once something has begun to close it.
    fileprivate var closing: (task: Scheduled<Void>, due: NIODeadline)?

    /// The connection is closed.
    mutating func cancel() {
        self.closing?.task.cancel()
        self.closing = nil
    }
}

extension WebSocketLeg {
    /// For TLS's own close handshake when a connection is closed at once.
    private static let abortTime = TimeAmount.seconds(1)
    /// How long a peer that is told nothing more has for the end of its direction.
    static let lingerTime = TimeAmount.seconds(1)

    /// Closes once everything written is out, and at the latest after `time`, because a peer may take nothing at all.
    func close(within time: TimeAmount) {
        self.isDeaf = true
        guard let context = self.context else { return }
        let channel = context.channel
        self.finishOutput()
        let written = context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()))
        written.assumeIsolated().whenComplete { _ in
            self.ending.endsWithInput = true
            channel.close(promise: nil)
            // TLS waits for a close_notify, which does not come any more.
            if self.ending.isInputClosed { channel.cut() }
            self.closeAtLatest(in: min(time, Self.abortTime))
        }
        // Most often all is out by now, and the socket closed or waiting for TLS.
        if self.ending.closing == nil { self.closeAtLatest(in: time) }
    }

    /// Ends our direction behind what is written, and closes when the peer has ended its own, or after
    /// ``lingerTime``. A socket closed with bytes unread is reset, and a reset overtakes the Close frame that says why
    /// (RFC 6455 7.1.1, RFC 9112 9.6).
    func closeLingering() {
        self.turnDeaf()
        self.ending.isLingering = true
        self.ending.endsWithInput = true
        self.finishOutput()
        self.closeAtLatest(in: Self.lingerTime)
        if self.wantsBoundary {
            self.ending.endsOutputAtBoundary = true
        } else {
            self.endOutput()
        }
    }

    /// As ``closeLingering()``, within a frame that will never be whole: no Close can stand behind it.
    func closeAmidFrame() {
        self.dropWaiting()
        self.closeLingering()
    }

    /// A peer that knows that nothing more comes need not wait for the end of the connection (RFC 6455 7.1.1).
    func endOutput() {
        self.ending.endsOutputAtBoundary = false
        guard let context = self.context else { return }
        if self.ending.isInputClosed {
            // NIO would close both directions now, with what is unwritten.
            self.close(within: Self.lingerTime)
            return
        }
        self.finishOutput()
        context.close(mode: .output, promise: nil)
    }

    /// Closes at once, whatever is unwritten.
    func abort() {
        self.isDeaf = true
        self.closeNow()
    }

    /// As ``abort()``, but what has come from the peer still counts.
    func closeNow() {
        guard let context = self.context else { return }
        self.ending.endsWithInput = true
        context.close(promise: nil)
        self.closeAtLatest(in: Self.abortTime)
    }

    /// The descriptor is closed after `time`, or before that. No task is made for a connection that has ended already.
    private func closeAtLatest(in time: TimeAmount) {
        guard let context = self.context, !self.isLost else { return }
        let due = context.eventLoop.now + time
        if let closing = self.ending.closing, closing.due <= due { return }
        self.ending.closing?.task.cancel()
        let channel = context.channel
        self.ending.closing = (context.eventLoop.scheduleTask(deadline: due) { channel.cut() }, due)
    }
}

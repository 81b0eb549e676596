import CulvertCore
import NIOCore

/// The connection under a leg: whether it is read, and how it ends. It knows no frames and no session. It is on the
/// connection's event loop, and the session calls it through the leg.
///
/// A base class for the reason that ``QueuedOutput`` is one. Closing a channel may lead back here before it returns, so
/// no part of the state is borrowed while the channel is called.
class PeerConnection: QueuedOutput {
    /// The time for TLS's own close handshake when a connection is closed at once.
    private static let abortTime = TimeAmount.seconds(1)
    /// How long a peer that is told nothing more has for the end of its direction.
    static let lingerTime = TimeAmount.seconds(1)

    /// Whether the peer is read, and whether its bytes are used.
    @exclusivity(unchecked) final var reading = PeerReading()
    /// It has been paused once; see ``RecordWatch/paused(_:)``.
    private final var isGuarded = false
    /// How far the end of the connection has come.
    final var ending = LegEnding()

    final var isPaused: Bool { self.reading.isPaused }

    /// True once the peer's bytes are no longer used.
    final var isDeaf: Bool { self.reading.isDeaf }

    /// The connection has ended, and its descriptor is closed.
    final var isLost: Bool { self.ending.isLost }

    // MARK: - reading

    final func pause(_ reason: PeerReading.Pause) {
        guard self.reading.pause(reason), !self.isGuarded, let context = self.context else { return }
        self.isGuarded = true
        RecordWatch.paused(context.channel)
    }

    final func resume(_ reason: PeerReading.Pause) {
        if self.reading.resume(reason) { self.context?.read() }
    }

    /// Bytes of the peer went nowhere.
    final func noteDropped(_ bytes: Int) {
        guard let context = self.context, self.reading.drop(bytes) else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: PeerReading.dropRest) { bound.value.resume(.dropping) }
    }

    /// Ignores whatever else the peer sends. Reading goes on so that its end is seen.
    func turnDeaf() {
        if self.reading.turnDeaf() { self.context?.read() }
    }

    // MARK: - the end

    /// Closes once everything written is out, and at the latest after `time`, because a peer may take nothing at all.
    final func close(within time: TimeAmount) {
        self.reading.stopUsing()
        guard let context = self.context else { return }
        let channel = context.channel
        self.finishOutput()
        let written = context.writeAndFlush(NIOAny(ByteBuffer()))
        written.assumeIsolated().whenComplete { _ in
            self.ending.endsWithInput = true
            channel.close(promise: nil)
            // TLS waits for a close_notify, which does not come any more.
            if self.ending.isInputClosed { channel.cut() }
            self.closeAtLatest(in: min(time, Self.abortTime))
        }
        // Most often all is out by now, and the socket closed or waiting for TLS.
        if !self.ending.hasBegun { self.closeAtLatest(in: time) }
    }

    /// Ends our direction behind what is written, and closes when the peer has ended its own, or after
    /// ``lingerTime``. A socket closed with bytes unread is reset, and a reset overtakes the Close frame that says why
    /// (RFC 6455 7.1.1, RFC 9112 9.6).
    final func closeLingering() {
        self.turnDeaf()
        self.ending.linger()
        self.finishOutput()
        self.closeAtLatest(in: Self.lingerTime)
        self.endOutputAtBoundary()
    }

    /// Does the same as ``closeLingering()`` within a frame that will never be whole, so that no Close can stand behind
    /// it.
    final func closeAmidFrame() {
        self.dropWaiting()
        self.closeLingering()
    }

    override func endOutput() {
        // NIO would close both directions now, with what is unwritten.
        if self.ending.isInputClosed { self.close(within: Self.lingerTime) } else { super.endOutput() }
    }

    /// Closes at once, whatever is unwritten.
    final func abort() {
        self.reading.stopUsing()
        self.closeNow()
    }

    /// Does the same as ``abort()``, but the bytes that have come from the peer still count.
    final func closeNow() {
        guard let context = self.context else { return }
        self.ending.endsWithInput = true
        context.close(promise: nil)
        self.closeAtLatest(in: Self.abortTime)
    }

    /// The peer has ended its direction: closes, unless the peer has said Close before and may wait for ours.
    final func endWithInput() {
        guard self.ending.isDue, let context = self.context else { return }
        if self.ending.isLingering {
            self.close(within: Self.lingerTime)
            return
        }
        context.close(promise: nil)
        // TLS waits for a close_notify, which does not come any more.
        context.channel.cut()
    }

    private final func closeAtLatest(in time: TimeAmount) {
        if let channel = self.context?.channel { self.ending.closeAtLatest(in: time, channel) }
    }
}

package import NIOCore

/// Bounds and times of a session, from `session:` and `limits:` of the configuration.
package struct SessionSettings: Equatable, Sendable {
    /// Longest a poll is parked.
    package var hold: TimeAmount
    /// The time that a resumable session outlives its last lane, and that its end is remembered.
    package var resume: TimeAmount
    /// Keepalive period.
    package var ping: TimeAmount
    /// The unacknowledged bytes towards the client from which the upstream is not read.
    package var buffer: Int
    /// Most bytes of messages in one batch.
    package var maxBatch: Int

    package init(hold: TimeAmount, resume: TimeAmount, ping: TimeAmount, buffer: Int, maxBatch: Int) {
        self.hold = hold
        self.resume = resume
        self.ping = ping
        self.buffer = buffer
        self.maxBatch = maxBatch
    }
}

/// Owns the messages of a resumable session in both directions, which outlive its lanes: their numbers, the windows,
/// the parked poll and the Close behind the last message. A part of ``ResumableTraffic``.
///
/// Every message is kept until it is acknowledged, so that a lane of either kind can take over from another. A
/// generation tells lanes apart: a later lane supersedes an earlier one, whose messages are then ignored.
package struct ResumableStream: Sendable {
    package struct Lane: Equatable, Sendable {
        package var generation: UInt64
        /// The acknowledged number the poll came with; its answer is what comes after.
        package var ack: UInt64
        /// When a parked poll is answered empty.
        package var deadline: NIODeadline
    }

    package private(set) var settings: SessionSettings
    package private(set) var parked: Lane?
    private var generation: UInt64 = 0
    private var sendWindow: SendWindow
    private var receiveWindow = ReceiveWindow()
    /// The Close that ends the stream of messages to the client; nil before the stream ends.
    package private(set) var finalFrame: CloseFrame?
    /// The time at which the session ends unless its client sends something before. After the final Close: the time at
    /// which the session is forgotten unless its client acknowledges more before.
    package private(set) var resumeDeadline: NIODeadline
    /// The time at which the session is forgotten even if its client acknowledges more; nil before the final Close.
    package private(set) var lastDeadline: NIODeadline?
    package var sockets = SocketLanes()

    package init(settings: SessionSettings, now: NIODeadline) {
        self.settings = settings
        self.sendWindow = SendWindow(byteLimit: settings.buffer)
        self.resumeDeadline = now + settings.resume
    }

    /// Other bounds and times, from the next request on.
    package mutating func adopt(_ settings: SessionSettings) {
        self.settings = settings
        self.sendWindow.byteLimit = settings.buffer
    }

    /// Last client message that was taken in order; every batch to the client acknowledges it.
    package var received: UInt64 { self.receiveWindow.received }

    /// Sequence number that the next message to the client will have.
    package var nextSequence: UInt64 { self.sendWindow.lastSequence &+ 1 }

    /// Reading from the upstream pauses while this is true. After the final Close no message is kept, and the upstream
    /// is read on until its own Close.
    package var isSendWindowFull: Bool { self.finalFrame == nil && self.sendWindow.isFull }

    /// Bytes that wait to be acknowledged, as the protocol counts them.
    package var unacknowledgedBytes: Int { self.sendWindow.bytes }

    /// Bytes of memory that the unacknowledged messages take.
    package var heldBytes: Int { self.sendWindow.heldBytes }

    // MARK: - towards the client

    package enum OnPoll: Equatable, Sendable {
        /// The poll is answered now with this batch.
        case reply(PollBatch)
        /// The request waits until `Lane.deadline`.
        case park(Lane)
        /// `ack` names a message that was never sent.
        case ackBeyond(last: UInt64)
    }

    /// A `GET` has come. `superseded` is the parked poll that it replaces, which the caller answers with 204.
    package mutating func poll(ack: UInt64, now: NIODeadline) -> (superseded: Lane?, outcome: OnPoll) {
        if let last = self.hear(ack: ack, now: now) { return (nil, .ackBeyond(last: last)) }
        let superseded = self.parked
        self.parked = nil
        self.generation &+= 1
        let lane = Lane(generation: self.generation, ack: ack, deadline: now + self.settings.hold)
        if let batch = self.nextBatch(after: ack) { return (superseded, .reply(batch)) }
        self.parked = lane
        return (superseded, .park(lane))
    }

    /// Puts a message of the upstream into the window. Does nothing after the final Close.
    package mutating func enqueue(_ message: PollMessage) {
        guard self.finalFrame == nil else { return }
        _ = self.sendWindow.append(message)
    }

    /// The stream to the client ends with `frame`; nothing is enqueued behind it.
    package mutating func finish(_ frame: CloseFrame, now: NIODeadline) {
        guard self.finalFrame == nil else { return }
        self.finalFrame = frame
        self.resumeDeadline = now + self.settings.resume
        self.lastDeadline = self.resumeDeadline + self.settings.resume
    }

    /// Drops the messages that wait for the client. `frame` is the Close that it gets instead.
    package mutating func forfeit(_ frame: CloseFrame) {
        self.finalFrame = frame
        self.sendWindow.drop()
    }

    /// Takes the parked poll and its answer, once there are messages or a Close for it.
    package mutating func takeReady(now: NIODeadline) -> (Lane, PollBatch)? {
        guard let lane = self.parked, let batch = self.nextBatch(after: lane.ack) else { return nil }
        self.parked = nil
        self.touch(now: now)
        return (lane, batch)
    }

    /// Takes the parked poll when its time is up.
    package mutating func takeExpired(now: NIODeadline) -> Lane? {
        guard let lane = self.parked, lane.deadline <= now else { return nil }
        return self.takeParked(now: now)
    }

    /// Takes the parked poll, which the caller answers at once.
    package mutating func takeParked(now: NIODeadline) -> Lane? {
        guard let lane = self.parked else { return nil }
        self.parked = nil
        self.touch(now: now)
        return lane
    }

    /// The connection of a parked poll is gone. No message is lost, because the window keeps the messages.
    package mutating func laneLost(generation: UInt64, now: NIODeadline) {
        guard self.parked?.generation == generation else { return }
        self.parked = nil
        self.touch(now: now)
    }

    /// Whether the client has acknowledged everything, including the final Close.
    package var isDelivered: Bool {
        self.finalFrame != nil && self.finalAcknowledged
    }

    private var finalAcknowledged = false

    /// Drops the messages up to `ack` from the window. The final Close counts as one message behind the last.
    ///
    /// - Returns: nil, or the last number sent if `ack` is beyond it.
    package mutating func acknowledge(_ ack: UInt64) -> UInt64? {
        if self.finalFrame != nil, ack == self.sendWindow.lastSequence &+ 1 {
            self.finalAcknowledged = true
            _ = self.sendWindow.acknowledge(self.sendWindow.lastSequence)
            return nil
        }
        switch self.sendWindow.acknowledge(ack) {
        case .beyond(let last): return last
        case .ok, .stale: return nil
        }
    }

    private func nextBatch(
        after ack: UInt64, most: Int = SendWindow.messagesPerBatch, bytes: Int = .max
    ) -> PollBatch? {
        let (first, messages) = self.sendWindow.batch(
            after: ack, maxBytes: min(bytes, self.settings.maxBatch),
            maxMessages: min(most, SendWindow.messagesPerBatch))
        let isLast = first &+ UInt64(messages.count) == self.sendWindow.lastSequence &+ 1
        let close = isLast || messages.isEmpty ? self.finalFrame : nil
        guard !messages.isEmpty || close != nil else { return nil }
        return PollBatch(ack: self.received, first: first, messages: messages, close: close)
    }

    /// Whether a poll that acknowledges `ack` would be answered with more than `messages` messages or `bytes` bytes.
    package func hasMore(than messages: Int, bytes: Int, after ack: UInt64) -> Bool {
        self.sendWindow.exceeds(messages: messages, bytes: bytes, after: ack)
    }

    // MARK: - the WebSocket lane

    /// Takes the messages that the lane in use has not been sent yet, as many as one envelope may have.
    ///
    /// - Parameters:
    ///   - most: messages.
    ///   - bytes: of messages. A longer message goes alone.
    package mutating func takeForSocket(
        _ most: Int = SendWindow.messagesPerBatch, bytes: Int = .max
    ) -> PollBatch? {
        guard let lane = self.sockets.active, !lane.hasSentClose,
            let batch = self.nextBatch(after: lane.sent, most: most, bytes: bytes)
        else { return nil }
        // `first` is above 0, and the batch has messages.
        self.sockets.active?.sent = batch.first &+ UInt64(batch.messages.count) &- 1
        self.sockets.active?.told = batch.ack
        self.sockets.active?.hasSentClose = batch.close != nil
        return batch
    }

    /// An envelope without messages, which acknowledges the messages received.
    package mutating func acknowledgementForSocket() -> PollBatch? {
        guard let lane = self.sockets.active, !lane.hasSentClose else { return nil }
        let received = self.received
        self.sockets.active?.told = received
        return PollBatch(ack: received, first: max(lane.sent, self.sendWindow.acknowledged) &+ 1)
    }

    /// Whether the client has sent messages that the lane in use has not acknowledged.
    package var owesAcknowledgement: Bool {
        self.sockets.active.map { $0.told != self.received } ?? false
    }

    /// The number of the last message that the client has acknowledged.
    package var acknowledged: UInt64 { self.sendWindow.acknowledged }

    /// The lane is gone. The client has the time `resume` to come back.
    package mutating func socketLost(_ generation: UInt64, now: NIODeadline) -> Bool {
        guard self.sockets.lost(generation) else { return false }
        self.touch(now: now)
        return true
    }

    // MARK: - from the client

    package enum OnBatch: Equatable, Sendable {
        /// Forward the batch's messages from `skip` on; earlier ones were seen.
        case accept(skip: Int)
        case duplicate
        case gap(expected: UInt64)
        case ackBeyond(last: UInt64)
    }

    /// Whether ``receive(first:count:ack:now:)`` would take a message of such a batch. Changes nothing.
    package func takes(first: UInt64, count: Int) -> Bool {
        if case .accept = self.receiveWindow.inspect(first: first, count: count) { return true }
        return false
    }

    /// Call this when a POST comes. Messages are taken only if the result is `.accept`.
    package mutating func receive(first: UInt64, count: Int, ack: UInt64, now: NIODeadline) -> OnBatch {
        if let last = self.hear(ack: ack, now: now) { return .ackBeyond(last: last) }
        switch self.receiveWindow.receive(first: first, count: count) {
        case .accept(let skip): return .accept(skip: skip)
        case .duplicate: return .duplicate
        case .gap(let expected): return .gap(expected: expected)
        }
    }

    // MARK: - time

    /// Whether the client has stayed away for `resume`, with no parked poll and no lane. After the session's end:
    /// whether it has acknowledged nothing new for `resume`, with no parked poll. A lane alone then keeps no session.
    ///
    /// - Parameter hasEnded: both close handshakes of the session are over.
    package func isAbandoned(hasEnded: Bool, now: NIODeadline) -> Bool {
        !self.isAttended(hasEnded: hasEnded) && self.resumeDeadline <= now
    }

    /// True while the client has a parked poll or a lane. The session then needs no deadline of its own.
    ///
    /// - Parameter hasEnded: both close handshakes of the session are over.
    package func isAttended(hasEnded: Bool) -> Bool {
        self.parked != nil || (self.sockets.active != nil && !hasEnded)
    }

    /// Extends the time that the client may stay away. Call this when the client has sent anything. After the final
    /// Close it extends nothing, because the messages that wait for the client take memory.
    package mutating func touch(now: NIODeadline) {
        if self.lastDeadline == nil { self.resumeDeadline = now + self.settings.resume }
    }

    /// The client has sent an acknowledgement. After the final Close a new acknowledgement extends the time, up to
    /// ``lastDeadline``, so that a client that takes its messages slowly is not given up at once.
    ///
    /// - Returns: the same as ``acknowledge(_:)``.
    package mutating func hear(ack: UInt64, now: NIODeadline) -> UInt64? {
        self.touch(now: now)
        let before = self.acknowledged
        let beyond = self.acknowledge(ack)
        if let last = self.lastDeadline, self.acknowledged != before {
            self.resumeDeadline = min(now + self.settings.resume, last)
        }
        return beyond
    }
}

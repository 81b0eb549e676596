package import NIOCore

/// Bounds and times of a session, from `session:` and `limits:` of the configuration.
package struct SessionSettings: Equatable, Sendable {
    /// Longest a poll is parked.
    package var hold: TimeAmount
    /// How long a resumable session outlives its last lane, and its ending is remembered.
    package var resume: TimeAmount
    /// Keepalive period.
    package var ping: TimeAmount
    /// Unacknowledged bytes towards the client.
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

/// What survives a lane: sequence numbers, windows, the parked poll, and the session's closing.
///
/// A session whose only lane is a native WebSocket (`resumable == false`) keeps no windows: its bytes go straight
/// from leg to leg and this machine sees only keepalive and closing. A resumable session keeps every message until
/// it is acknowledged, so that a lane may go and another, of whatever kind, take over.
///
/// Lanes are told apart by generation: a later one supersedes, and what an earlier one still says is ignored.
package struct SessionStateMachine: Sendable {
    package struct Lane: Equatable, Sendable {
        package var generation: UInt64
        /// The acknowledged number the poll came with; its answer is what comes after.
        package var ack: UInt64
        /// When a parked poll is answered empty.
        package var deadline: NIODeadline
    }

    package private(set) var settings: SessionSettings
    package let isResumable: Bool
    package private(set) var closing = CloseNegotiation()
    package private(set) var parked: Lane?
    private var generation: UInt64 = 0
    private var sendWindow: SendWindow
    private var receiveWindow = ReceiveWindow()
    /// The Close that ends the stream of messages to the client; stays until acknowledged with them.
    package private(set) var finalFrame: CloseFrame?
    /// When the session ends unless a request of its client comes first. After the end: when the session is forgotten
    /// unless its client takes more of it.
    package private(set) var resumeDeadline: NIODeadline
    /// When the session is forgotten whatever its client takes; nil before its end.
    package private(set) var lastDeadline: NIODeadline?
    package var sockets = SocketLanes()
    package var clientKeepalive = Keepalive()
    package var upstreamKeepalive = Keepalive()

    package init(settings: SessionSettings, isResumable: Bool, now: NIODeadline) {
        self.settings = settings
        self.isResumable = isResumable
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

    /// Reading from the upstream pauses while this is true. Behind the last message nothing is kept, and what the
    /// upstream still sends is to be read for its Close.
    package var isSendWindowFull: Bool { self.finalFrame == nil && self.sendWindow.isFull }

    /// Bytes that wait to be acknowledged, as the protocol counts them.
    package var unacknowledgedBytes: Int { self.sendWindow.bytes }

    /// Bytes of memory that they take.
    package var heldBytes: Int { self.sendWindow.heldBytes }

    // MARK: - closing

    package mutating func close(_ event: CloseNegotiation.Event) -> CloseNegotiation.Actions {
        self.closing.handle(event)
    }

    // MARK: - towards the client

    package enum OnPoll: Equatable, Sendable {
        /// Answer now. `ends`: the batch carries the final Close.
        case reply(PollBatch)
        /// Keep the request until `SessionStateMachine.Lane.deadline`.
        case park(Lane)
        /// `ack` names a message that was never sent.
        case ackBeyond(last: UInt64)
    }

    /// A GET came. `superseded` is the parked one it replaces, to be answered 204.
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

    /// A message for the client came from the upstream; the answer to the parked poll, if one waits.
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

    /// The client is not to have the rest: what waits for it is dropped, and `frame` says why.
    package mutating func forfeit(_ frame: CloseFrame) {
        self.finalFrame = frame
        self.sendWindow.drop()
    }

    /// The parked poll and its answer, once there is something to say.
    package mutating func takeReady(now: NIODeadline) -> (Lane, PollBatch)? {
        guard let lane = self.parked, let batch = self.nextBatch(after: lane.ack) else { return nil }
        self.parked = nil
        self.touch(now: now)
        return (lane, batch)
    }

    /// The parked poll, when its time is up; also when `now` is the distant future, to answer it at once.
    package mutating func takeExpired(now: NIODeadline) -> Lane? {
        guard let lane = self.parked, lane.deadline <= now else { return nil }
        self.parked = nil
        self.touch(now: now)
        return lane
    }

    /// The connection of a parked poll is gone. An answer for it would be lost in the air, nothing else.
    package mutating func laneLost(generation: UInt64, now: NIODeadline) {
        guard self.parked?.generation == generation else { return }
        self.parked = nil
        self.touch(now: now)
    }

    /// Everything was acknowledged, the final Close included.
    package var isDelivered: Bool {
        self.finalFrame != nil && self.finalAcknowledged
    }

    private var finalAcknowledged = false

    /// Nil, or the last number sent when `ack` is beyond it. The final Close counts as one message behind the last.
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

    /// What the lane has not been sent yet, as far as one envelope goes.
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
        // Nothing is empty here: `first` is above 0.
        self.sockets.active?.sent = batch.first &+ UInt64(batch.messages.count) &- 1
        self.sockets.active?.told = batch.ack
        self.sockets.active?.hasSentClose = batch.close != nil
        return batch
    }

    /// An envelope that says no more than what has been received.
    package mutating func acknowledgementForSocket() -> PollBatch? {
        guard let lane = self.sockets.active, !lane.hasSentClose else { return nil }
        let received = self.received
        self.sockets.active?.told = received
        return PollBatch(ack: received, first: max(lane.sent, self.sendWindow.acknowledged) &+ 1)
    }

    /// The client has sent what this lane has not acknowledged.
    package var owesAcknowledgement: Bool {
        self.sockets.active.map { $0.told != self.received } ?? false
    }

    /// The last that the client has acknowledged.
    package var acknowledged: UInt64 { self.sendWindow.acknowledged }

    /// The lane is gone; the client has `resume` to come back.
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

    /// Tells whether ``receive(first:count:ack:now:)`` would take something of such a batch, and changes nothing.
    package func takes(first: UInt64, count: Int) -> Bool {
        if case .accept = self.receiveWindow.inspect(first: first, count: count) { return true }
        return false
    }

    /// A POST came. Nothing is taken unless the answer is `.accept`.
    package mutating func receive(first: UInt64, count: Int, ack: UInt64, now: NIODeadline) -> OnBatch {
        if let last = self.hear(ack: ack, now: now) { return .ackBeyond(last: last) }
        switch self.receiveWindow.receive(first: first, count: count) {
        case .accept(let skip): return .accept(skip: skip)
        case .duplicate: return .duplicate
        case .gap(let expected): return .gap(expected: expected)
        }
    }

    // MARK: - time

    /// Whether the client stayed away for `resume`, with no poll parked and no WebSocket; or, once the session has
    /// ended, has taken nothing of it for so long: a lane that does not read keeps nothing alive.
    package func isAbandoned(now: NIODeadline) -> Bool {
        self.isResumable && !self.isAttended && self.resumeDeadline <= now
    }

    /// Somebody is there, for whom the session needs no time of its own.
    package var isAttended: Bool { self.parked != nil || (self.sockets.active != nil && !self.closing.isEnded) }

    /// The client was heard of. After the end that extends nothing: what waits for the client costs, and an upstream is
    /// not there any more.
    package mutating func touch(now: NIODeadline) {
        if self.lastDeadline == nil { self.resumeDeadline = now + self.settings.resume }
    }

    /// The client was heard of, with an acknowledgement. After the end a new one extends the time, up to the last
    /// deadline: a client that takes what there is, however slowly, is not given up at once.
    ///
    /// - Returns: as ``acknowledge(_:)``.
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

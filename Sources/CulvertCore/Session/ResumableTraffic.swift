import NIOCore

/// Owns the messages of a resumable session in both directions, the parked poll and the lanes that carry them, and the
/// end of both streams. A part of ``ResumableClient``, which has the verbs of the client.
package struct ResumableTraffic: Sendable {
    package enum Stage: Equatable, Sendable {
        /// The client has not proved yet that it knows the session id. The session ends with the lane that opened it.
        case unconfirmed
        case confirmed
        /// The client has sent a Close, or gets nothing more. Requests are answered with the session's end.
        case closed
        /// The session has ended, and holds nothing for its client any more.
        case buried
    }

    /// The least time for the last bytes to the upstream, for a close handshake that ends just before its deadline.
    private static let leastTimeToClose = TimeAmount.milliseconds(500)

    package internal(set) var stage = Stage.confirmed
    package internal(set) var stream: ResumableStream
    package internal(set) var forwarding = ForwardQueue()
    package internal(set) var counts = SessionCounts()
    /// The ticket of the parked poll; nil when no poll is parked.
    package internal(set) var parked: UInt64?
    /// Pings, pongs and empty fragments of all lanes.
    var controls = ControlCount()
    /// Messages of large batches that were decoded in vain. They count in the client's rate.
    var messagesInVain: UInt64 = 0

    init(settings: SessionSettings, now: NIODeadline) {
        self.stream = ResumableStream(settings: settings, now: now)
    }

    /// The client gets nothing more. A buried session stays buried.
    mutating func endForClient() { if self.stage != .buried { self.stage = .closed } }

    package var isClosed: Bool { self.stage == .closed || self.stage == .buried }
    package var isBuried: Bool { self.stage == .buried }
    package var lane: SocketLanes.Lane? { self.stream.sockets.active }

    /// The Close with which the session ends, or has ended, for the client.
    package func endFrame(_ life: SessionLife) -> CloseFrame {
        self.stream.finalFrame ?? life.closing.ending?.frame ?? CloseFrame(code: .normal)
    }

    /// Bytes of memory of the messages that wait for the client, for the upstream, or in the lane.
    package func heldBytes(_ life: SessionLife) -> Int {
        if self.isBuried { return 0 }
        let window = self.stream.heldBytes
        return life.hasEnded ? window : window + self.forwarding.heldBytes + (self.lane?.pendingBytes ?? 0)
    }

    mutating func answerParked(_ answer: ResumableAnswer, _ out: inout [ResumableAction]) {
        guard let ticket = self.parked else { return }
        self.parked = nil
        out.append(.answer(ticket, answer))
    }

    func answer(_ reply: ForwardQueue.Reply) -> ResumableAction {
        let taken = ResumableAnswer.taken(ack: self.stream.received, next: self.stream.nextSequence)
        return .answer(reply.ticket, reply.isClose ? .empty : taken)
    }

    // MARK: - from the upstream

    package enum OnMessage: Equatable, Sendable {
        case kept
        /// The message is kept, and the window is full. The driver stops reading the upstream.
        case full
        /// The stream to the client has ended, and the message is dropped.
        case dropped
    }

    /// The upstream has sent a message.
    package mutating func message(_ message: PollMessage) -> OnMessage {
        self.counts.messagesOut &+= 1
        self.counts.bytesOut &+= UInt64(message.payload.readableBytes)
        guard self.stream.finalFrame == nil else { return .dropped }
        self.stream.enqueue(message)
        return self.stream.isSendWindowFull ? .full : .kept
    }

    /// The longest time that the last bytes to the upstream may take.
    func timeToClose(_ life: SessionLife, _ moment: ClientMoment) -> TimeAmount {
        life.timeToClose(least: Self.leastTimeToClose, time: moment.closeTime, now: moment.now)
    }
}

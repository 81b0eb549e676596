import CulvertCore
import DequeModule
import NIOCore

struct AttachedLane {
    let generation: UInt64
    let link: LaneLink
    var caller: Caller
    var isWritable = true
    /// A read's worth of what it has brought, which there was no room for yet.
    var pending: Deque<PollBatch> = []
    /// It has brought something, and waits to be told that it may go on.
    var waitsToRead = false
    /// It was asked for an answer while it had no room for one.
    var owesAnswer = false
    /// It has brought more envelopes than a turn takes, and the rest is taken in a later turn.
    var isTakenLater = false
    /// It has been sent a turn's worth of messages, and is sent more in a later turn.
    var isSentMoreLater = false

    var pendingBytes: Int { self.pending.reduce(0) { $0 + $1.heldBytes } }
}

/// The WebSocket lanes of a resumable session.
extension Session {
    /// For what the client has sent to be acknowledged together with an answer of the upstream's, if that is quick.
    private static let acknowledgeTime = TimeAmount.milliseconds(100)

    /// The session was opened on `link`, and is nobody's until the client has said something there.
    func open(on link: LaneLink) -> UInt64 {
        let generation = self.machine.sockets.open()
        let caller = Caller(
            credential: self.credential, host: self.facts.host, origins: self.facts.origins, transport: .webSocket)
        self.lane = AttachedLane(generation: generation, link: link, caller: caller)
        self.isConfirmed = false
        self.transport = .webSocket
        return generation
    }

    func join(_ link: LaneLink, _ caller: Caller) -> UInt64 {
        let generation = self.machine.sockets.join()
        let earlier = self.joiningLane
        self.joiningLane = AttachedLane(
            generation: generation, link: link, caller: caller.kept(beside: self.facts))
        self.noteEnd(of: caller)
        self.machine.touch(now: .now())
        earlier?.link.send(.close(Self.superseded))
        return generation
    }

    private static let superseded = CloseFrame(code: CloseCode(rawValue: 4409), reason: "another lane took over")

    func lane(_ generation: UInt64, _ event: LaneEvent) {
        switch event {
        case .batches(let batches, let controls):
            if !batches.isEmpty { self.take(batches, from: generation) }
            if self.lane?.generation == generation {
                self.lane?.waitsToRead = true
                self.noteControls(ofLane: controls)
            }
            self.settleLane()
        case .writable(let isWritable):
            if self.joiningLane?.generation == generation { self.joiningLane?.isWritable = isWritable }
            guard self.lane?.generation == generation else { return }
            self.lane?.isWritable = isWritable
            guard isWritable else { return }
            self.deliverReady()
            if self.lane?.owesAnswer == true { self.acknowledgeOnLane() }
        case .parts:
            if self.lane?.generation == generation { self.limits.laneParts &+= 1 }
        case .holds(let bytes):
            guard self.lane?.generation == generation else { return }
            self.laneHeld = bytes
        case .lost:
            if self.joiningLane?.generation == generation { self.joiningLane = nil }
            if self.machine.socketLost(generation, now: .now()) {
                self.detachLane()
                if !self.isConfirmed { self.giveUpUnconfirmed() }
                self.arm()
            }
            self.accountMemory()
        }
    }

    /// Nobody learnt what the session is called.
    func giveUpUnconfirmed() {
        self.hasClientClosed = true
        let frame = CloseFrame(code: .goingAway, reason: "client lost")
        self.machine.finish(frame, now: .now())
        self.deliverReady()
        self.apply(self.machine.close(.abandoned(frame)))
        self.buryIfDone()
    }

    // MARK: - from the client

    private func take(_ batches: [PollBatch], from generation: UInt64) {
        let kind = self.machine.sockets.envelope(from: generation)
        guard kind != .ignore, !self.hasClientClosed else { return }
        if kind == .first { self.begin(generation) }
        self.lane?.waitsToRead = true
        self.lane?.pending.append(contentsOf: batches)
        if kind == .first { self.lane?.owesAnswer = true }
        self.takePending()
    }

    /// Takes what the lane has brought while there is room for it. An envelope counts as a message does: a lane on
    /// another loop brings them as fast as this loop takes them.
    private func takePending() {
        let slices = self.state.slices
        let most = slices.room
        var room = most
        self.forwarding.holdsFlush = true
        while room > 0, self.mayReadLane, let batch = self.lane?.pending.popFirst() {
            room -= 1
            self.take(batch)
        }
        self.forwarding.holdsFlush = false
        self.upstreamLeg.flush()
        slices.notePassed(most - room)
        if room == 0 { self.takePendingLater() }
        guard let lane = self.lane, lane.owesAnswer, lane.pending.isEmpty || !self.mayReadLane else { return }
        // Whatever goes out is answer enough.
        if !self.deliverToLane() { self.acknowledgeOnLane() }
    }

    private func takePendingLater() {
        guard let lane = self.lane, !lane.isTakenLater, !lane.pending.isEmpty else { return }
        self.lane?.isTakenLater = true
        self.state.slices.enqueue(in: .sessions) {
            self.lane?.isTakenLater = false
            self.readLane()
        }
    }

    private func take(_ batch: PollBatch) {
        let acknowledged = self.machine.acknowledged
        if let violation = self.receive(batch) {
            self.dropLane(CloseFrame(code: .protocolError, reason: violation))
            return
        }
        if self.machine.isDelivered {
            self.releaseLanes(nil)
            return
        }
        if let close = batch.close {
            if self.isOpen {
                self.closeFromClient(close)
            } else {
                // Both have said Close at once, and the client is not waiting for more.
                self.hasClientClosed = true
                self.releaseLanes(self.endFrame)
            }
            return
        }
        let isQuestion = batch.messages.isEmpty && self.machine.acknowledged == acknowledged
        if isQuestion {
            self.lane?.owesAnswer = true
        } else if self.machine.owesAcknowledgement, self.acknowledgeDeadline == nil {
            self.acknowledgeDeadline = .now() + Self.acknowledgeTime
        }
    }

    /// - Returns: what is wrong with the batch. On a lane everything is in order: whoever begins too late has lost
    ///   count.
    private func receive(_ batch: PollBatch) -> String? {
        guard self.machine.closing.maySend(to: .server), self.machine.finalFrame == nil else {
            return self.machine.hear(ack: batch.ack, now: .now()).map { "ack beyond \($0)" }
        }
        switch self.machine.receive(first: batch.first, count: batch.messages.count, ack: batch.ack, now: .now()) {
        case .accept(let skip):
            self.forward(batch.messages.dropFirst(skip), of: batch)
            self.pauseLane()
        case .duplicate: break
        case .gap(let expected): return "expected \(expected)"
        case .ackBeyond(let last): return "ack beyond \(last)"
        }
        return nil
    }

    /// Nothing is dropped that came too fast: the lane is not read, and the client's own sending blocks.
    func pauseLane() {
        let now = NIODeadline.now()
        if self.messageRate != nil, let wait = self.credential?.entry.use.wait(now: now), wait > .zero,
            self.rateDeadline == nil
        {
            self.rateDeadline = now + wait
        }
        if let wait = self.chargePosted() { self.limits.clientPause = now + wait }
    }

    /// The first envelope of a lane: from now on it is the session's.
    private func begin(_ generation: UInt64) {
        self.isConfirmed = true
        self.transport = .webSocket
        // Asks no more: what it waits for comes on the lane.
        if self.machine.takeExpired(now: .distantFuture) != nil { self.answerParked(.empty) }
        guard let joining = self.joiningLane, joining.generation == generation else { return }
        let earlier = self.lane
        self.detachLane()
        self.lane = joining
        self.joiningLane = nil
        earlier?.link.send(.close(Self.superseded))
    }

    /// The upstream's leg has room, what was taken has been forwarded, and no rate says wait; or the session closes,
    /// and nothing is forwarded.
    private var mayReadLane: Bool {
        if !self.isOpen { return true }
        return self.upstreamLeg.isWritable && self.forwarding.isEmpty && self.rateDeadline == nil
            && self.limits.clientPause == nil
    }

    /// Takes on where there was no room, and lets the lane bring more if there is.
    func readLane() {
        guard self.lane?.waitsToRead == true, self.mayReadLane else { return }
        if self.lane?.pending.isEmpty == false {
            self.takePending()
            self.settleLane()
            return
        }
        let link = self.lane?.link
        self.lane?.waitsToRead = false
        link?.send(.read)
    }

    /// What has been taken may have made room, or ended something.
    private func settleLane() {
        self.resumeUpstream()
        self.deliverReady()
        if self.lane?.pending.isEmpty == true { self.readLane() }
        self.accountMemory()
        self.buryIfDone()
        self.arm()
    }

    // MARK: - towards the client

    /// Sends a turn's worth: a lane that has joined gets the whole window again, which may be very many messages or bytes.
    ///
    /// - Returns: whether there was anything.
    @discardableResult
    func deliverToLane() -> Bool {
        var hasSent = false
        let slices = self.state.slices
        var room = slices.room
        while let lane = self.lane, lane.isWritable, !lane.isSentMoreLater,
            let batch = self.machine.takeForSocket(room, bytes: room * LoopSlices.bytesPerMessage)
        {
            hasSent = true
            room -= slices.notePassed(batch, bytes: batch.encodedBytes)
            if room <= 0 { self.deliverMoreLater() }
            self.acknowledgeDeadline = nil
            self.lane?.owesAnswer = false
            lane.link.send(.batch(batch))
        }
        return hasSent
    }

    private func deliverMoreLater() {
        self.lane?.isSentMoreLater = true
        self.state.slices.enqueue(in: .sessions) {
            self.lane?.isSentMoreLater = false
            self.deliverReady()
        }
    }

    /// Answers when there is room for it: a client that asks and does not read has one answer kept for it.
    private func acknowledgeOnLane() {
        self.acknowledgeDeadline = nil
        guard let lane = self.lane else { return }
        guard lane.isWritable else {
            self.lane?.owesAnswer = true
            return
        }
        self.lane?.owesAnswer = false
        if let batch = self.machine.acknowledgementForSocket() { lane.link.send(.batch(batch)) }
    }

    func laneTimerFired(now: NIODeadline) {
        guard let deadline = self.acknowledgeDeadline, deadline <= now else { return }
        if self.machine.owesAcknowledgement { self.acknowledgeOnLane() } else { self.acknowledgeDeadline = nil }
    }

    // MARK: - the end of a lane

    private func detachLane() {
        self.lane = nil
        self.laneHeld = 0
        self.acknowledgeDeadline = nil
    }

    /// The lane is closed, the session goes on.
    func dropLane(_ frame: CloseFrame) {
        guard let lane = self.lane else { return }
        _ = self.machine.socketLost(lane.generation, now: .now())
        self.detachLane()
        lane.link.send(.close(frame))
    }

    /// Closes a lane that has yet to say something. The session goes on.
    func dropJoiningLane(_ frame: CloseFrame) {
        guard let lane = self.joiningLane else { return }
        _ = self.machine.socketLost(lane.generation, now: .now())
        self.joiningLane = nil
        lane.link.send(.close(frame))
    }

    /// The session has ended, for the client with `frame`, whatever it has not been sent; nil when it has been.
    func releaseLanes(_ frame: CloseFrame?) {
        let released = [self.lane, self.joiningLane].compactMap(\.self)
        let hasSentClose = self.machine.sockets.active?.hasSentClose ?? false
        // Forgotten first: a lane that closes says so at once, and would seem to have been lost.
        for lane in released { _ = self.machine.socketLost(lane.generation, now: .now()) }
        self.detachLane()
        self.joiningLane = nil
        for (index, lane) in released.enumerated() {
            if let frame, index > 0 || !hasSentClose {
                lane.link.send(.batch(PollBatch(ack: self.machine.received, first: 0, close: frame)))
            }
            lane.link.send(.close(CloseFrame(code: .normal)))
        }
        self.accountMemory()
    }
}

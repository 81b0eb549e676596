import CulvertCore
import NIOCore

struct AttachedLane {
    let generation: UInt64
    let link: LaneLink
    var isWritable = true
    /// It has brought something, and waits to be told that it may go on.
    var waitsToRead = false
}

/// The WebSocket lanes of a resumable session.
extension Session {
    /// For what the client has sent to be acknowledged together with an answer of the upstream's, if that is quick.
    private static let acknowledgeTime = TimeAmount.milliseconds(100)

    /// The session was opened on `link`, and is nobody's until the client has said something there.
    func open(on link: LaneLink) -> UInt64 {
        let generation = self.machine.sockets.open()
        self.lane = AttachedLane(generation: generation, link: link)
        self.isConfirmed = false
        self.lastTransport = .webSocket
        return generation
    }

    func join(_ link: LaneLink) -> UInt64 {
        let generation = self.machine.sockets.join()
        self.joiningLane?.link.send(.close(Self.superseded))
        self.joiningLane = AttachedLane(generation: generation, link: link)
        return generation
    }

    private static let superseded = CloseFrame(code: CloseCode(rawValue: 4409), reason: "another lane took over")

    func lane(_ generation: UInt64, _ event: LaneEvent) {
        switch event {
        case .batches(let batches):
            for batch in batches { self.take(batch, from: generation) }
            self.resumeUpstream()
            self.deliverReady()
            self.readLane()
            self.accountMemory()
            self.buryIfDone()
            self.arm()
        case .writable(let isWritable):
            if self.joiningLane?.generation == generation { self.joiningLane?.isWritable = isWritable }
            guard self.lane?.generation == generation else { return }
            self.lane?.isWritable = isWritable
            if isWritable { self.deliverReady() }
        case .lost:
            if self.joiningLane?.generation == generation { self.joiningLane = nil }
            guard self.machine.socketLost(generation, now: .now()) else { return }
            self.lane = nil
            self.acknowledgeDeadline = nil
            if !self.isConfirmed { self.giveUpUnconfirmed() }
            self.arm()
        }
    }

    /// Nobody learnt what the session is called.
    private func giveUpUnconfirmed() {
        self.hasClientClosed = true
        let frame = CloseFrame(code: .goingAway, reason: "client lost")
        self.machine.finish(frame, now: .now())
        self.apply(self.machine.close(.abandoned(frame)))
        self.buryIfDone()
    }

    // MARK: - from the client

    private func take(_ batch: PollBatch, from generation: UInt64) {
        let kind = self.machine.sockets.envelope(from: generation)
        guard kind != .ignore, !self.hasClientClosed else { return }
        if kind == .first { self.begin(generation) }
        self.lane?.waitsToRead = true
        let acknowledged = self.machine.acknowledged
        if let violation = self.receive(batch) {
            self.dropLane(CloseFrame(code: .protocolError, reason: violation))
            return
        }
        if self.machine.isDelivered {
            self.releaseLanes(nil)
            return
        }
        if let close = batch.close, self.isOpen {
            self.closeFromClient(close)
            return
        }
        let isQuestion = batch.messages.isEmpty && self.machine.acknowledged == acknowledged
        if kind == .first || isQuestion {
            // Whatever goes out is answer enough.
            if !self.deliverToLane() { self.acknowledgeOnLane() }
        } else if self.machine.owesAcknowledgement, self.acknowledgeDeadline == nil {
            self.acknowledgeDeadline = .now() + Self.acknowledgeTime
        }
    }

    /// - Returns: what is wrong with the batch. On a lane everything is in order: whoever begins too late has lost count.
    private func receive(_ batch: PollBatch) -> String? {
        guard self.machine.closing.maySend(to: .server), self.machine.finalFrame == nil else {
            return self.machine.acknowledge(batch.ack).map { "ack beyond \($0)" }
        }
        switch self.machine.receive(first: batch.first, count: batch.messages.count, ack: batch.ack, now: .now()) {
        case .accept(let skip):
            self.forward(batch.messages.dropFirst(skip))
            self.pauseLane()
        case .duplicate: break
        case .gap(let expected): return "expected \(expected)"
        case .ackBeyond(let last): return "ack beyond \(last)"
        }
        return nil
    }

    /// Nothing is dropped that came too fast: the lane is not read, and the client's own sending blocks.
    private func pauseLane() {
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
        self.lastTransport = .webSocket
        guard let joining = self.joiningLane, joining.generation == generation else { return }
        self.lane?.link.send(.close(Self.superseded))
        self.lane = joining
        self.joiningLane = nil
        // Asks no more: what it waited for comes on the lane.
        if self.machine.takeExpired(now: .distantFuture) != nil { self.answerParked(.empty) }
    }

    /// The upstream's leg has room, and no rate says wait; or the session closes, and nothing is forwarded.
    private var mayReadLane: Bool {
        if !self.isOpen { return true }
        return self.upstreamLeg.isWritable && self.rateDeadline == nil && self.limits.clientPause == nil
    }

    /// Lets the lane bring more if there is room for it.
    func readLane() {
        guard let lane = self.lane, lane.waitsToRead, self.mayReadLane else { return }
        self.lane?.waitsToRead = false
        lane.link.send(.read)
    }

    // MARK: - towards the client

    /// - Returns: whether there was anything.
    @discardableResult
    func deliverToLane() -> Bool {
        var hasSent = false
        while let lane = self.lane, lane.isWritable, let batch = self.machine.takeForSocket() {
            hasSent = true
            self.acknowledgeDeadline = nil
            lane.link.send(.batch(batch))
        }
        return hasSent
    }

    private func acknowledgeOnLane() {
        self.acknowledgeDeadline = nil
        guard let lane = self.lane, let batch = self.machine.acknowledgementForSocket() else { return }
        lane.link.send(.batch(batch))
    }

    func laneTimerFired(now: NIODeadline) {
        guard let deadline = self.acknowledgeDeadline, deadline <= now else { return }
        if self.machine.owesAcknowledgement { self.acknowledgeOnLane() } else { self.acknowledgeDeadline = nil }
    }

    // MARK: - the end of a lane

    /// The lane is closed, the session goes on.
    private func dropLane(_ frame: CloseFrame) {
        guard let lane = self.lane else { return }
        _ = self.machine.socketLost(lane.generation, now: .now())
        self.lane = nil
        self.acknowledgeDeadline = nil
        lane.link.send(.close(frame))
    }

    /// The session has ended, for the client with `frame`, whatever it has not been sent; nil when it has been.
    func releaseLanes(_ frame: CloseFrame?) {
        for lane in [self.lane, self.joiningLane] {
            guard let lane else { continue }
            if let frame { lane.link.send(.batch(PollBatch(ack: self.machine.received, first: 0, close: frame))) }
            lane.link.send(.close(CloseFrame(code: .normal)))
            _ = self.machine.socketLost(lane.generation, now: .now())
        }
        self.lane = nil
        self.joiningLane = nil
        self.acknowledgeDeadline = nil
    }
}

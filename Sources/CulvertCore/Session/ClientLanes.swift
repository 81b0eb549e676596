import DequeModule
import NIOCore

/// The verbs for the WebSocket lanes of a resumable session. ``SocketLanes`` has the state of each lane. A part of
/// ``ResumableClient``, whose driver calls it on the session's loop.
package struct ClientLanes: Sendable {
    /// The longest delay of an acknowledgement. A quick message of the upstream carries the acknowledgement with it.
    private static let acknowledgeTime = TimeAmount.milliseconds(100)
    private static let superseded = CloseFrame(code: CloseCode(rawValue: 4409), reason: "another lane took over")

    /// Grows while parts of an envelope come on the lane in use. A change means that the session is not silent.
    package private(set) var parts: UInt64 = 0

    /// The session was opened on a lane. It is unconfirmed until its client sends an envelope or a request, or joins
    /// again.
    package func open(_ traffic: inout ResumableTraffic) -> UInt64 {
        traffic.stage = .unconfirmed
        return traffic.stream.sockets.open()
    }

    package enum OnJoin: Equatable, Sendable {
        /// The lane has joined. The actions close an earlier lane that has joined and brought no envelope.
        case joined(UInt64, [ResumableAction])
        case gone(CloseFrame)
    }

    /// A WebSocket asks to be a lane.
    package func join(
        _ traffic: inout ResumableTraffic, _ life: SessionLife, _ moment: ClientMoment
    ) -> OnJoin {
        guard !traffic.isClosed, !traffic.stream.isDelivered else { return .gone(traffic.endFrame(life)) }
        traffic.stage = .confirmed
        let earlier = traffic.stream.sockets.joining
        let generation = traffic.stream.sockets.join()
        traffic.stream.touch(now: moment.now)
        return .joined(generation, earlier.map { [.closeLane($0.generation, Self.superseded)] } ?? [])
    }

    // MARK: - from the client

    /// A lane has brought envelopes. The driver takes them with ``takeNext(_:_:)``.
    package func envelopes(
        _ batches: [PollBatch], from generation: UInt64, _ traffic: inout ResumableTraffic, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        let earlier = traffic.lane
        let kind = traffic.stream.sockets.envelope(from: generation)
        guard kind != .ignore, !traffic.isClosed else { return [] }
        if kind == .first {
            traffic.stage = .confirmed
            // The parked poll is answered empty, because the lane brings the messages that the poll waits for.
            if traffic.stream.takeParked(now: moment.now) != nil { traffic.answerParked(.empty, &out) }
            out.append(.useLane(generation))
            if let earlier, earlier.generation != generation {
                out.append(.closeLane(earlier.generation, Self.superseded))
            }
            traffic.stream.sockets.active?.owesAnswer = true
        }
        traffic.stream.sockets.active?.waitsToRead = true
        traffic.stream.sockets.active?.pending.append(contentsOf: batches)
        return out
    }

    /// A read of the lane in use is complete, and the lane waits for ``ResumableAction/readLane(_:)``. The pings, pongs
    /// and empty fragments of the read count in the rates of the client.
    package func read(
        of generation: UInt64, controls: ControlCount, _ traffic: inout ResumableTraffic, _ life: inout SessionLife,
        _ moment: ClientMoment
    ) -> [ResumableAction] {
        guard traffic.lane?.generation == generation else { return [] }
        traffic.stream.sockets.active?.waitsToRead = true
        traffic.controls = traffic.controls + controls
        let count = Int(clamping: controls.charged)
        guard count > 0 else { return [] }
        var out: [ResumableAction] = [.charge(count, holdsLane: true)]
        traffic.chargeLane(&life, moment, &out)
        return out
    }

    /// Whether the lane may bring more: the upstream's leg has room, nothing waits to be forwarded, and no rate pauses
    /// the client. True while the session closes, because nothing is forwarded then.
    private func mayRead(
        _ traffic: ResumableTraffic, _ life: SessionLife, _ moment: ClientMoment
    ) -> Bool {
        if !life.isOpen { return true }
        return moment.isUpstreamWritable && traffic.forwarding.isEmpty && life.limits.tokenPause == nil
            && life.limits.client.pause == nil
    }

    package enum OnReadOn: Equatable, Sendable {
        case nothing
        /// Envelopes wait, and there is room for them: see ``takeNext(_:_:)``.
        case take
        /// No envelope waits. ``ResumableClient/deliver(_:_:)`` lets the lane bring more.
        case read(UInt64)
    }

    /// How the lane goes on. The driver asks when a reason not to read the lane may be over.
    package func readOn(
        _ traffic: ResumableTraffic, _ life: SessionLife, _ moment: ClientMoment
    ) -> OnReadOn {
        guard let lane = traffic.lane, lane.waitsToRead, self.mayRead(traffic, life, moment) else { return .nothing }
        return lane.pending.isEmpty ? .read(lane.generation) : .take
    }

    /// Takes the next envelope that waits; nil if there is none, or no room for it. The cost is in messages, and the
    /// envelope itself counts as one more: a lane on another loop may bring empty envelopes as fast as this loop takes
    /// them.
    package func takeNext(
        _ traffic: inout ResumableTraffic, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> (cost: Int, actions: [ResumableAction])? {
        guard self.mayRead(traffic, life, moment), let batch = traffic.stream.sockets.active?.pending.popFirst() else {
            return nil
        }
        var out: [ResumableAction] = []
        self.take(batch, &traffic, &life, moment, &out)
        return (1 + batch.messages.count, out)
    }

    private func take(
        _ batch: PollBatch, _ traffic: inout ResumableTraffic, _ life: inout SessionLife, _ moment: ClientMoment,
        _ out: inout [ResumableAction]
    ) {
        let acknowledged = traffic.stream.acknowledged
        if let violation = self.receive(batch, &traffic, &life, moment, &out) {
            out += self.drop(CloseFrame(code: .protocolError, reason: violation), &traffic, moment)
            return
        }
        if traffic.stream.isDelivered {
            traffic.releaseLanes(nil, moment, &out)
            return
        }
        if let close = batch.close {
            if life.isOpen {
                traffic.closeFromClient(close, &life, moment, &out)
            } else {
                // Both sides have sent a Close at the same time, and the client waits for no more messages.
                traffic.endForClient()
                traffic.releaseLanes(traffic.endFrame(life), moment, &out)
            }
            return
        }
        let isQuestion = batch.messages.isEmpty && traffic.stream.acknowledged == acknowledged
        if isQuestion {
            traffic.stream.sockets.active?.owesAnswer = true
        } else if traffic.stream.owesAcknowledgement {
            self.owe(&traffic, moment)
        }
    }

    /// - Returns: the client's error; nil for a valid batch. A lane keeps the order of its batches, so a gap is an
    ///   error.
    private func receive(
        _ batch: PollBatch, _ traffic: inout ResumableTraffic, _ life: inout SessionLife, _ moment: ClientMoment,
        _ out: inout [ResumableAction]
    ) -> String? {
        guard life.closing.maySend(to: .server), traffic.stream.finalFrame == nil else {
            return traffic.stream.hear(ack: batch.ack, now: moment.now).map { "ack beyond \($0)" }
        }
        switch traffic.stream.receive(first: batch.first, count: batch.messages.count, ack: batch.ack, now: moment.now)
        {
        case .accept(let skip):
            traffic.forward(batch, behind: skip, holdsLane: true, &life, moment, &out)
            traffic.chargeLane(&life, moment, &out)
        case .duplicate: break
        case .gap(let expected): return "expected \(expected)"
        case .ackBeyond(let last): return "ack beyond \(last)"
        }
        return nil
    }

    /// The driver has taken all envelopes that it may take now. If the lane asked for an answer, answers it with
    /// messages, or with an acknowledgement alone.
    ///
    /// - Parameter hasRoom: false when the turn's room is used up. A later turn then takes the envelopes that are left.
    package func tookEnvelopes(
        hasRoom: Bool, _ traffic: inout ResumableTraffic, _ life: SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        guard let lane = traffic.lane else { return out }
        if !hasRoom, !lane.isTakenLater, !lane.pending.isEmpty {
            traffic.stream.sockets.active?.isTakenLater = true
            out.append(.later(.take))
        }
        guard lane.owesAnswer, lane.pending.isEmpty || !self.mayRead(traffic, life, moment) else { return out }
        if !self.deliver(&traffic, moment, &out) { self.acknowledge(&traffic, &out) }
        return out
    }

    /// The later turn has come in which the driver takes more envelopes.
    package func takeMore(_ traffic: inout ResumableTraffic) { traffic.stream.sockets.active?.isTakenLater = false }

    /// A part of an envelope has come on the lane.
    package mutating func partCame(on generation: UInt64, _ traffic: ResumableTraffic) {
        if traffic.lane?.generation == generation { self.parts &+= 1 }
    }

    // MARK: - towards the client

    /// Sends one turn's worth of messages. A lane that has just taken over gets the whole window again, which may be
    /// very many messages or bytes.
    ///
    /// - Returns: whether anything was sent.
    func deliver(
        _ traffic: inout ResumableTraffic, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) -> Bool {
        var hasSent = false
        var room = moment.room
        while let lane = traffic.lane, lane.isWritable, !lane.isSentMoreLater,
            let batch = traffic.stream.takeForSocket(room, bytes: room * WorkUnits.bytesPerMessage)
        {
            hasSent = true
            room -= batch.cost
            traffic.stream.sockets.active?.acknowledgeAt = nil
            traffic.stream.sockets.active?.owesAnswer = false
            out.append(.send(batch, onLane: lane.generation))
            if room <= 0 {
                traffic.stream.sockets.active?.isSentMoreLater = true
                out.append(.later(.deliver))
            }
        }
        return hasSent
    }

    /// The later turn has come in which the lane is sent more.
    package func deliverMore(_ traffic: inout ResumableTraffic) {
        traffic.stream.sockets.active?.isSentMoreLater = false
    }

    /// Sends an acknowledgement on the lane, or notes that the lane is owed an answer if the lane has no room. A client
    /// that asks often and does not read is owed one answer.
    func acknowledge(_ traffic: inout ResumableTraffic, _ out: inout [ResumableAction]) {
        traffic.stream.sockets.active?.acknowledgeAt = nil
        guard let lane = traffic.lane else { return }
        guard lane.isWritable else {
            traffic.stream.sockets.active?.owesAnswer = true
            return
        }
        traffic.stream.sockets.active?.owesAnswer = false
        if let batch = traffic.stream.acknowledgementForSocket() { out.append(.send(batch, onLane: lane.generation)) }
    }

    /// Schedules an acknowledgement of the client's messages after ``acknowledgeTime``.
    func owe(_ traffic: inout ResumableTraffic, _ moment: ClientMoment) {
        if traffic.lane?.acknowledgeAt == nil {
            traffic.stream.sockets.active?.acknowledgeAt = moment.now + Self.acknowledgeTime
        }
    }

    /// The lane's connection has room for more, or has none any more.
    package func lane(
        _ generation: UInt64, isWritable: Bool, _ traffic: inout ResumableTraffic, _ moment: ClientMoment
    ) -> [ResumableAction] {
        traffic.stream.sockets.lane(generation, isWritable: isWritable)
        guard isWritable, let lane = traffic.lane, lane.generation == generation, lane.owesAnswer else { return [] }
        var out: [ResumableAction] = []
        if traffic.isClosed || !self.deliver(&traffic, moment, &out) { self.acknowledge(&traffic, &out) }
        return out
    }

    // MARK: - the end of a lane

    /// The lane's connection is gone. An unconfirmed session ends with the lane in use, because no client has proved
    /// that it knows the session id.
    package func laneLost(
        _ generation: UInt64, _ traffic: inout ResumableTraffic, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        guard traffic.stream.socketLost(generation, now: moment.now) else { return out }
        self.giveUpUnconfirmed(&traffic, &life, moment, &out)
        return out
    }

    private func giveUpUnconfirmed(
        _ traffic: inout ResumableTraffic, _ life: inout SessionLife, _ moment: ClientMoment,
        _ out: inout [ResumableAction]
    ) {
        guard traffic.stage == .unconfirmed else { return }
        traffic.abandon(CloseFrame(code: .goingAway, reason: "client lost"), &life, moment, &out)
    }

    /// Closes the lane in use, or a lane that has joined and brought no envelope. The session goes on, unless it is
    /// unconfirmed and the lane is in use.
    package func closeLane(
        _ generation: UInt64, _ frame: CloseFrame, _ traffic: inout ResumableTraffic, _ life: inout SessionLife,
        _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        if traffic.lane?.generation == generation {
            out = self.drop(frame, &traffic, moment)
            self.giveUpUnconfirmed(&traffic, &life, moment, &out)
        } else if traffic.stream.sockets.joining?.generation == generation {
            _ = traffic.stream.socketLost(generation, now: moment.now)
            out.append(.closeLane(generation, frame))
        }
        return out
    }

    private func drop(
        _ frame: CloseFrame, _ traffic: inout ResumableTraffic, _ moment: ClientMoment
    ) -> [ResumableAction] {
        guard let lane = traffic.lane else { return [] }
        _ = traffic.stream.socketLost(lane.generation, now: moment.now)
        return [.closeLane(lane.generation, frame)]
    }
}

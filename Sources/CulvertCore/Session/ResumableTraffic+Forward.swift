import NIOCore

/// Forwards messages of the client to the upstream, and charges them to the rates of the client and its token.
extension ResumableTraffic {
    /// Forwards a batch without its first `skipped` messages, which an earlier batch has brought. One turn's worth
    /// passes now if nothing waits. The rest passes behind everything that waits.
    mutating func forward(
        _ batch: PollBatch, behind skipped: Int, holdsLane: Bool, _ life: inout SessionLife, _ moment: ClientMoment,
        _ out: inout [ResumableAction]
    ) {
        let messages = batch.messages.dropFirst(skipped)
        out.append(.charge(messages.count, holdsLane: holdsLane))
        self.counts.messagesIn &+= UInt64(messages.count)
        self.counts.bytesIn &+= UInt64(batch.payloadBytes(behind: skipped))
        let waits = !self.forwarding.isEmpty
        self.forwarding.append(messages, heldBytes: batch.heldBytes)
        if !waits { self.forwardSlice(&life, moment, &out) }
    }

    /// Forwards one turn's worth of messages. Drops the messages if the upstream has been sent a Close.
    private mutating func forwardSlice(
        _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) {
        guard life.closing.maySend(to: .server) || self.forwarding.hasClose else {
            self.drop(nil, &life, moment, &out)
            return
        }
        let taken = self.forwarding.take(messages: moment.room)
        for messages in taken.messages { out.append(.pass(messages)) }
        if let close = taken.close { self.say(close, &life, moment, &out) }
        for reply in taken.replies { out.append(self.answer(reply)) }
        guard !self.forwarding.isEmpty, !self.forwarding.isScheduled else { return }
        self.forwarding.isScheduled = true
        out.append(.later(.forward))
    }

    /// The later turn has come in which more of the messages pass.
    package mutating func forwardMore(_ life: inout SessionLife, _ moment: ClientMoment) -> [ResumableAction] {
        var out: [ResumableAction] = []
        self.forwarding.isScheduled = false
        self.forwardSlice(&life, moment, &out)
        return out
    }

    /// Sends the upstream a Close that waited behind messages. The time of the close handshake begins again now.
    private mutating func say(
        _ close: CloseFrame, _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) {
        guard !life.hasEnded else { return }
        life.beginHandshake(time: moment.closeTime, now: moment.now)
        out.append(.sayUpstream(close))
    }

    /// Drops the messages that wait. A Close that waited behind them is sent now.
    ///
    /// - Returns: the actions, and the requests that waited behind the messages.
    package mutating func drop(_ life: inout SessionLife, _ moment: ClientMoment) -> (
        actions: [ResumableAction], replies: [ForwardQueue.Reply]
    ) {
        var out: [ResumableAction] = []
        let dropped = self.forwarding.drop()
        if let close = dropped.close { self.say(close, &life, moment, &out) }
        return (out, dropped.replies)
    }

    /// Does the same as ``drop(_:_:)``, and answers the requests with the session's end.
    mutating func drop(
        _ frame: CloseFrame? = nil, _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) {
        let frame = frame ?? self.endFrame(life)
        let (actions, replies) = self.drop(&life, moment)
        out += actions
        for reply in replies { out.append(.answer(reply.ticket, reply.isClose ? .empty : .gone(frame))) }
    }

    // MARK: - rates

    /// Charges the client for its batches, and for the pings, pongs and empty fragments of its lanes.
    ///
    /// - Returns: the time for which the client should not be read; nil if it may be read, or the session closes.
    mutating func charge(
        _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) -> TimeAmount? {
        guard life.isOpen else { return nil }
        let verdict = life.limits.charge(
            .client, messages: self.counts.messagesIn &+ self.controls.charged &+ self.messagesInVain,
            bytes: self.counts.bytesIn &+ self.controls.bytes, limit: moment.rate, now: moment.now)
        switch verdict {
        case .within: return nil
        case .wait(let wait): return wait
        case .close(let reason):
            self.dismiss(
                CloseFrame(code: .policyViolation, reason: reason), upstreamReason: reason, &life, moment, &out)
            return nil
        }
    }

    /// Charges a large batch that was decoded in vain, because it begins too late or came before. A limit that closes
    /// the session does not count it, because a client may have to repeat a batch.
    mutating func chargeInVain(
        _ batch: PollBatch, _ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]
    ) {
        let count = batch.messages.count
        guard count > WorkUnits.fewMessages else { return }
        out.append(.charge(count, holdsLane: false))
        guard moment.rate?.excess == .pause else { return }
        self.messagesInVain &+= UInt64(count)
        _ = self.charge(&life, moment, &out)
    }

    /// Charges the messages of a lane. If they came too fast, the lane is not read for a time, and the client's own
    /// sending blocks. No message is dropped.
    mutating func chargeLane(_ life: inout SessionLife, _ moment: ClientMoment, _ out: inout [ResumableAction]) {
        guard let wait = self.charge(&life, moment, &out) else { return }
        life.limits.pause(.client, for: .rate, until: moment.now + wait)
    }
}

import NIOCore

/// The verbs for the client's requests: polls, batches, and the Close.
extension ResumableClient {
    /// Whether a request is served. If not, it is answered with the session's end.
    ///
    /// A served request confirms the session, because it names the session id.
    private mutating func serves(_ ticket: UInt64, _ life: SessionLife, _ out: inout [ResumableAction]) -> Bool {
        guard !self.traffic.isClosed, !self.traffic.stream.isDelivered else {
            out.append(.answer(ticket, .gone(self.traffic.endFrame(life))))
            return false
        }
        self.traffic.stage = .confirmed
        return true
    }

    /// A GET asks for the messages behind `ack`.
    package mutating func poll(
        ticket: UInt64, ack: UInt64, _ life: SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        guard self.serves(ticket, life, &out) else { return out }
        self.turn.supersede()
        // The client asks again, so it has read the answer before, or has given it up. The cut keeps one copy of the
        // window in memory, even for a client that fetches the window on many connections and reads none.
        out.append(.cutAnswer)
        let (superseded, outcome) = self.traffic.stream.poll(ack: ack, now: moment.now)
        if superseded != nil { self.traffic.answerParked(.empty, &out) }
        switch outcome {
        case .reply where self.traffic.stream.isDelivered:
            out.append(.answer(ticket, .gone(self.traffic.endFrame(life))))
        case .reply(let batch): out.append(.answer(ticket, .messages(batch)))
        case .ackBeyond(let last): out.append(.answer(ticket, .ackBeyond(last: last)))
        case .park:
            self.traffic.parked = ticket
            out.append(.park(ticket))
        }
        return out
    }

    /// Answers the request, because the limit of parked polls is reached. Its acknowledgement stays valid.
    package mutating func refuseToPark(_ ticket: UInt64, _ moment: ClientMoment) -> [ResumableAction] {
        self.leave(ticket, moment) ? [.answer(ticket, .tooManyParked)] : []
    }

    /// The connection of a request is gone. The effects of the request stay, and its answer is not needed.
    ///
    /// - Returns: whether the request was the parked poll.
    package mutating func leave(_ ticket: UInt64, _ moment: ClientMoment) -> Bool {
        self.turn.leave(ticket)
        guard self.traffic.parked == ticket, let generation = self.traffic.stream.parked?.generation else {
            return false
        }
        self.traffic.parked = nil
        self.traffic.stream.laneLost(generation: generation, now: moment.now)
        return true
    }

    /// The client has ended its direction of a request's connection. A parked poll is answered empty now. Messages stay
    /// in the window until the client acknowledges them.
    package mutating func endInput(_ ticket: UInt64, _ moment: ClientMoment) -> [ResumableAction] {
        self.turn.endInput(ticket)
        return self.leaveParked(ticket, moment)
    }

    private mutating func leaveParked(_ ticket: UInt64, _ moment: ClientMoment) -> [ResumableAction] {
        guard self.traffic.parked == ticket, let generation = self.traffic.stream.parked?.generation else { return [] }
        self.traffic.stream.laneLost(generation: generation, now: moment.now)
        var out: [ResumableAction] = []
        self.traffic.answerParked(.empty, &out)
        return out
    }

    // MARK: - batches

    /// The answer to any batch that the session cannot take now; nil when it takes a batch.
    private mutating func refusal(_ life: inout SessionLife, _ moment: ClientMoment) -> ResumableAnswer? {
        guard life.closing.maySend(to: .server), self.traffic.stream.finalFrame == nil else {
            return .gone(self.traffic.endFrame(life))
        }
        guard moment.isUpstreamWritable, self.traffic.forwarding.heldBytes <= self.traffic.stream.settings.maxBatch
        else {
            return .busy
        }
        if let wait = moment.tokenWait, wait > .zero { return .rateLimited(wait, .token) }
        return life.limits.waitToSend(limit: moment.rate, now: moment.now).map { .rateLimited($0, .session) }
    }

    /// A batch is on its way. Answers empty if the session would take a batch now, and with the refusal if not.
    package mutating func offer(
        ticket: UInt64, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        guard self.serves(ticket, life, &out) else { return out }
        return [.answer(ticket, self.refusal(&life, moment) ?? .empty)]
    }

    /// A large batch has come and is not decoded yet. Answers empty if the session would take a part of it. A batch
    /// that brings nothing new, and a batch that begins too late, get their final answers now.
    package mutating func weigh(
        _ outline: BatchOutline, ticket: UInt64, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        guard self.serves(ticket, life, &out) else { return out }
        if let refusal = self.refusal(&life, moment) { return [.answer(ticket, refusal)] }
        let isLate = outline.first > self.traffic.stream.received &+ 1
        // A Close counts whether or not the messages in front of it are new.
        if self.traffic.stream.takes(first: outline.first, count: outline.count) || (outline.hasClose && !isLate) {
            return [.answer(ticket, .empty)]
        }
        switch self.traffic.stream.receive(
            first: outline.first, count: outline.count, ack: outline.ack, now: moment.now)
        {
        case .accept: out.append(.answer(ticket, .empty))
        case .duplicate: self.answerInOrder(ForwardQueue.Reply(ticket: ticket), &out)
        case .gap(let expected): out.append(.answer(ticket, .gap(expected: expected)))
        case .ackBeyond(let last): out.append(.answer(ticket, .ackBeyond(last: last)))
        }
        return out
    }

    package mutating func post(
        _ batch: PollBatch, ticket: UInt64, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        guard self.serves(ticket, life, &out) else { return out }
        if let refusal = self.refusal(&life, moment) { return [.answer(ticket, refusal)] }
        let expected = self.traffic.stream.received &+ 1
        if batch.close != nil, batch.messages.isEmpty, batch.first > expected {
            return [.answer(ticket, .gap(expected: expected))]
        }
        switch self.traffic.stream.receive(
            first: batch.first, count: batch.messages.count, ack: batch.ack, now: moment.now)
        {
        case .accept(let skip):
            self.traffic.forward(batch, behind: skip, holdsLane: false, &life, moment, &out)
            _ = self.traffic.charge(&life, moment, &out)
        case .duplicate:
            self.traffic.chargeInVain(batch, &life, moment, &out)
        case .gap(let expected):
            self.traffic.chargeInVain(batch, &life, moment, &out)
            out.append(.answer(ticket, .gap(expected: expected)))
            return out
        case .ackBeyond(let last):
            out.append(.answer(ticket, .ackBeyond(last: last)))
            return out
        }
        if let close = batch.close { self.traffic.closeFromClient(close, &life, moment, &out) }
        self.answerInOrder(ForwardQueue.Reply(ticket: ticket), &out)
        return out
    }

    /// A request closes the session. Its answer waits until everything that was taken before has been forwarded.
    package mutating func close(
        _ frame: CloseFrame, ticket: UInt64, _ life: inout SessionLife, _ moment: ClientMoment
    ) -> [ResumableAction] {
        var out: [ResumableAction] = []
        guard self.serves(ticket, life, &out) else { return out }
        self.traffic.closeFromClient(frame, &life, moment, &out)
        self.answerInOrder(ForwardQueue.Reply(ticket: ticket, isClose: true), &out)
        return out
    }

    /// Answers once everything that was taken so far has been forwarded.
    private mutating func answerInOrder(_ reply: ForwardQueue.Reply, _ out: inout [ResumableAction]) {
        if self.traffic.forwarding.isEmpty {
            out.append(self.traffic.answer(reply))
        } else {
            self.traffic.forwarding.append(reply)
        }
    }
}

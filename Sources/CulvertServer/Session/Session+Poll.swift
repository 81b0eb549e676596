import CulvertCore
import NIOCore

/// The lanes of a polled session: requests that come and go.
extension Session {
    /// Answers now or later, exactly once, unless the request's connection goes first.
    func handle(_ request: PollRequest, respond: @escaping (PollAnswer) -> Void) {
        if self.hasClientClosed || self.machine.isDelivered {
            respond(.problem(.gone(self.endFrame)))
            return
        }
        // Who asks for it knows of it.
        self.isConfirmed = true
        switch request.kind {
        case .receive(let ack):
            self.receive(ack: ack, ParkedPoll(ticket: request.ticket, caller: request.caller, respond: respond))
        case .send(let batch): self.send(batch, respond: respond)
        case .offer: respond(self.refusalOfBatch.map { .problem($0) } ?? .empty)
        case .outline(let outline): self.weigh(outline, respond: respond)
        case .close(let frame):
            guard self.forwarding.isEmpty else {
                self.closeInTurn(frame, respond: respond)
                break
            }
            self.closeFromClient(frame)
            respond(.empty)
        case .join(let link): respond(.joined(self.join(link, request.caller)))
        case .refresh:
            break
        }
        self.resumeUpstream()
        self.accountMemory()
        self.buryIfDone()
        self.arm()
    }

    var endFrame: CloseFrame {
        self.machine.finalFrame ?? self.machine.closing.ending?.frame ?? CloseFrame(code: .normal)
    }

    private func receive(ack: UInt64, _ poll: ParkedPoll) {
        if self.lane == nil { self.transport = .longPoll }
        self.pollTurn.supersede()
        // The client asks again, so it has read the answer before, or has given it up. A window that is fetched on many
        // connections and read on none is in memory once.
        self.answer?.cut()
        let (superseded, outcome) = self.machine.poll(ack: ack, now: .now())
        if superseded != nil { self.answerParked(.empty) }
        switch outcome {
        case .reply where self.machine.isDelivered:
            poll.respond(.problem(.gone(self.endFrame)))
        case .reply(let batch):
            poll.respond(self.holding(batch, for: poll.caller))
        case .park:
            guard self.edge.admissions.mayPark(limit: self.state.rules.config.limits.http.parked) else {
                // What it acknowledged holds.
                if let parked = self.machine.parked {
                    self.machine.laneLost(generation: parked.generation, now: .now())
                }
                poll.respond(.problem(.tooManyParked))
                return
            }
            self.parked = poll
            self.noteEnd(of: poll.caller)
            // Acknowledging may have made room for what was held back.
            self.resumeUpstream()
            self.deliverReady()
        case .ackBeyond(let last):
            poll.respond(.problem(.ackBeyond(last: last)))
        }
    }

    /// Why no batch is taken now, whatever is in it.
    var refusalOfBatch: PollFailure? {
        guard self.machine.closing.maySend(to: .server), self.machine.finalFrame == nil else {
            return .gone(self.endFrame)
        }
        guard self.upstreamLeg.isWritable, self.forwarding.heldBytes <= self.machine.settings.maxBatch else {
            return .busy
        }
        if self.messageRate != nil, let wait = self.credential?.entry.use.wait(now: .now()), wait > .zero {
            return .rateLimited(wait, who: "token")
        }
        return self.waitToSend().map { .rateLimited($0, who: "session") }
    }

    private func send(_ batch: PollBatch, respond: @escaping (PollAnswer) -> Void) {
        if let failure = self.refusalOfBatch {
            respond(.problem(failure))
            return
        }
        if batch.close != nil, batch.messages.isEmpty, batch.first > self.machine.received &+ 1 {
            respond(.problem(.gap(expected: self.machine.received &+ 1)))
            return
        }
        let verdict = self.machine.receive(
            first: batch.first, count: batch.messages.count, ack: batch.ack, now: .now())
        switch verdict {
        case .accept(let skip):
            self.forward(batch.messages.dropFirst(skip), of: batch)
            _ = self.chargePosted()
        case .duplicate:
            self.chargeInVain(batch)
        case .gap(let expected):
            self.chargeInVain(batch)
            respond(.problem(.gap(expected: expected)))
            return
        case .ackBeyond(let last):
            respond(.problem(.ackBeyond(last: last)))
            return
        }
        if let close = batch.close { self.closeFromClient(close) }
        self.respondInOrder(respond)
    }

    func closeFromClient(_ frame: CloseFrame) {
        self.flushForwarding()
        self.hasClientClosed = true
        // The client wants nothing more, and its session will be forgotten.
        self.answer?.cut()
        self.apply(self.machine.close(.close(from: .client, frame)))
        self.machine.finish(frame, now: .now())
        self.deliverReady()
        self.releaseLanes(frame)
    }

    /// Answers the parked poll if there is something to say, and says it on the lane.
    func deliverReady() {
        if !self.hasClientClosed { self.deliverToLane() }
        guard let parked = self.parked, let (_, batch) = self.machine.takeReady(now: .now()) else { return }
        self.answerParked(self.holding(batch, for: parked.caller))
        self.arm()
    }

    /// The answer with `batch`, counted until its connection has written it or is gone.
    private func holding(_ batch: PollBatch, for caller: Caller) -> PollAnswer {
        let bytes = batch.encodedBytes
        self.state.slices.notePassed(batch, bytes: bytes)
        let hold = AnswerHold(bytes: bytes, memory: self.edge.memory, now: .now(), caller: caller)
        self.answer = hold
        self.noteEnd(of: caller)
        self.state.answers.add(hold)
        return .batch(batch, hold)
    }

    /// The connection of a request is gone; what it did is not undone, its answer is not missed.
    func laneLost(ticket: UInt64) {
        self.pollTurn.leave(ticket)
        guard ticket == self.parked?.ticket, let generation = self.machine.parked?.generation else { return }
        self.parked = nil
        self.machine.laneLost(generation: generation, now: .now())
        self.arm()
    }

    func answerParked(_ answer: PollAnswer) {
        let parked = self.parked
        self.parked = nil
        parked?.respond(answer)
    }

    /// The window may have room again: takes what was held back, then reads on.
    func resumeUpstream() {
        guard self.isPolled else { return }
        self.noteWindow()
        guard !self.machine.isSendWindowFull else { return }
        self.upstreamLeg.drainMessages()
        if self.state.rules.hasSessionRates { self.charge(self.upstreamLeg) }
        guard !self.machine.isSendWindowFull else { return }
        self.upstreamLeg.resume(.windowFull)
    }

    func pollTimerFired(now: NIODeadline) {
        self.laneTimerFired(now: now)
        if self.machine.takeExpired(now: now) != nil { self.answerParked(.empty) }
        guard self.machine.isAbandoned(now: now) else { return }
        self.hasClientClosed = true
        self.buryIfDone()
        guard self.machine.closing.ending == nil else { return }
        let frame = CloseFrame(code: .goingAway, reason: "client stayed away")
        self.machine.finish(frame, now: now)
        self.apply(self.machine.close(.abandoned(frame)))
    }

    /// Once the upstream is done with and the client has, or wants, nothing more. Before that the session must live:
    /// nobody else sees its upstream's connection to the end.
    func buryIfDone() {
        guard self.isPolled, self.isEnded, !self.isBuried, self.hasClientClosed || self.machine.isDelivered else {
            return
        }
        self.isBuried = true
        self.stopTimer()
        self.releasePlace()
        let frame = self.endFrame
        self.answerParked(.problem(.gone(frame)))
        self.releaseLanes(self.machine.isDelivered ? nil : frame)
        self.machine.forfeit(frame)
        self.accountMemory()
        self.state.bury(self, frame: frame, until: .now() + self.state.rules.settings.resume)
    }
}

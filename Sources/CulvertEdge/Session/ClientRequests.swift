import CulvertCore
import NIOCore

/// Passes the requests of a client to its resumable session. Each call is on the session's loop.
struct ClientRequests {
    let session: ResumableSession

    /// Answers now or later, exactly once, unless the request's connection closes before.
    func handle(_ request: PollRequest, respond: @escaping (PollAnswer) -> Void) {
        let ticket = request.ticket
        if case .join(let link) = request.kind {
            respond(self.session.join(link, request.caller))
            self.session.settle()
            return
        }
        self.session.callers.add(SessionCallers.Request(ticket: ticket, caller: request.caller, respond: respond))
        switch request.kind {
        case .receive(let ack):
            if self.session.comesByRequests, !self.session.client.traffic.isClosed {
                self.session.transport = .longPoll
            }
            self.session.tell { $0.poll(ticket: ticket, ack: ack, $1, $2) }
        case .send(let batch): self.session.tell { $0.post(batch, ticket: ticket, &$1, $2) }
        case .offer: self.session.tell { $0.offer(ticket: ticket, &$1, $2) }
        case .outline(let outline): self.session.tell { $0.weigh(outline, ticket: ticket, &$1, $2) }
        case .close(let frame): self.session.tell { $0.close(frame, ticket: ticket, &$1, $2) }
        case .join, .refresh: break
        }
        self.session.settle()
    }

    /// Whether a request waits for a slice, because its answer may cost more than the loop does at once for a
    /// connection.
    func needsTurn(_ request: PollRequest) -> Bool {
        guard case .receive(let ack) = request.kind else { return false }
        let most = self.session.state.slices.isShort ? WorkUnits.fewMessages : WorkUnits.messages
        return self.session.client.hasMore(than: most, after: ack)
    }

    /// Notes that a request waits for a slice. A later request replaces it.
    func wait(_ ticket: UInt64) { self.session.client.turn.wait(ticket) }

    /// See ``PollTurn/take(_:)``.
    func takeTurn(_ ticket: UInt64) -> Bool? { self.session.client.turn.take(ticket) }

    /// The connection of a request is gone. The effects of the request stay, and its answer is not needed.
    func connectionLost(ticket: UInt64) {
        let wasParked = self.session.leave(ticket)
        _ = self.session.forget(ticket)
        if wasParked { self.session.arm() }
    }

    /// Gives all these requests the same answer. A client may wait for answers on very many connections, so that only the
    /// first are answered at once.
    func refuse(_ tickets: [UInt64], _ answer: PollAnswer) {
        for (index, ticket) in tickets.enumerated() {
            if index < ForwardQueue.repliesAtOnce {
                self.session.give(answer, to: ticket)
            } else {
                let session = self.session
                session.state.slices.enqueue(in: .sessions, of: session.facts.client) {
                    session.give(answer, to: ticket)
                }
            }
        }
    }

    /// Answers a parked poll now. Messages stay in the window until the client acknowledges them.
    func endInput(ticket: UInt64) {
        self.session.tell { client, _, moment in client.endInput(ticket, moment) }
        self.session.arm()
    }

    /// Counts an answer with messages until its connection has written it or is gone.
    func hold(_ batch: PollBatch, for caller: Caller) -> AnswerHold {
        let session = self.session
        session.state.slices.notePassed(batch.cost)
        let hold = AnswerHold(bytes: batch.encodedBytes, memory: session.edge.memory, now: session.now, caller: caller)
        session.answer = hold
        session.noteEnd(of: caller)
        session.state.relief.answers.add(hold)
        return hold
    }
}

import CulvertCore

/// A `GET` that waits for its turn among the slices of its session's loop. A session has one at a time, so that a client
/// which asks on many connections at once makes the loop take one batch out of the window.
struct PollTurn {
    private var ticket: UInt64?

    /// The request takes the place of an earlier one, which is answered empty when its turn comes.
    mutating func wait(_ ticket: UInt64) { self.ticket = ticket }

    /// The connection of a request is gone.
    mutating func leave(_ ticket: UInt64) {
        if self.ticket == ticket { self.ticket = nil }
    }

    /// A later request came, and was served at once.
    mutating func supersede() { self.ticket = nil }

    /// The turn of a request has come.
    ///
    /// - Returns: false when a later request has taken its place, or its connection is gone.
    mutating func take(_ ticket: UInt64) -> Bool {
        guard self.ticket == ticket else { return false }
        self.ticket = nil
        return true
    }
}

extension LoopState {
    /// Serves a `GET` in a slice of the loop. A request of few bytes, which may be repeated without end, has a window's
    /// worth of messages taken out and written, and many sessions may ask for that in the same moment.
    func handleInTurn(
        _ request: PollRequest, of session: Session, respond: @escaping (PollAnswer) -> Void
    ) {
        session.pollTurn.wait(request.ticket)
        let id = session.id
        self.slices.enqueue(in: .sessions) {
            guard session.pollTurn.take(request.ticket) else {
                respond(.empty)
                return
            }
            // The session, the token and the rules may have changed meanwhile.
            self.handle(request, id: id, isInTurn: true, respond: respond)
        }
    }
}

extension Session {
    /// Whether a request waits for a slice, because its answer may cost more than the loop does at once for a
    /// connection.
    func needsTurn(_ request: PollRequest) -> Bool {
        guard case .receive(let ack) = request.kind, !self.hasClientClosed else { return false }
        let most = self.state.slices.isShort ? LoopSlices.fewMessages : LoopSlices.messages
        return self.machine.hasMore(than: most, bytes: most * LoopSlices.bytesPerMessage, after: ack)
    }
}

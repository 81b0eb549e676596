import CulvertCore
import NIOCore

/// The client has ended its direction of the connection behind this request. Most such clients are gone; others read
/// the answer and then go. Nothing tells them apart, so nothing is begun or kept waiting for them: no WebSocket, no
/// session, no poll. Their other requests are served, and all of them are answered.
///
/// The end may come at any time. What is begun in front of it is told of it, and what would be begun behind it asks
/// ``Exchange/isInputClosed``.
extension EdgeRequest {
    func inputEnded() {
        if self.line.isStanding {
            // The session would be nobody's. The dial fails, and that is answered.
            self.line.leave()
            return
        }
        guard let pending = self.pendingPoll else { return }
        let (id, ticket) = (pending.id, pending.ticket)
        self.edge.onLoop(of: id) { $0.session(id)?.endPoll(ticket: ticket) }
    }
}

extension HTTPAnswer {
    static let inputEnded = HTTPAnswer.problem(
        400, "client_half_closed",
        "The client ended its direction of the connection behind the request. Keep it open for a session to begin.")
}

extension Session {
    /// Answers a poll that waits for messages now. What the client does not read of a window stays in it.
    func endPoll(ticket: UInt64) {
        guard ticket == self.parked?.ticket, let generation = self.machine.parked?.generation else { return }
        self.machine.laneLost(generation: generation, now: .now())
        self.answerParked(.empty)
        self.arm()
    }
}

import CulvertCore
import NIOCore

/// The work that a session does in later turns of its loop, so that it does not hold up others.
extension Session {
    /// Answers a batch that brings nothing new, and a batch that begins too late, before its messages are taken apart.
    func weigh(_ outline: BatchOutline, respond: @escaping (PollAnswer) -> Void) {
        if let failure = self.refusalOfBatch {
            respond(.problem(failure))
            return
        }
        let isLate = outline.first > self.machine.received &+ 1
        // A Close counts whether or not the messages in front of it are new.
        if self.machine.takes(first: outline.first, count: outline.count) || (outline.hasClose && !isLate) {
            respond(.empty)
            return
        }
        let verdict = self.machine.receive(
            first: outline.first, count: outline.count, ack: outline.ack, now: .now())
        switch verdict {
        case .accept: respond(.empty)
        case .duplicate: self.respondInOrder(respond)
        case .gap(let expected): respond(.problem(.gap(expected: expected)))
        case .ackBeyond(let last): respond(.problem(.ackBeyond(last: last)))
        }
    }

    /// Closes for the client behind a batch that is being forwarded in slices. What is left of the batch passes with
    /// the Close, in a turn of its own: very many sessions may be closed at once.
    func closeInTurn(_ frame: CloseFrame, respond: @escaping (PollAnswer) -> Void) {
        self.state.slices.enqueue(in: .sessions) {
            guard !self.hasClientClosed, !self.machine.isDelivered else {
                respond(.problem(.gone(self.endFrame)))
                return
            }
            self.closeFromClient(frame)
            respond(.empty)
            self.accountMemory()
            self.buryIfDone()
            self.arm()
        }
    }

    // MARK: - LegDelegate

    func legRoom(_ leg: WebSocketLeg) -> Int { self.state.slices.room }

    func leg(_ leg: WebSocketLeg, took frames: Int, hasMore: Bool) {
        self.state.slices.notePassed(frames)
        if hasMore { self.state.slices.enqueue(in: .sessions) { leg.takeMore() } }
    }
}

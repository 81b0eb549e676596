import CulvertCore
import DequeModule
import NIOCore

/// Sessions that are closed one after the other, on one timer.
struct PendingClosings {
    var frame: CloseFrame
    /// When the last of them is due, and those that begin meanwhile.
    var end: NIODeadline
    /// For a message that is on its way.
    var patience: TimeAmount
    var due: Deque<(at: NIODeadline, id: SessionID)> = []
}

extension LoopState {
    /// Closes every session over `spread`, and those that a dial which is under way still brings.
    ///
    /// - Returns: done when the last has ended.
    func drain(_ frame: CloseFrame, spread: TimeAmount) -> EventLoopFuture<Void> {
        let now = NIODeadline.now()
        // Two clients that came one after the other are not sent away so: whoever they go to has enough to do.
        let open = self.sessions.values.filter(\.isOpen).map(\.id).shuffled()
        var generator = SystemRandomNumberGenerator()
        let offsets = DrainSchedule.offsets(count: open.count, over: spread, using: &generator)
        var closings = PendingClosings(
            frame: frame, end: now + spread, patience: min(spread, self.rules.closeTimeout))
        closings.due = Deque(zip(offsets, open).map { (at: now + $0, id: $1) })
        self.closings = closings
        let done = self.whenEnded()
        self.closeDue()
        return done
    }

    /// Closes the sessions that are due. There may be thousands, all of them where there is no spread, and those beyond
    /// the first have their turn in slices.
    private func closeDue() {
        let now = NIODeadline.now()
        guard let closings = self.closings else { return }
        var closed = 0
        while let next = self.closings?.due.first, next.at <= now {
            guard closed < Self.obeyAtOnce else {
                self.slices.enqueue(in: .sessions) { self.closeDue() }
                return
            }
            closed += 1
            self.closings?.due.removeFirst()
            guard let session = self.session(next.id), session.isOpen else { continue }
            session.shutdown(closings.frame, patience: closings.patience)
        }
        guard let next = self.closings?.due.first else { return }
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.scheduleTask(deadline: next.at) { bound.value.closeDue() }
    }

    /// A session that was being opened when the others were told to go.
    func closeLatecomer(_ session: Session) {
        guard let closings = self.closings else { return }
        let isFirst = closings.due.isEmpty
        let end = session.edge.isStopping ? NIODeadline.now() : max(closings.end, .now())
        self.closings?.due.append((at: end, id: session.id))
        if isFirst { self.closeDue() }
    }

    /// Sessions whose next request may reach another process. One that has a WebSocket for a lane goes with the others.
    func closePolled(_ frame: CloseFrame) -> EventLoopFuture<Void> {
        let polled = self.sessions.values.filter { $0.isPolled && $0.isOpen && $0.lane == nil }
        return self.inSlices(polled) { session in
            if let session, session.isOpen, session.lane == nil { session.shutdown(frame) }
        }
    }

    /// Sessions that are being closed now, some of which have yet to be told.
    private var hasDueClosings: Bool {
        self.closings?.due.first.map { $0.at <= .now() } ?? false
    }

    /// Has connections and lanes end when what is under way on them is done. A lane that goes before its session is told
    /// would seem to have been lost.
    func letGo() {
        guard !self.hasDueClosings else {
            self.slices.enqueue(in: .sessions) { self.letGo() }
            return
        }
        var connections = Array(self.connections.values)
        var lanes = Array(self.lanes.values)
        self.slices.repeatWhile(in: .sessions) {
            for _ in 0..<Self.obeyAtOnce {
                if let connection = connections.popLast() {
                    connection.drain()
                } else if let lane = lanes.popLast() {
                    lane.goAway()
                } else {
                    return false
                }
            }
            return true
        }
    }

    /// Nobody is waited for any more.
    func cut() {
        for session in Array(self.sessions.values) { session.cut() }
        for connection in Array(self.connections.values) { connection.cut() }
        for lane in Array(self.lanes.values) { lane.cut() }
    }
}

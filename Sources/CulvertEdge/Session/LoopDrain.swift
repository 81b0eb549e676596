import CulvertCore
import DequeModule
import NIOCore

/// Closes the sessions of one event loop, and lets go of its connections, while the process stops. The server begins
/// each step on all loops. Used on that loop alone.
final class LoopDrain {
    /// Sessions that are closed one after the other, on one timer.
    private struct Closings {
        let frame: CloseFrame
        /// When the last of them is due, and those that begin meanwhile.
        let end: NIODeadline
        /// For a message that is on its way.
        let patience: TimeAmount
        var due: Deque<(at: NIODeadline, id: SessionID)>
    }

    private let loop: any EventLoop
    private let slices: LoopSlices
    private let sessions: SessionTable
    private let connections: ConnectionTable
    private let ends: LoopEnds
    /// Nil until the drain has begun.
    private var closings: Closings?

    init(
        loop: any EventLoop, slices: LoopSlices, _ sessions: SessionTable, _ connections: ConnectionTable,
        _ ends: LoopEnds
    ) {
        self.loop = loop
        self.slices = slices
        self.sessions = sessions
        self.connections = connections
        self.ends = ends
    }

    // MARK: - sessions

    /// Closes every session over `spread`, and those that a dial which is under way still brings.
    ///
    /// - Parameter rules: of the loop; they say how long a message that is on its way is waited for.
    /// - Returns: done when the last has ended.
    func begin(_ frame: CloseFrame, spread: TimeAmount, under rules: EdgeRules) -> EventLoopFuture<Void> {
        let now = NIODeadline.now()
        // Two clients that came one after the other are not sent away so: whoever they go to has enough to do.
        let open = self.sessions.open.map(\.id).shuffled()
        var generator = SystemRandomNumberGenerator()
        let offsets = DrainSchedule.offsets(count: open.count, over: spread, using: &generator)
        self.closings = Closings(
            frame: frame, end: now + spread, patience: min(spread, rules.closeTimeout),
            due: Deque(zip(offsets, open).map { (at: now + $0, id: $1) }))
        let done = self.ends.whenEnded()
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
            guard closed < LoopSlices.visitsAtOnce else {
                self.slices.enqueue(in: .own) { self.closeDue() }
                return
            }
            closed += 1
            self.closings?.due.removeFirst()
            guard let session = self.sessions.find(next.id), session.isOpen else { continue }
            session.shutdown(closings.frame, patience: closings.patience)
        }
        guard let next = self.closings?.due.first else { return }
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.scheduleTask(deadline: next.at) { bound.value.closeDue() }
    }

    /// Closes a session, too, that was being opened when the others were told to go.
    func closeLatecomer(_ session: Session) {
        guard let closings = self.closings else { return }
        let isFirst = closings.due.isEmpty
        let end = session.edge.isStopping ? NIODeadline.now() : max(closings.end, .now())
        self.closings?.due.append((at: end, id: session.id))
        if isFirst { self.closeDue() }
    }

    /// Closes sessions whose next request may reach another process. One that has a WebSocket for a lane goes with the
    /// others.
    func closePolled(_ frame: CloseFrame) -> EventLoopFuture<Void> {
        let polled = self.sessions.all.values.filter { $0.comesByRequests && $0.isOpen }
        return self.slices.visit(polled) { session in
            if let session, session.isOpen, session.comesByRequests { session.shutdown(frame) }
        }
    }

    // MARK: - connections

    /// Lets go of connections, once the sessions that are due have been told.
    ///
    /// - Returns: done when the last is closed.
    func stop() -> EventLoopFuture<Void> {
        self.letGo()
        return self.ends.whenClosed()
    }

    /// A lane that goes before its session is told would seem to have been lost.
    private func letGo() {
        guard !self.hasDueClosings else {
            self.slices.enqueue(in: .own) { self.letGo() }
            return
        }
        self.connections.drain(in: self.slices)
    }

    /// Sessions that are being closed now, some of which have yet to be told.
    private var hasDueClosings: Bool {
        self.closings?.due.first.map { $0.at <= .now() } ?? false
    }

    /// Nobody is waited for any more.
    func cut() {
        for session in Array(self.sessions.all.values) { session.cut() }
        self.connections.cut()
    }
}

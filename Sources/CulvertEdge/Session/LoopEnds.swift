import NIOCore

/// Owns the futures that wait for the end of one event loop's sessions and connections, while the process stops.
/// ``LoopState`` has it look when a session or a connection has gone. Used on that loop alone.
final class LoopEnds {
    private enum End {
        /// Every session has ended.
        case ended
        /// The clients of polled sessions have fetched the last of them, too.
        case delivered
        /// Every connection is closed.
        case closed
    }

    private let loop: any EventLoop
    private let sessions: SessionTable
    private let connections: ConnectionTable
    private var waiters: [(end: End, promise: EventLoopPromise<Void>)] = []
    /// The number of sessions whose client has its 101, and whose handlers are being put in their places.
    var starting = 0 {
        didSet { self.look() }
    }

    init(loop: any EventLoop, _ sessions: SessionTable, _ connections: ConnectionTable) {
        self.loop = loop
        self.sessions = sessions
        self.connections = connections
    }

    /// Done when every session has ended. A polled one that has waits only for its client to fetch the last of it.
    func whenEnded() -> EventLoopFuture<Void> { self.when(.ended) }

    /// Done when that has been fetched, too.
    func whenDelivered() -> EventLoopFuture<Void> { self.when(.delivered) }

    /// Done when the last connection is closed, those of sessions included.
    func whenClosed() -> EventLoopFuture<Void> { self.when(.closed) }

    private func when(_ end: End) -> EventLoopFuture<Void> {
        let promise = self.loop.makePromise(of: Void.self)
        self.waiters.append((end, promise))
        self.look()
        return promise.futureResult
    }

    /// Fulfils the futures whose end has come.
    func look() {
        guard !self.waiters.isEmpty else { return }
        let done = self.waiters.filter { self.hasCome($0.end) }
        self.waiters.removeAll { self.hasCome($0.end) }
        for waiter in done { waiter.promise.succeed() }
    }

    private func hasCome(_ end: End) -> Bool {
        switch end {
        case .ended: self.starting == 0 && self.sessions.unended == 0
        case .delivered: self.sessions.all.isEmpty
        case .closed: self.connections.isEmpty && self.starting == 0 && self.sessions.present == 0
        }
    }
}

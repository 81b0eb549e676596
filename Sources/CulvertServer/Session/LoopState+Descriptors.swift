import NIOCore
import Synchronization

/// A loop closes idle connections when clients wait for a descriptor.
extension LoopState {
    /// The number of connections that one call looks at, at most.
    private static let mostLookedAt = 4096
    /// The number of connections that one call closes at most.
    private static let mostClosed = 32

    /// Closes connections that have had an answer and have sent no whole request since, the longest idle first.
    ///
    /// - Returns: whether there were any.
    func closeIdleConnections() -> Bool {
        var idle: [(since: NIODeadline, connection: ClientConnection)] = []
        // Anywhere in the table: the first of it may all be parked polls.
        let first = Int.random(in: 0...max(0, self.connections.count - Self.mostLookedAt))
        for connection in self.connections.values.dropFirst(first).prefix(Self.mostLookedAt) {
            guard let since = connection.idleSince else { continue }
            if idle.count == Self.mostClosed {
                guard let last = idle.last, since < last.since else { continue }
                idle.removeLast()
            }
            let place = idle.firstIndex { since < $0.since } ?? idle.endIndex
            idle.insert((since, connection), at: place)
        }
        for (_, connection) in idle { connection.cut() }
        return !idle.isEmpty
    }
}

extension EdgeContext {
    /// Between two closures, for the connections to go.
    private static let roomPause = TimeAmount.milliseconds(50)

    /// Makes room for clients that wait to be accepted. A client loses nothing: HTTP/1.1 lets a server close a
    /// connection that has no request on it (RFC 9112 9.5). Without this one client could hold all descriptors with
    /// connections that it does not use.
    ///
    /// Each loop of each listener that pauses asks for it.
    func closeIdleConnections() {
        let isDue = self.nextRoom.withLock { next in
            guard next <= .now() else { return false }
            next = .now() + Self.roomPause
            return true
        }
        guard isDue else { return }
        for state in self.loops {
            state.eventLoop.execute {
                guard state.value.closeIdleConnections() else { return }
                self.notices.warn("idle connections closed: file descriptors are short, and clients wait")
            }
        }
    }
}

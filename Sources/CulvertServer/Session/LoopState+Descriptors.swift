import CulvertCore
import NIOCore
import Synchronization

/// A loop closes connections that wait for their own clients, when others wait for a descriptor.
extension LoopState {
    /// The number of connections that one call looks at, at most.
    private static let mostLookedAt = 4096
    /// The number of connections that one call closes at most.
    private static let mostClosed = 32

    /// Closes connections that count as no handshake and carry no session, and whose client is to send a request or the
    /// rest of one, to read an answer, or to end: the longest wait first.
    ///
    /// - Returns: whether there were any.
    func closeWaitingConnections() -> Bool {
        var waiting = LongestWaiting<ClientConnection>(most: Self.mostClosed)
        // Anywhere in the table: the first of it may all be parked polls.
        let first = Int.random(in: 0...max(0, self.connections.count - Self.mostLookedAt))
        for connection in self.connections.values.dropFirst(first).prefix(Self.mostLookedAt) {
            guard let wait = ClientWait(of: connection) else { continue }
            if let session = wait.session {
                waiting.consider(connection, since: wait.since, bodyFor: session)
            } else {
                waiting.consider(connection, since: wait.since)
            }
        }
        let chosen = waiting.connections
        for connection in chosen { connection.cut() }
        return !chosen.isEmpty
    }
}

extension EdgeContext {
    /// Between two closures, for the connections to go.
    private static let roomPause = TimeAmount.milliseconds(50)

    /// Makes room for clients that wait to be accepted. HTTP/1.1 lets a server close a connection at any time
    /// (RFC 9112 9.5). A client that is sending a batch to its session sends it again. Without this one client could hold
    /// all descriptors with connections that it does not use.
    ///
    /// Each loop of each listener that pauses asks for it.
    func makeRoomForClients() {
        let isDue = self.nextRoom.withLock { next in
            guard next <= .now() else { return false }
            next = .now() + Self.roomPause
            return true
        }
        guard isDue else { return }
        for state in self.loops {
            state.eventLoop.execute {
                guard state.value.closeWaitingConnections() else { return }
                self.notices.warn("waiting connections closed: file descriptors are short, and clients wait")
            }
        }
    }
}

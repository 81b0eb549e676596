import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore
import Synchronization

/// Closes connections of one loop that wait for their own clients, when others wait for a descriptor. Used on that loop.
struct WaitingConnections {
    /// The number of connections that one call looks at, at most.
    private static let mostLookedAt = 4096
    /// The number of connections that one call closes at most.
    private static let mostClosed = 32

    let connections: [ObjectIdentifier: ClientConnection]

    /// Closes connections that count as no handshake and carry no session, and whose client is to send a request or the
    /// rest of one, to read an answer, or to end: the longest wait first.
    ///
    /// - Returns: whether there were any.
    func closeLongest() -> Bool {
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

/// When connections may be closed again to make room. All loops and the control plane use it.
final class RoomPauses: Sendable {
    let forClients = Mutex(NIODeadline.distantPast)
    let inMemory = Mutex(NIODeadline.distantPast)
}

extension EdgeContext {
    /// Between two closures, for the connections to go.
    private static let roomPause = TimeAmount.milliseconds(50)

    /// A connection that has waited for its client for so long may end for the memory that it holds.
    private static let longWait = TimeAmount.seconds(1)

    /// Makes room for bodies, which leave an eighth of the memory free: connections end that hold heads without an end, or
    /// answers that nobody reads. Below the ceiling nothing else would end them, and all bodies would be refused.
    func makeRoomInMemory() {
        guard let ceiling = self.rules.config.limits.memory else { return }
        let excess = self.memory.excess(over: ceiling / 4 * 3)
        let isDue = self.rooms.inMemory.withLock { next in
            guard excess > 0, next <= .now() else { return false }
            next = .now() + Self.roomPause
            return true
        }
        guard isDue else { return }
        for state in self.loops {
            state.eventLoop.execute {
                let count = state.value.connections.endIdle(since: .now() - Self.longWait, excess)
                guard count > 0 else { return }
                self.notices.warn("waiting connections closed: memory is short, and bodies were refused for it")
            }
        }
    }

    /// Makes room for clients that wait to be accepted. HTTP/1.1 lets a server close a connection at any time
    /// (RFC 9112 9.5). A client that is sending a batch to its session sends it again. Without this one client could hold
    /// all descriptors with connections that it does not use.
    ///
    /// Each loop of each listener that pauses asks for it.
    func makeRoomForClients() {
        let isDue = self.rooms.forClients.withLock { next in
            guard next <= .now() else { return false }
            next = .now() + Self.roomPause
            return true
        }
        guard isDue else { return }
        for state in self.loops {
            state.eventLoop.execute {
                guard WaitingConnections(connections: state.value.connections.http).closeLongest() else { return }
                self.notices.warn("waiting connections closed: file descriptors are short, and clients wait")
            }
        }
    }
}

import CulvertCore

/// The relief of memory at the connections of one loop.
extension LoopState {
    /// Classes of connections by what they hold, in bytes: the larger class goes first, and nothing is sorted.
    private static let reliefClasses = [256 * 1024, 64 * 1024, 16 * 1024, 4 * 1024, 1]

    /// Has connections that no session uses give back what they hold, until `excess` bytes are free: connections that
    /// speak HTTP, and lanes that have only joined.
    func relieveConnections(_ excess: Int) -> (connections: Int, bytes: Int) {
        var count = 0
        var freed = 0
        let lanes = self.lanes.values.filter { $0.isUnused && $0.hold.bytes > 0 }
        for least in Self.reliefClasses where freed < excess {
            // A connection that is cut leaves the table.
            for connection in Array(self.connections.values) where freed < excess {
                let bytes = connection.relieve(least: least)
                guard bytes > 0 else { continue }
                count += 1
                freed += bytes
            }
            for lane in lanes where freed < excess {
                let bytes = lane.relieve(least: least)
                guard bytes > 0 else { continue }
                count += 1
                freed += bytes
            }
        }
        return (count, freed)
    }

    /// Has the lanes of this loop tell their sessions what they hold. A session may be on another loop. The session
    /// has heard its lane before that loop does what it is given afterwards.
    ///
    /// Not in slices: the look at a lane is a comparison, and the memory is short now.
    func tellHeldByLanes() { for lane in self.lanes.values { lane.tellHeld() } }

    /// Lets the sessions read on that were held back. A session that still grows while memory is short is held back
    /// again.
    func readOn() {
        let sessions = self.heldBack
        self.heldBack = []
        for session in sessions {
            session.isHeldBack = false
            session.readOn()
        }
    }

    /// Closes sessions for memory, in the order of `keys`, until what all sessions hold is within `ceiling`.
    func relieveSessions(_ keys: [ObjectIdentifier], _ memory: SessionMemory, ceiling: Int) -> [ReliefOfSession] {
        var closed: [ReliefOfSession] = []
        for key in keys where memory.excessOfSessions(over: ceiling) > 0 {
            let used = memory.used
            guard let session = self.sessions[key] else { continue }
            let bytes = session.relieve()
            if bytes > 0 { closed.append(ReliefOfSession(id: session.id, bytes: bytes, used: used)) }
        }
        return closed
    }
}

/// A session that was closed for memory.
struct ReliefOfSession: Sendable {
    let id: SessionID
    /// Bytes that the session held.
    let bytes: Int
    /// Bytes that all sessions and requests held before.
    let used: Int
}

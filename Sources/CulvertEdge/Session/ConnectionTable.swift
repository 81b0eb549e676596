import CulvertCore
import NIOCore

/// Owns the connections of clients on one event loop: those that speak HTTP, and WebSockets that are lanes. Each enters
/// and leaves by itself. Used on that loop alone.
final class ConnectionTable {
    /// The most connections that give back in one turn of the loop. The caller asks again.
    private static let reliefAtOnce = 256
    /// Classes of connections by what they hold, in bytes: the larger class goes first, and nothing is sorted.
    private static let reliefClasses = [256 * 1024, 64 * 1024, 16 * 1024, 4 * 1024, 1]

    /// Connections that speak HTTP now.
    private(set) var http: [ObjectIdentifier: ClientConnection] = [:]
    /// Lanes of sessions of this loop or of another, and those that have only joined.
    private(set) var lanes: [ObjectIdentifier: any SessionLane] = [:]

    var isEmpty: Bool { self.http.isEmpty && self.lanes.isEmpty }

    func add(_ connection: ClientConnection) { self.http[ObjectIdentifier(connection)] = connection }

    func remove(_ connection: ClientConnection) { self.http[ObjectIdentifier(connection)] = nil }

    func add(_ lane: any SessionLane) { self.lanes[ObjectIdentifier(lane)] = lane }

    func remove(_ lane: any SessionLane) { self.lanes[ObjectIdentifier(lane)] = nil }

    // MARK: - stopping

    /// Has connections and lanes end when what is under way on them is done.
    func drain(in slices: LoopSlices) {
        var connections = Array(self.http.values)
        var lanes = Array(self.lanes.values)
        slices.repeatOften {
            if let connection = connections.popLast() {
                connection.drain()
            } else if let lane = lanes.popLast() {
                lane.goAway()
            } else {
                return false
            }
            return true
        }
    }

    /// Closes all of them without waiting for anything.
    func cut() {
        // A connection that is cut leaves the table.
        for connection in Array(self.http.values) { connection.cut() }
        for lane in Array(self.lanes.values) { lane.cut() }
    }

    // MARK: - the relief of memory

    /// Has connections that no session uses give back what they hold, until `excess` bytes are free: connections that
    /// speak HTTP, and lanes that have only joined.
    func relieve(_ excess: Int) -> (connections: Int, bytes: Int) {
        var count = 0
        var freed = 0
        let lanes = self.lanes.values.filter { $0.isUnused && $0.heldBytes > 0 }
        for least in Self.reliefClasses where freed < excess {
            // A connection that is cut leaves the table.
            for connection in Array(self.http.values) where freed < excess && count < Self.reliefAtOnce {
                let bytes = connection.holdings.relieve(least: least)
                guard bytes > 0 else { continue }
                count += 1
                freed += bytes
            }
            for lane in lanes where freed < excess && count < Self.reliefAtOnce {
                let bytes = lane.relieve(least: least)
                guard bytes > 0 else { continue }
                count += 1
                freed += bytes
            }
        }
        return (count, freed)
    }

    /// Ends connections that hold much and have waited for their clients since `time`, until `excess` bytes are free.
    ///
    /// - Returns: the number of connections.
    func endIdle(since time: NIODeadline, _ excess: Int) -> Int {
        var count = 0
        var freed = 0
        for connection in Array(self.http.values) where freed < excess && count < Self.reliefAtOnce {
            let bytes = connection.holdings.endIfIdle(since: time)
            guard bytes > 0 else { continue }
            count += 1
            freed += bytes
        }
        return count
    }

    /// Has the lanes of this loop tell their sessions what they hold. A session may be on another loop. The session
    /// has heard its lane before that loop does what it is given afterwards.
    ///
    /// Not in slices: the look at a lane is a comparison, and the memory is short now.
    func tellHeldByLanes() { for lane in self.lanes.values { lane.tellHeld() } }
}

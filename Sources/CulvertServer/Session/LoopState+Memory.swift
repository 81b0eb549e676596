import CulvertCore
import NIOCore

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

    /// Has the lanes of this loop tell their sessions what they hold, which may be on other loops. What a lane says is
    /// in its session's loop in front of whatever is asked there once the future is done.
    func tellHeldByLanes() -> EventLoopFuture<Void> {
        let promise = self.loop.makePromise(of: Void.self)
        var lanes = Array(self.lanes.values)
        self.slices.repeatWhile {
            guard let lane = lanes.popLast() else {
                promise.succeed()
                return false
            }
            lane.tellHeld()
            return true
        }
        return promise.futureResult
    }
}

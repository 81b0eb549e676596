import CulvertCore

/// The relief of memory at the connections of one loop.
extension LoopState {
    /// Classes of connections by what they hold, in bytes: the larger class goes first, and nothing is sorted.
    private static let reliefClasses = [256 * 1024, 64 * 1024, 16 * 1024, 4 * 1024, 1]

    /// Has connections that speak HTTP give back what they hold, until `excess` bytes are free.
    func relieveConnections(_ excess: Int) -> (connections: Int, bytes: Int) {
        var count = 0
        var freed = 0
        for least in Self.reliefClasses where freed < excess {
            // A connection that is cut leaves the table.
            for connection in Array(self.connections.values) where freed < excess {
                let bytes = connection.relieve(least: least)
                guard bytes > 0 else { continue }
                count += 1
                freed += bytes
            }
        }
        return (count, freed)
    }
}

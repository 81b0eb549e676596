/// The fair distribution of an upstream's sessions over its servers.
package enum FairShare {
    package struct Server: Equatable, Sendable {
        package var sessions: Int
        /// 1 or more.
        package var weight: Int
        /// Most sessions; nil for no limit.
        package var limit: Int?
        /// Whether it is given sessions: one that is not has no share, and keeps what it has.
        package var takesPart: Bool

        package init(sessions: Int, weight: Int = 1, limit: Int? = nil, takesPart: Bool = true) {
            self.sessions = sessions
            self.weight = weight
            self.limit = limit
            self.takesPart = takesPart
        }
    }

    /// Most sessions that each may have, by weight and rounded up; what one has no room for goes to the others. Nil for
    /// those that take no part.
    ///
    /// - Parameter slack: how much more than its share is fair, as a fraction of it.
    package static func targets(_ servers: [Server], slack: Double = 0) -> [Int?] {
        var targets: [Int?] = servers.map { $0.takesPart ? 0 : nil }
        var rest = servers.indices.filter { servers[$0].takesPart }
        var sessions = Double(rest.reduce(0) { $0 &+ servers[$1].sessions })
        while !rest.isEmpty {
            let weight = Double(rest.reduce(0) { $0 &+ servers[$1].weight })
            func share(_ index: Int) -> Double { sessions * Double(servers[index].weight) / max(1, weight) }
            let tight = rest.filter { share($0) >= Double(servers[$0].limit ?? .max) }
            guard tight.isEmpty else {
                for index in tight {
                    let limit = servers[index].limit ?? .max
                    targets[index] = limit
                    sessions -= Double(limit)
                }
                rest.removeAll(where: tight.contains)
                continue
            }
            for index in rest {
                // A share that is a whole number must not be rounded up because of the last bit of a fraction.
                targets[index] = Int((share(index) * (1 + slack) - 1e-9).rounded(.up))
            }
            break
        }
        return targets
    }
}

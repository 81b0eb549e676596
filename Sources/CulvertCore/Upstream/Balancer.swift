/// How the servers of an upstream share its sessions.
package enum BalancePolicy: Equatable, Sendable {
    /// The one with the fewest open sessions for its weight.
    case leastSessions
    /// In turn, each as often as its weight says.
    case roundRobin
    /// The same server for the same key, unless it has more than its share.
    case consistentHash(by: HashKey)
}

/// The part of a request that consistent hashing uses.
package enum HashKey: Equatable, Sendable {
    case subject
    /// The client's address.
    case address
    case header(String)
    case query(String)
}

/// The state of a server at the moment when a session is placed.
package struct ServerStanding: Equatable, Sendable {
    package var sessions: Int
    /// Most sessions; nil for no limit.
    package var limit: Int?
    package var isEjected: Bool
    /// The server's checks have found it unhealthy.
    package var isUnhealthy: Bool
    /// An operator has closed the server for new sessions.
    package var takesNone: Bool
    /// How much of its weight counts, above 0 and up to 1: less for a while after it has come back.
    package var share: Double

    package init(
        sessions: Int = 0, limit: Int? = nil, isEjected: Bool = false, isUnhealthy: Bool = false,
        takesNone: Bool = false, share: Double = 1
    ) {
        self.isUnhealthy = isUnhealthy
        self.takesNone = takesNone
        self.sessions = sessions
        self.limit = limit
        self.isEjected = isEjected
        self.share = share
    }

    /// Whether it is believed to serve.
    package var isWell: Bool { !self.isEjected && !self.isUnhealthy }

    fileprivate var isOpen: Bool { !self.takesNone && self.sessions < self.limit ?? .max }
}

/// Chooses a server. A pure function of how they stand, whose turn it is, and the request's key.
package struct Balancer: Sendable {
    private let policy: BalancePolicy
    private let weights: [Int]
    /// Servers in the order of their turns; empty unless they take turns.
    private let turns: [Int]
    /// The points of the ring in order; empty without consistent hashing.
    private let ring: [Point]

    private struct Point: Sendable {
        var at: UInt64
        var server: Int
    }

    /// - Parameter servers: a name of each, which decides its place among keys, and its weight, 1 or more.
    package init(policy: BalancePolicy, servers: [(name: String, weight: Int)]) {
        self.policy = policy
        let divisor = servers.map(\.weight).reduce(0, Self.commonDivisor)
        let weights = servers.map { max(1, $0.weight / max(1, divisor)) }
        self.weights = weights
        self.turns = policy == .roundRobin ? Self.turns(weights) : []
        if case .consistentHash = policy { self.ring = Self.ring(servers.map(\.name), weights) } else { self.ring = [] }
    }

    /// - Parameters:
    ///   - turn: one more for each session that is placed.
    ///   - key: of the request, from ``hash(_:)``; of no meaning unless keys are hashed.
    ///   - tried: servers that could not be reached for this request.
    /// - Returns: nil when none that is left takes a session.
    package func choose(_ standings: [ServerStanding], turn: Int, key: UInt64, tried: Set<Int> = []) -> Int? {
        let open = standings.indices.filter { !tried.contains($0) && standings[$0].isOpen }
        let well = open.filter { standings[$0].isWell }
        // If no server is well, all open ones are equally good candidates.
        let candidates = well.isEmpty ? open : well
        guard !candidates.isEmpty else { return nil }
        switch self.policy {
        case .leastSessions: return self.leastLoaded(candidates, standings, turn: turn)
        case .roundRobin: return self.next(candidates, turn: turn)
        case .consistentHash: return self.onRing(candidates, standings, key: key, turn: turn)
        }
    }

    // MARK: - least sessions

    /// Among equals the turn decides, so that idle servers share.
    private func leastLoaded(_ candidates: [Int], _ standings: [ServerStanding], turn: Int) -> Int? {
        let start = candidates.firstIndex { $0 >= Self.modulo(turn, self.weights.count) } ?? 0
        let rotated = candidates[start...] + candidates[..<start]
        func load(_ server: Int) -> Double {
            Double(standings[server].sessions + 1) / (Double(self.weights[server]) * standings[server].share)
        }
        return rotated.min { load($0) < load($1) }
    }

    // MARK: - round robin

    private func next(_ candidates: [Int], turn: Int) -> Int? {
        let start = Self.modulo(turn, self.turns.count)
        return (self.turns[start...] + self.turns[..<start]).first(where: candidates.contains)
    }

    /// The turns in the order of nginx: with the weights 5, 1, 1 the first server does not get its five turns in a row.
    private static func turns(_ weights: [Int]) -> [Int] {
        let total = weights.reduce(0, +)
        var current = weights.map { _ in 0 }
        return (0..<total).map { _ in
            for index in weights.indices { current[index] += weights[index] }
            let best = current.indices.max { current[$0] < current[$1] } ?? 0
            current[best] -= total
            return best
        }
    }

    // MARK: - consistent hashing

    /// Points for each unit of weight. More share better and take more memory.
    private static let density = 100
    private static let pointLimit = 20_000

    private static func ring(_ names: [String], _ weights: [Int]) -> [Point] {
        let total = weights.reduce(0, +)
        return zip(names, weights).enumerated().flatMap { index, server in
            let count = max(1, min(server.1 * self.density, server.1 * self.pointLimit / max(1, total)))
            return (0..<count).map { Point(at: self.hash("\(server.0)#\($0)"), server: index) }
        }.sorted { ($0.at, $0.server) < ($1.at, $1.server) }
    }

    /// The fraction of its share that a server may have in excess.
    package static let ringSlack = 0.25

    /// The first on the ring behind the key that has less than a quarter more than its share (consistent hashing with
    /// bounded loads, Mirrokni et al., 2016).
    private func onRing(_ candidates: [Int], _ standings: [ServerStanding], key: UInt64, turn: Int) -> Int? {
        let sessions = candidates.reduce(1) { $0 + standings[$1].sessions }
        let weight = candidates.reduce(0) { $0 + self.weights[$1] }
        func hasRoom(_ server: Int) -> Bool {
            let share = Double(sessions) * Double(self.weights[server]) / Double(max(1, weight))
            return Double(standings[server].sessions + 1) <= (share * (1 + Self.ringSlack)).rounded(.up)
        }
        var low = 0
        var high = self.ring.count
        while low < high {
            let middle = (low + high) / 2
            if self.ring[middle].at < key { low = middle + 1 } else { high = middle }
        }
        for point in self.ring[low...] + self.ring[..<low]
        where candidates.contains(point.server) && hasRoom(point.server) { return point.server }
        return self.leastLoaded(candidates, standings, turn: turn)
    }

    /// The same in every process, so that edges beside each other agree: FNV-1a, and a mix (of MurmurHash3) that
    /// spreads names which differ in their last character.
    package static func hash(_ text: String) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        hash = (hash ^ hash >> 33) &* 0xff51_afd7_ed55_8ccd
        hash = (hash ^ hash >> 33) &* 0xc4ce_b9fe_1a85_ec53
        return hash ^ hash >> 33
    }

    private static func commonDivisor(_ one: Int, _ other: Int) -> Int {
        other == 0 ? one : self.commonDivisor(other, one % other)
    }

    private static func modulo(_ turn: Int, _ count: Int) -> Int { count == 0 ? 0 : ((turn % count) + count) % count }
}

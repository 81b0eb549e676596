package import NIOCore

/// Brings servers down to their fair share at a steady rate. It decides how many sessions are closed, and on which
/// servers.
///
/// A session that is closed may not come back to another server: its client may stay away, or its key may be hashed to
/// the same server. So no more sessions are closed than were in excess at the beginning.
package struct Shedding: Sendable {
    /// Sessions per second.
    package let rate: Int
    private let targets: [Int?]
    /// The number of sessions that each server may still lose.
    private var budgets: [Int]
    private let start: NIODeadline
    private var shed = 0

    /// - Parameter slack: as of ``FairShare``.
    package init(_ servers: [FairShare.Server], slack: Double, rate: Int, now: NIODeadline) {
        self.rate = rate
        self.start = now
        let targets = FairShare.targets(servers, slack: slack)
        self.targets = targets
        self.budgets = zip(servers, targets).map { server, target in target.map { max(0, server.sessions - $0) } ?? 0 }
    }

    /// Most sessions that it is yet to shed, by server.
    ///
    /// - Parameter servers: as they stand now, without the sessions that were shed and are still closing.
    package func excess(_ servers: [FairShare.Server], slack: Double) -> [Int] {
        // A share has grown when a server has been lost since. That it has shrunk may be for those that are on their
        // way back.
        let now = FairShare.targets(servers, slack: slack)
        return self.budgets.indices.map { index in
            guard index < servers.count, let target = self.targets[index], let other = now[index] else { return 0 }
            return min(self.budgets[index], max(0, servers[index].sessions - max(target, other)))
        }
    }

    /// How many may be shed by now, beyond those that have been.
    package func due(now: NIODeadline) -> Int {
        let elapsed = Double((now - self.start).nanoseconds) / 1e9
        return max(0, 1 + Int(min(elapsed * Double(self.rate), 1e12)) - self.shed)
    }

    package mutating func didShed(server: Int) {
        self.shed += 1
        self.budgets[server] -= 1
    }

    /// Call this when the server has no session left that can be closed.
    package mutating func exhausted(server: Int) { self.budgets[server] = 0 }
}

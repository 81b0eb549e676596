import CulvertConfig
import CulvertCore
import Logging
import NIOCore
import Synchronization

/// How far a rebalance has come.
package struct RebalanceProgress: Sendable, Equatable {
    /// Sessions that are yet to be closed.
    package var remaining: Int
    /// Sessions per second.
    package var rate: Int
}

/// A session that a rebalance may close.
struct RebalanceCandidate: Sendable {
    var id: SessionID
    var openedAt: NIODeadline
    /// The index of its server in the pool.
    var server: Int
}

/// The sessions of all loops, as a rebalance asks for them.
protocol RebalancedSessions: Sendable {
    /// The sessions of the pool's servers that have not ended, in no order.
    func candidates(of pool: ServerPool) async -> [RebalanceCandidate]
    /// Closes the session, if it was not closing already.
    ///
    /// - Returns: the place that it leaves when it has ended.
    func shed(_ id: SessionID, _ frame: CloseFrame) async -> ServerLease?
}

/// Closes sessions of servers that have more than their share, the oldest first, so that their clients come back to
/// other servers. An upstream has one rebalance at a time.
final class Rebalancer: Sendable {
    static let frame = CloseFrame(code: .serviceRestart, reason: "rebalancing")
    /// Faster rates close several at a time.
    private static let shortestPause = Duration.milliseconds(20)

    private struct Run {
        var progress: RebalanceProgress
        var id: UInt64
        var task: Task<Void, Never>?
    }

    private let upstream: String
    private let pool: ServerPool
    private let slack: Double
    private let logger: Logger
    private let running = Mutex<Run?>(nil)

    init(_ config: UpstreamConfig, pool: ServerPool, logger: Logger) {
        self.upstream = config.name
        self.pool = pool
        self.logger = logger
        // The sessions that the ring allows a server are not in excess.
        if case .consistentHash = config.balance { self.slack = Balancer.ringSlack } else { self.slack = 0 }
    }

    /// Nil when none runs.
    var progress: RebalanceProgress? { self.running.withLock { $0?.progress } }

    /// - Returns: how many sessions are in excess; nil when a rebalance runs already.
    func start(rate: Int, sessions: any RebalancedSessions) -> Int? {
        let servers = self.standings(without: [:])
        let shedding = Shedding(servers, slack: self.slack, rate: rate, now: .now())
        let excess = shedding.excess(servers, slack: self.slack).reduce(0, +)
        let id = UInt64.random(in: .min ... .max)
        let hasBegun = self.running.withLock { running in
            guard running == nil else { return false }
            guard excess > 0 else { return true }
            running = Run(progress: RebalanceProgress(remaining: excess, rate: rate), id: id)
            running?.task = Task { await self.run(shedding, id: id, sessions: sessions) }
            return true
        }
        return hasBegun ? excess : nil
    }

    /// - Returns: false when none runs.
    func stop() -> Bool {
        let run = self.running.withLock { running in
            defer { running = nil }
            return running
        }
        run?.task?.cancel()
        return run != nil
    }

    private func run(_ shedding: Shedding, id: UInt64, sessions: any RebalancedSessions) async {
        var shedding = shedding
        var lines = await self.candidates(sessions)
        // Places of sessions that are closing.
        var leaving: [Int: [ServerLease]] = [:]
        var closed = 0
        while !Task.isCancelled {
            for (server, leases) in leaving { leaving[server] = leases.filter(\.isHeld) }
            var excess = shedding.excess(self.standings(without: leaving), slack: self.slack)
            let remaining = excess.reduce(0, +)
            let isOurs = self.running.withLock { running in
                guard running?.id == id else { return false }
                running?.progress.remaining = remaining
                return true
            }
            guard isOurs, remaining > 0 else { break }
            var due = shedding.due(now: .now())
            while due > 0, !Task.isCancelled, let server = Self.oldest(lines, excess) {
                guard let candidate = lines[server].popLast() else { break }
                // It may have gone by itself.
                guard let lease = await sessions.shed(candidate.id, Self.frame) else { continue }
                leaving[server, default: []].append(lease)
                shedding.didShed(server: server)
                excess[server] -= 1
                due -= 1
                closed += 1
            }
            for server in lines.indices where lines[server].isEmpty { shedding.exhausted(server: server) }
            try? await Task.sleep(for: max(Self.shortestPause, .seconds(1) / shedding.rate))
        }
        self.running.withLock { running in
            if running?.id == id { running = nil }
        }
        self.logger.info(
            "rebalanced", metadata: ["upstream": "\(self.upstream)", "closed": .stringConvertible(closed)])
    }

    /// The server with the oldest session among those that have too many.
    private static func oldest(_ lines: [[RebalanceCandidate]], _ excess: [Int]) -> Int? {
        lines.indices.filter { excess[$0] > 0 && !lines[$0].isEmpty }.min { one, other in
            (lines[one].last?.openedAt ?? .distantFuture) < (lines[other].last?.openedAt ?? .distantFuture)
        }
    }

    /// The sessions of each server, the oldest last.
    private func candidates(_ sessions: any RebalancedSessions) async -> [[RebalanceCandidate]] {
        let all = await sessions.candidates(of: self.pool)
        var lines: [[RebalanceCandidate]] = self.pool.servers.map { _ in [] }
        for candidate in all.sorted(by: { $0.openedAt > $1.openedAt }) { lines[candidate.server].append(candidate) }
        return lines
    }

    private func standings(without leaving: [Int: [ServerLease]]) -> [FairShare.Server] {
        self.pool.servers.enumerated().map { index, server in
            let standing = server.standing(now: .now())
            return FairShare.Server(
                sessions: standing.sessions - (leaving[index]?.count ?? 0), weight: server.config.weight,
                limit: standing.limit, takesPart: standing.isWell && !standing.takesNone)
        }
    }
}

import CulvertConfig
import CulvertCore
import NIOCore

/// A server of an upstream as the admin API shows it.
package struct ServerInfo: Sendable, Equatable {
    package var url: String
    package var weight: Int
    package var maxSessions: Int?
    package var state: ServerState
    /// Open, or being opened.
    package var sessions: Int
    /// It has failed, and gets no session while another can be had.
    package var isEjected: Bool
    /// The result of the server's checks; nil without checks, and until the first result.
    package var isHealthy: Bool?
    package var lastCheck: LastCheck?
}

package struct UpstreamInfo: Sendable, Equatable {
    package var name: String
    package var servers: [ServerInfo]
    /// Openings that wait for a server with room.
    package var waiting: Int
    /// Nil when none runs.
    package var rebalance: RebalanceProgress?
}

/// The upstreams, as the admin API sees and changes them.
package struct EdgeUpstreams: Sendable {
    static let takenDown = CloseFrame(code: .serviceRestart, reason: "server taken down")

    let edge: EdgeContext

    /// The upstreams, sorted by name.
    package func list() -> [UpstreamInfo] {
        self.edge.rules.connectors.keys.sorted().compactMap { self.info(name: $0) }
    }

    package func info(name: String) -> UpstreamInfo? {
        guard let connector = self.edge.rules.connectors[name] else { return nil }
        return UpstreamInfo(
            name: name, servers: connector.pool.servers.map(self.info), waiting: connector.pool.waiting,
            rebalance: connector.rebalancer.progress)
    }

    package enum Rebalance: Sendable, Equatable {
        /// The number of sessions that will be closed.
        case started(Int)
        case runsAlready
        case noSuchUpstream
    }

    /// Closes sessions of servers that have more than their share.
    ///
    /// - Parameter rate: sessions per second.
    package func rebalance(_ name: String, rate: Int) -> Rebalance {
        guard let connector = self.edge.rules.connectors[name] else { return .noSuchUpstream }
        let excess = connector.rebalancer.start(rate: rate, sessions: EdgeSessions(edge: self.edge))
        return excess.map(Rebalance.started) ?? .runsAlready
    }

    /// - Returns: false when none runs.
    package func stopRebalance(_ name: String) -> Bool {
        self.edge.rules.connectors[name]?.rebalancer.stop() ?? false
    }

    /// The state holds until the process ends. A server that is down loses its sessions.
    ///
    /// - Returns: nil when there is no such server.
    package func set(_ state: ServerState, upstream: String, server url: String) async -> ServerInfo? {
        guard let pool = self.edge.rules.connectors[upstream]?.pool,
            let server = pool.servers.first(where: { $0.config.url == url })
        else {
            return nil
        }
        server.state = state
        pool.serveWaiting()
        if state == .down {
            _ = await EdgeSessions(edge: self.edge).close(
                SessionFilter(upstream: upstream, server: url), code: .serviceRestart, reason: Self.takenDown.reason)
        }
        return self.info(server)
    }

    private func info(_ server: PooledServer) -> ServerInfo {
        let standing = server.standing(now: .now())
        return ServerInfo(
            url: server.config.url, weight: server.config.weight, maxSessions: server.config.maxSessions,
            state: server.state, sessions: standing.sessions, isEjected: standing.isEjected,
            isHealthy: server.isHealthy, lastCheck: server.lastCheck)
    }
}

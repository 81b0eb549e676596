package import CulvertConfig
package import CulvertCore
import CulvertSystem

/// What the admin API sees of the limits that are applied before a session exists.
package struct EdgeLimits: Sendable {
    let edge: EdgeContext

    /// In force.
    package var config: LimitsConfig { self.edge.rules.config.limits }
    /// The routes that have limits of their own.
    package var routes: [Route] {
        let config = self.edge.rules.config
        return config.routes.filter { !$0.limits.isEmpty || $0.message != config.limits.message }
    }

    /// Open, or being opened.
    package var sessions: Int { self.edge.openSessions }
    package var connections: Int { self.edge.admissions.connections }
    package var handshakes: Int { self.edge.admissions.handshakes }
    package var parkedPolls: Int { self.edge.admissions.parkedPolls }
    /// Known at the moment, for they have something open or opened something lately.
    package var addresses: Int { self.edge.admissions.trackedAddresses }
    package var tokens: Int { self.edge.admissions.trackedTokens }

    /// How often that limit has refused since the process began.
    package func denied(_ scope: AdmissionScope, _ limit: AdmissionLimit) -> Int {
        self.edge.admissions.denied(scope, limit)
    }

    /// How often requests have been refused for each reason since the process began.
    package var refusals: [(reason: String, count: Int)] { self.edge.refusals.counted }

    package var deniedPolls: Int { self.edge.admissions.deniedPolls }
}

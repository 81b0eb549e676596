import CulvertConfig
import CulvertEdge
import CulvertSystem
import NIOHTTP1

/// What the process tells of itself: `/healthz`, `/readyz`, `/v1/config`, `/v1/memory` and `/v1/version`.
struct ProcessResource: Sendable {
    /// Tells whether it takes sessions, how many there are, its memory and its configuration.
    let edge: EdgeServer

    /// - Parameter readiness: whether the question is `/readyz`.
    func health(readiness: Bool) -> HTTPAnswer {
        let body = JSONWriter.object {
            $0.add("status", self.edge.isReady ? "ok" : "draining")
            $0.add("sessions", self.edge.openSessions)
        }
        // One that drains is healthy: who restarts it for that cuts the sessions that it is taking leave of.
        return HTTPAnswer(readiness && !self.edge.isReady ? .serviceUnavailable : .ok, json: body)
    }

    /// The configuration in effect, without its secrets.
    func config(_ request: AdminRequest) throws(AdminFailure) -> HTTPAnswer {
        try request.allowPlainRead()
        return HTTPAnswer(
            .ok, json: JSONWriter.object { $0.add("yaml", self.edge.config.redactedYAML()) })
    }

    func memory(_ request: AdminRequest) throws(AdminFailure) -> HTTPAnswer {
        try request.allowPlainRead()
        let memory = self.edge.memory
        let body = JSONWriter.object {
            $0.add("used", memory.used)
            $0.add("ceiling", memory.ceiling)
            $0.add("closed", memory.closed)
        }
        return HTTPAnswer(.ok, json: body)
    }

    func version(_ request: AdminRequest) throws(AdminFailure) -> HTTPAnswer {
        try request.allowPlainRead()
        return HTTPAnswer(.ok, json: JSONWriter.object { $0.add("version", Version.text) })
    }
}

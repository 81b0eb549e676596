import CulvertCore
import NIOHTTP1

/// `/v1/upstreams`.
extension AdminAPI {
    func upstreams(_ request: AdminRequest, _ path: [String]) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        switch path.count {
        case 0:
            try Self.allow(request, [.GET, .HEAD])
            return Self.json(.ok, JSONWriter.page(self.upstreams.list().map(Self.text), next: nil))
        case 1:
            try Self.allow(request, [.GET, .HEAD])
            guard let upstream = self.upstreams.info(name: path[0]) else { throw Self.noSuchUpstream }
            return Self.json(.ok, Self.text(upstream))
        case 3 where path[1] == "servers":
            try Self.allow(request, [.PUT])
            return try await self.set(request, upstream: path[0], server: path[2])
        case 2 where path[1] == "rebalance":
            try Self.allow(request, [.POST, .DELETE])
            return request.head.method == .POST
                ? try await self.rebalance(request, upstream: path[0])
                : try await self.stopRebalance(request, upstream: path[0])
        default: throw AdminFailure.noResource
        }
    }

    private static let noSuchUpstream = AdminFailure(404, "not_found", "There is no such upstream, or server of it.")

    private func set(
        _ request: AdminRequest, upstream: String, server: String
    ) async throws(AdminFailure) -> HTTPAnswer {
        var members = try request.members(["state"])
        let text = members.string("state", required: true)
        let state = text.flatMap(ServerState.init)
        if text != nil, state == nil {
            members.fail("state", "expected one of \(ServerState.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        guard members.faults.isEmpty, let state else { throw AdminFailure(faults: members.faults) }
        guard self.upstreams.info(name: upstream)?.servers.contains(where: { $0.url == server }) == true else {
            throw Self.noSuchUpstream
        }
        // Noted first, as every change: what cannot be written down is not done.
        try await self.ask { () async throws(DeskError) in
            try await self.desk.note(
                "server.state", "\(upstream) \(server)", detail: state.rawValue, by: request.caller)
        }
        guard let info = await self.upstreams.set(state, upstream: upstream, server: server) else {
            throw Self.noSuchUpstream
        }
        return Self.json(.ok, Self.text(info))
    }

    // MARK: - rebalancing

    private static let rates = 1...10_000

    private func rebalance(_ request: AdminRequest, upstream: String) async throws(AdminFailure) -> HTTPAnswer {
        var members = try request.members(["rate"], isOptional: true)
        let rate = members.integer("rate") ?? 10
        if !Self.rates.contains(rate) {
            members.fail("rate", "expected \(Self.rates.lowerBound) to \(Self.rates.upperBound) sessions per second")
        }
        guard members.faults.isEmpty else { throw AdminFailure(faults: members.faults) }
        guard let info = self.upstreams.info(name: upstream) else { throw Self.noSuchUpstream }
        guard info.rebalance == nil else { throw Self.rebalances }
        try await self.ask { () async throws(DeskError) in
            try await self.desk.note("upstream.rebalance", upstream, detail: "rate \(rate)", by: request.caller)
        }
        switch self.upstreams.rebalance(upstream, rate: rate) {
        case .noSuchUpstream: throw Self.noSuchUpstream
        case .runsAlready: throw Self.rebalances
        case .started(let count):
            return Self.json(
                .accepted,
                JSONWriter.object {
                    $0.add("shedding", count)
                    $0.add("rate", rate)
                })
        }
    }

    private static let rebalances = AdminFailure(409, "conflict", "Not done: a rebalance of the upstream runs.")

    private func stopRebalance(_ request: AdminRequest, upstream: String) async throws(AdminFailure) -> HTTPAnswer {
        let runsNone = AdminFailure(404, "not_found", "There is no such upstream, or no rebalance of it.")
        guard self.upstreams.info(name: upstream)?.rebalance != nil else { throw runsNone }
        try await self.ask { () async throws(DeskError) in
            try await self.desk.note("upstream.rebalance_stop", upstream, detail: "", by: request.caller)
        }
        guard self.upstreams.stopRebalance(upstream) else { throw runsNone }
        return HTTPAnswer(status: .noContent)
    }

    private static func text(_ upstream: UpstreamInfo) -> String {
        JSONWriter.object {
            $0.add("name", upstream.name)
            $0.add("servers", raw: "[" + upstream.servers.map(Self.text).joined(separator: ",") + "]")
            $0.add("waiting", upstream.waiting)
            let rebalance = upstream.rebalance.map { rebalance in
                JSONWriter.object {
                    $0.add("remaining", rebalance.remaining)
                    $0.add("rate", rebalance.rate)
                }
            }
            $0.add("rebalancing", raw: rebalance ?? "null")
        }
    }

    private static func text(_ server: ServerInfo) -> String {
        JSONWriter.object {
            $0.add("url", server.url)
            $0.add("weight", server.weight)
            $0.add("max_sessions", server.maxSessions)
            $0.add("state", server.state.rawValue)
            $0.add("sessions", server.sessions)
            $0.add("ejected", raw: server.isEjected ? "true" : "false")
            $0.add("healthy", raw: server.isHealthy.map { $0 ? "true" : "false" } ?? "null")
            let check = server.lastCheck.map { check in
                JSONWriter.object {
                    $0.add("at", time: check.at)
                    $0.add("passed", raw: check.failure == nil ? "true" : "false")
                    $0.add("reason", check.failure)
                }
            }
            $0.add("last_check", raw: check ?? "null")
        }
    }
}

import CulvertCore
import CulvertEdge
import NIOHTTP1

/// `/v1/upstreams`: shows upstreams, sets the state of their servers, and starts and stops their rebalancing.
struct UpstreamsResource: Sendable {
    let upstreams: EdgeUpstreams
    let audit: AuditLog

    /// - Parameter path: what follows `/v1/upstreams`.
    func answer(_ request: AdminRequest, _ path: [String]) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        switch path.count {
        case 0:
            try request.allow([.GET, .HEAD])
            return HTTPAnswer(.ok, json: JSONWriter.page(self.upstreams.list().map(Self.text), next: nil))
        case 1:
            try request.allow([.GET, .HEAD])
            return HTTPAnswer(.ok, json: Self.text(try self.find(path[0])))
        case 3 where path[1] == "servers":
            try request.allow([.PUT])
            return try await self.set(request, upstream: path[0], server: path[2])
        case 2 where path[1] == "rebalance":
            try request.allow([.POST, .DELETE])
            return request.head.method == .POST
                ? try await self.rebalance(request, upstream: path[0])
                : try await self.stopRebalance(request, upstream: path[0])
        default: throw AdminFailure.noResource
        }
    }

    /// - Throws: for an unknown name a failure that tells the names there are.
    private func find(_ name: String) throws(AdminFailure) -> UpstreamInfo {
        if let upstream = self.upstreams.info(name: name) { return upstream }
        throw self.noSuchUpstream
    }

    private var noSuchUpstream: AdminFailure {
        let names = Self.listed(self.upstreams.list().map(\.name))
        return AdminFailure(404, "not_found", "There is no upstream of this name; there are \(names).")
    }

    private static func noSuchServer(in upstream: UpstreamInfo) -> AdminFailure {
        let urls = self.listed(upstream.servers.map(\.url))
        return AdminFailure(
            404, "not_found", "The upstream has no server of this URL, written as in the list; it has \(urls).")
    }

    /// The first of many names, for a message.
    private static func listed(_ names: [String]) -> String {
        let most = 20
        return names.prefix(most).joined(separator: ", ") + (names.count > most ? " and others" : "")
    }

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
        let known = try self.find(upstream)
        guard known.servers.contains(where: { $0.url == server }) else { throw Self.noSuchServer(in: known) }
        // Noted first, as every change: what cannot be written down is not done.
        try await self.audit.note("server.state", "\(upstream) \(server)", detail: state.rawValue, by: request.caller)
        guard let info = await self.upstreams.set(state, upstream: upstream, server: server) else {
            // A reload has taken it away meanwhile.
            throw Self.noSuchServer(in: try self.find(upstream))
        }
        return HTTPAnswer(.ok, json: Self.text(info))
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
        let info = try self.find(upstream)
        guard info.rebalance == nil else { throw Self.rebalances }
        try await self.audit.note("upstream.rebalance", upstream, detail: "rate \(rate)", by: request.caller)
        switch self.upstreams.rebalance(upstream, rate: rate) {
        case .noSuchUpstream: throw self.noSuchUpstream
        case .runsAlready: throw Self.rebalances
        case .started(let count):
            let body = JSONWriter.object {
                $0.add("shedding", count)
                $0.add("rate", rate)
            }
            return HTTPAnswer(.accepted, json: body)
        }
    }

    private static let rebalances = AdminFailure(409, "conflict", "Not done: a rebalance of the upstream runs.")

    private func stopRebalance(_ request: AdminRequest, upstream: String) async throws(AdminFailure) -> HTTPAnswer {
        let runsNone = AdminFailure(404, "not_found", "The upstream has no rebalance.")
        guard try self.find(upstream).rebalance != nil else { throw runsNone }
        try await self.audit.note("upstream.rebalance_stop", upstream, detail: "", by: request.caller)
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

import CulvertCore
import CulvertEdge
import CulvertTokens
import NIOHTTP1

/// `/v1/tokens`: mints, shows, changes, revokes and deletes tokens.
struct TokensResource: Sendable {
    let desk: TokenDesk
    /// The paths of the routes in force.
    let paths: @Sendable () -> [String]

    /// - Parameter path: what follows `/v1/tokens`.
    func answer(_ request: AdminRequest, _ path: [String]) async throws(AdminFailure) -> HTTPAnswer {
        switch (path.count, path.last) {
        case (0, _):
            try request.allow([.GET, .HEAD, .POST])
            return request.head.method == .POST ? try await self.mint(request) : try await self.list(request)
        case (1, let id?):
            try request.allow([.GET, .HEAD, .PATCH, .DELETE])
            return try await self.token(request, id)
        case (2, "rotate"?):
            try request.allow([.POST])
            return try await self.rotate(request, path[0])
        case (2, "revoke"?):
            try request.allow([.POST])
            return try await self.revoke(request, path[0])
        default:
            throw AdminFailure.noResource
        }
    }

    private func list(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        let parameters = try request.parameters(["cursor", "limit", "subject", "revoked"])
        let limit = try request.limit(parameters)
        let revoked = try parameters["revoked"].map { text throws(AdminFailure) in
            guard let value = Bool(text) else { throw AdminFailure(400, "bad_parameter", "revoked is true or false.") }
            return value
        }
        let page = try await self.desk.operate { desk async throws(DeskError) in
            try await desk.list(
                after: parameters["cursor"], limit: limit, subject: parameters["subject"], revoked: revoked)
        }
        return HTTPAnswer(.ok, json: JSONWriter.page(page.items.map { Self.text($0) }, next: page.next))
    }

    private func mint(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        var members = try request.members([
            "id", "subject", "routes", "origins", "not_before", "expires", "limits", "note",
        ])
        var wanted = TokenRequest(
            id: members.string("id"), subject: members.string("subject", required: true) ?? "",
            routes: members.strings("routes", required: true) ?? [], origins: members.strings("origins"),
            notBefore: members.time("not_before"), expires: members.time("expires"), note: members.string("note"))
        if var limits = members.object("limits") {
            limits.check(known: ["sessions", "messages_per_second"])
            wanted.sessions = limits.integer("sessions")
            wanted.messagesPerSecond = limits.integer("messages_per_second")
            members.add(limits.faults)
        }
        guard members.faults.isEmpty else { throw AdminFailure(faults: members.faults) }
        let key = try request.idempotencyKey()
        let token = wanted
        let minted = try await self.desk.operate { desk async throws(DeskError) in
            try await desk.mint(token, idempotencyKey: key, by: request.caller)
        }
        let warnings = self.warnings(of: minted.stored.token.routes)
        return HTTPAnswer(
            .created, json: Self.text(minted.stored, secret: minted.secret, warnings: warnings),
            headers: ["Location": "/v1/tokens/\(minted.stored.token.id)"])
    }

    /// What is suspicious about paths that a token opens. A route may come with the next reload, so none is refused.
    private func warnings(of paths: [String]) -> [String] {
        let routes = self.paths().compactMap { try? PathPrefix($0) }
        return paths.compactMap { path in
            if path.utf8.contains(UInt8(ascii: "*")) {
                return "\(path): a star stands for itself; a path opens all paths below it, so leave the star out"
            }
            guard let prefix = try? PathPrefix(path), !routes.contains(where: { $0.meets(prefix) }) else { return nil }
            return "\(path): no route of the configuration has such a path"
        }
    }

    private func rotate(_ request: AdminRequest, _ id: String) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        let seconds = try request.overlap()
        let key = try request.idempotencyKey()
        let minted = try await self.desk.operate { desk async throws(DeskError) in
            try await desk.rotate(id: id, overlap: seconds, idempotencyKey: key, by: request.caller)
        }
        return HTTPAnswer(.ok, json: Self.text(minted.stored, secret: minted.secret))
    }

    private func revoke(_ request: AdminRequest, _ id: String) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        var members = try request.members(["reason"], isOptional: true)
        let reason = members.string("reason")
        guard members.faults.isEmpty else { throw AdminFailure(faults: members.faults) }
        let stored = try await self.desk.operate { desk async throws(DeskError) in
            try await desk.revoke(id: id, reason: reason, by: request.caller)
        }
        return HTTPAnswer(.ok, json: Self.text(stored))
    }

    private func token(_ request: AdminRequest, _ id: String) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        switch request.head.method {
        case .DELETE:
            try await self.desk.operate { desk async throws(DeskError) in
                try await desk.delete(id: id, by: request.caller)
            }
            return HTTPAnswer(status: .noContent)
        case .PATCH:
            let patch = try Self.patch(request)
            let stored = try await self.desk.operate { desk async throws(DeskError) in
                try await desk.patch(id: id, patch, by: request.caller)
            }
            return HTTPAnswer(.ok, json: Self.text(stored))
        default:
            let stored = try await self.desk.operate { desk async throws(DeskError) in try await desk.token(id: id) }
            return HTTPAnswer(.ok, json: Self.text(stored))
        }
    }

    /// As a merge patch (RFC 7396): null takes away, what is absent stays.
    private static func patch(_ request: AdminRequest) throws(AdminFailure) -> TokenPatch {
        var members = try request.members(["routes", "origins", "not_before", "expires", "limits", "note"])
        var patch = TokenPatch()
        if members.has("routes") { patch.routes = members.strings("routes", required: true) }
        if members.has("origins") { patch.origins = .some(members.strings("origins")) }
        if members.has("not_before") { patch.notBefore = .some(members.time("not_before")) }
        if members.has("expires") { patch.expires = .some(members.time("expires")) }
        if members.has("note") { patch.note = members.string("note") ?? "" }
        if var limits = members.object("limits") {
            limits.check(known: ["sessions", "messages_per_second"])
            if limits.has("sessions") { patch.sessions = .some(limits.integer("sessions")) }
            if limits.has("messages_per_second") {
                patch.messagesPerSecond = .some(limits.integer("messages_per_second"))
            }
            members.add(limits.faults)
        } else if members.has("limits"), members.faults.isEmpty {
            patch.sessions = .some(nil)
            patch.messagesPerSecond = .some(nil)
        }
        guard members.faults.isEmpty else { throw AdminFailure(faults: members.faults) }
        return patch
    }

    private static func text(_ stored: StoredToken, secret: String? = nil, warnings: [String]? = nil) -> String {
        let token = stored.token
        return JSONWriter.object { out in
            out.add("id", token.id)
            if let secret { out.add("secret", secret) }
            if let warnings { out.add("warnings", warnings) }
            out.add("source", token.source.rawValue)
            out.add("subject", token.subject)
            out.add("routes", token.routes)
            out.add("origins", token.origins?.map(\.description))
            out.add("not_before", time: token.notBefore)
            out.add("expires", time: token.expires)
            out.add(
                "limits",
                raw: JSONWriter.object {
                    $0.add("sessions", token.limits.sessions)
                    $0.add("messages_per_second", token.limits.messagesPerSecond)
                })
            out.add("note", stored.note)
            out.add("created_at", time: token.source == .store ? token.issued : nil)
            out.add("rotated_at", time: stored.rotatedAt)
            out.add("revoked_at", time: stored.revokedAt)
            out.add("revoked_reason", stored.revokedReason)
            let secrets = stored.secrets.map { secret in
                JSONWriter.object {
                    $0.add("generation", secret.generation)
                    $0.add("until", time: secret.until)
                }
            }
            out.add("secrets", raw: "[" + secrets.joined(separator: ",") + "]")
        }
    }
}

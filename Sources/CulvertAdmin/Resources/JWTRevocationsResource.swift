import CulvertCore
import CulvertEdge
import CulvertTokens
import NIOHTTP1

/// `/v1/jwt/revocations`: revokes JSON Web Tokens by their identifier or subject, and shows and removes revocations.
struct JWTRevocationsResource: Sendable {
    let desk: TokenDesk

    func answer(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try request.allow([.GET, .HEAD, .POST, .DELETE])
        switch request.head.method {
        case .POST:
            _ = try request.parameters([])
            let revocation = try Self.revocation(request, before: await self.desk.latestIssue() + 1)
            let joined = try await self.desk.operate { desk async throws(DeskError) in
                try await desk.revokeJWT(revocation, by: request.caller)
            }
            return HTTPAnswer(.created, json: Self.text(joined))
        case .DELETE:
            let parameters = try request.parameters(["jti", "subject"])
            let target = try Self.target(jti: parameters["jti"], subject: parameters["subject"])
            try await self.desk.operate { desk async throws(DeskError) in
                try await desk.removeJWTRevocation(target, by: request.caller)
            }
            return HTTPAnswer(status: .noContent)
        default:
            let parameters = try request.parameters(["cursor", "limit"])
            let limit = try request.limit(parameters)
            let after = try request.cursor(parameters) { JWTRevocation.Target(cursor: $0) }
            let page = try await self.desk.operate { desk async throws(DeskError) in
                try await desk.listJWTRevocations(after: after, limit: limit)
            }
            return HTTPAnswer(.ok, json: JSONWriter.page(page.items.map(Self.text), next: page.next?.cursor))
        }
    }

    /// - Parameter before: unless said.
    private static func revocation(
        _ request: AdminRequest, before unlessSaid: Int64
    ) throws(AdminFailure) -> JWTRevocation {
        var members = try request.members(["jti", "subject", "before", "until"])
        let jti = members.string("jti")
        let subject = members.string("subject")
        let before = members.time("before")
        let until = members.time("until")
        if until == nil, members.faults.isEmpty { members.fail("until", "missing") }
        guard members.faults.isEmpty, let until else { throw AdminFailure(faults: members.faults) }
        return JWTRevocation(
            target: try self.target(jti: jti, subject: subject), before: before ?? unlessSaid, until: until)
    }

    private static func target(jti: String?, subject: String?) throws(AdminFailure) -> JWTRevocation.Target {
        switch (jti, subject) {
        case (let jti?, nil): return .id(jti)
        case (nil, let subject?): return .subject(subject)
        default: throw AdminFailure(400, "invalid_request", "Either jti or subject is required.")
        }
    }

    private static func text(_ revocation: JWTRevocation) -> String {
        JSONWriter.object {
            if case .subject(let subject) = revocation.target {
                $0.add("subject", subject)
                $0.add("before", time: revocation.before)
            } else {
                $0.add("jti", revocation.target.value)
            }
            $0.add("until", time: revocation.until)
        }
    }
}

extension JWTRevocation.Target {
    /// Where a page of the listing ended.
    fileprivate var cursor: String { "\(self.kind) \(self.value)" }

    fileprivate init?(cursor: String) {
        guard let (kind, value) = cursor.split(at: UInt8(ascii: " ")) else { return nil }
        switch kind {
        case "id": self = .id(String(value))
        case "subject": self = .subject(String(value))
        default: return nil
        }
    }
}

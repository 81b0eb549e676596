import CulvertCore
import NIOCore
import NIOHTTP1

/// `/v1/jwt/keys` and `/v1/jwt/revocations`.
extension AdminAPI {
    func jwt(_ request: AdminRequest, _ path: [String]) async throws(AdminFailure) -> HTTPAnswer {
        switch (path.first, path.count, path.last) {
        case ("revocations"?, 1, _): return try await self.jwtRevocations(request)
        case ("keys"?, 1, _):
            try Self.allow(request, [.GET, .HEAD, .POST])
            return request.head.method == .POST ? try await self.addKey(request) : try await self.listKeys(request)
        case ("keys"?, 2, let id?):
            try Self.allow(request, [.GET, .HEAD, .DELETE])
            return try await self.key(request, id)
        case ("keys"?, 3, "retire"?):
            try Self.allow(request, [.POST])
            return try await self.retireKey(request, path[1])
        default: throw AdminFailure.noResource
        }
    }

    // MARK: - keys

    private func listKeys(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        let all = try await self.ask { () async throws(DeskError) in try await self.desk.listJWTKeys() }
        return Self.json(.ok, JSONWriter.page(all.map(Self.text), next: nil))
    }

    private func addKey(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        var members = try request.members(["id", "algorithm", "pem", "jwk", "note"])
        let id = members.string("id")
        let pem = members.string("pem")
        let jwk = members.value("jwk")
        let note = members.string("note") ?? ""
        let algorithm = members.string("algorithm").flatMap { name in
            let algorithm = SignatureAlgorithm(rawValue: name)
            if algorithm == nil || algorithm == .hs256 {
                members.fail("algorithm", "expected RS256, PS256, ES256 or EdDSA")
            }
            return algorithm
        }
        var description: JWTKeyDescription?
        do throws(JWTKeyDescription.Fault) {
            switch (pem, jwk) {
            case (.some, nil) where algorithm == nil:
                if members.faults.isEmpty { members.fail("algorithm", "missing") }
            case (let pem?, nil):
                description = try JWTKeyDescription(pem: pem, id: id, algorithm: algorithm)
            case (nil, .object(let jwk)?):
                description = try JWTKeyDescription(jwk: jwk, id: id, algorithm: algorithm)
            case (nil, .some): members.fail("jwk", "expected an object")
            default: members.fail("pem", "either pem or jwk is required")
            }
        } catch {
            let place = error == .algorithm ? "algorithm" : pem == nil ? "jwk" : "pem"
            members.fail(place, error.message)
        }
        guard members.faults.isEmpty, let key = description else { throw AdminFailure(faults: members.faults) }
        let added = try await self.ask { () async throws(DeskError) in
            try await self.desk.addJWTKey(key, note: note, by: request.caller)
        }
        return Self.json(
            .created, Self.text(added), headers: ["Location": "/v1/jwt/keys/\(added.id ?? "")"])
    }

    private func key(_ request: AdminRequest, _ id: String) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        if request.head.method == .DELETE {
            try await self.ask { () async throws(DeskError) in
                try await self.desk.deleteJWTKey(id: id, by: request.caller)
            }
            return HTTPAnswer(status: .noContent)
        }
        let key = try await self.ask { () async throws(DeskError) in try await self.desk.jwtKey(id: id) }
        return Self.json(.ok, Self.text(key))
    }

    private func retireKey(_ request: AdminRequest, _ id: String) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        let overlap = try Self.overlap(request)
        let key = try await self.ask { () async throws(DeskError) in
            try await self.desk.retireJWTKey(id: id, overlap: overlap, by: request.caller)
        }
        return Self.json(.ok, Self.text(key))
    }

    private static func text(_ key: TokenDesk.ListedJWTKey) -> String {
        JSONWriter.object {
            $0.add("id", key.id)
            $0.add("algorithm", key.algorithm.rawValue)
            $0.add("source", key.source.rawValue)
            $0.add("thumbprint", key.thumbprint)
            $0.add("note", key.note)
            $0.add("created_at", time: key.createdAt)
            $0.add("until", time: key.until)
        }
    }

    // MARK: - revocations

    private func jwtRevocations(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        try Self.allow(request, [.GET, .HEAD, .POST, .DELETE])
        switch request.head.method {
        case .POST:
            _ = try request.parameters([])
            let revocation = try Self.revocation(request, before: await self.desk.latestIssue() + 1)
            let joined = try await self.ask { () async throws(DeskError) in
                try await self.desk.revokeJWT(revocation, by: request.caller)
            }
            return Self.json(.created, Self.text(joined))
        case .DELETE:
            let parameters = try request.parameters(["jti", "subject"])
            let target = try Self.target(jti: parameters["jti"], subject: parameters["subject"])
            try await self.ask { () async throws(DeskError) in
                try await self.desk.removeJWTRevocation(target, by: request.caller)
            }
            return HTTPAnswer(status: .noContent)
        default:
            let parameters = try request.parameters(["cursor", "limit"])
            let limit = try request.limit(parameters)
            let after = try request.cursor(parameters) { JWTRevocation.Target(cursor: $0) }
            let page = try await self.ask { () async throws(DeskError) in
                try await self.desk.listJWTRevocations(after: after, limit: limit)
            }
            return Self.json(.ok, JSONWriter.page(page.items.map(Self.text), next: page.next?.cursor))
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

import CulvertCore
import CulvertEdge
import CulvertTokens
import NIOHTTP1

/// `/v1/jwt/keys`: adds, shows, retires and deletes the keys that verify JSON Web Tokens.
struct JWTKeysResource: Sendable {
    let desk: TokenDesk

    /// - Parameter path: what follows `/v1/jwt/keys`.
    func answer(_ request: AdminRequest, _ path: [String]) async throws(AdminFailure) -> HTTPAnswer {
        switch (path.count, path.last) {
        case (0, _):
            try request.allow([.GET, .HEAD, .POST])
            return request.head.method == .POST ? try await self.add(request) : try await self.list(request)
        case (1, let id?):
            try request.allow([.GET, .HEAD, .DELETE])
            return try await self.key(request, id)
        case (2, "retire"?):
            try request.allow([.POST])
            return try await self.retire(request, path[0])
        default: throw AdminFailure.noResource
        }
    }

    private func list(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        let all = try await self.desk.operate { desk async throws(DeskError) in try await desk.listJWTKeys() }
        return HTTPAnswer(.ok, json: JSONWriter.page(all.map(Self.text), next: nil))
    }

    private func add(_ request: AdminRequest) async throws(AdminFailure) -> HTTPAnswer {
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
        let added = try await self.desk.operate { desk async throws(DeskError) in
            try await desk.addJWTKey(key, note: note, by: request.caller)
        }
        return HTTPAnswer(
            .created, json: Self.text(added), headers: ["Location": "/v1/jwt/keys/\(added.id ?? "")"])
    }

    private func key(_ request: AdminRequest, _ id: String) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        if request.head.method == .DELETE {
            try await self.desk.operate { desk async throws(DeskError) in
                try await desk.deleteJWTKey(id: id, by: request.caller)
            }
            return HTTPAnswer(status: .noContent)
        }
        let key = try await self.desk.operate { desk async throws(DeskError) in try await desk.jwtKey(id: id) }
        return HTTPAnswer(.ok, json: Self.text(key))
    }

    private func retire(_ request: AdminRequest, _ id: String) async throws(AdminFailure) -> HTTPAnswer {
        _ = try request.parameters([])
        let overlap = try request.overlap()
        let key = try await self.desk.operate { desk async throws(DeskError) in
            try await desk.retireJWTKey(id: id, overlap: overlap, by: request.caller)
        }
        return HTTPAnswer(.ok, json: Self.text(key))
    }

    private static func text(_ key: ListedJWTKey) -> String {
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
}

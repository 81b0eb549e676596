package import CulvertCore

/// How a key is read from a JWK, a file, PEM or a secret.
extension JWTKeyDescription {
    /// `id` and `algorithm` take precedence over the JWK's members, but must not contradict them.
    package init(jwk: [String: JSONValue], id: String? = nil, algorithm: SignatureAlgorithm? = nil) throws(Fault) {
        var algorithm = algorithm
        if let member = jwk["alg"] {
            guard case .string(let name) = member, name.utf8.count <= 64, let own = SignatureAlgorithm(rawValue: name)
            else {
                throw .key(.unsupported)
            }
            guard algorithm ?? own == own else { throw .algorithm }
            algorithm = own
        }
        var ownID: String?
        if case .string(let name)? = jwk["kid"] {
            // No token's header has room for it.
            guard name.utf8.count <= UnverifiedJWT.headerLimit else { throw .key(.unsupported) }
            ownID = name
        }
        let material: KeyMaterial
        do { material = try KeyMaterial(jwk: jwk) } catch { throw .key(error) }
        try self.init(id: id ?? ownID, algorithm: algorithm, material: material)
    }

    /// Limits of a JWK that is not part of a set.
    package static let limits = JSONLimits(bytes: 64 * 1024, depth: 16, values: 1024)

    /// A file with PEM, a JWK, or the secret of HS256.
    package init(file contents: [UInt8], id: String?, algorithm: SignatureAlgorithm?) throws(Fault) {
        if let jwk = try? JSONValue.members(reading: contents, limits: Self.limits) {
            try self.init(jwk: jwk, id: id, algorithm: algorithm)
            return
        }
        // A JWK that cannot be read, because a member occurs twice or it is in UTF-16, must not become a secret: every
        // client could sign with the public key.
        let withoutZeros = contents.filter { $0 != 0 }
        if withoutZeros.withUnsafeBufferPointer({ String(decoding: $0, as: UTF8.self) }).contains(bytesOf: "\"kty\"") {
            throw .key(.notJSON)
        }
        let text = String(decoding: contents, as: UTF8.self)
        // With PEM as a secret, every client could sign with the public key.
        if algorithm == .hs256, !text.contains(bytesOf: "-----BEGIN ") {
            let end = contents.last == UInt8(ascii: "\n") ? contents.dropLast() : contents[...]
            try self.init(secret: Array(end), id: id, algorithm: algorithm)
        } else {
            try self.init(pem: text, id: id, algorithm: algorithm)
        }
    }

    package init(pem: String, id: String?, algorithm: SignatureAlgorithm?) throws(Fault) {
        let material: KeyMaterial
        do { material = try KeyMaterial(pem: pem) } catch { throw .key(error) }
        try self.init(id: id, algorithm: algorithm, material: material)
    }

    package init(secret: [UInt8], id: String?, algorithm: SignatureAlgorithm?) throws(Fault) {
        let material: KeyMaterial
        do { material = try KeyMaterial(secret: secret) } catch { throw .key(error) }
        try self.init(id: id, algorithm: algorithm, material: material)
    }
}

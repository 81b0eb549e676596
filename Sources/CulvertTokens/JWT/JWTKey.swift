package import CulvertCore
import JWTKit

/// A key description, before anything is made of it: what a configuration, a request or a set of keys says.
package struct JWTKeyDescription: Equatable, Sendable {
    /// The `kid` of its tokens; nil when it has none.
    package var id: String?
    package var algorithm: SignatureAlgorithm
    package var material: KeyMaterial

    package enum Fault: Error, Equatable, Sendable {
        case key(KeyMaterial.Fault)
        /// The algorithm is not one of the key's.
        case algorithm

        package var message: String {
            switch self {
            case .key(let fault): fault.message
            case .algorithm: "the key is not one for this algorithm"
            }
        }
    }

    package init(id: String?, algorithm: SignatureAlgorithm?, material: KeyMaterial) throws(Fault) {
        self.id = id
        self.algorithm = algorithm ?? material.algorithms[0]
        self.material = material
        guard material.algorithms.contains(self.algorithm) else { throw .algorithm }
    }

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

/// A key that verifies JSON Web Tokens, for one algorithm.
package struct JWTKey: Sendable {
    package enum Source: String, Sendable {
        case config
        case store
        case set
    }

    package let description: JWTKeyDescription
    let source: Source
    /// Unix seconds; nil for never.
    let until: Int64?
    /// By its material: the same key is the same under another name.
    let identity: String
    /// The thumbprint of the key's material, whatever the algorithm.
    let thumbprint: String
    private let verifier: any JWTAlgorithm

    init(_ description: JWTKeyDescription, source: Source, until: Int64? = nil) async throws {
        self.description = description
        self.source = source
        self.until = until
        self.thumbprint = description.material.thumbprint
        self.identity = "\(description.algorithm.rawValue):\(self.thumbprint)"
        self.verifier = try await description.material.verifier(description.algorithm)
    }

    func verifies(_ jwt: UnverifiedJWT) -> Bool {
        // Verification throws for a signature of a wrong length.
        (try? self.verifier.verify(jwt.signature, signs: jwt.signedBytes)) ?? false
    }
}

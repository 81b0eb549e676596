/// Signature algorithms of JSON Web Tokens (RFC 7518 3.1, RFC 8037 3.1). `none` is not among them.
package enum SignatureAlgorithm: String, Sendable, CaseIterable {
    case hs256 = "HS256"
    case rs256 = "RS256"
    case ps256 = "PS256"
    case es256 = "ES256"
    case edDSA = "EdDSA"
}

/// A fault of a JSON Web Token, for the operator's log and not for the client. It holds no part of the token.
package enum JWTFault: Error, Equatable, Sendable, CustomStringConvertible {
    case malformed
    case algorithm
    /// It says that an extension must be understood (RFC 7515 4.1.11).
    case critical
    case unknownKey
    /// So many keys fit the token, more than it is tried with: it has no `kid`, or one that these keys share.
    case tooManyKeys(Int)
    case signature
    case issuer
    case audience
    case claim(String)
    /// Its `exp` has passed.
    case expired
    /// Its `nbf` or `iat` has not come yet.
    case notYetValid
    /// By its `jti` or its subject.
    case revoked
    /// The key that signed it counted when it was verified, and was retired or deleted since.
    case endedKey
    /// It was verified under other rules for claims than those that hold now.
    case otherRules

    /// - Parameter fault: of a token whose signature is good.
    init(_ fault: TokenFault) {
        self =
            switch fault {
            case .expired: .expired
            case .notYetValid: .notYetValid
            case .revoked: .revoked
            case .rotated: .endedKey
            // A JWT that was verified is known, and its rights do not change.
            case .unknown, .narrowed: .otherRules
            }
    }

    package var description: String {
        switch self {
        case .malformed: "malformed"
        case .algorithm: "algorithm not supported"
        case .critical: "critical header parameter"
        case .unknownKey: "no such key"
        case .tooManyKeys(let count): "\(count) keys fit, more than Culvert tries"
        case .signature: "signature does not match"
        case .issuer: "wrong issuer"
        case .audience: "wrong audience"
        case .claim(let name): "claim \(name) missing or wrong"
        case .expired: "expired: exp has passed"
        case .notYetValid: "not valid yet: nbf or iat is in the future"
        case .revoked: "revoked by its jti or its subject"
        case .endedKey: "its key is retired or deleted"
        case .otherRules: "verified under an earlier configuration"
        }
    }
}

/// A JSON Web Token in its compact form (RFC 7515 7.1), taken apart but not believed.
package struct UnverifiedJWT: Sendable {
    package let algorithm: SignatureAlgorithm
    package let keyID: String?
    /// The bytes that are signed.
    package let signedBytes: [UInt8]
    package let signature: [UInt8]
    private let payload: [UInt8]

    /// The most bytes of a decoded header. The headers of issuers have some 100 bytes, or 400 with a `jku`.
    package static let headerLimit = 1024
    private static let headerLimits = JSONLimits(bytes: headerLimit, depth: 8, values: 128)
    private static let claimLimits = JSONLimits(bytes: 64 * 1024, depth: 32, values: 4096)

    /// Reads only the header, and checks first that it is short: every client may send one, and no signature has been
    /// verified.
    package init(_ text: String) throws(JWTFault) {
        let bytes = text.utf8
        guard let first = bytes.firstIndex(of: UInt8(ascii: ".")),
            bytes.distance(from: bytes.startIndex, to: first) <= (Self.headerLimit * 4 + 2) / 3
        else { throw .malformed }
        let rest = bytes[bytes.index(after: first)...]
        guard let second = rest.firstIndex(of: UInt8(ascii: ".")) else { throw .malformed }
        let tail = rest[rest.index(after: second)...]
        guard let head = Base64URL.decode(bytes[..<first]) else { throw .malformed }
        let header = try Header(head)
        // Neither part can have another dot, because base64url has none.
        guard let payload = Base64URL.decode(rest[..<second]), let signature = Base64URL.decode(tail),
            !signature.isEmpty
        else { throw .malformed }
        self.algorithm = header.algorithm
        self.keyID = header.keyID
        self.payload = payload
        self.signature = signature
        self.signedBytes = Array(bytes[..<second])
    }

    /// The members of a JOSE header (RFC 7515 section 4) that Culvert uses.
    private struct Header {
        let algorithm: SignatureAlgorithm
        let keyID: String?

        init(_ bytes: [UInt8]) throws(JWTFault) {
            let result: Result<(String?, String?), JWTFault> = bytes.withUnsafeBytes { bytes in
                Result { () throws(JWTFault) in try Self.read(bytes) }
            }
            let (name, keyID) = try result.get()
            guard let name else { throw .malformed }
            guard let algorithm = SignatureAlgorithm(rawValue: name) else { throw .algorithm }
            self.algorithm = algorithm
            self.keyID = keyID
        }

        private static func read(_ bytes: UnsafeRawBufferPointer) throws(JWTFault) -> (String?, String?) {
            var seen: [String] = []
            var algorithm: String?
            var keyID: String?
            do throws(JSONFault) {
                var cursor = try JSONCursor(bytes, limits: UnverifiedJWT.headerLimits)
                try cursor.beginObject()
                while let name = try cursor.nextMember() {
                    // RFC 7515 section 4: names are unique, or the header is refused.
                    guard !seen.contains(bytesEqualTo: name) else { throw .duplicate }
                    seen.append(name)
                    if name.equals("alg") {
                        algorithm = try cursor.string()
                    } else if name.equals("kid") {
                        keyID = try cursor.string()
                    } else {
                        // Read in full: its objects have no member twice either.
                        _ = try cursor.value()
                    }
                }
                try cursor.finish()
            } catch {
                throw .malformed
            }
            if seen.contains(bytesEqualTo: "crit") { throw .critical }
            return (algorithm, keyID)
        }
    }

    /// The name of a token without `jti`: a digest of the bytes that are signed. The signature is left out because a
    /// token can have several valid ones: the holder of an ES256 token can make its second one without the key.
    package var name: String {
        "jwt_" + Base64URL.encode(TokenDigest(of: String(decoding: self.signedBytes, as: UTF8.self)).bytes.prefix(12))
    }

    /// The second valid signature of an ES256 token: (r, n - s) for (r, s), where n is the order of the group (FIPS
    /// 186-5, D.1.2.3). Nil for other algorithms.
    package var twinSignature: [UInt8]? {
        guard self.algorithm == .es256, self.signature.count == 64 else { return nil }
        var twin = self.signature
        var borrow = 0
        for index in (0..<32).reversed() {
            let difference = Int(Self.order[index]) - Int(self.signature[32 + index]) - borrow
            borrow = difference < 0 ? 1 : 0
            twin[32 + index] = UInt8(truncatingIfNeeded: difference)
        }
        return twin
    }

    /// The order of the group of P-256, big-endian.
    private static let order: [UInt8] = [
        0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
    ]

    /// The claims. Call this only after the signature has been verified.
    package func claims() throws(JWTFault) -> [String: JSONValue] {
        do {
            return try JSONValue.members(reading: self.payload, limits: Self.claimLimits)
        } catch {
            throw .malformed
        }
    }
}

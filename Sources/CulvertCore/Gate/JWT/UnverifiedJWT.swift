import Foundation

/// Signature algorithms of JSON Web Tokens (RFC 7518 3.1, RFC 8037 3.1). `none` is not among them.
package enum SignatureAlgorithm: String, Sendable, CaseIterable {
    case hs256 = "HS256"
    case rs256 = "RS256"
    case ps256 = "PS256"
    case es256 = "ES256"
    case edDSA = "EdDSA"
}

/// What is wrong with a JSON Web Token; for the operator's log, not for who presents it. Holds nothing of the token.
package enum JWTFault: Error, Equatable, Sendable, CustomStringConvertible {
    case malformed
    case algorithm
    /// It says that an extension must be understood (RFC 7515 4.1.11).
    case critical
    case unknownKey
    case signature
    case issuer
    case audience
    case claim(String)

    package var description: String {
        switch self {
        case .malformed: "malformed"
        case .algorithm: "algorithm not taken"
        case .critical: "critical header parameter"
        case .unknownKey: "no such key"
        case .signature: "signature does not match"
        case .issuer: "wrong issuer"
        case .audience: "wrong audience"
        case .claim(let name): "claim \(name) missing or wrong"
        }
    }
}

/// A JSON Web Token in its compact form (RFC 7515 7.1), taken apart but not believed.
package struct UnverifiedJWT: Sendable {
    package let algorithm: SignatureAlgorithm
    package let keyID: String?
    /// What the signature is of.
    package let signedBytes: [UInt8]
    package let signature: [UInt8]
    private let payload: [UInt8]

    package init(_ text: String) throws(JWTFault) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let head = Base64URL.decode(parts[0]), let payload = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2]), !signature.isEmpty
        else { throw .malformed }
        guard let header = try? JSONDecoder().decode(JSONValue.self, from: Data(head)),
            case .object(let header) = header
        else { throw .malformed }
        if header["crit"] != nil { throw .critical }
        guard case .string(let name)? = header["alg"] else { throw .malformed }
        guard let algorithm = SignatureAlgorithm(rawValue: name) else { throw .algorithm }
        switch header["kid"] {
        case .string(let keyID)?: self.keyID = keyID
        case nil: self.keyID = nil
        default: throw .malformed
        }
        self.algorithm = algorithm
        self.payload = payload
        self.signature = signature
        self.signedBytes = Array(text.utf8.prefix(parts[0].count + 1 + parts[1].count))
    }

    /// To be asked for when the signature has been verified.
    package func claims() throws(JWTFault) -> [String: JSONValue] {
        guard let value = try? JSONDecoder().decode(JSONValue.self, from: Data(self.payload)),
            case .object(let claims) = value
        else { throw .malformed }
        return claims
    }
}

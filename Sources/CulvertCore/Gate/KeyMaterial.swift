import struct Crypto.SHA256

/// A key that verifies JSON Web Tokens, read from PEM or JWK. It is public, except the secret of HS256.
package enum KeyMaterial: Equatable, Sendable {
    case rsa(modulus: [UInt8], exponent: [UInt8])
    case p256(x: [UInt8], y: [UInt8])
    case ed25519(x: [UInt8])
    case secret([UInt8])

    /// A fault of a key. It holds no part of the key.
    package enum Fault: Error, Equatable, Sendable {
        case notAKey
        /// It looks like a JWK, and cannot be read as one.
        case notJSON
        case isPrivate
        case notForSignatures
        case unsupported
        case tooShort
        /// Signatures can be made without the private key.
        case weak

        package var message: String {
            switch self {
            case .notAKey: "expected a public key in PEM or a JWK, an RSA one with at least 2048 bits"
            case .notJSON: "this JWK is not a JSON object in UTF-8, without a byte order mark, with each member once"
            case .isPrivate: "this is a private key; give its public key"
            case .notForSignatures: "the key is not for signatures"
            case .unsupported: "expected a key for HS256, RS256, PS256, ES256 or EdDSA (Ed25519)"
            case .weak: "the key is weak: anyone can make signatures that it verifies"
            case .tooShort: "too short: RSA keys have at least 2048 bits, secrets of HS256 at least 32 bytes"
            }
        }
    }

    /// The algorithms that it can be used with; the first unless another is asked for.
    package var algorithms: [SignatureAlgorithm] {
        switch self {
        case .rsa: [.rs256, .ps256]
        case .p256: [.es256]
        case .ed25519: [.edDSA]
        case .secret: [.hs256]
        }
    }

    package var isSecret: Bool { if case .secret = self { true } else { false } }

    /// The members that RFC 7638 hashes, which are also all there is to a public key; nil for a secret.
    package var publicJWK: String? {
        switch self {
        case .rsa(let modulus, let exponent):
            #"{"e":"\#(Base64URL.encode(exponent))","kty":"RSA","n":"\#(Base64URL.encode(modulus))"}"#
        case .p256(let x, let y):
            #"{"crv":"P-256","kty":"EC","x":"\#(Base64URL.encode(x))","y":"\#(Base64URL.encode(y))"}"#
        case .ed25519(let x):
            #"{"crv":"Ed25519","kty":"OKP","x":"\#(Base64URL.encode(x))"}"#
        case .secret: nil
        }
    }

    /// Tells it from every other key. Of a secret, not to be shown.
    package var thumbprint: String {
        let canonical: [UInt8]
        if case .secret(let bytes) = self { canonical = bytes } else { canonical = Array((self.publicJWK ?? "").utf8) }
        return Base64URL.encode(Array(SHA256.hash(data: canonical)))
    }
}

/// A secret is not shown by whatever prints what it is part of.
extension KeyMaterial: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { self.publicJWK ?? "a secret" }
    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}

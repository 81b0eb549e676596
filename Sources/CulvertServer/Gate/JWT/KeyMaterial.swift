package import CulvertCore
import struct Crypto.SHA256
import Foundation
import JWTKit

/// A key that JSON Web Tokens are verified with, in whatever notation it came; public, but for the secret of HS256.
package enum KeyMaterial: Equatable, Sendable {
    case rsa(modulus: [UInt8], exponent: [UInt8])
    case p256(x: [UInt8], y: [UInt8])
    case ed25519(x: [UInt8])
    case secret([UInt8])

    /// What is wrong with a key; says nothing of it.
    package enum Fault: Error, Equatable, Sendable {
        case notAKey
        case isPrivate
        case notForSignatures
        case unsupported
        case tooShort

        package var message: String {
            switch self {
            case .notAKey: "expected a public key in PEM or a JWK, an RSA one with at least 2048 bits"
            case .isPrivate: "this is a private key; only its public half is wanted"
            case .notForSignatures: "the key is not for signatures"
            case .unsupported: "expected a key for HS256, RS256, PS256, ES256 or EdDSA (Ed25519)"
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

    // MARK: - PEM

    /// A public key, or the certificate of one.
    package init(pem: String) throws(Fault) {
        if pem.contains(bytesOf: "PRIVATE KEY-----") { throw .isPrivate }
        let isCertificate = pem.contains(bytesOf: "-----BEGIN CERTIFICATE-----")
        if let key = try? isCertificate ? ES256PublicKey(certificate: pem) : ES256PublicKey(pem: pem),
            let parameters = key.parameters, let x = Data(base64Encoded: parameters.x),
            let y = Data(base64Encoded: parameters.y)
        {
            self = .p256(x: Array(x), y: Array(y))
            return
        }
        if !isCertificate, let key = try? EdDSA.PublicKey(pem: pem) {
            self = .ed25519(x: Array(key.rawRepresentation))
            return
        }
        do {
            let key =
                isCertificate
                ? try Insecure.RSA.PublicKey(certificatePEM: pem) : try Insecure.RSA.PublicKey(pem: pem)
            let numbers = try key.getKeyPrimitives()
            self = .rsa(modulus: Array(numbers.modulus), exponent: Array(numbers.publicExponent))
        } catch {
            throw .notAKey
        }
    }

    // MARK: - JWK

    /// - Parameter jwk: the members of a JSON Web Key (RFC 7517).
    package init(jwk: [String: JSONValue]) throws(Fault) {
        func text(_ name: String) -> String? { if case .string(let text)? = jwk[name] { text } else { nil } }
        func bytes(_ name: String) throws(Fault) -> [UInt8] {
            guard let value = text(name).flatMap({ Base64URL.decode($0.utf8) }), !value.isEmpty else { throw .notAKey }
            return value
        }
        guard let type = text("kty") else { throw .notAKey }
        if jwk["d"] != nil { throw .isPrivate }
        if jwk["use"] != nil, text("use") != "sig" { throw .notForSignatures }
        if case .array(let operations)? = jwk["key_ops"], !operations.contains(.string("verify")) {
            throw .notForSignatures
        }
        switch (type, text("crv")) {
        case ("RSA", _): self = .rsa(modulus: try bytes("n"), exponent: try bytes("e"))
        case ("EC", "P-256"): self = .p256(x: try bytes("x"), y: try bytes("y"))
        case ("OKP", "Ed25519"): self = .ed25519(x: try bytes("x"))
        case ("oct", _): self = .secret(try bytes("k"))
        default: throw .unsupported
        }
        try self.check()
    }

    /// - Parameter secret: shared with the issuer.
    package init(secret: [UInt8]) throws(Fault) {
        self = .secret(secret)
        try self.check()
    }

    private func check() throws(Fault) {
        if case .secret(let bytes) = self {
            // RFC 7518 3.2: as long as the hash at least.
            if bytes.count < 32 { throw .tooShort }
            return
        }
        if case .rsa(let modulus, _) = self, modulus.drop(while: { $0 == 0 }).count < 256 { throw .tooShort }
        do {
            switch self {
            case .rsa(let modulus, let exponent): _ = try Self.rsaKey(modulus, exponent)
            case .p256(let x, let y): _ = try Self.p256Key(x, y)
            case .ed25519(let x): _ = try Self.ed25519Key(x)
            case .secret: break
            }
        } catch {
            throw .notAKey
        }
    }

    // MARK: - use

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
    var thumbprint: String {
        let canonical: [UInt8]
        if case .secret(let bytes) = self { canonical = bytes } else { canonical = Array((self.publicJWK ?? "").utf8) }
        return Base64URL.encode(Array(SHA256.hash(data: canonical)))
    }

    func verifier(_ algorithm: SignatureAlgorithm) async throws -> any JWTAlgorithm {
        let keys = JWTKeyCollection()
        switch self {
        case .rsa(let modulus, let exponent):
            let key = try Self.rsaKey(modulus, exponent)
            if algorithm == .ps256 {
                await keys.add(pss: key, digestAlgorithm: .sha256)
            } else {
                await keys.add(rsa: key, digestAlgorithm: .sha256)
            }
        case .p256(let x, let y): await keys.add(ecdsa: try Self.p256Key(x, y))
        case .ed25519(let x): await keys.add(eddsa: try Self.ed25519Key(x))
        case .secret(let bytes): await keys.add(hmac: HMACKey(from: Data(bytes)), digestAlgorithm: .sha256)
        }
        return try await keys.getKey()
    }

    private static func rsaKey(_ modulus: [UInt8], _ exponent: [UInt8]) throws -> Insecure.RSA.PublicKey {
        try Insecure.RSA.PublicKey(modulus: Base64URL.encode(modulus), exponent: Base64URL.encode(exponent))
    }

    private static func p256Key(_ x: [UInt8], _ y: [UInt8]) throws -> ES256PublicKey {
        try ES256PublicKey(parameters: (Base64URL.encode(x), Base64URL.encode(y)))
    }

    private static func ed25519Key(_ x: [UInt8]) throws -> EdDSA.PublicKey {
        try EdDSA.PublicKey(x: Base64URL.encode(x), curve: .ed25519)
    }
}

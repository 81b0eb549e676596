package import CulvertCore
import Foundation
import JWTKit

/// How key material is read from PEM, a JWK or the bytes of a secret, and how it verifies.
extension KeyMaterial {
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
            try self.check()
            return
        }
        if !isCertificate, let key = try? EdDSA.PublicKey(pem: pem) {
            self = .ed25519(x: Array(key.rawRepresentation))
            try self.check()
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
        try self.check()
    }

    // MARK: - JWK

    /// - Parameter jwk: the members of a JSON Web Key (RFC 7517).
    package init(jwk: [String: JSONValue]) throws(Fault) {
        // Only short texts are compared: comparing takes a time that is quadratic in a run of combining marks.
        func text(_ name: String) -> String? {
            if case .string(let text)? = jwk[name], text.utf8.count <= 64 { text } else { nil }
        }
        func bytes(_ name: String) throws(Fault) -> [UInt8] {
            guard case .string(let text)? = jwk[name], let value = Base64URL.decode(text.utf8), !value.isEmpty else {
                throw .notAKey
            }
            return value
        }
        guard let type = text("kty") else { throw .notAKey }
        if jwk["d"] != nil { throw .isPrivate }
        if jwk["use"] != nil, text("use") != "sig" { throw .notForSignatures }
        if case .array(let operations)? = jwk["key_ops"] {
            let verifies = operations.contains { operation in
                if case .string(let name) = operation { name.equals("verify") } else { false }
            }
            if !verifies { throw .notForSignatures }
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
        switch self {
        case .rsa(let modulus, let exponent): try Self.check(modulus: modulus, exponent: exponent)
        case .ed25519(let x): if Self.isOfSmallOrder(x) { throw .weak }
        case .p256, .secret: break
        }
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

    /// RFC 8017 3.1: both are odd, and the exponent is 3 at least. With an exponent of 1 every signature is its own
    /// message. More than 8192 bits take milliseconds to verify with.
    private static func check(modulus: [UInt8], exponent: [UInt8]) throws(Fault) {
        let modulus = modulus.drop { $0 == 0 }
        let exponent = exponent.drop { $0 == 0 }
        if modulus.count < 256 { throw .tooShort }
        guard modulus.count <= 1024, exponent.count <= 4 else { throw .unsupported }
        guard let last = exponent.last, last & 1 == 1, exponent.count > 1 || last >= 3, (modulus.last ?? 0) & 1 == 1
        else { throw .weak }
    }

    /// The points of Ed25519 whose order divides 8, in every encoding, without the sign of x: of such a key one
    /// signature is good for many messages (RFC 8032 does not refuse them, nor does BoringSSL).
    private static let smallOrder: [String] = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ]

    private static func isOfSmallOrder(_ x: [UInt8]) -> Bool {
        guard x.count == 32 else { return false }
        var y = x
        y[31] &= 0x7F
        return self.smallOrder.contains(y.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined())
    }

    // MARK: - use

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

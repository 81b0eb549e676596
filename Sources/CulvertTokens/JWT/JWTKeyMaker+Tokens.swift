package import CulvertCore

extension JWTKeyMaker {
    /// Makes the keys that ``JWTAuthority`` verifies with.
    package static let ofTokens = JWTKeyMaker { form, id, algorithm throws(JWTKeyDescription.Fault) in
        switch form {
        case .jwk(let jwk): try JWTKeyDescription(jwk: jwk, id: id, algorithm: algorithm)
        case .pem(let pem): try JWTKeyDescription(pem: pem, id: id, algorithm: algorithm)
        case .secret(let secret): try JWTKeyDescription(secret: secret, id: id, algorithm: algorithm)
        }
    }
}

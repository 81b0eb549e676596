import CulvertCore

extension JWTKeyMaker {
    /// For configurations that have no key for JSON Web Tokens.
    static let none = JWTKeyMaker { _, _, _ throws(JWTKeyDescription.Fault) in throw .key(.unsupported) }
}

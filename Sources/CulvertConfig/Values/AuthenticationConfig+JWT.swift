package import CulvertCore

extension AuthenticationConfig {
    /// The rules for the claims of JWTs; nil when no JWT is taken.
    package var jwtRules: JWTClaimRules? { self.jwt?.rules }
}

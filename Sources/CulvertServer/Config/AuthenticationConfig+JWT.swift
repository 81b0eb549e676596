import CulvertCore
import CulvertTokens

extension AuthenticationConfig {
    /// The rules for the claims of JWTs; nil when no JWT is taken.
    var jwtRules: JWTClaimRules? { self.jwt?.rules }
}

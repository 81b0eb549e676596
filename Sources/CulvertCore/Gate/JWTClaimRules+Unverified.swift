extension JWTClaimRules {
    /// Whether `text` is a JWT that is taken once its signature is found to be good. Every other JWT is an application's,
    /// such as a token of the same issuer for another audience.
    ///
    /// The claims are not verified here, so the result decides only whether the text goes upstream. The work is bounded by the
    /// limits of ``UnverifiedJWT``.
    func mayTake(_ text: Substring) -> Bool {
        do throws(JWTFault) {
            let jwt = try UnverifiedJWT(String(text))
            _ = try self.token(from: try jwt.claims(), fallbackID: "")
            return true
        } catch {
            return false
        }
    }
}

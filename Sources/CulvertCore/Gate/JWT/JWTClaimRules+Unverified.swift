extension JWTClaimRules {
    /// Whether `text` is a JWT that is taken once its signature is found to be good. Every other JWT is an application's,
    /// such as a token of the same issuer for another audience.
    ///
    /// Nobody has verified what it says. So this decides on nothing but what goes upstream. The work is bounded by the
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

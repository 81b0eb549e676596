/// The rules for the claims of a verified JSON Web Token, and the rights that the claims give.
package struct JWTClaimRules: Equatable, Sendable {
    /// Any of these; empty for whatever issuer.
    package var issuers: [String]
    /// A token must have one of these audiences. If the list is empty, a token with any audience is refused.
    package var audiences: [String]
    /// Seconds by which the issuer's clock may differ.
    package var leeway: Int64
    package var routesClaim: String
    package var originsClaim: String
    /// The path prefixes that a token without a routes claim opens.
    package var defaultRoutes: [String]

    package init(
        issuers: [String] = [], audiences: [String] = [], leeway: Int64 = 5, routesClaim: String = "routes",
        originsClaim: String = "origins", defaultRoutes: [String] = ["/"]
    ) {
        self.issuers = issuers
        self.audiences = audiences
        self.leeway = leeway
        self.routesClaim = routesClaim
        self.originsClaim = originsClaim
        self.defaultRoutes = defaultRoutes
    }

    private static let listLimit = 64

    /// Does not look at the time: when the token begins and ends is part of what it becomes.
    ///
    /// - Parameter fallbackID: what it is called when it has no `jti`.
    package func token(from claims: [String: JSONValue], fallbackID: String) throws(JWTFault) -> Token {
        if !self.issuers.isEmpty {
            guard case .string(let issuer)? = claims["iss"], self.issuers.contains(bytesEqualTo: issuer) else {
                throw .issuer
            }
        }
        try self.checkAudience(claims["aud"])
        guard let expires = try Self.date("exp", in: claims, .down) else { throw .claim("exp") }
        let notBefore = try Self.date("nbf", in: claims, .up)
        let issued = try Self.date("iat", in: claims, .down)
        guard case .string(let subject)? = claims["sub"], Token.isSubject(subject) else { throw .claim("sub") }
        var id = fallbackID
        if let value = claims["jti"] {
            guard case .string(let text) = value, Token.isPrintable(text) else { throw .claim("jti") }
            id = text
        }
        let routes = try Self.list(self.routesClaim, in: claims) ?? self.defaultRoutes
        guard routes.allSatisfy({ $0.utf8.first == UInt8(ascii: "/") }) else { throw .claim(self.routesClaim) }
        var origins: [OriginPattern]?
        if let list = try Self.list(self.originsClaim, in: claims) {
            let patterns = list.compactMap(OriginPattern.init)
            guard patterns.count == list.count else { throw .claim(self.originsClaim) }
            origins = patterns
        }
        // RFC 7519 says nothing of a token issued in the future; that its issuer's clock cannot be trusted is reason
        // enough.
        let start = [notBefore, issued].compactMap(\.self).max()
        return Token(
            id: id, source: .jwt, subject: subject, routes: routes, origins: origins,
            notBefore: start.map { $0 - self.leeway }, expires: expires + self.leeway, issued: issued ?? 0)
    }

    /// RFC 7519 4.1.3: one string or several; a token that names an audience we are not among is refused.
    private func checkAudience(_ claim: JSONValue?) throws(JWTFault) {
        switch claim {
        case nil: if self.audiences.isEmpty { return }
        case .string(let audience)?: if self.audiences.contains(bytesEqualTo: audience) { return }
        case .array(let list)?:
            let names = list.compactMap { if case .string(let text) = $0 { text } else { nil } }
            if names.count == list.count, names.contains(where: { self.audiences.contains(bytesEqualTo: $0) }) {
                return
            }
        default: break
        }
        throw .audience
    }

    /// A NumericDate (RFC 7519 section 2), which may have a fraction.
    private static func date(
        _ name: String, in claims: [String: JSONValue], _ rule: FloatingPointRoundingRule
    ) throws(JWTFault) -> Int64? {
        // Beyond it no sum with a leeway could overflow, and no issuer means it.
        let far: Int64 = 1 << 52
        switch claims[name] {
        case nil: return nil
        case .integer(let seconds)? where (-far...far).contains(seconds): return seconds
        case .number(let seconds)? where abs(seconds) <= Double(far): return Int64(seconds.rounded(rule))
        default: throw .claim(name)
        }
    }

    /// A list of strings, or one string with spaces between (as `scope`, RFC 8693 4.2).
    private static func list(_ name: String, in claims: [String: JSONValue]) throws(JWTFault) -> [String]? {
        switch claims[name] {
        case nil: return nil
        case .string(let text)?:
            let words = text.parts(at: UInt8(ascii: " ")).filter { !$0.isEmpty }.map(String.init)
            if words.count <= self.listLimit { return words }
        case .array(let values)? where values.count <= self.listLimit:
            let words = values.compactMap { if case .string(let text) = $0 { text } else { nil } }
            if words.count == values.count { return words }
        default: break
        }
        throw .claim(name)
    }
}

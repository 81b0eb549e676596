/// The rights of a token, from any source: proxy.yaml, the database, or a JWT's claims.
package struct Token: Equatable, Sendable {
    package enum Source: String, Sendable {
        case config
        case store
        case jwt
    }

    /// Whether a token may have `text` for its subject. An upstream gets it as the value of a field, and would not see
    /// blanks at an end (RFC 9110 5.5): to it "alice " were alice.
    package static func isSubject(_ text: String) -> Bool {
        self.isPrintable(text) && text.utf8.first != 0x20 && text.utf8.last != 0x20
    }

    /// Whether `text` may stand in a field and in a log: 1 to 256 printable characters of ASCII.
    package static func isPrintable(_ text: String) -> Bool {
        (1...256).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }
    }

    /// The operator's name for it, or the JWT's `jti`; may be logged.
    package var id: String
    package var source: Source
    /// The user or service that the token is for. The upstream gets it.
    package var subject: String
    /// Path prefixes on segment borders that it opens.
    package var routes: [String]
    /// Narrows the route's allowlist; nil for no narrowing. A request without an Origin is the route's business.
    package var origins: [OriginPattern]?
    /// Unix seconds; nil for no bound.
    package var notBefore: Int64?
    package var expires: Int64?
    /// Unix seconds at which it was minted, or the JWT's `iat`; tells a newer token from an older one.
    package var issued: Int64
    package var limits: TokenLimits

    package init(
        id: String, source: Source, subject: String, routes: [String], origins: [OriginPattern]? = nil,
        notBefore: Int64? = nil, expires: Int64? = nil, issued: Int64 = 0, limits: TokenLimits = TokenLimits()
    ) {
        self.id = id
        self.source = source
        self.subject = subject
        self.routes = routes
        self.origins = origins
        self.notBefore = notBefore
        self.expires = expires
        self.issued = issued
        self.limits = limits
    }
}

/// Nil is without limit.
package struct TokenLimits: Equatable, Sendable {
    /// Sessions open at a time.
    package var sessions: Int?
    /// Messages a second from all its clients together.
    package var messagesPerSecond: Int?

    package init(sessions: Int? = nil, messagesPerSecond: Int? = nil) {
        self.sessions = sessions
        self.messagesPerSecond = messagesPerSecond
    }
}

/// One secret of a token. Rotation adds a generation, and gives the one before it an end.
package struct TokenSecret: Equatable, Sendable {
    package var digest: TokenDigest
    /// Counts from 1.
    package var generation: Int
    /// Unix seconds at which it stops to be valid; nil for the token's own end.
    package var until: Int64?

    package init(digest: TokenDigest, generation: Int, until: Int64? = nil) {
        self.digest = digest
        self.generation = generation
        self.until = until
    }
}

/// A token and its secrets as every event loop sees them; a change makes a new entry that shares the old one's `use`.
package final class TokenEntry: Sendable {
    package let token: Token
    /// Empty for a JWT.
    package let secrets: [TokenSecret]
    package let isRevoked: Bool
    /// The key that signed a JWT.
    package let keyID: String?
    /// The names that Culvert 0.3 gave to a JWT without `jti`, one for each valid signature that its holder can make. A
    /// revocation may still name the token by them.
    package let formerIDs: [String]
    package let use: TokenUse

    package init(
        token: Token, secrets: [TokenSecret], isRevoked: Bool = false, keyID: String? = nil, formerIDs: [String] = [],
        use: TokenUse = TokenUse()
    ) {
        self.formerIDs = formerIDs
        self.token = token
        self.secrets = secrets
        self.isRevoked = isRevoked
        self.keyID = keyID
        self.use = use
    }
}

/// The token that a client has sent, with the secret that it used.
package struct Credential: Sendable {
    package var entry: TokenEntry
    /// The generation of the secret; 0 for a JWT.
    package var generation: Int

    package init(entry: TokenEntry, generation: Int) {
        self.entry = entry
        self.generation = generation
    }

    package var token: Token { self.entry.token }

    /// Whether both are the same secret of the same token. A JWT is its own secret.
    package func isSame(as other: Credential) -> Bool {
        self.generation == other.generation && self.token.source == other.token.source
            && self.token.id == other.token.id && self.token.issued == other.token.issued
    }

    /// Whether it is to take the place of `other`, which belongs to the same subject: a later secret of the same token,
    /// or a token issued later, or one that lasts longer.
    package func isNewer(than other: Credential) -> Bool {
        if self.token.id == other.token.id, self.token.source == other.token.source {
            return self.generation > other.generation
        }
        return (self.token.issued, self.token.expires ?? .max) > (other.token.issued, other.token.expires ?? .max)
    }
}

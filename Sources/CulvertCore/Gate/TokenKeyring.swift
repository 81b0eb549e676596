/// Why a credential does not stand.
package enum TokenFault: String, Error, Equatable, Sendable {
    case unknown
    case expired
    case notYetValid = "not_yet_valid"
    case revoked
    /// Its secret, or the key that signed it, has been replaced and the overlap is over.
    case rotated
    /// It opens less than it did, and not any more what it was used for.
    case narrowed

    /// The sentence for the client, which tells nothing that the token's holder must not know.
    package var reason: String {
        switch self {
        case .unknown: "token not valid"
        case .expired: "token expired"
        case .notYetValid: "token not valid yet"
        case .revoked: "token revoked"
        case .rotated: "token rotated"
        case .narrowed: "token narrowed"
        }
    }
}

/// A change of the tokens in force, made once by the control plane and applied on every event loop.
package enum TokenChange: Sendable {
    /// A token that is new, or has changed in any way, revocation included.
    case put(TokenEntry)
    case remove(id: String)
    case revokeJWT(JWTRevocation)
    case removeJWTRevocation(JWTRevocation.Target)
    /// The keys whose signatures count from now on, each with the Unix second at which it is retired, `.max` for never.
    case jwtKeys([String: Int64])
}

/// JWTs that are refused although their signature is good.
package struct JWTRevocation: Equatable, Sendable {
    package enum Target: Hashable, Sendable {
        case id(String)
        /// All of a subject's that were issued before `JWTRevocation.before`.
        case subject(String)
    }

    package var target: Target
    /// Unix seconds; of no meaning for `.id`.
    package var before: Int64
    /// Unix seconds from which on it may be forgotten, since what it is about has expired.
    package var until: Int64

    package init(target: Target, before: Int64, until: Int64) {
        self.target = target
        self.before = before
        self.until = until
    }

    /// Joins this revocation with `other` of the same target: the result refuses every token that either of them
    /// refuses, until the later end.
    package func joined(with other: JWTRevocation?) -> JWTRevocation {
        guard let other else { return self }
        return JWTRevocation(
            target: self.target, before: max(self.before, other.before), until: max(self.until, other.until))
    }
}

/// The tokens in force, as one event loop sees them. Every look-up is O(1) and in memory.
package struct TokenKeyring: Sendable {
    private var byDigest: [TokenDigest: Credential] = [:]
    private var byID: [String: TokenEntry] = [:]
    private var digests = DigestCache()
    private var verified: RecentCache<TokenDigest, Credential>
    private var revocations: [JWTRevocation.Target: JWTRevocation] = [:]
    /// The keys whose signatures count, each with its end; nil where no JWT is taken.
    package private(set) var jwtKeys: [String: Int64]?

    private let jwtCacheSize: Int
    /// Bytes that the verified JWTs may cost.
    private static let jwtCacheBytes = 32 << 20
    /// Bytes of a verified JWT besides what its claims cost.
    private static let jwtOverhead = 500
    /// Bytes of a route or an origin beside its text.
    private static let jwtStringOverhead = 128
    /// Seconds that a session outlives its token's expiry.
    package var expiryGrace: Int64

    /// - Parameters:
    ///   - jwtCacheSize: how many JWTs are remembered as verified.
    ///   - expiryGrace: seconds that a session outlives its token's expiry.
    package init(_ entries: [TokenEntry] = [], jwtCacheSize: Int = 10_000, expiryGrace: Int64 = 0) {
        self.expiryGrace = expiryGrace
        self.jwtCacheSize = jwtCacheSize
        self.verified = RecentCache(size: jwtCacheSize, bytes: Self.jwtCacheBytes)
        self.byDigest.reserveCapacity(entries.count)
        self.byID.reserveCapacity(entries.count)
        for entry in entries { self.put(entry) }
    }

    package var count: Int { self.byID.count }

    package mutating func apply(_ change: TokenChange) {
        switch change {
        case .put(let entry): self.put(entry)
        case .remove(let id): self.remove(id)
        case .revokeJWT(let revocation):
            self.revocations[revocation.target] = revocation.joined(with: self.revocations[revocation.target])
        case .removeJWTRevocation(let target):
            self.revocations[target] = nil
        case .jwtKeys(let keys): self.jwtKeys = keys
        }
    }

    private mutating func put(_ entry: TokenEntry) {
        self.remove(entry.token.id)
        self.byID[entry.token.id] = entry
        for secret in entry.secrets {
            self.byDigest[secret.digest] = Credential(entry: entry, generation: secret.generation)
        }
    }

    private mutating func remove(_ id: String) {
        guard let old = self.byID.removeValue(forKey: id) else { return }
        // Another token may have been given the secret since.
        for secret in old.secrets where self.byDigest[secret.digest]?.token.id == id {
            self.byDigest[secret.digest] = nil
        }
    }

    // MARK: - looking up

    /// The credential behind a secret, whether or not it stands. A JWT is found once it was verified here.
    package mutating func credential(for secret: some StringProtocol) -> Credential? {
        // An empty text is never a token, even if the file has its digest.
        if secret.isEmpty { return nil }
        let secret = Substring(secret)
        if let digest = self.digests.digest(of: secret) { return self.credential(digest) }
        // The tables are entered by the digest, so what their timing tells is about SHA-256 of a guess, not about the
        // token.
        let digest = TokenDigest(of: secret)
        let credential = self.credential(digest)
        if credential != nil { self.digests.remember(digest, of: secret) }
        return credential
    }

    private mutating func credential(_ digest: TokenDigest) -> Credential? {
        self.byDigest[digest] ?? (self.jwtKeys == nil ? nil : self.verified[digest])
    }

    /// Whether `secret` is known to be of a token that stands, or may again: its times can be changed. A JWT is known
    /// once it was verified here, and so is every JWT by which a request is let in. A revoked token counts like a token
    /// that never was, so that its holder does not learn the difference.
    package mutating func isOwn(_ secret: some StringProtocol, now: Int64) -> Bool {
        guard let credential = self.credential(for: secret) else { return false }
        let fault = self.fault(of: credential, now: now, isOpening: false)
        return fault != .revoked && fault != .rotated
    }

    /// Whether `secret` may be a JWT that is worth verifying.
    package func mayBeJWT(_ secret: some StringProtocol) -> Bool {
        guard self.jwtKeys != nil else { return false }
        return secret.utf8.count { $0 == UInt8(ascii: ".") } == 2
    }

    /// Remembers that the signature of `secret` is good.
    package mutating func remember(_ credential: Credential, for secret: String) {
        // A claim's text costs up to four times what it has in the token, and each string of a list a part of its own.
        let strings = credential.token.routes.count + (credential.token.origins?.count ?? 0)
        let cost = 4 * secret.utf8.count + Self.jwtStringOverhead * strings + Self.jwtOverhead
        self.verified.insert(credential, for: TokenDigest(of: secret), cost: cost)
    }

    /// Forgets which JWTs were verified, because the rules for their claims have changed.
    package mutating func forgetVerified() {
        self.verified = RecentCache(size: self.jwtCacheSize, bytes: Self.jwtCacheBytes)
    }

    /// The reason why `credential` is not valid at `now`; nil if it is. Only the tables of this moment count, not the
    /// key and the time of the verification.
    ///
    /// - Parameter isOpening: no session lives by it yet, and there is no grace.
    package func fault(of credential: Credential, now: Int64, isOpening: Bool = true) -> TokenFault? {
        guard let entry = self.current(credential) else { return .revoked }
        switch self.standing(of: credential, entry) {
        case .failure(let fault): return fault
        case .success(let end):
            let grace = !isOpening && end?.fault == .expired ? self.expiryGrace : 0
            if let end, end.at <= now - grace { return end.fault }
            if let start = entry.token.notBefore, start > now { return .notYetValid }
            return nil
        }
    }

    package struct End: Equatable, Sendable {
        /// Unix seconds.
        package var at: Int64
        package var fault: TokenFault

        package init(at: Int64, fault: TokenFault) {
            self.at = at
            self.fault = fault
        }
    }

    /// When `credential` will stop to stand by itself; nil for never. Fails if it has stopped for another reason than
    /// time.
    package func standing(of credential: Credential) -> Result<End?, TokenFault> {
        guard let entry = self.current(credential) else { return .failure(.revoked) }
        return self.standing(of: credential, entry)
    }

    private func standing(of credential: Credential, _ entry: TokenEntry) -> Result<End?, TokenFault> {
        if entry.isRevoked { return .failure(.revoked) }
        var end = entry.token.expires.map { End(at: $0, fault: .expired) }
        if entry.token.source == .jwt {
            if self.isRevoked(entry) { return .failure(.revoked) }
            guard let key = entry.keyID, let until = self.jwtKeys?[key] else { return .failure(.rotated) }
            if until < end?.at ?? .max { end = End(at: until, fault: .rotated) }
        } else {
            guard let secret = entry.secrets.first(where: { $0.generation == credential.generation }) else {
                return .failure(.rotated)
            }
            if let until = secret.until, until < end?.at ?? .max { end = End(at: until, fault: .rotated) }
        }
        return .success(end)
    }

    /// The entry of a credential's token now; nil if the token is gone. A token that was given to another subject, or
    /// minted again under an id that was free, is another token.
    package func current(_ credential: Credential) -> TokenEntry? {
        let token = credential.token
        if token.source == .jwt { return credential.entry }
        guard let entry = self.byID[token.id], entry.token.source == token.source,
            entry.token.subject == token.subject, entry.token.issued == token.issued,
            Self.haveSameSecret(entry, credential)
        else { return nil }
        return entry
    }

    /// Tells a token from a namesake that was minted in the same second. The secrets of both are numbered from 1, so
    /// their digests are compared.
    private static func haveSameSecret(_ entry: TokenEntry, _ credential: Credential) -> Bool {
        func secret(_ entry: TokenEntry) -> TokenSecret? {
            entry.secrets.first { $0.generation == credential.generation }
        }
        guard let now = secret(entry), let then = secret(credential.entry) else { return true }
        return now.digest == then.digest
    }

    private func isRevoked(_ entry: TokenEntry) -> Bool {
        if self.revocations.isEmpty { return false }
        let token = entry.token
        if self.revocations[.id(token.id)] != nil { return true }
        if entry.formerIDs.contains(where: { self.revocations[.id($0)] != nil }) { return true }
        return self.revocations[.subject(token.subject)].map { token.issued < $0.before } ?? false
    }
}

package import CulvertCore

/// Keys and revocations of JSON Web Tokens.
extension TokenDesk {
    private static let keyLimit = 64

    // MARK: - keys

    /// A key that counts, or did until it was retired.
    struct ListedJWTKey: Sendable {
        var id: String?
        var algorithm: SignatureAlgorithm
        var source: JWTKey.Source
        /// RFC 7638; nil for a secret.
        var thumbprint: String?
        var note: String?
        /// Unix seconds.
        var createdAt: Int64?
        var until: Int64?
    }

    /// Adds a key; it counts when this returns.
    func addJWTKey(
        _ description: JWTKeyDescription, note: String, by caller: AdminCaller
    ) async throws(DeskError) -> ListedJWTKey {
        guard let authority = self.authority else {
            throw .conflict("no JWT is taken: there is no authentication.jwt in the configuration")
        }
        guard let id = description.id else { throw .invalid(member: "/id", "missing, and the JWK has no \"kid\"") }
        if description.material.isSecret {
            throw .invalid(member: "/jwk", "secrets stand in the configuration, not in the database")
        }
        let key = StoredJWTKey(
            id: try TokenRules.id(id), description: description, note: try TokenRules.note(note), createdAt: self.now())
        // Asked of the other actor first: while one waits for it another request may come, but not in between below.
        if await authority.keys.contains(where: { $0.description.id == id && $0.source == .config }) {
            throw .conflict("the configuration has a key with the id \"\(id)\"")
        }
        let stored = try self.storedJWTKeys()
        if stored.contains(where: { $0.id == id }) { throw .conflict("another key has the id \"\(id)\"") }
        if let same = stored.first(where: { $0.thumbprint == key.thumbprint && $0.until != nil }) {
            throw .conflict("the same key has the id \"\(same.id)\", and is retired")
        }
        if stored.count >= Self.keyLimit { throw .conflict("there are \(Self.keyLimit) keys; delete one first") }
        try await self.save(
            key, beside: stored, "jwt.key.add", detail: description.algorithm.rawValue, by: caller)
        return Self.listed(key)
    }

    /// The key counts for `overlap` seconds more, or less if that was said before.
    func retireJWTKey(id: String, overlap: Int64, by caller: AdminCaller) async throws(DeskError) -> ListedJWTKey {
        guard (0...Self.longestOverlap).contains(overlap) else { throw Self.overlapFault }
        var (key, others) = try await self.changeableJWTKey(id)
        key.until = min(key.until ?? .max, self.now() + overlap)
        try await self.save(key, beside: others, "jwt.key.retire", detail: "overlap \(overlap)s", by: caller)
        return Self.listed(key)
    }

    /// The key counts no more, and its tokens' sessions end. Its end is kept: it does not count again for a copy in a
    /// set of keys or in the configuration.
    func deleteJWTKey(id: String, by caller: AdminCaller) async throws(DeskError) {
        let known = await self.authority?.keys.filter { $0.source != .store } ?? []
        let (key, others) = try await self.changeableJWTKey(id)
        let thumbprint = key.thumbprint
        // The caller may mean this entry alone, or the key itself.
        if key.until == nil,
            known.contains(where: { $0.thumbprint == thumbprint })
                || others.contains(where: { $0.thumbprint == thumbprint })
        {
            throw .conflict(
                "the same key stands in the configuration, in a set of keys or under another id, and would go on to "
                    + "count; retire it, and delete it then")
        }
        let line = self.line("jwt.key.delete", id, by: caller)
        var ended = try self.endedJWTKeys()
        let until = min(key.until ?? .max, ended[thumbprint] ?? .max, self.now())
        ended[thumbprint] = until
        try self.write { database in
            try TokenStore.removeJWTKey(id, database)
            try TokenStore.setEnd(ofJWTKey: thumbprint, until, database)
            try TokenStore.append(line, database)
        }
        await self.publishJWTKeys(others, ended: ended)
    }

    /// All that count, wherever they stand.
    func listJWTKeys() async throws(DeskError) -> [ListedJWTKey] {
        let stored = try self.storedJWTKeys()
        let others = await self.authority?.keysWithEnds.filter { $0.key.source != .store } ?? []
        let listed =
            stored.map(Self.listed)
            + others.map { key, until in
                let material = key.description.material
                return ListedJWTKey(
                    id: key.description.id, algorithm: key.description.algorithm, source: key.source,
                    thumbprint: material.isSecret ? nil : material.thumbprint, until: until)
            }
        return listed.sorted { ($0.id ?? "", $0.source.rawValue) < ($1.id ?? "", $1.source.rawValue) }
    }

    func jwtKey(id: String) async throws(DeskError) -> ListedJWTKey {
        let keys = try await self.listJWTKeys().filter { $0.id == id }
        // What can be changed under this name is what is shown under it.
        guard let key = keys.first(where: { $0.source == .store }) ?? keys.first else {
            throw .notFound("key \"\(id)\" of JWTs")
        }
        return key
    }

    func storedJWTKeys() throws(DeskError) -> [StoredJWTKey] {
        try self.reading { () throws(StoreError) in try self.store.jwtKeys() }
    }

    func endedJWTKeys() throws(DeskError) -> [String: Int64] {
        try self.reading { () throws(StoreError) in try self.store.endedJWTKeys() }
    }

    private func changeableJWTKey(
        _ id: String
    ) async throws(DeskError) -> (key: StoredJWTKey, others: [StoredJWTKey]) {
        let known = await self.authority?.keys ?? []
        let stored = try self.storedJWTKeys()
        if let key = stored.first(where: { $0.id == id }) { return (key, stored.filter { $0.id != id }) }
        guard let key = known.first(where: { $0.description.id == id && $0.source != .store }) else {
            throw .notFound("key \"\(id)\" of JWTs")
        }
        let place = key.source == .config ? "the configuration file" : "a set of keys"
        throw .readOnly("the key \"\(id)\" of JWTs stands in \(place)")
    }

    private func save(
        _ key: StoredJWTKey, beside others: [StoredJWTKey], _ action: String, detail: String, by caller: AdminCaller
    ) async throws(DeskError) {
        let line = self.line(action, key.id, detail: detail, by: caller)
        var ended = try self.endedJWTKeys()
        // A key that was deleted counts again when it is added again.
        ended[key.thumbprint] = nil
        try self.write { database in
            try TokenStore.put(key, database)
            try TokenStore.setEnd(ofJWTKey: key.thumbprint, nil, database)
            try TokenStore.append(line, database)
        }
        await self.publishJWTKeys(others + [key], ended: ended)
    }

    /// What was written is not read again: that could fail, and the change would be on the disk alone.
    private func publishJWTKeys(_ keys: [StoredJWTKey], ended: [String: Int64]) async {
        self.jwtKeysVersion += 1
        await self.authority?.setStored(keys, ended: ended, version: self.jwtKeysVersion)
    }

    private static func listed(_ key: StoredJWTKey) -> ListedJWTKey {
        ListedJWTKey(
            id: key.id, algorithm: key.description.algorithm, source: .store,
            thumbprint: key.description.material.thumbprint, note: key.note, createdAt: key.createdAt,
            until: key.until)
    }

    // MARK: - JWT revocations

    /// Refuses tokens, beside those that an earlier revocation of the same `jti` or subject refuses: a later one gives
    /// nothing back.
    ///
    /// - Returns: what holds now.
    @discardableResult
    package func revokeJWT(
        _ revocation: JWTRevocation, by caller: AdminCaller
    ) async throws(DeskError) -> JWTRevocation {
        guard revocation.until > self.now() else { throw .invalid(member: "/until", "must be in the future") }
        // What no token can have would be refused for nothing.
        let member = if case .id = revocation.target { "/jti" } else { "/subject" }
        try TokenRules.claim(revocation.target.value, member: member)
        let line = self.line(
            "jwt.revoke", "\(revocation.target.kind) \(revocation.target.value)",
            detail: "until \(UnixTime.text(revocation.until))", by: caller)
        var joined = revocation
        try self.write { database in
            joined = try TokenStore.put(revocation, database)
            try TokenStore.append(line, database)
        }
        await self.publish([.revokeJWT(joined)])()
        return joined
    }

    /// Up to when an `iat` counts as past now: the clock of an issuer may be ahead by the leeway.
    package func latestIssue() -> Int64 { self.now() + (self.authority?.leeway ?? 0) }

    package func removeJWTRevocation(_ target: JWTRevocation.Target, by caller: AdminCaller) async throws(DeskError) {
        let line = self.line("jwt.unrevoke", "\(target.kind) \(target.value)", by: caller)
        var isThere = false
        try self.write { database in
            isThere = try TokenStore.remove(target, database)
            if isThere { try TokenStore.append(line, database) }
        }
        guard isThere else { throw .notFound("revocation of this \(target.kind == "id" ? "jti" : "subject")") }
        await self.publish([.removeJWTRevocation(target)])()
    }

    package func jwtRevocations() throws(DeskError) -> [JWTRevocation] {
        try self.reading { () throws(StoreError) in try self.store.jwtRevocations() }
    }

    /// By kind and value.
    ///
    /// - Parameter after: where the page before ended.
    func listJWTRevocations(
        after: JWTRevocation.Target?, limit: Int
    ) throws(DeskError) -> (items: [JWTRevocation], next: JWTRevocation.Target?) {
        let items = try self.reading { () throws(StoreError) in
            try self.store.jwtRevocations(after: after, limit: limit + 1)
        }
        let page = Array(items.prefix(limit))
        return (page, items.count > limit ? page.last?.target : nil)
    }

    /// The longest `authentication.expiry_grace`, in seconds. A session may live so long by a token that has expired.
    private static let longestGrace: Int64 = 24 * 3600

    /// Forgets revocations of what has expired by itself, and by which no session can live any more.
    package func forgetExpired() async throws(DeskError) {
        let now = self.now() - Self.longestGrace
        let past = try self.jwtRevocations().filter { $0.until <= now }.map(\.target)
        guard !past.isEmpty else { return }
        try self.write { database in
            for target in past { try TokenStore.remove(target, database) }
        }
        await self.publish(past.map { .removeJWTRevocation($0) })()
    }
}

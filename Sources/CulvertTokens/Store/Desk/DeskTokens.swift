import CulvertCore

/// A token together with its secret, which is shown this once.
package struct MintedToken: Sendable, Equatable {
    package var stored: StoredToken
    package var secret: String
}

/// The tokens that the desk serves: those of the configuration file, which it shows, and those of the store, which it
/// mints and changes. Each operation writes, and gives what is to be published.
struct DeskTokens {
    private static let secretLimit = 8

    private let store: DeskStore
    private var configured: ConfiguredTokens
    /// What was published last of each token that is stored.
    private var entries: [String: TokenEntry]
    private var requests: RepeatedRequests

    init(store: DeskStore, configured: ConfiguredTokens, entries: [TokenEntry]) {
        self.store = store
        self.configured = configured
        self.entries = Dictionary(entries.map { ($0.token.id, $0) }) { first, _ in first }
        self.requests = RepeatedRequests(store: store)
    }

    // MARK: - what changes elsewhere

    /// - Throws: ``MintedID`` when a token that was minted has the id of one of them.
    func check(_ tokens: ConfiguredTokens) throws(MintedID) {
        guard let id = tokens.entries.keys.sorted().first(where: { self.entries[$0] != nil }) else { return }
        throw MintedID(id: id)
    }

    mutating func reconfigure(_ tokens: ConfiguredTokens) throws(MintedID) {
        try self.check(tokens)
        self.configured = tokens
    }

    /// What the store has, which another process may have written.
    func stored() throws(DeskError) -> [TokenEntry] {
        try self.store.read(TokenTable.entries)
    }

    /// - Returns: what the loops do not know of yet.
    mutating func replace(_ stored: [TokenEntry]) -> [TokenChange] {
        let old = self.entries
        self.entries = Dictionary(
            stored.map { entry in
                let use = old[entry.token.id]?.use ?? entry.use
                let next = TokenEntry(
                    token: entry.token, secrets: entry.secrets, isRevoked: entry.isRevoked, use: use)
                return (entry.token.id, next)
            }
        ) { first, _ in first }
        let gone = old.keys.filter { self.entries[$0] == nil }.map { TokenChange.remove(id: $0) }
        return gone + self.entries.values.filter { !(old[$0.token.id]?.isSame(as: $0) ?? false) }.map { .put($0) }
    }

    // MARK: - what is asked for

    func token(id: String) throws(DeskError) -> StoredToken {
        if let entry = self.configured.entries[id] { return StoredToken(token: entry.token, secrets: entry.secrets) }
        guard let stored = try self.store.read({ try TokenTable.token(id: id, $0) }) else {
            throw .notFound("token \"\(id)\"")
        }
        return stored
    }

    /// Tokens of the file and of the store, by id.
    ///
    /// - Returns: the page, and the cursor of the next one if there is more.
    func list(
        after: String?, limit: Int, subject: String?, revoked: Bool?
    ) throws(DeskError) -> (items: [StoredToken], next: String?) {
        let after = after ?? ""
        var items = try self.store.read {
            try TokenTable.page(after: after, limit: limit + 1, subject: subject, revoked: revoked, $0)
        }
        items += self.configured.entries.values.filter { entry in
            entry.token.id > after && (subject == nil || entry.token.subject == subject) && revoked != true
        }.map { StoredToken(token: $0.token, secrets: $0.secrets) }
        // As SQLite orders text: by bytes.
        items.sort { $0.token.id.utf8.lexicographicallyPrecedes($1.token.id.utf8) }
        let page = Array(items.prefix(limit))
        return (page, items.count > limit ? page.last?.token.id : nil)
    }

    // MARK: - changes

    /// - Returns: the token, and what is to be published; nil for a request that was done before.
    mutating func mint(
        _ request: TokenRequest, idempotencyKey: String?, by caller: AdminCaller
    ) throws(DeskError) -> (minted: MintedToken, change: TokenChange?) {
        let now = self.store.now()
        let id = try request.id.map { id throws(DeskError) in try TokenRules.id(id) }
        var token = Token(
            id: id ?? TokenSecrets.id(), source: .store, subject: try TokenRules.subject(request.subject),
            routes: try TokenRules.routes(request.routes), origins: try TokenRules.origins(request.origins),
            notBefore: request.notBefore, expires: request.expires, issued: now)
        try TokenRules.times(notBefore: request.notBefore, expires: request.expires)
        token.limits.sessions = try TokenRules.limit(request.sessions, "/limits/sessions")
        token.limits.messagesPerSecond = try TokenRules.limit(request.messagesPerSecond, "/limits/messages_per_second")
        let note = try TokenRules.note(request.note ?? "")
        let record = RepeatedRequests.record(
            "mint \(request)", key: idempotencyKey, tokenID: token.id, generation: 1, at: now)
        if let done = try self.repeated(record) { return (done, nil) }
        // Looked at after a repeated request, whose answer stays the same.
        if let expires = request.expires, expires <= now {
            throw .invalid(member: "/expires", "this moment is past: the token would open nothing; give a later one")
        }
        if self.configured.entries[token.id] != nil || self.entries[token.id] != nil {
            throw .conflict("another token has the id \"\(token.id)\"")
        }
        let secret = TokenSecrets.secret()
        let stored = StoredToken(
            token: token, secrets: [TokenSecret(digest: TokenDigest(of: secret), generation: 1)], note: note)
        return try self.handOut(stored, secret, record, "token.mint", by: caller)
    }

    /// - Returns: the token, and what is to be published; nil for a request that was done before.
    mutating func rotate(
        id: String, overlap: Int64, idempotencyKey: String?, by caller: AdminCaller
    ) throws(DeskError) -> (minted: MintedToken, change: TokenChange?) {
        let now = self.store.now()
        try TokenRules.overlap(overlap)
        var stored = try self.changeable(id)
        let generation = (stored.secrets.map(\.generation).max() ?? 0) + 1
        let record = RepeatedRequests.record(
            "rotate \(id) \(overlap)", key: idempotencyKey, tokenID: id, generation: generation, at: now)
        if let done = try self.repeated(record) { return (done, nil) }
        if stored.revokedAt != nil { throw .conflict("the token is revoked") }
        if let expires = stored.token.expires, expires <= now { throw .conflict("the token has expired") }
        // What has ended is dropped, and of what has not the latest few are kept.
        stored.secrets = stored.secrets.filter { ($0.until ?? .max) > now }.suffix(Self.secretLimit - 1).map { secret in
            TokenSecret(
                digest: secret.digest, generation: secret.generation, until: min(secret.until ?? .max, now + overlap))
        }
        stored.rotatedAt = now
        let secret = TokenSecrets.secret()
        stored.secrets.append(TokenSecret(digest: TokenDigest(of: secret), generation: generation))
        return try self.handOut(stored, secret, record, "token.rotate", detail: "overlap \(overlap)s", by: caller)
    }

    /// - Returns: the token, and what is to be published; nil for a token that is revoked already.
    mutating func revoke(
        id: String, reason: String?, by caller: AdminCaller
    ) throws(DeskError) -> (stored: StoredToken, change: TokenChange?) {
        let reason = try TokenRules.note(reason ?? "", member: "/reason")
        var stored = try self.changeable(id)
        if stored.revokedAt != nil { return (stored, nil) }
        stored.revokedAt = self.store.now()
        stored.revokedReason = reason
        return (stored, try self.save(stored, nil, "token.revoke", detail: reason, by: caller))
    }

    mutating func patch(
        id: String, _ patch: TokenPatch, by caller: AdminCaller
    ) throws(DeskError) -> (stored: StoredToken, change: TokenChange) {
        var stored = try self.changeable(id)
        if let routes = patch.routes { stored.token.routes = try TokenRules.routes(routes) }
        if let origins = patch.origins { stored.token.origins = try TokenRules.origins(origins) }
        if let notBefore = patch.notBefore { stored.token.notBefore = notBefore }
        if let expires = patch.expires { stored.token.expires = expires }
        try TokenRules.times(notBefore: stored.token.notBefore, expires: stored.token.expires)
        if let sessions = patch.sessions {
            stored.token.limits.sessions = try TokenRules.limit(sessions, "/limits/sessions")
        }
        if let rate = patch.messagesPerSecond {
            stored.token.limits.messagesPerSecond = try TokenRules.limit(rate, "/limits/messages_per_second")
        }
        if let note = patch.note { stored.note = try TokenRules.note(note) }
        return (stored, try self.save(stored, nil, "token.change", detail: patch.changed, by: caller))
    }

    mutating func delete(id: String, by caller: AdminCaller) throws(DeskError) -> TokenChange {
        _ = try self.changeable(id)
        try self.store.write(self.store.line("token.delete", id, by: caller)) { try TokenTable.remove(id: id, $0) }
        self.entries[id] = nil
        return .remove(id: id)
    }

    private func changeable(_ id: String) throws(DeskError) -> StoredToken {
        if self.configured.entries[id] != nil {
            throw .readOnly("the token \"\(id)\" stands in the configuration file")
        }
        return try self.token(id: id)
    }

    private func repeated(_ record: IdempotencyRecord?) throws(DeskError) -> MintedToken? {
        guard let answer = try self.requests.answer(to: record) else { return nil }
        return MintedToken(stored: try self.token(id: answer.tokenID), secret: answer.secret)
    }

    private mutating func handOut(
        _ stored: StoredToken, _ secret: String, _ record: IdempotencyRecord?, _ action: String, detail: String = "",
        by caller: AdminCaller
    ) throws(DeskError) -> (minted: MintedToken, change: TokenChange?) {
        let change = try self.save(stored, record, action, detail: detail, by: caller)
        // Before the wait for the loops, during which the same request may come again.
        self.requests.keep(secret, for: record)
        return (MintedToken(stored: stored, secret: secret), change)
    }

    private mutating func save(
        _ stored: StoredToken, _ record: IdempotencyRecord?, _ action: String, detail: String = "",
        by caller: AdminCaller
    ) throws(DeskError) -> TokenChange {
        let line = self.store.line(action, stored.token.id, detail: detail, by: caller)
        try self.store.write(line) { database in
            try TokenTable.put(stored, database)
            if let record { try IdempotencyTable.put(record, database) }
        }
        let entry = stored.entry(use: self.entries[stored.token.id]?.use ?? TokenUse())
        self.entries[stored.token.id] = entry
        return .put(entry)
    }
}

package import CulvertCore
import Crypto
import GRDB

/// Where tokens are minted, rotated and revoked.
///
/// Each operation is checked, written to the disk with its line of the audit log, made to hold on every event loop, and
/// only then answered, in this order. Operations do not overlap, so that what loops see last is what was written last.
package actor TokenDesk {
    /// Hands changes to every event loop at once, in the order of the calls; what it returns waits until they hold.
    package typealias Publish = @Sendable ([TokenChange]) -> @Sendable () async -> Void

    /// A token together with its secret, which is shown this once.
    package struct Minted: Sendable, Equatable {
        package var stored: StoredToken
        package var secret: String
    }

    /// The store blocks its thread for as long as the disk takes, or a lock of another process.
    nonisolated private let queue = BlockingQueue("tokens")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.queue.asUnownedSerialExecutor() }

    nonisolated let store: TokenStore
    /// Nil when no JWT is taken.
    private(set) var authority: JWTAuthority?
    var jwtKeysVersion = 0
    private var configured: ConfiguredTokens
    let publish: Publish
    let now: @Sendable () -> Int64
    /// What was published last of each token that is stored.
    private var entries: [String: TokenEntry]
    private var recent = RecentSecrets()

    /// - Parameters:
    ///   - authority: that the keys of JWTs are told to.
    ///   - configured: tokens of the configuration file, which cannot be changed here.
    ///   - entries: those of the store, as the event loops have them.
    ///   - now: Unix seconds.
    package init(
        store: TokenStore, authority: JWTAuthority? = nil, configured: ConfiguredTokens, entries: [TokenEntry],
        publish: @escaping Publish, now: @escaping @Sendable () -> Int64
    ) {
        self.store = store
        self.authority = authority
        self.configured = configured
        self.entries = Dictionary(entries.map { ($0.token.id, $0) }) { first, _ in first }
        self.publish = publish
        self.now = now
    }

    // MARK: - what changes elsewhere

    func isMinted(_ id: String) -> Bool { self.entries[id] != nil }

    func setConfigured(_ tokens: ConfiguredTokens, authority: JWTAuthority?) {
        self.configured = tokens
        self.authority = authority
    }

    /// - Returns: what the loops do not know of yet.
    func replaceMinted(_ stored: [TokenEntry]) -> [TokenChange] {
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

    // MARK: - tokens

    package func mint(
        _ request: TokenRequest, idempotencyKey: String?, by caller: AdminCaller
    ) async throws(DeskError) -> Minted {
        let now = self.now()
        let id = try request.id.map { id throws(DeskError) in try TokenRules.id(id) }
        var token = Token(
            id: id ?? TokenSecrets.id(), source: .store, subject: try TokenRules.subject(request.subject),
            routes: try TokenRules.routes(request.routes), origins: try TokenRules.origins(request.origins),
            notBefore: request.notBefore, expires: request.expires, issued: now)
        try TokenRules.times(notBefore: request.notBefore, expires: request.expires)
        token.limits.sessions = try TokenRules.limit(request.sessions, "/limits/sessions")
        token.limits.messagesPerSecond = try TokenRules.limit(request.messagesPerSecond, "/limits/messages_per_second")
        let note = try TokenRules.note(request.note ?? "")
        let record = Self.record("mint \(request)", key: idempotencyKey, tokenID: token.id, generation: 1, at: now)
        if let done = try self.repeated(record) { return done }
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
        return try await self.handOut(stored, secret, record, "token.mint", by: caller)
    }

    /// Gives the token a new secret. The ones before stay valid for `overlap` seconds.
    package func rotate(
        id: String, overlap: Int64, idempotencyKey: String?, by caller: AdminCaller
    ) async throws(DeskError) -> Minted {
        let now = self.now()
        guard (0...Self.longestOverlap).contains(overlap) else { throw Self.overlapFault }
        var stored = try self.changeable(id)
        let generation = (stored.secrets.map(\.generation).max() ?? 0) + 1
        let record = Self.record(
            "rotate \(id) \(overlap)", key: idempotencyKey, tokenID: id, generation: generation, at: now)
        if let done = try self.repeated(record) { return done }
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
        return try await self.handOut(stored, secret, record, "token.rotate", detail: "overlap \(overlap)s", by: caller)
    }

    /// A second call finds it done.
    package func revoke(id: String, reason: String?, by caller: AdminCaller) async throws(DeskError) -> StoredToken {
        let reason = try TokenRules.note(reason ?? "", member: "/reason")
        var stored = try self.changeable(id)
        if stored.revokedAt != nil { return stored }
        stored.revokedAt = self.now()
        stored.revokedReason = reason
        try await self.save(stored, nil, "token.revoke", detail: reason, by: caller)
        return stored
    }

    package func patch(id: String, _ patch: TokenPatch, by caller: AdminCaller) async throws(DeskError) -> StoredToken {
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
        try await self.save(stored, nil, "token.change", detail: patch.changed, by: caller)
        return stored
    }

    /// Forgets the token; its sessions end, and its holders are no longer told why.
    package func delete(id: String, by caller: AdminCaller) async throws(DeskError) {
        _ = try self.changeable(id)
        let line = self.line("token.delete", id, by: caller)
        try self.write { database in
            try TokenStore.remove(id: id, database)
            try TokenStore.append(line, database)
        }
        self.entries[id] = nil
        await self.publish([.remove(id: id)])()
    }

    package func token(id: String) throws(DeskError) -> StoredToken {
        if let entry = self.configured.entries[id] { return StoredToken(token: entry.token, secrets: entry.secrets) }
        guard let stored = try self.reading({ () throws(StoreError) in try self.store.token(id: id) }) else {
            throw .notFound("token \"\(id)\"")
        }
        return stored
    }

    /// Tokens of the file and of the store, by id.
    ///
    /// - Returns: the page, and the cursor of the next one if there is more.
    package func list(
        after: String?, limit: Int, subject: String? = nil, revoked: Bool? = nil
    ) throws(DeskError) -> (items: [StoredToken], next: String?) {
        let after = after ?? ""
        var items = try self.reading { () throws(StoreError) in
            try self.store.page(after: after, limit: limit + 1, subject: subject, revoked: revoked)
        }
        items += self.configured.entries.values.filter { entry in
            entry.token.id > after && (subject == nil || entry.token.subject == subject) && revoked != true
        }.map { StoredToken(token: $0.token, secrets: $0.secrets) }
        // As SQLite orders text: by bytes.
        items.sort { $0.token.id.utf8.lexicographicallyPrecedes($1.token.id.utf8) }
        let page = Array(items.prefix(limit))
        return (page, items.count > limit ? page.last?.token.id : nil)
    }

    // MARK: - audit

    /// The newest first.
    package func audit(before: Int64?, limit: Int) throws(DeskError) -> (items: [AuditEntry], next: Int64?) {
        let items = try self.reading { () throws(StoreError) in
            try self.store.audit(before: before, limit: limit + 1)
        }
        let page = Array(items.prefix(limit))
        return (page, items.count > limit ? page.last?.id : nil)
    }

    /// Notes something that was done elsewhere, such as to sessions.
    package func note(_ action: String, _ target: String, detail: String, by caller: AdminCaller) throws(DeskError) {
        let line = self.line(action, target, detail: detail, by: caller)
        try self.write { try TokenStore.append(line, $0) }
    }

    // MARK: - the way of every change

    static let longestOverlap: Int64 = 365 * 86_400
    static let overlapFault = DeskError.invalid(member: "/overlap", "0s to \(longestOverlap / 3600)h is allowed")
    private static let secretLimit = 8

    private func changeable(_ id: String) throws(DeskError) -> StoredToken {
        if self.configured.entries[id] != nil {
            throw .readOnly("the token \"\(id)\" stands in the configuration file")
        }
        return try self.token(id: id)
    }

    private func handOut(
        _ stored: StoredToken, _ secret: String, _ record: IdempotencyRecord?, _ action: String, detail: String = "",
        by caller: AdminCaller
    ) async throws(DeskError) -> Minted {
        // Before the wait for the loops, during which the same request may come again.
        if let record { self.recent[record.key] = secret }
        do throws(DeskError) {
            try await self.save(stored, record, action, detail: detail, by: caller)
        } catch {
            if let record { self.recent[record.key] = nil }
            throw error
        }
        return Minted(stored: stored, secret: secret)
    }

    private func save(
        _ stored: StoredToken, _ record: IdempotencyRecord?, _ action: String, detail: String = "",
        by caller: AdminCaller
    ) async throws(DeskError) {
        let line = self.line(action, stored.token.id, detail: detail, by: caller)
        try self.write { database in
            try TokenStore.put(stored, database)
            if let record { try TokenStore.put(record, database) }
            try TokenStore.append(line, database)
        }
        let entry = stored.entry(use: self.entries[stored.token.id]?.use ?? TokenUse())
        self.entries[stored.token.id] = entry
        await self.publish([.put(entry)])()
    }

    func line(_ action: String, _ target: String, detail: String = "", by caller: AdminCaller) -> AuditEntry {
        AuditEntry(at: self.now(), caller: caller, action: action, target: target, detail: detail)
    }

    func write(_ body: (Database) throws -> Void) throws(DeskError) {
        try self.reading { () throws(StoreError) in try self.store.write(body) }
    }

    func reading<Value>(_ body: () throws(StoreError) -> Value) throws(DeskError) -> Value {
        do throws(StoreError) {
            return try body()
        } catch {
            throw error.kind == .full ? .full : .failed
        }
    }

    // MARK: - idempotency

    private static func record(
        _ request: String, key: String?, tokenID: String, generation: Int, at: Int64
    ) -> IdempotencyRecord? {
        guard let key else { return nil }
        let digest = Array(SHA256.hash(data: Array(request.utf8)))
        return IdempotencyRecord(key: key, request: digest, tokenID: tokenID, generation: generation, at: at)
    }

    /// The answer to a request that was done before; nil for a new one.
    private func repeated(_ record: IdempotencyRecord?) throws(DeskError) -> Minted? {
        guard let record,
            let seen = try self.reading({ () throws(StoreError) in
                try self.store.read { try TokenStore.record(key: record.key, $0) }
            }), seen.at > record.at - IdempotencyRecord.lifetime
        else { return nil }
        guard seen.request == record.request else {
            throw .conflict("the idempotency key was used for another request")
        }
        guard let secret = self.recent[record.key] else {
            throw .conflict("done before, for token \"\(seen.tokenID)\"; its secret was shown then: rotate it")
        }
        return Minted(stored: try self.token(id: seen.tokenID), secret: secret)
    }
}

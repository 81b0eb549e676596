package import CulvertCore
package import CulvertSystem

/// Where tokens are minted, rotated and revoked.
///
/// Each operation is checked, written to the disk with its line of the audit log, made to hold on every event loop, and
/// only then answered, in this order. Operations do not overlap, so that what loops see last is what was written last:
/// ``DeskTokens``, ``DeskJWTKeys`` and ``DeskRevocations`` check and write without a wait, and the desk publishes what
/// they give in the same turn.
package actor TokenDesk {
    /// Hands changes to every event loop at once, in the order of the calls; what it returns waits until they hold.
    package typealias Publish = @Sendable ([TokenChange]) -> @Sendable () async -> Void

    /// The store blocks its thread for as long as the disk takes, or a lock of another process.
    nonisolated private let queue = BlockingQueue("tokens")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { self.queue.asUnownedSerialExecutor() }

    private let store: DeskStore
    private let publish: Publish
    private var tokens: DeskTokens
    private var jwtKeys: DeskJWTKeys
    private let revocations: DeskRevocations
    /// Nil when no JWT is taken.
    private var authority: JWTAuthority?

    /// - Parameters:
    ///   - authority: that the keys of JWTs are told to.
    ///   - configured: tokens of the configuration file, which cannot be changed here.
    ///   - entries: those of the store, as the event loops have them.
    ///   - notices: has a line for a failure of the database, now and then.
    ///   - now: Unix seconds.
    package init(
        store: TokenStore, authority: JWTAuthority? = nil, configured: ConfiguredTokens, entries: [TokenEntry],
        publish: @escaping Publish, notices: Notices? = nil, now: @escaping @Sendable () -> Int64
    ) {
        let store = DeskStore(store: store, now: now, notices: notices)
        self.store = store
        self.publish = publish
        self.tokens = DeskTokens(store: store, configured: configured, entries: entries)
        self.jwtKeys = DeskJWTKeys(store: store)
        self.revocations = DeskRevocations(store: store)
        self.authority = authority
    }

    // MARK: - what changes behind the desk's back

    /// - Throws: ``MintedID`` when a token that was minted has the id of one of them.
    package func check(_ tokens: ConfiguredTokens) throws(MintedID) {
        try self.tokens.check(tokens)
    }

    /// From now on these stand in the file. Whoever asks tells the loops.
    package func reconfigure(_ tokens: ConfiguredTokens, authority: JWTAuthority?) throws(MintedID) {
        try self.tokens.reconfigure(tokens)
        self.authority = authority
    }

    /// Changes when another process has written to the database.
    package func dataVersion() throws(DeskError) -> Int { try self.store.dataVersion() }

    /// What another process has written is made to hold here.
    ///
    /// - Parameter revocations: those of JWTs that hold now.
    /// - Returns: those that hold then.
    package func readAgain(revocations: [JWTRevocation]) async throws(DeskError) -> [JWTRevocation] {
        // All of it first: what is noted as known must be told.
        let stored = try self.tokens.stored()
        let current = try self.revocations.all()
        let keys = try self.jwtKeys.stored()
        let ended = try self.jwtKeys.ended()
        // Numbered before the first wait: a change of the keys in the meantime is newer than what was read here.
        let state = self.jwtKeys.state(keys, ended: ended)
        let changes = self.tokens.replace(stored) + DeskRevocations.changes(from: revocations, to: current)
        if !changes.isEmpty { await self.publish(changes)() }
        await self.tell(state)
        return current
    }

    // MARK: - tokens

    package func mint(
        _ request: TokenRequest, idempotencyKey: String?, by caller: AdminCaller
    ) async throws(DeskError) -> MintedToken {
        let (minted, change) = try self.tokens.mint(request, idempotencyKey: idempotencyKey, by: caller)
        if let change { await self.publish([change])() }
        return minted
    }

    /// Gives the token a new secret. The ones before stay valid for `overlap` seconds.
    package func rotate(
        id: String, overlap: Int64, idempotencyKey: String?, by caller: AdminCaller
    ) async throws(DeskError) -> MintedToken {
        let (minted, change) = try self.tokens.rotate(
            id: id, overlap: overlap, idempotencyKey: idempotencyKey, by: caller)
        if let change { await self.publish([change])() }
        return minted
    }

    /// A second call finds it done.
    package func revoke(id: String, reason: String?, by caller: AdminCaller) async throws(DeskError) -> StoredToken {
        let (stored, change) = try self.tokens.revoke(id: id, reason: reason, by: caller)
        if let change { await self.publish([change])() }
        return stored
    }

    package func patch(id: String, _ patch: TokenPatch, by caller: AdminCaller) async throws(DeskError) -> StoredToken {
        let (stored, change) = try self.tokens.patch(id: id, patch, by: caller)
        await self.publish([change])()
        return stored
    }

    /// Forgets the token; its sessions end, and its holders are no longer told why.
    package func delete(id: String, by caller: AdminCaller) async throws(DeskError) {
        let change = try self.tokens.delete(id: id, by: caller)
        await self.publish([change])()
    }

    package func token(id: String) throws(DeskError) -> StoredToken { try self.tokens.token(id: id) }

    /// Tokens of the file and of the store, by id.
    ///
    /// - Returns: the page, and the cursor of the next one if there is more.
    package func list(
        after: String?, limit: Int, subject: String? = nil, revoked: Bool? = nil
    ) throws(DeskError) -> (items: [StoredToken], next: String?) {
        try self.tokens.list(after: after, limit: limit, subject: subject, revoked: revoked)
    }

    // MARK: - keys of JWTs

    /// Adds a key; it counts when this returns.
    package func addJWTKey(
        _ description: JWTKeyDescription, note: String, by caller: AdminCaller
    ) async throws(DeskError) -> ListedJWTKey {
        guard let authority = self.authority else {
            throw .conflict("no JWT is taken: there is no authentication.jwt in the configuration")
        }
        let key = try self.jwtKeys.key(description, note: note)
        // Asked of the other actor first: while one waits for it another request may come, but not in between below.
        let known = await authority.keys
        let state = try self.jwtKeys.add(key, known: known, by: caller)
        await self.tell(state)
        return await self.listed([key], among: state.keys, state.ended)[0]
    }

    /// The key counts for `overlap` seconds more, or less if that was said before.
    package func retireJWTKey(
        id: String, overlap: Int64, by caller: AdminCaller
    ) async throws(DeskError) -> ListedJWTKey {
        try TokenRules.overlap(overlap)
        let known = await self.authority?.keys ?? []
        let (key, state) = try self.jwtKeys.retire(id: id, overlap: overlap, known: known, by: caller)
        await self.tell(state)
        return await self.listed([key], among: state.keys, state.ended)[0]
    }

    /// The key counts no more, and its tokens' sessions end. Its end is kept: it does not count again for a copy in a
    /// set of keys or in the configuration.
    package func deleteJWTKey(id: String, by caller: AdminCaller) async throws(DeskError) {
        let known = await self.authority?.keys ?? []
        let state = try self.jwtKeys.delete(id: id, known: known, by: caller)
        await self.tell(state)
    }

    /// All that count, wherever they stand, each with the end that holds.
    package func listJWTKeys() async throws(DeskError) -> [ListedJWTKey] {
        let stored = try self.jwtKeys.stored()
        let ended = try self.jwtKeys.ended()
        let others = await self.authority?.keysWithEnds.filter { $0.key.source != .store } ?? []
        let listed =
            await self.listed(stored, among: stored, ended) + others.map { ListedJWTKey($0.key, until: $0.until) }
        return listed.sorted { ($0.id ?? "", $0.source.rawValue) < ($1.id ?? "", $1.source.rawValue) }
    }

    package func jwtKey(id: String) async throws(DeskError) -> ListedJWTKey {
        let keys = try await self.listJWTKeys().filter { $0.id == id }
        // What can be changed under this name is what is shown under it.
        guard let key = keys.first(where: { $0.source == .store }) ?? keys.first else {
            throw .notFound("key \"\(id)\" of JWTs")
        }
        return key
    }

    /// Keys of the store with the ends that hold: what ends a key ends its copies, under whatever id and wherever they
    /// stand.
    ///
    /// - Parameters:
    ///   - stored: all keys of the store.
    ///   - ended: of keys that were deleted, their ends by thumbprint.
    private func listed(
        _ keys: [StoredJWTKey], among stored: [StoredJWTKey], _ ended: [String: Int64]
    ) async -> [ListedJWTKey] {
        let known = await self.authority?.keysWithEnds ?? []
        let ends = Dictionary(
            stored.map { ($0.thumbprint, $0.until ?? .max) } + known.map { ($0.key.thumbprint, $0.until ?? .max) },
            uniquingKeysWith: min
        ).merging(ended, uniquingKeysWith: min)
        return keys.map { key in
            let end = ends[key.thumbprint] ?? .max
            return ListedJWTKey(key, until: end == .max ? nil : end)
        }
    }

    private func tell(_ state: DeskJWTKeys.State) async {
        await self.authority?.setStored(state.keys, ended: state.ended, version: state.version)
    }

    // MARK: - revocations of JWTs

    /// Refuses tokens, beside those that an earlier revocation of the same `jti` or subject refuses: a later one gives
    /// nothing back.
    ///
    /// - Returns: what holds now.
    @discardableResult
    package func revokeJWT(
        _ revocation: JWTRevocation, by caller: AdminCaller
    ) async throws(DeskError) -> JWTRevocation {
        let joined = try self.revocations.add(revocation, by: caller)
        await self.publish([.revokeJWT(joined)])()
        return joined
    }

    /// Up to when an `iat` counts as past now: the clock of an issuer may be ahead by the leeway.
    package func latestIssue() -> Int64 { self.store.now() + (self.authority?.leeway ?? 0) }

    package func removeJWTRevocation(_ target: JWTRevocation.Target, by caller: AdminCaller) async throws(DeskError) {
        try self.revocations.remove(target, by: caller)
        await self.publish([.removeJWTRevocation(target)])()
    }

    package func jwtRevocations() throws(DeskError) -> [JWTRevocation] { try self.revocations.all() }

    /// By kind and value.
    ///
    /// - Parameter after: where the page before ended.
    package func listJWTRevocations(
        after: JWTRevocation.Target?, limit: Int
    ) throws(DeskError) -> (items: [JWTRevocation], next: JWTRevocation.Target?) {
        try self.revocations.list(after: after, limit: limit)
    }

    /// Forgets revocations of what has expired by itself, and by which no session can live any more.
    package func forgetExpired() async throws(DeskError) {
        let changes = try self.revocations.forgetExpired()
        if !changes.isEmpty { await self.publish(changes)() }
    }

    // MARK: - the audit log

    /// The newest first.
    package func audit(before: Int64?, limit: Int) throws(DeskError) -> (items: [AuditEntry], next: Int64?) {
        let items = try self.store.read { try AuditTable.page(before: before, limit: limit + 1, $0) }
        let page = Array(items.prefix(limit))
        return (page, items.count > limit ? page.last?.id : nil)
    }

    /// Notes something that was done elsewhere, such as to sessions.
    package func note(_ action: String, _ target: String, detail: String, by caller: AdminCaller) throws(DeskError) {
        try self.store.write(self.store.line(action, target, detail: detail, by: caller))
    }
}

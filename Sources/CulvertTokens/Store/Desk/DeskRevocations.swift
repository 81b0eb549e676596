import CulvertCore
import CulvertSystem

/// The revocations of JSON Web Tokens that the desk serves. Each operation writes, and gives what is to be published.
struct DeskRevocations: Sendable {
    /// The longest `authentication.expiry_grace`, in seconds. A session may live so long by a token that has expired.
    private static let longestGrace: Int64 = 24 * 3600

    let store: DeskStore

    func all() throws(DeskError) -> [JWTRevocation] {
        try self.store.read(JWTRevocationTable.all)
    }

    /// By kind and value.
    ///
    /// - Parameter after: where the page before ended.
    func list(
        after: JWTRevocation.Target?, limit: Int
    ) throws(DeskError) -> (items: [JWTRevocation], next: JWTRevocation.Target?) {
        let items = try self.store.read { try JWTRevocationTable.page(after: after, limit: limit + 1, $0) }
        let page = Array(items.prefix(limit))
        return (page, items.count > limit ? page.last?.target : nil)
    }

    /// - Returns: what holds now.
    func add(_ revocation: JWTRevocation, by caller: AdminCaller) throws(DeskError) -> JWTRevocation {
        guard revocation.until > self.store.now() else {
            throw .invalid(member: "/until", "must be in the future")
        }
        // What no token can have would be refused for nothing.
        let member = if case .id = revocation.target { "/jti" } else { "/subject" }
        try TokenRules.claim(revocation.target.value, member: member)
        let line = self.store.line(
            "jwt.revoke", "\(revocation.target.kind) \(revocation.target.value)",
            detail: "until \(Clock.text(unixSeconds: revocation.until))", by: caller)
        var joined = revocation
        try self.store.write(line) { joined = try JWTRevocationTable.put(revocation, $0) }
        return joined
    }

    func remove(_ target: JWTRevocation.Target, by caller: AdminCaller) throws(DeskError) {
        let line = self.store.line("jwt.unrevoke", "\(target.kind) \(target.value)", by: caller)
        var isThere = false
        try self.store.write { database in
            isThere = try JWTRevocationTable.remove(target, database)
            if isThere { try AuditTable.append(line, database) }
        }
        guard isThere else { throw .notFound("revocation of this \(target.kind == "id" ? "jti" : "subject")") }
    }

    /// Forgets revocations of what has expired by itself, and by which no session can live any more.
    func forgetExpired() throws(DeskError) -> [TokenChange] {
        let now = self.store.now() - Self.longestGrace
        let past = try self.all().filter { $0.until <= now }.map(\.target)
        guard !past.isEmpty else { return [] }
        try self.store.write { database in
            for target in past { try JWTRevocationTable.remove(target, database) }
        }
        return past.map { .removeJWTRevocation($0) }
    }

    /// What is different about later revocations.
    static func changes(from old: [JWTRevocation], to next: [JWTRevocation]) -> [TokenChange] {
        let targets = Set(next.map(\.target))
        return next.filter { !old.contains($0) }.map { .revokeJWT($0) }
            + old.filter { !targets.contains($0.target) }.map { .removeJWTRevocation($0.target) }
    }
}

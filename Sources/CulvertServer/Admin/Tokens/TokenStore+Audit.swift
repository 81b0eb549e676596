package import CulvertCore
import Foundation
import GRDB

extension TokenStore {
    // MARK: - audit

    static func append(_ entry: AuditEntry, _ database: Database) throws {
        try database.execute(
            sql: "INSERT INTO audit (at, actor, address, action, target, detail) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [
                entry.at, entry.caller.name, entry.caller.address, entry.action, entry.target, entry.detail,
            ])
    }

    /// The newest first.
    func audit(before: Int64?, limit: Int) throws(StoreError) -> [AuditEntry] {
        try self.read { database in
            try Row.fetchAll(
                database,
                sql: """
                    SELECT id, at, actor, address, action, target, detail FROM audit
                    WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2
                    """, arguments: [before, limit]
            ).map { row in
                AuditEntry(
                    id: row[0], at: row[1], caller: AdminCaller(name: row[2], address: row[3]), action: row[4],
                    target: row[5], detail: row[6])
            }
        }
    }

    // MARK: - JWT revocations

    package func jwtRevocations() throws(StoreError) -> [JWTRevocation] {
        try self.jwtRevocations(after: nil, limit: -1)
    }

    /// By kind and value.
    ///
    /// - Parameter limit: -1 for all.
    func jwtRevocations(after: JWTRevocation.Target?, limit: Int) throws(StoreError) -> [JWTRevocation] {
        try self.read { database in
            let sql = """
                SELECT kind, value, before, until FROM jwt_revocation
                WHERE (kind, value) > (?1, ?2) ORDER BY kind, value LIMIT ?3
                """
            let arguments: StatementArguments = [after?.kind ?? "", after?.value ?? "", limit]
            return try Row.fetchAll(database, sql: sql, arguments: arguments).map { row in
                let target: JWTRevocation.Target = row[0] == "id" ? .id(row[1]) : .subject(row[1])
                return JWTRevocation(target: target, before: row[2], until: row[3])
            }
        }
    }

    /// Beside what an earlier revocation of the same target says: neither end of it moves back.
    ///
    /// - Returns: what holds then.
    static func put(_ revocation: JWTRevocation, _ database: Database) throws -> JWTRevocation {
        let row = try Row.fetchOne(
            database,
            sql: """
                INSERT INTO jwt_revocation (kind, value, before, until) VALUES (?, ?, ?, ?)
                ON CONFLICT (kind, value) DO UPDATE SET
                    before = max(before, excluded.before), until = max(until, excluded.until)
                RETURNING before, until
                """,
            arguments: [revocation.target.kind, revocation.target.value, revocation.before, revocation.until])
        guard let row else { return revocation }
        return JWTRevocation(target: revocation.target, before: row[0], until: row[1])
    }

    /// - Returns: whether there was one.
    @discardableResult
    static func remove(_ target: JWTRevocation.Target, _ database: Database) throws -> Bool {
        try database.execute(
            sql: "DELETE FROM jwt_revocation WHERE kind = ? AND value = ?", arguments: [target.kind, target.value])
        return database.changesCount > 0
    }

    // MARK: - idempotency

    static func record(key: String, _ database: Database) throws -> IdempotencyRecord? {
        let sql = "SELECT request, token, generation, at FROM idempotency WHERE key = ?"
        guard let row = try Row.fetchOne(database, sql: sql, arguments: [key]) else { return nil }
        let request: Data = row[0]
        return IdempotencyRecord(
            key: key, request: Array(request), tokenID: row[1], generation: row[2], at: row[3])
    }

    static func put(_ record: IdempotencyRecord, _ database: Database) throws {
        try database.execute(
            sql: """
                INSERT INTO idempotency (key, request, token, generation, at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (key) DO UPDATE SET request = excluded.request, token = excluded.token,
                    generation = excluded.generation, at = excluded.at
                """,
            arguments: [record.key, Data(record.request), record.tokenID, record.generation, record.at])
        try database.execute(
            sql: "DELETE FROM idempotency WHERE at < ?", arguments: [record.at - IdempotencyRecord.lifetime])
    }
}

extension JWTRevocation.Target {
    package var kind: String {
        if case .id = self { "id" } else { "subject" }
    }

    package var value: String {
        switch self {
        case .id(let value), .subject(let value): value
        }
    }
}

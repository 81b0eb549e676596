import GRDB

/// The table `audit`. It only grows.
enum AuditTable {
    static func append(_ entry: AuditEntry, _ database: Database) throws {
        try database.execute(
            sql: "INSERT INTO audit (at, actor, address, action, target, detail) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [
                entry.at, entry.caller.name, entry.caller.address, entry.action, entry.target, entry.detail,
            ])
    }

    /// The newest first.
    static func page(before: Int64?, limit: Int, _ database: Database) throws -> [AuditEntry] {
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

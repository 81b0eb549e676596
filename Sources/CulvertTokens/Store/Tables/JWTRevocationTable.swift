package import CulvertCore
import GRDB

/// The table `jwt_revocation`.
enum JWTRevocationTable {
    static func all(_ database: Database) throws -> [JWTRevocation] {
        try self.page(after: nil, limit: -1, database)
    }

    /// By kind and value.
    ///
    /// - Parameter limit: -1 for all.
    static func page(
        after: JWTRevocation.Target?, limit: Int, _ database: Database
    ) throws -> [JWTRevocation] {
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

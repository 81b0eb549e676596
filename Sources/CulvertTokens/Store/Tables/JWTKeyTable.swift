import CulvertCore
import GRDB

/// The tables `jwt_key` and `ended_jwt_key`.
enum JWTKeyTable {
    /// By id.
    static func all(_ database: Database) throws -> [StoredJWTKey] {
        let sql = "SELECT id, algorithm, jwk, note, created, until FROM jwt_key ORDER BY id"
        return try Row.fetchAll(database, sql: sql).map { row in
            let members = try JSONValue.members(
                reading: (row[2] as String).utf8, limits: JWTKeyDescription.limits)
            let id: String = row[0]
            return StoredJWTKey(
                id: id,
                description: try JWTKeyDescription(
                    jwk: members, id: id, algorithm: SignatureAlgorithm(rawValue: row[1])),
                note: row[3], createdAt: row[4], until: row[5])
        }
    }

    static func put(_ key: StoredJWTKey, _ database: Database) throws {
        try database.execute(
            sql: """
                INSERT INTO jwt_key (id, algorithm, jwk, note, created, until) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET until = excluded.until
                """,
            arguments: [
                key.id, key.description.algorithm.rawValue, key.description.material.publicJWK, key.note,
                key.createdAt, key.until,
            ])
    }

    static func remove(id: String, _ database: Database) throws {
        try database.execute(sql: "DELETE FROM jwt_key WHERE id = ?", arguments: [id])
    }

    /// Ends of keys that were deleted, by their thumbprints.
    static func ended(_ database: Database) throws -> [String: Int64] {
        let rows = try Row.fetchAll(database, sql: "SELECT thumbprint, until FROM ended_jwt_key")
        return Dictionary(rows.map { ($0[0] as String, $0[1] as Int64) }, uniquingKeysWith: min)
    }

    /// - Parameter until: Unix seconds; nil for a key that was added again.
    static func setEnd(of thumbprint: String, _ until: Int64?, _ database: Database) throws {
        try database.execute(sql: "DELETE FROM ended_jwt_key WHERE thumbprint = ?", arguments: [thumbprint])
        guard let until else { return }
        try database.execute(
            sql: "INSERT INTO ended_jwt_key (thumbprint, until) VALUES (?, ?)", arguments: [thumbprint, until])
    }
}

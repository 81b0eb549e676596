import CulvertCore
import GRDB

/// A key for JSON Web Tokens that was added while the proxy ran. Public, since the database is to be worth nothing to a
/// thief.
package struct StoredJWTKey: Sendable, Equatable {
    package var id: String
    package var description: JWTKeyDescription
    package var note: String
    /// Unix seconds; `until` is nil while it is not retired.
    package var createdAt: Int64
    package var until: Int64?

    var thumbprint: String { self.description.material.thumbprint }
}

extension TokenStore {
    /// By id.
    package func jwtKeys() throws(StoreError) -> [StoredJWTKey] {
        try self.read { database in
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

    static func removeJWTKey(_ id: String, _ database: Database) throws {
        try database.execute(sql: "DELETE FROM jwt_key WHERE id = ?", arguments: [id])
    }

    /// Ends of keys that were deleted, by their thumbprints.
    package func endedJWTKeys() throws(StoreError) -> [String: Int64] {
        try self.read { database in
            let rows = try Row.fetchAll(database, sql: "SELECT thumbprint, until FROM ended_jwt_key")
            return Dictionary(rows.map { ($0[0] as String, $0[1] as Int64) }, uniquingKeysWith: min)
        }
    }

    /// - Parameter until: Unix seconds; nil for a key that was added again.
    static func setEnd(ofJWTKey thumbprint: String, _ until: Int64?, _ database: Database) throws {
        try database.execute(sql: "DELETE FROM ended_jwt_key WHERE thumbprint = ?", arguments: [thumbprint])
        guard let until else { return }
        try database.execute(
            sql: "INSERT INTO ended_jwt_key (thumbprint, until) VALUES (?, ?)", arguments: [thumbprint, until])
    }
}

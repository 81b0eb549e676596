import CulvertCore
import Foundation
import GRDB

/// The tables `token`, `secret` and `ended_secret`.
enum TokenTable {
    private static let columns = """
        id, subject, routes, origins, not_before, expires, sessions, messages_per_second, created, note, rotated,
        revoked, revoked_reason
        """

    /// All there are, without notes and the like: what the gate needs.
    static func all(_ database: Database) throws -> [StoredToken] {
        var secrets: [String: [TokenSecret]] = [:]
        let rows = try Row.fetchCursor(database, sql: "SELECT token, generation, digest, until FROM secret")
        while let row = try rows.next() {
            guard let secret = Self.secret(row) else { continue }
            secrets[row[0], default: []].append(secret)
        }
        var lists = JSONLists()
        var tokens: [StoredToken] = []
        let found = try Row.fetchCursor(database, sql: "SELECT \(Self.columns) FROM token")
        while let row = try found.next() {
            tokens.append(try Self.token(row, secrets: secrets[row[0]] ?? [], lists: &lists))
        }
        return tokens
    }

    /// All there are, as the event loops take them.
    static func entries(_ database: Database) throws -> [TokenEntry] {
        try self.all(database).map { $0.entry(use: TokenUse()) }
    }

    /// Tokens by id.
    static func page(
        after: String, limit: Int, subject: String?, revoked: Bool?, _ database: Database
    ) throws -> [StoredToken] {
        let sql = """
            SELECT \(Self.columns) FROM token
            WHERE id > ?1 AND (?2 IS NULL OR subject = ?2) AND (?3 IS NULL OR (revoked IS NOT NULL) = ?3)
            ORDER BY id LIMIT ?4
            """
        var lists = JSONLists()
        return try Row.fetchAll(database, sql: sql, arguments: [after, subject, revoked, limit]).map { row in
            try Self.token(row, secrets: Self.secrets(of: row[0], database), lists: &lists)
        }
    }

    static func token(id: String, _ database: Database) throws -> StoredToken? {
        let sql = "SELECT \(Self.columns) FROM token WHERE id = ?"
        guard let row = try Row.fetchOne(database, sql: sql, arguments: [id]) else { return nil }
        var lists = JSONLists()
        return try Self.token(row, secrets: Self.secrets(of: id, database), lists: &lists)
    }

    private static func secrets(of id: String, _ database: Database) throws -> [TokenSecret] {
        let sql = "SELECT token, generation, digest, until FROM secret WHERE token = ? ORDER BY generation"
        return try Row.fetchAll(database, sql: sql, arguments: [id]).compactMap(Self.secret)
    }

    private static func secret(_ row: Row) -> TokenSecret? {
        let bytes: Data = row[2]
        return TokenDigest(bytes: bytes).map { TokenSecret(digest: $0, generation: row[1], until: row[3]) }
    }

    private static func token(_ row: Row, secrets: [TokenSecret], lists: inout JSONLists) throws -> StoredToken {
        let origins: [OriginPattern]? = try (row[3] as String?).map {
            try lists.read($0).compactMap(OriginPattern.init)
        }
        let token = Token(
            id: row[0], source: .store, subject: row[1], routes: try lists.read(row[2]), origins: origins,
            notBefore: row[4], expires: row[5], issued: row[8],
            limits: TokenLimits(sessions: row[6], messagesPerSecond: row[7]))
        return StoredToken(
            token: token, secrets: secrets, note: row[9], rotatedAt: row[10], revokedAt: row[11],
            revokedReason: row[12])
    }

    /// Puts `stored` in the place of what has its id, if anything has.
    static func put(_ stored: StoredToken, _ database: Database) throws {
        let token = stored.token
        try database.execute(
            sql: """
                INSERT INTO token (\(Self.columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (id) DO UPDATE SET subject = excluded.subject, routes = excluded.routes,
                    origins = excluded.origins, not_before = excluded.not_before, expires = excluded.expires,
                    sessions = excluded.sessions, messages_per_second = excluded.messages_per_second,
                    note = excluded.note, rotated = excluded.rotated, revoked = excluded.revoked,
                    revoked_reason = excluded.revoked_reason
                """,
            arguments: [
                token.id, token.subject, JSONLists.write(token.routes),
                token.origins.map { JSONLists.write($0.map(\.description)) }, token.notBefore, token.expires,
                token.limits.sessions, token.limits.messagesPerSecond, token.issued, stored.note, stored.rotatedAt,
                stored.revokedAt, stored.revokedReason,
            ])
        try self.endSecrets(of: token.id, database)
        try database.execute(sql: "DELETE FROM secret WHERE token = ?", arguments: [token.id])
        for secret in stored.secrets {
            try database.execute(
                sql: "INSERT INTO secret (token, generation, digest, until) VALUES (?, ?, ?, ?)",
                arguments: [token.id, secret.generation, Data(secret.digest.bytes), secret.until])
        }
        try database.execute(
            sql: "DELETE FROM ended_secret WHERE digest IN (SELECT digest FROM secret WHERE token = ?)",
            arguments: [token.id])
    }

    static func remove(id: String, _ database: Database) throws {
        try self.endSecrets(of: id, database)
        try database.execute(sql: "DELETE FROM token WHERE id = ?", arguments: [id])
    }

    private static func endSecrets(of id: String, _ database: Database) throws {
        try database.execute(
            sql: "INSERT OR IGNORE INTO ended_secret (digest, token) SELECT digest, token FROM secret WHERE token = ?",
            arguments: [id])
    }
}

/// Lists of strings as JSON. Of many thousand tokens most have one of a few lists, which is then read once.
private struct JSONLists {
    private var known: [String: [String]] = [:]

    mutating func read(_ text: String) throws -> [String] {
        if let list = self.known[text] { return list }
        let limits = JSONLimits(bytes: 1 << 20, depth: 1, values: 4096)
        guard case .array(let values) = try JSONValue(reading: text.utf8, limits: limits) else { throw JSONFault.type }
        let list = try values.map { value in
            guard case .string(let text) = value else { throw JSONFault.type }
            return text
        }
        if self.known.count < 1000 { self.known[text] = list }
        return list
    }

    static func write(_ list: [String]) -> String {
        "[" + list.map(Problem.quote).joined(separator: ",") + "]"
    }
}

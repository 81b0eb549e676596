package import CulvertCore
import Foundation
import GRDB
import Glibc
package import Logging
import Synchronization

/// Why the database could not be used. Says nothing of what is in it.
package struct StoreError: Error, Equatable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// Cannot be opened, or is damaged: the process must not start without its tokens.
        case unusable
        case full
        case failed
    }

    package var kind: Kind
    package var description: String
}

/// Tokens, revocations and the audit log in an SQLite database.
///
/// Every write is one transaction with its line of the audit log, and is on the disk (`synchronous = FULL`) when the
/// method returns. Calls block their thread for that long; only the control plane makes them.
package final class TokenStore: Sendable {
    let pool: DatabasePool
    private let path: String
    /// Held for each use of ``pool``. GRDB asks SQLite about a connection that a closed pool does not have any more,
    /// and SQLite then ends the process.
    private let lock = NSLock()
    private let isClosed = Mutex(false)

    /// The suffixes of the files that SQLite keeps for one database.
    static let suffixes = ["", "-wal", "-shm", "-journal"]

    /// Opens the database, made for its owner alone if it is not there, and brings its tables up to date.
    package init(path: String, logger: Logger? = nil) throws(StoreError) {
        self.path = path
        do {
            let place: String
            do throws(SecretFile.Failure) {
                // SQLite rolls back any journal that it finds beside the database, so others must not put one there.
                place = try SecretFolder.place(of: path)
                // SQLite gives its other files the mode of this one when it makes them; some may be there already.
                try SecretFile.makeIfMissing(place)
                for suffix in Self.suffixes {
                    try SecretFile.protect(place + suffix, logger: logger)
                }
            } catch {
                throw StoreError(kind: .unusable, description: error.description)
            }
            try Self.check(place)
            var configuration = Configuration()
            configuration.busyMode = .timeout(5)
            configuration.prepareDatabase { database in
                try database.execute(sql: "PRAGMA synchronous = FULL")
            }
            self.pool = try DatabasePool(path: place, configuration: configuration)
            try self.pool.read { try Self.checkVersion($0, path) }
            try StoreSchema.migrator.migrate(self.pool)
        } catch let error as StoreError {
            throw error
        } catch {
            throw Self.wrap(error, path: path, isOpening: true)
        }
    }

    /// Looks for damage without writing, so that what can be saved by hand is as it was found. A transaction that broke
    /// off is rolled back first: until then the database is not readable.
    private static func check(_ path: String) throws {
        do {
            try self.check(path, isReadOnly: true)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_READONLY {
            try self.check(path, isReadOnly: false)
        }
    }

    private static func check(_ path: String, isReadOnly: Bool) throws {
        var configuration = Configuration()
        configuration.readonly = isReadOnly
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        defer { try? queue.close() }
        try queue.read { try self.check($0, path) }
    }

    /// - Throws: ``StoreError`` for a database that is damaged.
    static func check(_ database: Database, _ path: String) throws {
        guard try String.fetchOne(database, sql: "PRAGMA quick_check(1)") == "ok" else {
            throw StoreError(kind: .unusable, description: "\(path): the database is damaged; \(self.restore)")
        }
    }

    /// - Throws: ``StoreError`` for a database that a newer Culvert has changed.
    static func checkVersion(_ database: Database, _ path: String) throws {
        guard try !StoreSchema.migrator.hasBeenSuperseded(database) else {
            throw StoreError(
                kind: .unusable,
                description: "\(path): written by a newer version of Culvert; run that version, or give another path")
        }
    }

    /// Closes the database. Every later call fails.
    package func close() {
        self.lock.lock()
        defer { self.lock.unlock() }
        self.isClosed.withLock { $0 = true }
        try? self.pool.close()
    }

    private func whileOpen<Value>(_ body: () throws -> Value) throws(StoreError) -> Value {
        self.lock.lock()
        defer { self.lock.unlock() }
        guard !self.isClosed.withLock({ $0 }) else {
            throw StoreError(kind: .failed, description: "\(self.path): closed, since the process stops")
        }
        do { return try body() } catch { throw Self.wrap(error, path: self.path) }
    }

    private static let restore =
        "move it away with its -wal, -shm and -journal, and put the last backup in its place"

    /// Gives the remedy for a database that cannot be opened; for the end of the message.
    private static func remedy(_ code: ResultCode) -> String {
        switch code {
        case .SQLITE_NOTADB: "; give \"state\" another path, or \(self.restore)"
        case .SQLITE_CORRUPT: "; \(self.restore)"
        case .SQLITE_BUSY, .SQLITE_LOCKED: "; stop the process that uses it"
        case .SQLITE_FULL: "; make room on its disk"
        case .SQLITE_IOERR: "; look at its disk"
        case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM:
            "; let uid \(geteuid()) read and write it, and write in its folder"
        default: ""
        }
    }

    static func wrap(_ error: any Error, path: String, isOpening: Bool = false) -> StoreError {
        if let error = error as? StoreError { return error }
        guard let error = error as? DatabaseError else {
            return StoreError(kind: isOpening ? .unusable : .failed, description: "\(path): \(type(of: error))")
        }
        // The message alone: the statement's arguments are nobody's business.
        let reason = "\(path): \(error.message ?? "SQLite error \(error.resultCode.rawValue)")"
        if isOpening {
            return StoreError(kind: .unusable, description: reason + self.remedy(error.resultCode))
        }
        switch error.resultCode {
        case .SQLITE_FULL, .SQLITE_IOERR: return StoreError(kind: .full, description: reason)
        default: return StoreError(kind: .failed, description: reason)
        }
    }

    func read<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        try self.whileOpen { try self.pool.read(body) }
    }

    /// One transaction.
    func write<Value>(_ body: (Database) throws -> Value) throws(StoreError) -> Value {
        try self.whileOpen { try self.pool.write(body) }
    }

    /// Changes when another process has written.
    func dataVersion() throws(StoreError) -> Int {
        // The writer is always the same connection. The number of one connection means nothing to another.
        try self.whileOpen {
            try self.pool.writeWithoutTransaction { try Int.fetchOne($0, sql: "PRAGMA data_version") ?? 0 }
        }
    }

    // MARK: - tokens

    private static let columns = """
        id, subject, routes, origins, not_before, expires, sessions, messages_per_second, created, note, rotated,
        revoked, revoked_reason
        """

    /// All there are, without notes and the like: what the gate needs.
    package func all() throws(StoreError) -> [StoredToken] {
        try self.read { database in
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
    }

    /// All there are, as the event loops take them.
    package func entries() throws(StoreError) -> [TokenEntry] {
        try self.all().map { $0.entry(use: TokenUse()) }
    }

    func token(id: String) throws(StoreError) -> StoredToken? {
        try self.read { try Self.token(id: id, $0) }
    }

    /// Tokens by id.
    func page(
        after: String, limit: Int, subject: String?, revoked: Bool?
    ) throws(StoreError) -> [StoredToken] {
        try self.read { database in
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

    /// ``TokenConflicts/find(among:_:)`` for the configuration's tokens.
    package func conflicts(with tokens: [ConfigToken]) throws(StoreError) -> [ConfigError] {
        try self.read { try TokenConflicts.find(among: tokens, $0) }
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

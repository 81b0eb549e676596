package import CulvertCore
import CulvertSystem
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
        /// The process stops, and has closed the database.
        case closed
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
                // SQLite opens a database read-only that it may not write, and then every change fails.
                for suffix in DatabaseFiles.suffixes { _ = try SecretFile.look(place + suffix, for: R_OK | W_OK) }
            } catch {
                throw StoreError(kind: .unusable, description: error.description)
            }
            // A file that is no database, or another program's, keeps its mode: its path was given by mistake.
            try StoreLook.checkKind(of: place, path)
            do throws(SecretFile.Failure) {
                for suffix in DatabaseFiles.suffixes { try SecretFile.protect(place + suffix, logger: logger) }
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
            for suffix in DatabaseFiles.suffixes.dropFirst() { SecretFile.openToOwner(place + suffix) }
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

    /// - Throws: ``StoreError`` for a database of another program, or that a newer Culvert has changed.
    static func checkVersion(_ database: Database, _ path: String) throws {
        guard try !StoreSchema.isForeign(database) else {
            throw StoreError(
                kind: .unusable,
                description: "\(path): the database belongs to another program, since it has tables and none of them is "
                    + "Culvert's; give another path")
        }
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
            throw StoreError(kind: .closed, description: "\(self.path): closed, since the process stops")
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

    // MARK: - what a start and a reload read

    /// All tokens, without notes and the like: what the gate needs.
    package func all() throws(StoreError) -> [StoredToken] {
        try self.read(TokenTable.all)
    }

    /// All tokens, as the event loops take them.
    package func entries() throws(StoreError) -> [TokenEntry] {
        try self.read(TokenTable.entries)
    }

    package func jwtKeys() throws(StoreError) -> [StoredJWTKey] {
        try self.read(JWTKeyTable.all)
    }

    /// Ends of keys that were deleted, by their thumbprints.
    package func endedJWTKeys() throws(StoreError) -> [String: Int64] {
        try self.read(JWTKeyTable.ended)
    }

    package func jwtRevocations() throws(StoreError) -> [JWTRevocation] {
        try self.read(JWTRevocationTable.all)
    }

    /// ``TokenConflicts/find(among:_:)`` for the configuration's tokens.
    package func conflicts(with tokens: [ConfiguredSecret]) throws(StoreError) -> [TokenConflict] {
        try self.read { try TokenConflicts.find(among: tokens, $0) }
    }
}

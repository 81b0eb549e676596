import Foundation
import GRDB
import Glibc

/// Looks at a database as ``TokenStore`` would open it. It makes no file, changes no mode and runs no migration:
/// `culvert check` may ask it beside a Culvert that runs.
enum StoreLook {
    /// - Returns: the errors of ``TokenConflicts``; none for a database that is not there yet.
    /// - Throws: what would keep the database from being opened.
    static func conflicts(_ path: String, with tokens: [ConfigToken]) throws(StoreError) -> [ConfigError] {
        let place: String
        do throws(SecretFile.Failure) {
            place = try SecretFolder.place(of: path)
            var isThere = true
            for suffix in TokenStore.suffixes {
                let isFound = try SecretFile.look(place + suffix, for: R_OK | W_OK)
                if suffix.isEmpty { isThere = isFound }
            }
            guard isThere else { return [] }
        } catch {
            throw StoreError(kind: .unusable, description: error.description)
        }
        guard let address = self.address(of: place) else { return [] }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            let queue = try DatabaseQueue(path: address, configuration: configuration)
            defer { try? queue.close() }
            return try queue.read { database in
                try TokenStore.check(database, path)
                try TokenStore.checkVersion(database, path)
                // A migration of the next start makes the tables that are not there yet.
                guard try StoreSchema.migrator.hasCompletedMigrations(database) else { return [] }
                return try TokenConflicts.find(among: tokens, database)
            }
        } catch let error as StoreError {
            throw error
        } catch let error as DatabaseError where self.isOfTheMoment(error) {
            return []
        } catch {
            throw TokenStore.wrap(error, path: path, isOpening: true)
        }
    }

    /// A lock that another process holds, or files that have come or gone since they were looked at.
    private static func isOfTheMoment(_ error: DatabaseError) -> Bool {
        [.SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_CANTOPEN].contains(error.resultCode)
    }

    /// The URI with which SQLite makes no file beside the database (SQLite, "URI Filenames", and os_unix.c for
    /// `readonly_shm`). Nil where it cannot read the database without making one: there is a log and no index of it.
    private static func address(of place: String) -> String? {
        var status = stat()
        let hasLog = stat(place + "-wal", &status) == 0 && status.st_size > 0
        guard !hasLog || access(place + "-shm", F_OK) == 0 else { return nil }
        // By Characters: a path of the operator's own.
        guard let path = place.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) else { return nil }
        return "file:\(path)?mode=ro&" + (hasLog ? "readonly_shm=1" : "immutable=1")
    }
}

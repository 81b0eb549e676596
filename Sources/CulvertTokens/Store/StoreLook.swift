package import CulvertSystem
import Foundation
import GRDB
import Glibc

/// Looks at a database as ``TokenStore`` would open it. It makes no file, changes no mode and runs no migration:
/// `culvert check` may ask it beside a Culvert that runs.
package enum StoreLook {
    package enum Finding: Sendable {
        /// The conflicts of ``TokenConflicts``; none for a database that is not there yet.
        case conflicts([TokenConflict])
        /// The database could not be looked at without changing it, or while another process changes it. Holds the
        /// reason, for a warning.
        case notNow(String)
    }

    /// Most times that a database is looked at while another process writes it.
    private static let mostLooks = 6
    /// The microseconds that pass between two looks.
    private static let pause: useconds_t = 20_000

    /// - Throws: what would keep the database from being opened.
    package static func look(_ path: String, for tokens: [ConfiguredSecret]) throws(StoreError) -> Finding {
        let place: String
        do throws(SecretFile.Failure) {
            place = try SecretFolder.place(of: path)
            var isThere = true
            for suffix in DatabaseFiles.suffixes {
                let isFound = try SecretFile.look(place + suffix, for: R_OK | W_OK)
                if suffix.isEmpty { isThere = isFound }
            }
            guard isThere else { return .conflicts([]) }
        } catch {
            throw StoreError(kind: .unusable, description: error.description)
        }
        // A process that writes between two reads of this one makes a sound database look damaged, because this one
        // takes no lock. A failure counts when it is seen twice, and the files have not changed in between.
        var failed: [FileState?]?
        for _ in 0..<self.mostLooks {
            let before = self.states(of: place)
            do throws(StoreError) {
                return try self.lookOnce(path, place, for: tokens)
            } catch {
                let after = self.states(of: place)
                if before == after, failed == after { throw error }
                failed = before == after ? after : nil
            }
            usleep(self.pause)
        }
        return self.notNow(path, "another process is writing the database")
    }

    /// Finds a file that is no database, or the database of another program or a newer Culvert, without a lock and without
    /// a change. ``TokenStore`` finds other faults itself.
    ///
    /// - Parameters:
    ///   - place: as `SecretFolder.place(of:)` gives it.
    ///   - name: the path as it was given.
    static func checkKind(of place: String, _ name: String) throws {
        // By Characters: a path of the operator's own.
        guard let path = place.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) else { return }
        var configuration = Configuration()
        configuration.readonly = true
        do {
            let queue = try DatabaseQueue(path: "file:\(path)?mode=ro&immutable=1", configuration: configuration)
            defer { try? queue.close() }
            try queue.read { try TokenStore.checkVersion($0, name) }
        } catch let error as StoreError {
            throw error
        } catch let error as DatabaseError where error.resultCode == .SQLITE_NOTADB {
            throw error
        } catch {
            return
        }
    }

    private static func lookOnce(
        _ path: String, _ place: String, for tokens: [ConfiguredSecret]
    ) throws(StoreError) -> Finding {
        let address: String
        switch self.address(of: place) {
        case .uri(let uri): address = uri
        case .needsWriting(let reason): return self.notNow(path, reason)
        }
        do {
            var configuration = Configuration()
            configuration.readonly = true
            let queue = try DatabaseQueue(path: address, configuration: configuration)
            defer { try? queue.close() }
            return try queue.read { database -> Finding in
                try TokenStore.check(database, path)
                try TokenStore.checkVersion(database, path)
                // A migration of the next start makes the tables that are not there yet.
                guard try StoreSchema.migrator.hasCompletedMigrations(database) else { return .conflicts([]) }
                return .conflicts(try TokenConflicts.find(among: tokens, database))
            }
        } catch let error as StoreError {
            throw error
        } catch let error as DatabaseError where self.isOfTheMoment(error) {
            return self.notNow(path, error.message ?? "it is locked")
        } catch {
            throw TokenStore.wrap(error, path: path, isOpening: true)
        }
    }

    private static func notNow(_ path: String, _ reason: String) -> Finding {
        .notNow(
            "\(path): the database could not be looked at (\(reason)), so the tokens of the configuration were not "
                + "compared with its tokens; a start compares them")
    }

    /// A lock that another process holds, or files that have come or gone since they were looked at.
    private static func isOfTheMoment(_ error: DatabaseError) -> Bool {
        [.SQLITE_BUSY, .SQLITE_LOCKED, .SQLITE_CANTOPEN].contains(error.resultCode)
    }

    private enum Address {
        case uri(String)
        /// A reader of the database has to change a file first. Holds the reason.
        case needsWriting(String)
    }

    /// The URI with which SQLite makes and changes no file (SQLite, "URI Filenames", and os_unix.c for `readonly_shm`).
    private static func address(of place: String) -> Address {
        let hasLog = (FileState(place + "-wal")?.size ?? 0) > 0
        guard !hasLog || access(place + "-shm", F_OK) == 0 else {
            return .needsWriting("its log \(place)-wal has no index \(place)-shm")
        }
        guard hasLog || !self.isHot(place + "-journal") else {
            return .needsWriting("a transaction that broke off is to be rolled back from \(place)-journal")
        }
        // By Characters: a path of the operator's own.
        // By Characters: a path of the operator's own.
        guard let path = place.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) else {
            return .needsWriting("its path cannot be written as a URI")
        }
        return .uri("file:\(path)?mode=ro&" + (hasLog ? "readonly_shm=1" : "immutable=1"))
    }

    /// Whether SQLite would roll back from a journal: its first byte is not zero (SQLite, pager.c, "hot journal").
    private static func isHot(_ journal: String) -> Bool {
        let descriptor = open(journal, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var first: UInt8 = 0
        return read(descriptor, &first, 1) == 1 && first != 0
    }

    /// Gives the files of a database whose modes ``TokenStore`` changes before it opens them.
    package static func modeChanges(_ path: String) -> [(file: String, change: SecretFile.ModeChange)] {
        guard let place = try? SecretFolder.place(of: path) else { return [] }
        return DatabaseFiles.suffixes.compactMap { suffix in
            SecretFile.pendingChange(place + suffix).map { (path + suffix, $0) }
        }
    }

    // MARK: - what changes when a process writes

    private struct FileState: Equatable {
        var number: ino_t
        var size: off_t
        var seconds: time_t
        var nanoseconds: Int

        /// Nil for a file that is not there.
        init?(_ path: String) {
            var status = stat()
            guard lstat(path, &status) == 0 else { return nil }
            self.number = status.st_ino
            self.size = status.st_size
            self.seconds = status.st_mtim.tv_sec
            self.nanoseconds = status.st_mtim.tv_nsec
        }
    }

    private static func states(of place: String) -> [FileState?] {
        // Readers change the index (`-shm`), too.
        ["", "-wal", "-journal"].map { FileState(place + $0) }
    }
}

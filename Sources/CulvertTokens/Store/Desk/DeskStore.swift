import CulvertSystem
import GRDB
import Logging

/// The database and the clock, as the parts of ``TokenDesk`` use them: errors are those of the desk, and a change is
/// written together with its line of the audit log.
struct DeskStore: Sendable {
    let store: TokenStore
    /// Unix seconds.
    let now: @Sendable () -> Int64
    /// The log of failures. The error of the desk does not say the reason.
    let notices: Notices?

    func read<Value>(_ body: (Database) throws -> Value) throws(DeskError) -> Value {
        try self.asking { () throws(StoreError) in try self.store.read(body) }
    }

    func write(_ body: (Database) throws -> Void) throws(DeskError) {
        try self.asking { () throws(StoreError) in try self.store.write(body) }
    }

    func write(_ line: AuditEntry, _ body: (Database) throws -> Void = { _ in }) throws(DeskError) {
        try self.write { database in
            try body(database)
            try AuditTable.append(line, database)
        }
    }

    func line(_ action: String, _ target: String, detail: String = "", by caller: AdminCaller) -> AuditEntry {
        AuditEntry(at: self.now(), caller: caller, action: action, target: target, detail: detail)
    }

    /// Changes when another process has written to the database.
    func dataVersion() throws(DeskError) -> Int {
        try self.asking { () throws(StoreError) in try self.store.dataVersion() }
    }

    private func asking<Value>(_ body: () throws(StoreError) -> Value) throws(DeskError) -> Value {
        do throws(StoreError) {
            return try body()
        } catch {
            if error.kind != .closed {
                self.notices?.warn("the database failed", ["reason": "\(error.description)"])
            }
            throw error.kind == .full ? .full : .failed
        }
    }
}

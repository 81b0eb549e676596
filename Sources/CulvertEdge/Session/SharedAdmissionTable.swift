import CulvertCore
import NIOCore
import Synchronization

/// An ``AdmissionTable`` that all event loops share, in parts with a lock each. A lock is held for a look-up and an
/// addition, a few times in the life of a session and never for a message (docs/decisions/0006-shared-limits.md).
final class SharedAdmissionTable<Key: Hashable & Sendable>: Sendable {
    private final class Part: Sendable {
        let table: Mutex<AdmissionTable<Key>>

        init(capacity: Int) {
            self.table = Mutex(AdmissionTable(capacity: capacity))
        }
    }

    private static var partCount: Int { 16 }
    private let parts: [Part]

    /// - Parameter capacity: how many keys are known at a time.
    init(capacity: Int = 100_000) {
        self.parts = (0..<Self.partCount).map { _ in Part(capacity: capacity / Self.partCount) }
    }

    var count: Int { self.parts.reduce(0) { $0 + $1.table.withLock(\.count) } }

    func with<Value: Sendable>(_ key: Key, _ body: (inout AdmissionTable<Key>) -> Value) -> Value {
        // The hash is seeded anew in each process: nobody can choose keys that meet in one part.
        let part = Int(UInt(bitPattern: key.hashValue) % UInt(self.parts.count))
        return self.parts[part].table.withLock { body(&$0) }
    }
}

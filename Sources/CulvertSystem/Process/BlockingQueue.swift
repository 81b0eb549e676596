import Dispatch

/// A thread for work that blocks or takes long: SQLite with its fsync, files, cryptography.
///
/// Swift's cooperative pool has a thread for each core, and every task of the process needs one of them. Four calls
/// that block there stop logins, revocation and `/healthz`. Work on a queue holds up nothing but its own queue.
///
/// An actor whose methods block names a queue as its executor; other code calls ``run(_:)``.
package final class BlockingQueue: SerialExecutor, Sendable {
    private let queue: DispatchQueue

    /// - Parameter name: for debuggers.
    package init(_ name: String) {
        self.queue = DispatchQueue(label: "culvert.\(name)")
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        self.queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() { dispatchPrecondition(condition: .onQueue(self.queue)) }

    /// Runs `body` behind whatever the queue has been given before, and does not wait for it.
    package func async(_ body: @escaping @Sendable () -> Void) { self.queue.async(execute: body) }

    /// Runs `body` behind whatever the queue has been given before, and passes on what it throws.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            self.queue.async { continuation.resume(with: Result(catching: body)) }
        }
    }

    /// Runs `body` behind whatever the queue has been given before.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            self.queue.async { continuation.resume(returning: body()) }
        }
    }
}

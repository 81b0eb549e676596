import Dispatch

/// Runs blocking work, such as files, certificates and databases, one piece after the other, on a thread that is neither
/// an event loop nor one of the few threads that run Swift's tasks.
///
/// An actor whose methods block returns it from `unownedExecutor`. Other code calls ``run(_:)``. Each instance has a
/// queue of its own: a file system that hangs holds up the work of that instance and no other.
package final class BlockingExecutor: SerialExecutor {
    private let queue: DispatchQueue

    /// - Parameter label: names the queue in debuggers.
    package init(label: String) {
        // A queue without a target is served by threads of its own (libdispatch's overcommitting pool), so that work
        // that waits for a disk takes no thread from the tasks.
        self.queue = DispatchQueue(label: label)
    }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = self.asUnownedSerialExecutor()
        self.queue.async { job.runSynchronously(on: executor) }
    }

    package func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    package func checkIsolated() { dispatchPrecondition(condition: .onQueue(self.queue)) }

    /// Runs `body` behind everything that was handed over before it.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            self.queue.async { continuation.resume(with: Result(catching: body)) }
        }
    }
}

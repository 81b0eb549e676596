import Dispatch
package import NIOCore
import Synchronization

/// Runs work that reads files, and waits for it no longer than a given time. A file system that does not answer, or a
/// pipe that nothing writes to, holds a thread up for good. Each piece of work has a thread of its own, so that a piece
/// that is held up holds up no other. `Reloader` and `KeySet` own one each, and call it from any task.
package final class FileWork: Sendable {
    /// Why the caller has no result; for the operator.
    package enum Fault: Error, Equatable, CustomStringConvertible {
        case late(TimeAmount)
        /// So many earlier pieces of work are held up.
        case heldUp(Int)

        package var description: String {
            switch self {
            case .late(let time):
                "the files could not be read within \(time.nanoseconds / 1_000_000_000) s: a file system does not answer, "
                    + "or a name is not looked up"
            case .heldUp(let count):
                "\(count) earlier attempts to read files are still held up by a file system that does not answer"
            }
        }
    }

    /// Less than `culvert reload` waits for its answer.
    package static let patience = TimeAmount.seconds(25)

    /// Runs what comes when the time is up.
    private static let timers = DispatchQueue(label: "culvert.files.timers")

    private let name: String
    private let time: TimeAmount
    private let most: Int
    /// Pieces of work that nothing waits for any more, and that have not come to their end.
    private let heldUp = Mutex(0)

    /// - Parameters:
    ///   - name: for debuggers.
    ///   - most: pieces of work that may be held up before others are refused; each holds a thread.
    package init(_ name: String, within time: TimeAmount = FileWork.patience, most: Int = 8) {
        self.name = name
        self.time = time
        self.most = most
    }

    /// - Parameters:
    ///   - late: gets the result that `body` gives after its time, on the thread of `body`.
    ///   - body: runs on a thread that may wait.
    /// - Throws: ``Fault``, and what `body` throws.
    package func run<Value: Sendable>(
        late: @escaping @Sendable (Value) -> Void = { _ in }, _ body: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        let heldUp = self.heldUp.withLock(\.self)
        guard heldUp < self.most else { throw Fault.heldUp(heldUp) }
        return try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
            let caller = Caller(continuation)
            BlockingQueue(self.name).async {
                let result = Result(catching: body)
                guard !caller.resume(with: result) else { return }
                self.heldUp.withLock { $0 -= 1 }
                if case .success(let value) = result { late(value) }
            }
            self.whenLate {
                // Before the caller knows, which may have other work then.
                self.heldUp.withLock { $0 += 1 }
                if !caller.resume(with: .failure(Fault.late(self.time))) { self.heldUp.withLock { $0 -= 1 } }
            }
        }
    }

    /// Waits for `body`, which goes on when its time is up.
    ///
    /// - Returns: whether it has come to its end.
    package func wait(for body: @escaping @Sendable () async -> Void) async -> Bool {
        let done = try? await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Bool, any Error>) in
            let caller = Caller(continuation)
            Task {
                await body()
                _ = caller.resume(with: .success(true))
            }
            self.whenLate { _ = caller.resume(with: .success(false)) }
        }
        return done ?? false
    }

    private func whenLate(_ body: @escaping @Sendable () -> Void) {
        Self.timers.asyncAfter(deadline: .now() + .nanoseconds(Int(self.time.nanoseconds)), execute: body)
    }

    /// A task that waits, for the first of two results.
    private final class Caller<Value: Sendable>: Sendable {
        private let continuation: Mutex<CheckedContinuation<Value, any Error>?>

        init(_ continuation: CheckedContinuation<Value, any Error>) {
            self.continuation = Mutex(continuation)
        }

        /// - Returns: false when the caller has its result already.
        func resume(with result: Result<Value, any Error>) -> Bool {
            let waiting = self.continuation.withLock { continuation -> CheckedContinuation<Value, any Error>? in
                let waiting = continuation
                continuation = nil
                return waiting
            }
            waiting?.resume(with: result)
            return waiting != nil
        }
    }
}

import CulvertCore
import Foundation
import Synchronization

/// Verifies JSON Web Tokens on threads of their own, at most ``limit`` at a time.
///
/// Anybody may send a token to be verified. A token that waits here costs its text and a closure, so the limit bounds
/// memory as well as time.
final class VerificationQueue: Sendable {
    /// Verifications under way or waiting, of the process. At 0.1 ms each, an ES256 signature, the last waits 26 ms.
    static let limit = 256
    /// Requests that wait for sets of keys to be read, since no key is known that their token names. Counted apart:
    /// tokens whose key is known do not wait behind them.
    static let waitLimit = 1024

    private let queues: [BlockingQueue]
    private let next = Atomic<Int>(0)
    private let running = Count(limit)
    private let waiting = Count(waitLimit)

    init() {
        // Half of the cores: the event loops need theirs for those who are in already.
        let threads = max(1, ProcessInfo.processInfo.activeProcessorCount / 2)
        self.queues = (0..<threads).map { BlockingQueue("jwt.\($0)") }
    }

    var isFull: Bool { self.running.isFull }

    /// - Returns: nil, at once, when ``limit`` is reached.
    func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value? {
        guard self.running.enter() else { return nil }
        defer { self.running.leave() }
        let turn = self.next.wrappingAdd(1, ordering: .relaxed).oldValue
        return await self.queues[Int(truncatingIfNeeded: UInt(bitPattern: turn) % UInt(self.queues.count))].run(body)
    }

    /// A place among the requests that wait for sets of keys. It is given back with its last reference.
    final class Place: Sendable {
        private let count: Count

        fileprivate init(_ count: Count) { self.count = count }

        deinit { self.count.leave() }
    }

    /// - Returns: nil, at once, when ``waitLimit`` is reached.
    func place() -> Place? { self.waiting.enter() ? Place(self.waiting) : nil }

    /// How many are within, of so many that may be.
    fileprivate final class Count: Sendable {
        private let value = Atomic<Int>(0)
        private let limit: Int

        init(_ limit: Int) { self.limit = limit }

        var isFull: Bool { self.value.load(ordering: .relaxed) >= self.limit }

        func enter() -> Bool {
            if self.value.wrappingAdd(1, ordering: .relaxed).newValue <= self.limit { return true }
            self.leave()
            return false
        }

        func leave() { self.value.wrappingSubtract(1, ordering: .relaxed) }
    }
}

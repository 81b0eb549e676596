import CulvertCore
import CulvertSystem
import Foundation
import Synchronization

/// Verifies JSON Web Tokens on threads of their own, in turns that go round among the addresses of clients.
///
/// Any client may send a token to be verified. A token that waits here costs its text and a closure, so ``limit``
/// bounds memory as well as time. An address that sends many has the same turns as an address that sends one, and
/// loses its room here to it.
final class VerificationQueue: Sendable {
    /// Verifications that wait, of the process. At 0.1 ms each, an ES256 signature, the last waits 26 ms.
    static let limit = 256
    /// Requests that wait for sets of keys to be read, since no key is known that their token names. Counted apart:
    /// tokens whose key is known do not wait behind them.
    static let waitLimit = 1024

    private struct Job: Sendable {
        var run: @Sendable () -> Void
        var refuse: @Sendable () -> Void
    }

    private struct State {
        var jobs = FairQueue<Job, AddressKey>(limit: limit)
        /// Threads that have nothing to do.
        var idle: [BlockingQueue]
    }

    private let state: Mutex<State>
    private let waiting = Count(waitLimit)

    init() {
        // Half of the cores: the event loops need theirs for the sessions that are open.
        let threads = max(1, ProcessInfo.processInfo.activeProcessorCount / 2)
        self.state = Mutex(State(idle: (0..<threads).map { BlockingQueue("jwt.\($0)") }))
    }

    var isFull: Bool { self.state.withLock(\.jobs.isFull) }

    /// - Parameter address: the client's, as the limits of addresses count it.
    /// - Returns: nil when ``limit`` is reached and no address has more waiting than this one, or when a client of
    ///   another address takes the room.
    func run<Value: Sendable>(for address: AddressKey, _ body: @escaping @Sendable () -> Value) async -> Value? {
        await withCheckedContinuation { continuation in
            self.join(
                Job(
                    run: { continuation.resume(returning: body()) },
                    refuse: { continuation.resume(returning: nil) }),
                of: address)
        }
    }

    private func join(_ job: Job, of address: AddressKey) {
        let (refused, thread) = self.state.withLock { state in
            (state.jobs.join(job, of: address), state.idle.popLast())
        }
        refused?.refuse()
        if let thread { thread.async { self.work(thread) } }
    }

    /// On `thread`, until no job waits.
    private func work(_ thread: BlockingQueue) {
        while let job = self.next(thread) { job.run() }
    }

    private func next(_ thread: BlockingQueue) -> Job? {
        self.state.withLock { state in
            if let job = state.jobs.next() { return job }
            state.idle.append(thread)
            return nil
        }
    }

    /// A place among the requests that wait for sets of keys. It is given back with its last reference.
    final class Place: Sendable {
        private let count: Count

        fileprivate init(_ count: Count) { self.count = count }

        deinit { self.count.leave() }
    }

    /// - Returns: nil, at once, when ``waitLimit`` is reached.
    package func place() -> Place? { self.waiting.enter() ? Place(self.waiting) : nil }

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

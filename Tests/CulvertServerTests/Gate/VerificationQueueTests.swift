import Dispatch
import Testing

@testable import CulvertServer

@Suite("JWT: how many are verified at a time")
struct VerificationQueueTests {
    @Test("Attack: as many verifications as may be wait; one more is refused at once, and room is given back")
    func bound() async throws {
        let queue = VerificationQueue()
        let gate = DispatchSemaphore(value: 0)
        let done = try await withThrowingTaskGroup(of: Int.self) { tasks in
            for _ in 0..<VerificationQueue.limit {
                tasks.addTask {
                    await queue.run {
                        gate.wait()
                        gate.signal()
                        return 1
                    } ?? 0
                }
            }
            for _ in 0..<10_000 where !queue.isFull { try await Task.sleep(for: .milliseconds(1)) }
            // It does not wait: the queue's thread stands still.
            let last = await queue.run { 1 }
            print("tried \(VerificationQueue.limit + 1) at once: the last was \(last == nil ? "refused" : "taken")")
            #expect(last == nil)
            gate.signal()
            return try await tasks.reduce(0, +)
        }
        #expect(done == VerificationQueue.limit)
        #expect(await queue.run { 2 } == 2)
    }

    @Test("An actor with a queue of its own blocks nobody else")
    func actorsOfTheirOwn() async {
        let gate = DispatchSemaphore(value: 0)
        let blocked = (0..<16).map { _ in Blocked() }
        await withTaskGroup(of: Void.self) { tasks in
            for actor in blocked { tasks.addTask { await actor.wait(gate) } }
            // The cooperative pool has a thread for each core; were they all blocked, this would never run.
            tasks.addTask { for _ in blocked { gate.signal() } }
        }
    }

    private actor Blocked {
        nonisolated private let queue = BlockingQueue("test")
        nonisolated var unownedExecutor: UnownedSerialExecutor { self.queue.asUnownedSerialExecutor() }

        func wait(_ gate: DispatchSemaphore) { _ = gate.wait(timeout: .now() + 60) }
    }
}

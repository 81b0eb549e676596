import CulvertCore
import CulvertSystem
import Dispatch
import Foundation
import Testing

@testable import CulvertTokens

@Suite("JWT: how many are verified at a time")
struct VerificationQueueTests {
    private static let attacker = AddressKey("192.0.2.66")
    private static let other = AddressKey("198.51.100.1")

    @Test("Attack: one address fills the queue; its next token is refused at once, and another address has its turn")
    func bound() async throws {
        let queue = VerificationQueue()
        let gate = DispatchSemaphore(value: 0)
        let threads = max(1, ProcessInfo.processInfo.activeProcessorCount / 2)
        let sent = VerificationQueue.limit + threads
        let (started, starts) = AsyncStream.makeStream(of: Void.self)
        let (done, others) = try await withThrowingTaskGroup(of: Int.self) { tasks in
            // The threads have theirs before the others come, which all find room then.
            for _ in 0..<threads {
                tasks.addTask {
                    await queue.run(for: Self.attacker) {
                        starts.yield()
                        gate.wait()
                        gate.signal()
                        return 1
                    } ?? 0
                }
            }
            var running = 0
            for await _ in started {
                running += 1
                if running == threads { break }
            }
            for _ in 0..<VerificationQueue.limit {
                tasks.addTask {
                    await queue.run(for: Self.attacker) {
                        gate.wait()
                        gate.signal()
                        return 1
                    } ?? 0
                }
            }
            for _ in 0..<10_000 where !queue.isFull { try await Task.sleep(for: .milliseconds(1)) }
            // It does not wait: the queue's threads stand still.
            let last = await queue.run(for: Self.attacker) { 1 }
            print("tried \(sent + 1) at once: the last was \(last == nil ? "refused" : "taken")")
            #expect(last == nil)
            async let other = queue.run(for: Self.other) { 1 }
            // The room for it is one of the attacker's.
            #expect(try await tasks.next() == 0)
            gate.signal()
            return (try await tasks.reduce(0, +), await other)
        }
        #expect(done == sent - 1)
        #expect(others == 1)
        #expect(await queue.run(for: Self.attacker) { 2 } == 2)
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

import CulvertSystem
import Dispatch
import NIOConcurrencyHelpers
import Testing

@Suite("Blocking work")
struct BlockingQueueTests {
    private actor Worker {
        private let executor = BlockingQueue("test")
        nonisolated var unownedExecutor: UnownedSerialExecutor { self.executor.asUnownedSerialExecutor() }
        private var steps: [Int] = []

        func wait(_ semaphore: DispatchSemaphore, _ step: Int) -> [Int] {
            semaphore.wait()
            self.steps.append(step)
            return self.steps
        }
    }

    @Test("An actor whose methods wait takes no thread from tasks, however many such actors there are")
    func waiting() async {
        let held = DispatchSemaphore(value: 0)
        // More than there are CPUs, and with them threads for tasks.
        let workers = (0..<24).map { _ in Worker() }
        let waiting = workers.map { worker in Task { await worker.wait(held, 1) } }
        let other = await withTaskGroup(of: Int.self) { tasks in
            for number in 0..<100 { tasks.addTask { number } }
            return await tasks.reduce(0, +)
        }
        #expect(other == 4950)
        for _ in workers { held.signal() }
        for task in waiting { #expect(await task.value == [1]) }
    }

    @Test("Pieces of work run one after the other, in the order in which they were handed over")
    func order() async throws {
        let executor = BlockingQueue("test")
        let seen = NIOLockedValueBox<[Int]>([])
        let open = DispatchSemaphore(value: 0)
        let first = Task { try await executor.run { open.wait() } }
        let rest = Task {
            for number in 0..<50 { try await executor.run { seen.withLockedValue { $0.append(number) } } }
        }
        open.signal()
        try await rest.value
        try await first.value
        #expect(seen.withLockedValue { $0 } == Array(0..<50))
    }

    private struct Failure: Error, Equatable {}

    @Test("A failure reaches who asked")
    func failure() async {
        let executor = BlockingQueue("test")
        await #expect(throws: Failure()) { try await executor.run { throw Failure() } }
    }
}

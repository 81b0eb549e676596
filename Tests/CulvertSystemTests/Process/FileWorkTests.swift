import CulvertSystem
import Dispatch
import NIOCore
import Testing

@Suite("Work on files")
struct FileWorkTests {
    @Test("Work that is held up fails when its time is up, and holds up no other; what it gives later is taken back")
    func heldUp() async throws {
        let work = FileWork("test", within: .seconds(1))
        let (later, continuation) = AsyncStream.makeStream(of: Int.self)
        let gate = DispatchSemaphore(value: 0)
        await #expect(throws: FileWork.Fault.late(.seconds(1))) {
            _ = try await work.run(late: { (value: Int) in continuation.yield(value) }) {
                gate.wait()
                return 1
            }
        }
        let other = try await work.run { 2 }
        #expect(other == 2)
        gate.signal()
        let takenBack = await later.first { _ in true }
        #expect(takenBack == 1)
    }

    @Test("Work is refused while as much as may be is held up, and runs again when that has ended")
    func most() async throws {
        let work = FileWork("test", within: .seconds(1), most: 1)
        let (ends, continuation) = AsyncStream.makeStream(of: Void.self)
        let gate = DispatchSemaphore(value: 0)
        await #expect(throws: FileWork.Fault.late(.seconds(1))) {
            try await work.run(late: { _ in continuation.yield() }) { gate.wait() }
        }
        await #expect(throws: FileWork.Fault.heldUp(1)) { try await work.run {} }
        gate.signal()
        _ = await ends.first { _ in true }
        let other = try await work.run { 2 }
        #expect(other == 2)
    }

    private struct Failure: Error, Equatable {}

    @Test("A failure reaches the caller, and makes room for other work")
    func failure() async throws {
        let work = FileWork("test", most: 1)
        await #expect(throws: Failure()) { try await work.run { throw Failure() } }
        let other = try await work.run { 2 }
        #expect(other == 2)
    }

    @Test("A task that does not end is waited for until the time is up")
    func waiting() async {
        let work = FileWork("test", within: .seconds(1))
        let (never, continuation) = AsyncStream.makeStream(of: Void.self)
        let hasEnded = await work.wait { for await _ in never {} }
        #expect(!hasEnded)
        let other = await FileWork("test", within: .minutes(1)).wait {}
        #expect(other)
        continuation.finish()
    }
}

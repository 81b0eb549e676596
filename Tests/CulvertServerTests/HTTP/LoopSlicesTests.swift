import NIOCore
import NIOEmbedded
import NIOPosix
import Testing

@testable import CulvertServer

@Suite("Slices of a loop")
struct LoopSlicesTests {
    @Test("There is room for many messages while nothing waits, and for few while something does")
    func room() {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        #expect(slices.room == LoopSlices.messages)
        var inside = 0
        slices.enqueue { inside = slices.room }
        slices.enqueue {}
        #expect(slices.isBusy)
        #expect(slices.room == LoopSlices.fewMessages)
        loop.advanceTime(by: .milliseconds(1))
        // A slice is bounded by its time already.
        #expect(inside == LoopSlices.messages)
        #expect(!slices.isBusy)
        #expect(slices.room == LoopSlices.messages)
    }

    @Test("Many messages of many connections in one turn make the loop busy until the next")
    func passed() {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        slices.notePassed(LoopSlices.messages - 1)
        #expect(slices.room == LoopSlices.messages)
        slices.notePassed(1)
        #expect(slices.room == LoopSlices.fewMessages)
        loop.advanceTime(by: .milliseconds(1))
        #expect(slices.room == LoopSlices.messages)
    }

    @Test("Work is done in order, and the steps of a long one have other work between them")
    func order() {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        var log: [String] = []
        var steps = 0
        slices.repeatWhile {
            steps += 1
            log.append("step")
            return steps < 3
        }
        slices.enqueue { log.append("other") }
        loop.advanceTime(by: .milliseconds(10))
        #expect(log == ["step", "other", "step", "step"])
    }

    @Test("Attack: work of very many sessions leaves the sockets their turn every few milliseconds")
    func sockets() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let others = try await loop.flatSubmit {
            let slices = LoopSlices(loop: loop)
            let done = loop.makePromise(of: Int.self)
            var left = 100
            var others = 0
            let other = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .microseconds(200)) { _ in
                if left < 100, left > 0 { others += 1 }
            }
            for _ in 0..<100 {
                slices.enqueue {
                    // Half a millisecond of work.
                    let end = NIODeadline.now() + .microseconds(500)
                    while NIODeadline.now() < end {}
                    left -= 1
                    if left == 0 {
                        other.cancel()
                        done.succeed(others)
                    }
                }
            }
            return done.futureResult
        }.get()
        print("tried 100 sessions with 0.5 ms of work each: other work had \(others) turns between them")
        #expect(others >= 10)
        try await group.shutdownGracefully()
    }
}

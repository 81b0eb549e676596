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

    @Test("The two lines are served in turn, a piece of each, and each in its order")
    func lines() {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        var log: [String] = []
        for number in 1...4 { slices.enqueue { log.append("stranger \(number)") } }
        for number in 1...2 { slices.enqueue(in: .sessions) { log.append("session \(number)") } }
        #expect(slices.isBusy)
        loop.advanceTime(by: .milliseconds(10))
        #expect(log == ["session 1", "stranger 1", "session 2", "stranger 2", "stranger 3", "stranger 4"])
        // Behind a session's piece a stranger has its turn, and the other way round, whatever came first.
        log = []
        slices.enqueue(in: .sessions) { log.append("session") }
        slices.enqueue { log.append("stranger") }
        loop.advanceTime(by: .milliseconds(10))
        #expect(Set(log) == ["session", "stranger"])
        #expect(!slices.isBusy)
    }

    @Test("Attack: strangers that put a thousand pieces into their line are one piece in front of each of a session's")
    func strangers() {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        var strangers = 0
        var before: [Int] = []
        for _ in 0..<1000 { slices.enqueue { strangers += 1 } }
        slices.repeatWhile(in: .sessions) {
            before.append(strangers)
            return before.count < 20
        }
        loop.advanceTime(by: .milliseconds(100))
        print("tried 1000 pieces of strangers: a session's 20 pieces came behind \(before) of them")
        #expect(before.count == 20)
        #expect(zip(before, before.dropFirst()).allSatisfy { $1 - $0 <= 1 })
        #expect((before.first ?? .max) <= 1)
        #expect(strangers == 1000)
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

    // MARK: - with a real clock and real sockets

    private static let pieces = 60

    /// Sends a byte back and forth on its loop, and counts.
    private final class Pong: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private(set) var count = 0

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.count += 1
            context.writeAndFlush(data, promise: nil)
        }
    }

    private static func work() {
        let end = NIODeadline.now() + .microseconds(500)
        while NIODeadline.now() < end {}
    }

    /// - Parameter begin: begins ``pieces`` pieces of ``work()``, and calls the closure behind the last.
    /// - Returns: how often a socket of the same loop was read until then.
    private func reads(during begin: @escaping @Sendable (any EventLoop, @escaping () -> Void) -> Void) async throws -> Int {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let server = try await ServerBootstrap(group: loop)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Pong()) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let client = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Pong()) }
            }
            .connect(to: server.localAddress!).get()
        try await client.writeAndFlush(ByteBuffer(string: "x"))
        let count = try await loop.flatSubmit {
            let done = loop.makePromise(of: Int.self)
            do {
                let pong = try client.pipeline.syncOperations.handler(type: Pong.self)
                let before = pong.count
                begin(loop) { done.succeed(pong.count - before) }
            } catch {
                done.fail(error)
            }
            return done.futureResult
        }.get()
        try await group.shutdownGracefully()
        return count
    }

    @Test("Attack: work that enqueues its rest leaves the sockets their turn after each slice")
    func turns() async throws {
        let reads = try await self.reads { loop, done in
            let slices = LoopSlices(loop: loop)
            var left = Self.pieces
            slices.repeatWhile {
                Self.work()
                left -= 1
                if left == 0 { withExtendedLifetime(slices, done) }
                return left > 0
            }
        }
        print("tried \(Self.pieces) pieces of 0.5 ms: a socket was read \(reads) times between them")
        #expect(reads >= Self.pieces / 4)
    }

    @Test("Attack: thousands of timers that are due at once leave the sockets their turn")
    func timers() async throws {
        let reads = try await self.reads { loop, done in
            let timers = LoopTimers(loop: loop, slices: LoopSlices(loop: loop))
            let due = NIODeadline.now() + .milliseconds(5)
            var left = Self.pieces
            for _ in 0..<Self.pieces {
                _ = timers.schedule(at: due) {
                    Self.work()
                    left -= 1
                    if left == 0 { withExtendedLifetime(timers, done) }
                }
            }
        }
        print("tried \(Self.pieces) timers of 0.5 ms: a socket was read \(reads) times between them")
        #expect(reads >= Self.pieces / 4)
    }
}

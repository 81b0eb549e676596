import CulvertCore
import NIOCore
import NIOEmbedded
import NIOPosix
import Testing

@testable import CulvertEdge

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
        func repeatSteps(_ name: String, of client: AddressKey) {
            var steps = 0
            slices.repeatWhile(of: client) {
                steps += 1
                log.append("\(name) \(steps)")
                return steps < 3
            }
        }
        repeatSteps("a", of: .v4(1))
        slices.enqueue(of: .v4(2)) { log.append("other client") }
        slices.enqueue(of: .v4(1)) { log.append("same client") }
        repeatSteps("b", of: .v4(1))
        loop.advanceTime(by: .milliseconds(10))
        // A client's long work is done before its next.
        #expect(log == ["a 1", "other client", "a 2", "a 3", "same client", "b 1", "b 2", "b 3"])
    }

    @Test(
        "Attack: a client that fills a line is one piece in front of each piece of another",
        arguments: LoopSlices.Line.allCases)
    func clients(line: LoopSlices.Line) {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        var attacker = 0
        var before: [Int] = []
        for _ in 0..<300 {
            var steps = 0
            slices.repeatWhile(in: line, of: .v4(1)) {
                attacker += 1
                steps += 1
                return steps < 32
            }
        }
        for _ in 0..<20 { slices.enqueue(in: line, of: .v4(2)) { before.append(attacker) } }
        for _ in 0..<20_000 { loop.advanceTime(by: .milliseconds(1)) }
        print("tried 300 batches of 32 pieces: another client's 20 pieces came behind \(before) of them")
        #expect(before == Array(1...20))
        #expect(attacker == 300 * 32)
    }

    @Test("Attack: requests beyond a turn's number wait for slices, and the next turn has as many again")
    func requests() {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        let first = (0..<1000).filter { _ in slices.mayServe() }.count
        #expect(first == 128)
        var isServed = false
        slices.enqueue { isServed = slices.mayServe() }
        loop.advanceTime(by: .milliseconds(1))
        #expect(isServed)
        #expect((0..<1000).filter { _ in slices.mayServe() }.count == 128)
        loop.advanceTime(by: .milliseconds(1))
        // Few begin in front of requests that wait, in each turn.
        slices.enqueue {}
        #expect((0..<1000).filter { _ in slices.mayServe(before: .strangers) }.count == 16)
        loop.run()
        #expect((0..<1000).filter { _ in slices.mayServe(before: .strangers) }.count == 16)
        loop.advanceTime(by: .milliseconds(1))
        #expect((0..<1000).filter { _ in slices.mayServe(before: .strangers) }.count == 128)
    }

    @Test("Attack: the loop's own short steps are many to a piece, beside lines that are full")
    func often() {
        let loop = EmbeddedEventLoop()
        let slices = LoopSlices(loop: loop)
        var others = 0
        var steps = 0
        for _ in 0..<1000 { slices.enqueue(in: .sessions) { others += 1 } }
        slices.repeatOften {
            steps += 1
            if steps % 100 == 0 { loop.advanceTime(by: .microseconds(500)) }
            return steps < 2000
        }
        var between = 0
        while steps < 2000 {
            loop.advanceTime(by: .milliseconds(1))
            between = others
        }
        print("tried 1000 pieces of sessions: 2000 steps of the loop were done behind \(between) of them")
        #expect(between <= 1000)
        #expect(steps == 2000)
    }

    @Test("Lines whose pieces take no time are served in turn, a piece of each, and each in its order")
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
        slices.repeatWhile(in: .sessions, of: .v4(1)) {
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

    // MARK: - shares of a real clock

    /// Fills `flooded` with pieces of `length` that never end, and `other` with `count` pieces of `otherLength`.
    ///
    /// - Returns: how many of `flooded` were done until the last of `other` was.
    private func floods(
        _ flooded: LoopSlices.Line, _ length: TimeAmount, beside other: LoopSlices.Line, _ otherLength: TimeAmount,
        count: Int
    ) async throws -> Int {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let done = try await loop.flatSubmit {
            let slices = LoopSlices(loop: loop)
            let turns = TLSTurns(loop: loop, slices: slices)
            let promise = loop.makePromise(of: Int.self)
            var flood = 0
            var left = count
            for client in 0..<1000 as Range<UInt32> {
                slices.repeatWhile(in: flooded, of: .v4(client)) {
                    guard left > 0 else { return false }
                    Self.work(length)
                    flood += 1
                    return true
                }
            }
            for _ in 0..<count {
                turns.enqueue(in: other, of: .none) {
                    Self.work(otherLength)
                    left -= 1
                    if left == 0 { withExtendedLifetime(slices) { promise.succeed(flood) } }
                }
            }
            return promise.futureResult
        }.get()
        try await group.shutdownGracefully()
        return done
    }

    @Test(
        "Attack: requests of a thousand connections leave the steps of handshakes their share of the time",
        arguments: [LoopSlices.Line.handshakes, .control, .openings])
    func handshakes(line: LoopSlices.Line) async throws {
        let pieces = try await self.floods(.strangers, .microseconds(50), beside: line, .microseconds(500), count: 40)
        print("tried 1000 connections: 40 steps of 0.5 ms came behind \(pieces) of their pieces of 0.05 ms")
        // As much time is 400. With a step for each round of all connections it would be 40,000.
        #expect(pieces < 2000)
    }

    @Test(
        "Attack: steps of handshakes leave short pieces of sessions and of strangers more than a piece for each step",
        arguments: [LoopSlices.Line.sessions, .strangers])
    func steps(line: LoopSlices.Line) async throws {
        let steps = try await self.floods(.handshakes, .milliseconds(1), beside: line, .microseconds(50), count: 400)
        print("tried 1000 handshakes: 400 pieces of 0.05 ms came behind \(steps) of their steps of 1 ms")
        // As much time is 20, and half of it for sessions. A step for each piece would be 400.
        #expect(steps < 100)
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

    private static func work(_ time: TimeAmount = .milliseconds(1)) {
        let end = NIODeadline.now() + time
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
            slices.repeatWhile(of: .none) {
                Self.work()
                left -= 1
                if left == 0 { withExtendedLifetime(slices, done) }
                return left > 0
            }
        }
        print("tried \(Self.pieces) pieces of 1 ms: a socket was read \(reads) times between them")
        // A slice takes four pieces or five.
        #expect(reads >= Self.pieces / 8)
    }

    /// A piece of work that leaves a task behind, which takes longer than the pause between two slices.
    private static func workWithTasks(_ loop: any EventLoop, _ slices: LoopSlices, _ done: @escaping () -> Void) {
        var left = Self.pieces
        slices.repeatWhile(of: .none) {
            loop.execute { Self.work() }
            Self.work()
            left -= 1
            if left == 0 { withExtendedLifetime(slices, done) }
            return left > 0
        }
    }

    @Test("Attack: work that leaves tasks behind leaves the sockets their turn after each slice")
    func tasks() async throws {
        let byTimer = try await self.reads { loop, done in
            Self.workWithTasks(loop, LoopSlices(loop: loop), done)
        }
        let bySignal = try await self.reads { loop, done in
            let slices = LoopSlices(loop: loop)
            slices.openSignal().assumeIsolated().whenSuccess { Self.workWithTasks(loop, slices, done) }
        }
        print(
            "tried \(Self.pieces) pieces of 1 ms with a task of 1 ms each: a socket was read \(bySignal) times between"
                + " them, with a timer in place of the signal \(byTimer) times")
        // A byte comes back every second turn, and a slice takes four pieces. With a timer alone it came three times.
        #expect(bySignal >= Self.pieces / 12)
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
        print("tried \(Self.pieces) timers of 1 ms: a socket was read \(reads) times between them")
        // A slice takes four pieces or five.
        #expect(reads >= Self.pieces / 8)
    }
}

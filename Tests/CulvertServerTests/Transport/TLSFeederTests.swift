import CulvertCore
import NIOCore
import NIOEmbedded
import NIOPosix
import NIOTLS
import Testing

@testable import CulvertServer

@Suite("What is in front of TLS")
struct TLSFeederTests {
    /// Stands where TLS would, and keeps what it is given.
    private final class Taker: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        var parts: [Int] = []
        var isInputClosed = false
        var onRead: (ChannelHandlerContext) -> Void = { _ in }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.parts.append(self.unwrapInboundIn(data).readableBytes)
            self.onRead(context)
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case ChannelEvent.inputClosed? = event as? ChannelEvent { self.isInputClosed = true }
            context.fireUserInboundEventTriggered(event)
        }
    }

    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer

        var count = 0

        func read(context: ChannelHandlerContext) { self.count += 1 }
    }

    private final class Fixture {
        let channel: EmbeddedChannel
        let reads = Reads()
        let taker = Taker()
        let memory: SessionMemory
        let feeder: TLSFeeder

        init(loop: EmbeddedEventLoop, turns: TLSTurns, memory: SessionMemory = SessionMemory()) throws {
            self.channel = EmbeddedChannel(loop: loop)
            self.memory = memory
            self.feeder = TLSFeeder(turns, memory: memory, feeder: nil)
            let pipeline = self.channel.pipeline.syncOperations
            try pipeline.addHandlers([self.reads, self.feeder, HandshakeEnd(self.feeder), self.taker])
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
            self.reads.count = 0
        }

        func receive(_ bytes: ByteBuffer) {
            self.channel.pipeline.read()
            self.channel.pipeline.fireChannelRead(bytes)
            self.channel.pipeline.fireChannelReadComplete()
        }

        func endHandshake() {
            self.channel.pipeline.fireUserInboundEventTriggered(
                TLSUserEvent.handshakeCompleted(negotiatedProtocol: nil))
        }

        func has<Handler: ChannelHandler>(_ type: Handler.Type) -> Bool {
            (try? self.channel.pipeline.syncOperations.handler(type: type)) != nil
        }
    }

    private static let recordLength = 23

    /// Records with one byte of content.
    private static func records(_ count: Int) -> ByteBuffer {
        var bytes = ByteBuffer()
        for _ in 0..<count { bytes.writeBytes([23, 3, 3, 0, 18] + [UInt8](repeating: 7, count: 18)) }
        return bytes
    }

    private static func makeTurns() -> (EmbeddedEventLoop, TLSTurns) {
        let loop = EmbeddedEventLoop()
        return (loop, TLSTurns(loop: loop, slices: LoopSlices(loop: loop)))
    }

    @Test("Attack: the steps of many handshakes at once wait for slices, those behind a first byte too")
    func handshakes() throws {
        let (loop, turns) = Self.makeTurns()
        let fixtures = try (0..<40).map { _ in try Fixture(loop: loop, turns: turns) }
        for _ in 0..<3 {
            for fixture in fixtures {
                fixture.taker.parts = []
                fixture.receive(Self.records(1))
            }
            #expect(fixtures.filter { !$0.taker.parts.isEmpty }.count == 4)
            // What waits comes before what comes now.
            loop.run()
            loop.advanceTime(by: .milliseconds(1))
            #expect(fixtures.allSatisfy { $0.taker.parts == [Self.recordLength] })
        }
    }

    @Test("A step of a handshake that takes long leaves the others to slices")
    func long() throws {
        let (loop, turns) = Self.makeTurns()
        let fixture = try Fixture(loop: loop, turns: turns)
        turns.step { loop.advanceTime(by: .milliseconds(2)) }
        #expect(!turns.mayStep)
        fixture.receive(Self.records(1))
        #expect(fixture.taker.parts.isEmpty)
        loop.run()
        loop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts == [Self.recordLength])
        #expect(turns.mayStep)
    }

    @Test("Attack: what a step leaves to a task counts as well, and the sockets have their turn in between")
    func tasks() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let others = try await loop.flatSubmit {
            let turns = TLSTurns(loop: loop, slices: LoopSlices(loop: loop))
            let done = loop.makePromise(of: Int.self)
            let others = NIOLoopBoundBox(0, eventLoop: loop)
            // A timer has its turn where the sockets have theirs.
            let timer = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .microseconds(200)) { _ in
                others.value += 1
            }
            for number in 0..<50 {
                turns.enqueueStep {
                    loop.execute {
                        let end = NIODeadline.now() + .milliseconds(2)
                        while NIODeadline.now() < end {}
                        guard number == 49 else { return }
                        timer.cancel()
                        done.succeed(others.value)
                    }
                }
            }
            return done.futureResult
        }.get()
        print("tried 50 steps with 2 ms of work in a task each: other work had \(others) turns between them")
        #expect(others >= 10)
        try await group.shutdownGracefully()
    }

    @Test("Bytes that wait count, nothing is read meanwhile, and an end stays behind them")
    func held() throws {
        let (loop, turns) = Self.makeTurns()
        let memory = SessionMemory()
        let fixture = try Fixture(loop: loop, turns: turns, memory: memory)
        fixture.endHandshake()
        #expect(!fixture.has(HandshakeEnd.self))
        fixture.receive(Self.records(600))
        #expect(fixture.taker.parts.isEmpty)
        #expect(memory.used >= 600 * Self.recordLength)
        let reads = fixture.reads.count
        fixture.channel.pipeline.read()
        #expect(fixture.reads.count == reads)
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(!fixture.taker.isInputClosed)
        loop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts == [256, 256, 88].map { $0 * Self.recordLength })
        #expect(fixture.taker.isInputClosed)
        #expect(fixture.reads.count == reads + 1)
        #expect(memory.used == 0)
    }

    @Test("Reads with few records pass at once, and so do some with many, until the turn has no room")
    func few() throws {
        let (loop, turns) = Self.makeTurns()
        let fixture = try Fixture(loop: loop, turns: turns)
        fixture.endHandshake()
        for _ in 0..<100 { fixture.receive(Self.records(8)) }
        for _ in 0..<5 { fixture.receive(Self.records(100)) }
        #expect(fixture.taker.parts.count == 105)
        fixture.receive(Self.records(100))
        fixture.channel.pipeline.fireChannelRead(Self.records(1))
        #expect(fixture.taker.parts.count == 105)
        loop.run()
        loop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts.count == 106)
        #expect(fixture.taker.parts.last == 101 * Self.recordLength)
    }

    @Test("Attack: of a connection that has ended little passes, and nothing of a handshake", arguments: [true, false])
    func ended(isEstablished: Bool) throws {
        let (loop, turns) = Self.makeTurns()
        let memory = SessionMemory()
        let fixture = try Fixture(loop: loop, turns: turns, memory: memory)
        // Others have used up the turn.
        for _ in 0..<4 { turns.step {} }
        #expect(turns.mayPass(512))
        if isEstablished { fixture.endHandshake() }
        fixture.receive(Self.records(300))
        #expect(fixture.taker.parts.isEmpty)
        fixture.channel.pipeline.fireChannelInactive()
        #expect(fixture.taker.parts == (isEstablished ? [16 * Self.recordLength] : []))
        #expect(memory.used == 0)
        loop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts.count == (isEstablished ? 1 : 0))
    }

    @Test("What ends the connection within a part is given no more")
    func reentrant() throws {
        let (loop, turns) = Self.makeTurns()
        let fixture = try Fixture(loop: loop, turns: turns)
        fixture.endHandshake()
        fixture.taker.onRead = { $0.pipeline.fireChannelInactive() }
        fixture.receive(Self.records(600))
        loop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts == [256 * Self.recordLength])
        #expect(fixture.memory.used == 0)
    }

    @Test("A WebSocket has a watch, which makes room for a feeder when it is paused or brings many records")
    func watch() throws {
        for isPaused in [true, false] {
            let (loop, turns) = Self.makeTurns()
            let fixture = try Fixture(loop: loop, turns: turns)
            fixture.endHandshake()
            fixture.receive(Self.records(600))
            fixture.feeder.leave()
            // Not in front of what waits.
            #expect(fixture.has(TLSFeeder.self))
            loop.advanceTime(by: .milliseconds(1))
            #expect(!fixture.has(TLSFeeder.self) && fixture.has(RecordWatch.self))
            fixture.taker.parts = []
            // In the middle of a record.
            var bytes = Self.records(9)
            let first = bytes.readSlice(length: 30)
            fixture.receive(try #require(first))
            fixture.receive(bytes)
            #expect(fixture.taker.parts == [30, 9 * Self.recordLength - 30])
            fixture.taker.parts = []
            if isPaused { RecordWatch.paused(fixture.channel) } else { fixture.receive(Self.records(600)) }
            #expect(fixture.has(TLSFeeder.self) && !fixture.has(RecordWatch.self))
            loop.advanceTime(by: .milliseconds(1))
            #expect(fixture.taker.parts == (isPaused ? [] : [256, 256, 88].map { $0 * Self.recordLength }))
            fixture.receive(Self.records(1))
            #expect(fixture.taker.parts.last == Self.recordLength)
        }
    }

    @Test("A WebSocket that is paused before its feeder has left keeps it")
    func stays() throws {
        let (_, turns) = Self.makeTurns()
        let fixture = try Fixture(loop: EmbeddedEventLoop(), turns: turns)
        fixture.endHandshake()
        RecordWatch.paused(fixture.channel)
        fixture.feeder.leave()
        #expect(fixture.has(TLSFeeder.self) && !fixture.has(RecordWatch.self))
    }
}

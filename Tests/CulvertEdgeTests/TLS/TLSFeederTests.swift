import CulvertCore
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import NIOTLS
import Testing

@testable import CulvertEdge

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

        init(
            loop: EmbeddedEventLoop, turns: TLSTurns, memory: SessionMemory = SessionMemory(), client: String = ""
        ) throws {
            self.channel = EmbeddedChannel(loop: loop)
            self.memory = memory
            self.feeder = TLSFeeder(
                turns, line: .handshakes, memory: memory, client: AddressKey(client), observer: nil)
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
            #expect(fixtures.filter { !$0.taker.parts.isEmpty }.count == TLSTurns.mostSteps)
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
        turns.step { loop.advanceTime(by: .milliseconds(4)) }
        #expect(!turns.mayStep(in: .handshakes))
        fixture.receive(Self.records(1))
        #expect(fixture.taker.parts.isEmpty)
        loop.run()
        loop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts == [Self.recordLength])
        #expect(turns.mayStep(in: .handshakes))
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
                turns.enqueue(in: .handshakes, of: .none) {
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

    @Test("Attack: small records, and handshakes with servers, of one client are a turn to another client, not many")
    func clients() throws {
        for isOver in [false, true] {
            let (loop, turns) = Self.makeTurns()
            for _ in 0..<TLSTurns.mostSteps { turns.step {} }
            _ = turns.mayPass(512)
            let flood = try (0..<50).map { _ in try Fixture(loop: loop, turns: turns, client: "192.0.2.1") }
            let other = try Fixture(loop: loop, turns: turns, client: "192.0.2.2")
            var before = 0
            for fixture in flood + [other] {
                if isOver { fixture.endHandshake() }
                fixture.receive(Self.records(300))
                #expect(fixture.taker.parts.isEmpty)
                fixture.taker.onRead = { _ in if other.taker.parts.isEmpty { before += 1 } }
            }
            loop.advanceTime(by: .milliseconds(1))
            #expect(other.taker.parts == [256, 44].map { $0 * Self.recordLength })
            print("tried 50 connections of a client: another client had its turn behind \(before) pieces of theirs")
            #expect(before <= 2)
        }
    }

    @Test("The records of a client's WebSocket take the turns of its client")
    func clientOfWebSocket() throws {
        let client = try ConnectionFixture()
        let turns = TLSTurns(loop: client.time, slices: client.slices)
        let feeder = TLSFeeder(
            turns, line: .handshakes, memory: client.memory, observer: client.connection.feeder)
        client.connection.feeder.tls = feeder
        try client.channel.pipeline.syncOperations.addHandler(feeder, position: .first)
        feeder.established()
        feeder.stay()
        client.owner.onExchange = { _ = try? $0.switchProtocols(to: Taker(), [:]) }
        client.channel.pipeline.read()
        client.receive("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        client.time.run()
        #expect(client.connection.course.phase == .upgraded)
        #expect(feeder.client == RecordingOwner.client)
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
        for _ in 0..<TLSTurns.mostSteps { turns.step {} }
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

    // MARK: - while a step waits

    /// A handshake whose first bytes wait, because other handshakes have used up the turn.
    private static func makeWaiting(memory: SessionMemory = SessionMemory()) throws -> (Fixture, TLSTurns) {
        let (loop, turns) = Self.makeTurns()
        let fixture = try Fixture(loop: loop, turns: turns, memory: memory)
        for _ in 0..<TLSTurns.mostSteps { turns.step {} }
        fixture.receive(Self.records(20))
        #expect(fixture.taker.parts.isEmpty && memory.used > 0)
        return (fixture, turns)
    }

    @Test("Attack: in front of a handshake no more waits than a first message and a read, whatever a socket has")
    func flood() throws {
        let memory = SessionMemory()
        let (fixture, _) = try Self.makeWaiting(memory: memory)
        fixture.channel.pipeline.read()
        var most = 0
        // At the end of its stream NIO reads a socket empty. These records are not of application data.
        for _ in 0..<20 where fixture.channel.isActive {
            fixture.channel.pipeline.fireChannelRead(ByteBuffer(repeating: 0x16, count: 16 * 1024))
            most = max(most, memory.used)
        }
        print("tried 320 KiB in front of a handshake: \(most) bytes were held")
        #expect(!fixture.channel.isActive)
        #expect(most <= 64 * 1024)
        #expect(memory.used == 0)
    }

    @Test("Attack: a client that ends its stream behind a first message that waits is gone at once")
    func gone() throws {
        let (fixture, _) = try Self.makeWaiting()
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(!fixture.channel.isActive)
        #expect(fixture.memory.used == 0)
        fixture.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts.isEmpty)
    }

    @Test("A client that ends its stream behind its last message of a handshake is still answered")
    func halfClosed() throws {
        let (fixture, _) = try Self.makeWaiting()
        // TLS has answered the first message.
        fixture.channel.pipeline.write(ByteBuffer(bytes: [22]), promise: nil)
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(fixture.channel.isActive && !fixture.taker.isInputClosed)
        fixture.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(fixture.taker.parts == [20 * Self.recordLength])
        #expect(fixture.taker.isInputClosed)
    }

    @Test("Attack: over the ceiling of memory a connection that holds more than a read in front of TLS is cut")
    func ceiling() throws {
        let (fixture, turns) = try Self.makeWaiting()
        turns.memoryCeiling = 30_000
        fixture.channel.pipeline.read()
        fixture.channel.pipeline.fireChannelRead(ByteBuffer(repeating: 0x16, count: 16 * 1024))
        #expect(fixture.channel.isActive)
        fixture.channel.pipeline.fireChannelRead(ByteBuffer(repeating: 0x16, count: 16 * 1024))
        #expect(!fixture.channel.isActive)
        #expect(fixture.memory.used == 0)
        #expect(fixture.feeder.shortage != nil)
    }

    @Test("The relief of memory finds what waits in front of a client's TLS")
    func relief() throws {
        let client = try ConnectionFixture()
        let turns = TLSTurns(loop: client.channel.eventLoop, slices: client.slices)
        let feeder = TLSFeeder(
            turns, line: .handshakes, memory: client.memory, observer: client.connection.feeder)
        client.connection.feeder.tls = feeder
        try client.channel.pipeline.syncOperations.addHandler(feeder, position: .first)
        for _ in 0..<TLSTurns.mostSteps { turns.step {} }
        client.channel.pipeline.fireChannelRead(ByteBuffer(repeating: 0x16, count: 8192))
        #expect(client.memory.used >= 8192)
        #expect(client.connection.holdings.relieve(least: 16 * 1024) == 0)
        #expect(client.connection.holdings.relieve(least: 4 * 1024) >= 8192)
        client.time.run()
        #expect(!client.channel.isActive)
        #expect(client.memory.used == 0)
    }

    @Test("Attack: handshakes of clients that are not ended hold a part of the memory, and the oldest is cut")
    func places() throws {
        let memory = SessionMemory()
        let loop = EmbeddedEventLoop()
        let turns = TLSTurns(
            loop: loop, slices: LoopSlices(loop: loop), memoryCeiling: 4 * 200 * TLSTurns.handshakeMemory)
        var clients: [ConnectionFixture] = []
        var feeders: [TLSFeeder] = []
        func begin() throws {
            let client = try ConnectionFixture(loop: loop)
            let feeder = TLSFeeder(turns, line: .handshakes, memory: memory, observer: client.connection.feeder)
            client.connection.feeder.tls = feeder
            // TLS would stand behind the feeder, and gives nothing before the handshake is over.
            try client.channel.pipeline.syncOperations.addHandlers([feeder, Taker()], position: .first)
            client.channel.pipeline.fireChannelRead(ByteBuffer(bytes: [0x16]))
            loop.run()
            clients.append(client)
            feeders.append(feeder)
        }
        // Fixtures have the same address, which has a quarter of the places.
        for _ in 0..<50 { try begin() }
        #expect(memory.used == 50 * TLSTurns.handshakeMemory)
        feeders[1].established()
        #expect(memory.used == 49 * TLSTurns.handshakeMemory)
        try begin()
        #expect(clients.allSatisfy { $0.channel.isActive })
        try begin()
        loop.run()
        #expect(clients.map(\.channel.isActive) == [false] + [Bool](repeating: true, count: 51))
        #expect(clients[0].owner.notices == [.crowdedHandshake])
        #expect(memory.used == 50 * TLSTurns.handshakeMemory)
        // The last message of the oldest has come and waits for its turn. The edge is what the handshake waits for.
        for _ in 0..<TLSTurns.mostSteps { turns.step {} }
        clients[2].channel.pipeline.read()
        clients[2].channel.pipeline.fireChannelRead(ByteBuffer(bytes: [0x16]))
        #expect(memory.used >= 50 * TLSTurns.handshakeMemory)
        loop.run()
        try begin()
        try begin()
        loop.advanceTime(by: .milliseconds(1))
        #expect(clients[2].channel.isActive && !clients[3].channel.isActive)
        for client in clients.dropFirst() { client.channel.close(promise: nil) }
        loop.run()
        #expect(memory.used == 0)
    }

    @Test("A connection is the edge's to answer for when it has waited half of its time for its turns")
    func waits() {
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        var delay = EdgeDelay(start: start)
        #expect(delay.shortage(start) == nil)
        var short = delay
        short.begin(start)
        #expect(short.shortage(start + .milliseconds(499)) == nil)
        #expect(short.shortage(start + .milliseconds(500)) != nil)
        delay.begin(start + .seconds(2))
        #expect(delay.shortage(start + .seconds(3)) == nil)
        #expect(delay.shortage(start + .seconds(4)) != nil)
        delay.end(start + .seconds(4))
        #expect(delay.shortage(start + .seconds(5)) == nil)
        delay.begin(start + .seconds(5))
        delay.end(start + .seconds(8))
        #expect(delay.total(start + .seconds(20)) == .seconds(5))
        #expect(delay.shortage(start + .seconds(10)) != nil)
        #expect(delay.shortage(start + .seconds(11)) == nil)
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

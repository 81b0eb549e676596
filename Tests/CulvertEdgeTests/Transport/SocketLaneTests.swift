import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertEdge

/// A session whose lane and whose upstream are channels without sockets, on a loop whose clock is moved by hand.
private final class LaneFixture {
    enum Frame: Equatable {
        case envelope(ack: UInt64, first: UInt64, [String], close: CloseFrame?)
        case close(CloseFrame)
        case ping
        case other
    }

    let ground: SessionGround
    let session: ResumableSession
    let upstream: SessionPeer
    let lane: SocketLane
    let channel: EmbeddedChannel
    private let reads = ReadCounter()
    private var assembler = MessageAssembler(sender: .server, messageLimit: 100_000)

    /// - Parameter config: more lines of the configuration.
    init(_ config: String = "") throws {
        self.ground = try SessionGround(config)
        self.upstream = try SessionPeer(.server, on: self.ground.loop)
        self.session = ResumableSession(
            facts: self.ground.facts, credential: self.ground.credential, edge: self.ground.edge,
            state: self.ground.state, upstreamLeg: self.upstream.leg, lease: self.ground.lease,
            place: self.ground.place)
        self.lane = SocketLane(
            edge: self.ground.edge, state: self.ground.state, session: self.session.id, address: "192.0.2.1",
            limits: self.session.facts.route.message, isSecure: false)
        self.channel = EmbeddedChannel(handlers: [self.reads, self.lane], loop: self.ground.loop)
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let generation = self.session.open(on: self.lane.link)
        self.session.start()
        self.lane.joined(generation)
    }

    /// Ends what is left, so that no channel outlives its test.
    deinit {
        self.session.cut()
        self.channel.close(promise: nil)
        self.upstream.channel.close(promise: nil)
        self.advance(.seconds(300))
    }

    func advance(_ time: TimeAmount) { self.ground.loop.advanceTime(by: time) }

    /// The client sends an envelope.
    func bring(_ texts: [String], first: UInt64 = 1, ack: UInt64 = 0) {
        let messages = texts.map { PollMessage(opcode: .text, payload: ByteBuffer(string: $0)) }
        let batch = PollBatch(ack: ack, first: first, messages: messages)
        var bytes = ByteBuffer()
        FrameWriter.write(.binary, payload: PollCodec.encodeBinary(batch), mask: 0x0102_0304, into: &bytes)
        self.receive(bytes)
    }

    /// The client says Close.
    func say(_ frame: CloseFrame) {
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: 0x0102_0304, into: &bytes)
        self.receive(bytes)
    }

    private func receive(_ bytes: ByteBuffer) {
        self.channel.pipeline.fireChannelRead(bytes)
        self.channel.pipeline.fireChannelReadComplete()
    }

    func setUpstreamWritable(_ isWritable: Bool) {
        self.upstream.channel.isWritable = isWritable
        self.upstream.channel.pipeline.fireChannelWritabilityChanged()
    }

    /// Asks for more, and says whether the socket was asked.
    func wouldRead() -> Bool {
        self.reads.count = 0
        self.channel.pipeline.read()
        return self.reads.count > 0
    }

    /// What the client has been sent since the last call.
    func received() throws -> [Frame] {
        while let part = try self.channel.readOutbound(as: ByteBuffer.self) { self.assembler.append(part) }
        var frames: [Frame] = []
        while true {
            switch self.assembler.next() {
            case .message(.binary, let payload):
                let batch = try PollCodec.decodeBinary(payload, messageLimit: 100_000)
                frames.append(
                    .envelope(
                        ack: batch.ack, first: batch.first, batch.messages.map { String(buffer: $0.payload) },
                        close: batch.close))
            case .control(.close, let payload):
                frames.append(.close(try CloseFrame.parse(payload: payload.readableBytesView)))
            case .control(.ping, _): frames.append(.ping)
            case .message, .control: frames.append(.other)
            default: return frames
            }
        }
    }
}

@Suite("A WebSocket that is a lane")
struct SocketLaneTests {
    private static let bye = CloseFrame(code: CloseCode(rawValue: 4001), reason: "bye")

    @Test("Messages pass in both directions, and the first envelope is answered at once")
    func passing() throws {
        let fixture = try LaneFixture()
        fixture.bring(["a", "b"])
        #expect(try fixture.upstream.received() == [.text("a"), .text("b")])
        #expect(try fixture.received() == [.envelope(ack: 2, first: 1, [], close: nil)])
        fixture.upstream.send(.text, "x")
        #expect(try fixture.received() == [.envelope(ack: 2, first: 1, ["x"], close: nil)])
    }

    @Test("A lane without an envelope is closed when its time is over, and one that has brought an envelope stays")
    func firstEnvelope() throws {
        let silent = try LaneFixture("limits: { handshake: 5s }")
        silent.advance(.seconds(4))
        #expect(try silent.received() == [] && !silent.lane.life.isClosing)
        silent.advance(.seconds(1))
        let late = CloseFrame(code: CloseCode(rawValue: 4408), reason: "no envelope came")
        #expect(try silent.received() == [.close(late)])
        let used = try LaneFixture("limits: { handshake: 5s }")
        used.bring(["a"])
        used.advance(.seconds(20))
        #expect(!used.lane.life.isClosing && used.channel.isActive)
    }

    @Test("A lane counts among the handshakes until its first envelope, and again from its Close until it is gone")
    func handshakes() throws {
        let fixture = try LaneFixture()
        let admissions = fixture.ground.edge.admissions
        fixture.ground.place.answered()
        fixture.lane.place = admissions.accept(peer: nil, rules: fixture.ground.state.rules)
        #expect(admissions.handshakes == 1)
        fixture.bring(["a"])
        #expect(admissions.handshakes == 0)
        fixture.lane.obey(.close(Self.bye))
        #expect(admissions.handshakes == 1 && fixture.channel.isActive)
        fixture.say(Self.bye)
        fixture.ground.loop.run()
        #expect(admissions.handshakes == 0 && !fixture.channel.isActive)
    }

    @Test("A lane is not read while the upstream takes nothing, and is read on when it does")
    func backpressure() throws {
        let fixture = try LaneFixture()
        fixture.bring(["a"])
        fixture.setUpstreamWritable(false)
        fixture.bring(["b"], first: 2)
        #expect(try fixture.upstream.received() == [.text("a")])
        #expect(!fixture.wouldRead())
        fixture.setUpstreamWritable(true)
        #expect(try fixture.upstream.received() == [.text("b")])
        #expect(fixture.wouldRead())
    }

    @Test("A client's Close is answered and ends the lane, and the session lives on")
    func clientCloses() throws {
        let fixture = try LaneFixture()
        fixture.bring(["a"])
        _ = try fixture.received()
        fixture.say(Self.bye)
        #expect(try fixture.received() == [.close(Self.bye)])
        fixture.ground.loop.run()
        #expect(!fixture.channel.isActive && fixture.session.isOpen)
    }

    @Test("A client that does not answer the lane's Close is cut after two seconds")
    func closeDeadline() throws {
        let fixture = try LaneFixture()
        fixture.bring(["a"])
        fixture.lane.obey(.close(Self.bye))
        fixture.advance(.milliseconds(1900))
        #expect(fixture.channel.isActive)
        fixture.advance(.milliseconds(200))
        #expect(!fixture.channel.isActive)
    }

    @Test("A silent client is pinged after a period, and its lane lost after another one; the session waits for it")
    func silence() throws {
        let fixture = try LaneFixture()
        fixture.bring(["a"])
        _ = try fixture.received()
        fixture.advance(.seconds(50))
        #expect(try fixture.received().filter { $0 == .ping } == [.ping])
        // The upstream is not silent.
        fixture.upstream.send(.text, "x")
        fixture.advance(.seconds(25))
        #expect(!fixture.channel.isActive && fixture.session.isOpen)
    }
}

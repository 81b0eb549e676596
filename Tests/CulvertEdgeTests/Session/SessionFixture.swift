import CulvertConfig
import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertEdge

/// What a session is opened with, on a loop whose clock is moved by hand.
struct SessionGround {
    let loop: EmbeddedEventLoop
    let state: LoopState
    let edge: EdgeContext
    let facts: SessionFacts
    let credential: Credential
    let lease: ServerLease
    let place: SessionPlace

    /// - Parameter config: more lines of the configuration.
    init(_ config: String = "") throws {
        let loop = EmbeddedEventLoop()
        let rules = try Self.rules(config)
        let entry = Self.entry()
        let state = LoopState(loop: loop, index: 0, rules: rules, keyring: TokenKeyring([entry]))
        let edge = EdgeContext(
            rules: rules, group: loop, loops: [NIOLoopBound(state, eventLoop: loop)], pages: [:],
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        let route = try #require(
            rules.gate.stillAdmits(host: nil, path: "/", origins: [], transport: .longPoll, token: entry.token))
        let credential = Credential(entry: entry, generation: 1)
        let admission = Admission(
            route: route, credential: credential, forwardCookies: [], forwardProtocols: [], answersAuthProtocol: false)
        let place = try edge.admissions.open(
            admission, address: "192.0.2.1", connection: nil, limits: rules.config.limits, now: loop.now)
        let pool = try #require(rules.connectors["echo"]?.pool)
        let lease = try pool.place(key: 0, tried: [], for: PlaceInLine(), on: loop).wait()
        self.facts = SessionFacts(
            id: state.newID(node: edge.node), route: route, clientAddress: "192.0.2.1", basePath: "/", origins: [])
        self.loop = loop
        self.state = state
        self.edge = edge
        self.credential = credential
        self.lease = lease
        self.place = place
    }

    static func entry(isRevoked: Bool = false) -> TokenEntry {
        TokenEntry(
            token: Token(id: "a", source: .store, subject: "s", routes: ["/"]),
            secrets: [TokenSecret(digest: TokenDigest(of: "one"), generation: 1)], isRevoked: isRevoked)
    }

    private static func rules(_ config: String) throws -> EdgeRules {
        let yaml = """
            listen: [ { address: "127.0.0.1:0" } ]
            routes: [ { path: /, upstream: echo, origins: { allow: ["https://a.test"] } } ]
            upstreams: { echo: { servers: [ { url: "ws://127.0.0.1:9" } ] } }

            """ + config
        let config = try ConfigLoader.parse(yaml, file: "test", directory: "", keys: .none, environment: [:])
        return try EdgeRules(config: config, verifyJWT: nil, previous: nil, logger: Logger(label: "test"))
    }

}

/// A resumable session whose upstream is a channel without a socket, and whose loop's clock is moved by hand.
final class SessionFixture {
    let loop: EmbeddedEventLoop
    let state: LoopState
    let edge: EdgeContext
    let session: ResumableSession
    let upstream: SessionPeer

    /// - Parameters:
    ///   - config: more lines of the configuration.
    ///   - lane: with which the session is opened; nil for a session that is opened by a request.
    init(_ config: String = "", lane: FakeLane? = nil) throws {
        let ground = try SessionGround(config)
        self.loop = ground.loop
        self.state = ground.state
        self.edge = ground.edge
        self.upstream = try SessionPeer(.server, on: ground.loop)
        self.session = ResumableSession(
            facts: ground.facts, credential: ground.credential, edge: ground.edge, state: ground.state,
            upstreamLeg: self.upstream.leg, lease: ground.lease, place: ground.place)
        if let lane { lane.generation = self.session.open(on: lane.link(on: self.loop)) }
        self.session.start()
    }

    /// Ends what is left, so that no channel outlives its test.
    deinit {
        self.session.cut()
        self.upstream.channel.close(promise: nil)
        self.loop.advanceTime(by: .seconds(300))
    }

    static func entry(isRevoked: Bool = false) -> TokenEntry { SessionGround.entry(isRevoked: isRevoked) }

    /// A WebSocket joins, and brings an envelope.
    func join(_ lane: FakeLane) {
        let answer = self.session.join(
            lane.link(on: self.loop),
            Caller(credential: self.session.credential, host: nil, origins: [], transport: .webSocket))
        if case .joined(let generation) = answer { lane.generation = generation }
    }

    func bring(_ batch: PollBatch, on lane: FakeLane) {
        self.session.lane(lane.generation, .batches([batch], ControlCount()))
    }

    func advance(_ time: TimeAmount) { self.loop.advanceTime(by: time) }

    /// Makes a request, and notes its answer under the number that it returns.
    @discardableResult
    func ask(_ kind: PollRequest.Kind) -> UInt64 {
        let given = self.given
        let ticket = UInt64(given.answers.count)
        given.answers.append([])
        let caller = Caller(credential: self.session.credential, host: nil, origins: [], transport: kind.transport)
        let request = PollRequest(
            kind: kind, ticket: ticket, caller: caller, rules: self.state.rules, basePath: "/",
            route: self.session.facts.route.name, isAnonymous: false)
        RequestDelivery(state: self.state).deliver(request, to: self.session.id) { answer in
            given.answers[Int(ticket)].append(SessionAnswer(answer))
        }
        return ticket
    }

    /// The answers to each request; more than a single one is a fault. Apart, since the session keeps what answers.
    private final class Answers {
        var answers: [[SessionAnswer]] = []
    }

    private let given = Answers()

    func answers(to ticket: UInt64) -> [SessionAnswer] { self.given.answers[Int(ticket)] }
}

/// An answer to a request, in a form that tests compare.
enum SessionAnswer: Equatable {
    case empty
    case batch(ack: UInt64, first: UInt64, [String], close: CloseFrame?)
    case problem(Int, String)
    case unauthorized(TokenFault)
    case other

    init(_ answer: PollAnswer) {
        switch answer {
        case .empty: self = .empty
        case .batch(let batch, let hold):
            hold?.release()
            self = .batch(
                ack: batch.ack, first: batch.first, batch.messages.map { String(buffer: $0.payload) },
                close: batch.close)
        case .problem(let failure): self = .problem(failure.status, failure.code)
        case .unauthorized(let fault): self = .unauthorized(fault)
        case .rejected, .refreshed, .joined: self = .other
        }
    }
}

/// A lane that writes down what its session tells it.
final class FakeLane: SessionLane {
    enum Order: Equatable {
        case batch(ack: UInt64, first: UInt64, [String], close: CloseFrame?)
        case read
        case close(CloseFrame)
        case text
    }

    var generation: UInt64 = 0
    private var orders: [Order] = []
    /// Called with each order, as by a lane on the session's loop.
    var onOrder: ((Order) -> Void)?

    func link(on loop: any EventLoop) -> LaneLink {
        LaneLink(lane: NIOLoopBound(self as any SessionLane, eventLoop: loop))
    }

    /// The orders since the last call.
    func take() -> [Order] {
        defer { self.orders = [] }
        return self.orders
    }

    func obey(_ order: LaneOrder) {
        let order: Order =
            switch order {
            case .text: .text
            case .read: .read
            case .close(let frame): .close(frame)
            case .batch(let batch):
                .batch(
                    ack: batch.ack, first: batch.first, batch.messages.map { String(buffer: $0.payload) },
                    close: batch.close)
            }
        self.orders.append(order)
        self.onOrder?(order)
    }

    func answered(_ answer: PollAnswer) {}
    var isUnused: Bool { false }
    var heldBytes: Int { 0 }
    func relieve(least: Int) -> Int { 0 }
    func tellHeld() {}
    func goAway() {}
    func cut() {}
}

/// A peer of a session: a leg in a channel, and the frames that the session has written to it.
final class SessionPeer {
    let leg: WebSocketLeg
    let channel: EmbeddedChannel
    private var unread = ByteBuffer()

    init(_ sender: Endpoint, assembles: Bool = true, on loop: EmbeddedEventLoop) throws {
        self.leg = WebSocketLeg(
            sender: sender,
            scanner: FrameScanner(
                sender: sender, messageLimit: 100_000, allowedRSV: 0, validateText: false,
                controlStops: .closeAndOwnPongs),
            assembler: assembles ? MessageAssembler(sender: sender, messageLimit: 100_000, keepsPings: true) : nil)
        self.channel = EmbeddedChannel(handlers: [self.leg], loop: loop)
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    private var mask: UInt32? { self.leg.sender == .client ? 0x0102_0304 : nil }

    func send(_ opcode: Opcode, _ text: String) {
        var bytes = ByteBuffer()
        FrameWriter.write(opcode, payload: ByteBuffer(string: text), mask: self.mask, into: &bytes)
        self.send(bytes)
    }

    func send(_ frame: CloseFrame) {
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: self.mask, into: &bytes)
        self.send(bytes)
    }

    func send(_ bytes: ByteBuffer) {
        self.channel.pipeline.fireChannelRead(bytes)
        self.channel.pipeline.fireChannelReadComplete()
    }

    /// What the peer has been sent since the last call: texts, and the Close.
    func received() throws -> [SessionFrame] {
        let other: Endpoint = self.leg.sender == .server ? .client : .server
        var assembler = MessageAssembler(sender: other, messageLimit: 100_000)
        while let part = try self.channel.readOutbound(as: ByteBuffer.self) { self.unread.writeImmutableBuffer(part) }
        assembler.append(self.unread)
        self.unread.clear()
        var frames: [SessionFrame] = []
        while true {
            switch assembler.next() {
            case .message(_, let payload): frames.append(.text(String(buffer: payload)))
            case .control(.close, let payload):
                frames.append(.close(try CloseFrame.parse(payload: payload.readableBytesView)))
            case .control(.ping, _): frames.append(.ping)
            case .control: continue
            default: return frames
            }
        }
    }
}

enum SessionFrame: Equatable {
    case text(String)
    case close(CloseFrame)
    case ping
}

import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

/// A leg in a channel of its own, and a session that writes down what it is told.
final class LegFixture {
    let leg: WebSocketLeg
    let channel: EmbeddedChannel
    let session = RecordingSession()
    private let reads = ReadCounter()
    private let dam = Dam()

    init(_ sender: Endpoint = .client, limit: Int = 1000, assembles: Bool = false, started: Bool = true) throws {
        self.leg = WebSocketLeg(
            sender: sender,
            scanner: FrameScanner(
                sender: sender, messageLimit: limit, allowedRSV: 0, validateText: false,
                controlStops: .closeAndOwnPongs),
            assembler: assembles
                ? MessageAssembler(sender: sender, messageLimit: limit, keepsPings: true) : nil)
        self.channel = EmbeddedChannel(handlers: [self.reads, self.dam, self.leg])
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        if started { self.leg.start(delegate: self.session) }
    }

    /// What arrives in one read.
    func receive(_ bytes: [UInt8]) throws {
        self.channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
        self.channel.pipeline.fireChannelReadComplete()
        try self.channel.throwIfErrorCaught()
    }

    /// As when the socket takes no more bytes, or takes them again.
    func setWritable(_ isWritable: Bool) {
        self.channel.isWritable = isWritable
        self.channel.pipeline.fireChannelWritabilityChanged()
    }

    /// From now on nothing that is written gets out.
    func takeNothing() { self.dam.isClosed = true }

    /// From now on the connection does not close when it is told to.
    func holdCloses() { self.dam.holdsCloses = true }

    /// How often it was told to.
    var closes: Int { self.dam.closes }

    /// Our direction has been ended.
    var isOutputEnded: Bool { self.dam.isOutputEnded }

    /// From now on writes wait in the channel.
    func holdFlushes() { self.dam.holdsFlushes = true }

    /// Writes that reached the channel meanwhile.
    var flushesHeld: Int { self.dam.writes }

    func releaseFlushes() {
        self.dam.holdsFlushes = false
        self.channel.flush()
    }

    func advance(_ time: TimeAmount) { self.channel.embeddedEventLoop.advanceTime(by: time) }

    func written() throws -> [UInt8] {
        var all: [UInt8] = []
        while let part = try self.channel.readOutbound(as: ByteBuffer.self) { all += Array(part.readableBytesView) }
        return all
    }

    /// Reads that reached the socket since the last call.
    func takeReads() -> Int {
        defer { self.reads.count = 0 }
        return self.reads.count
    }

    /// A frame of a client, masked with zeros, or of a server.
    static func frame(_ first: UInt8, _ payload: [UInt8], from sender: Endpoint = .client) -> [UInt8] {
        sender == .client
            ? [first, 0x80 | UInt8(payload.count), 0, 0, 0, 0] + payload : [first, UInt8(payload.count)] + payload
    }
}

/// A peer that may take nothing.
private final class Dam: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    var isClosed = false
    var holdsFlushes = false
    var holdsCloses = false
    var closes = 0
    var isOutputEnded = false
    var writes = 0

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard self.isClosed else {
            if self.holdsFlushes { self.writes += 1 }
            context.write(data, promise: promise)
            return
        }
        context.channel.closeFuture.whenComplete { _ in promise?.fail(ChannelError.ioOnClosedChannel) }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        // An embedded channel has one end for both directions.
        if mode == .output {
            self.isOutputEnded = true
            return
        }
        self.closes += 1
        if !self.holdsCloses { context.close(mode: mode, promise: promise) }
    }

    func flush(context: ChannelHandlerContext) {
        if !self.holdsFlushes { context.flush() }
    }
}

final class RecordingSession: LegDelegate {
    enum Event: Equatable {
        case forward([UInt8])
        case message(Opcode, [UInt8])
        case close(CloseFrame)
        case violation(CloseCode)
        case readComplete
        case lost
        case writable(Bool)
    }

    var events: [Event] = []
    var queueChanges = 0
    var isClosing = false
    var onLost: ((WebSocketLeg) -> Void)?
    /// Messages wanted yet; nil for any number.
    var appetite: Int?
    var others: [ObjectIdentifier: WebSocketLeg] = [:]
    /// Messages that may be taken in a turn of the loop.
    var room = Int.max
    /// The numbers of messages that were taken together.
    var taken: [Int] = []
    /// How often a leg asked for another turn.
    var turnsWanted = 0

    /// What was told since the last call, the ends of reads left out.
    func take() -> [Event] {
        defer { self.events = [] }
        return self.events.filter { $0 != .readComplete }
    }

    func leg(_ leg: WebSocketLeg, forward bytes: ByteBuffer) {
        self.events.append(.forward(Array(bytes.readableBytesView)))
    }

    func leg(_ leg: WebSocketLeg, message: PollMessage) {
        self.appetite = self.appetite.map { $0 - 1 }
        self.events.append(.message(message.opcode, Array(message.payload.readableBytesView)))
    }

    func leg(_ leg: WebSocketLeg, close frame: CloseFrame) {
        leg.turnDeaf()
        self.events.append(.close(frame))
    }

    func leg(_ leg: WebSocketLeg, violation code: CloseCode, why: String) {
        leg.turnDeaf()
        self.events.append(.violation(code))
    }

    func legReadComplete(_ leg: WebSocketLeg) { self.events.append(.readComplete) }
    func legQueueChanged(_ leg: WebSocketLeg) { self.queueChanges += 1 }
    func legLost(_ leg: WebSocketLeg) {
        self.onLost?(leg)
        self.events.append(.lost)
    }

    func leg(_ leg: WebSocketLeg, isWritable: Bool) { self.events.append(.writable(isWritable)) }
    func other(than leg: WebSocketLeg) -> WebSocketLeg? { self.others[ObjectIdentifier(leg)] }
    func legWantsMessages(_ leg: WebSocketLeg) -> Bool { self.appetite.map { $0 > 0 } ?? true }
    func legIsClosing(_ leg: WebSocketLeg) -> Bool { self.isClosing }
    func legRoom(_ leg: WebSocketLeg) -> Int { self.room }

    func leg(_ leg: WebSocketLeg, took messages: Int, hasMore: Bool) {
        self.taken.append(messages)
        if hasMore { self.turnsWanted += 1 }
    }
}

import CulvertCore
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertEdge

/// A connection in a channel of its own, whose owner does what a test says. Its clock for dates stands still.
final class ConnectionFixture {
    let channel: EmbeddedChannel
    let owner = RecordingOwner()
    let memory = SessionMemory()
    let connection: ClientConnection
    let slices: LoopSlices
    private let reads = ReadCounter()
    /// Of every answer.
    static let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

    init(loop: EmbeddedEventLoop = EmbeddedEventLoop()) throws {
        self.channel = EmbeddedChannel(loop: loop)
        let slices = LoopSlices(loop: loop)
        self.slices = slices
        self.connection = ClientConnection(
            owner: self.owner, memory: self.memory, slices: slices, timers: LoopTimers(loop: loop, slices: slices),
            dates: AnswerDates { 784_111_777 }, loop: loop)
        try self.channel.pipeline.syncOperations.addHandler(self.reads)
        try RequestPipeline.add(self.connection, to: self.channel, headerLimit: 1024)
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// The bodies of the requests that ``answerBodies(_:)`` has answered.
    private(set) var bodies: [String] = []

    /// Collects the body of each request, and then answers it.
    func answerBodies(_ answer: HTTPAnswer) {
        self.owner.onExchange = { exchange in
            exchange.collectBody(limit: 100) { body in
                self.bodies.append(String(buffer: body))
                exchange.respond(answer)
            }
        }
    }

    var time: EmbeddedEventLoop { self.channel.embeddedEventLoop }

    func receive(_ text: String) {
        self.channel.pipeline.fireChannelRead(ByteBuffer(string: text))
        self.channel.pipeline.fireChannelReadComplete()
    }

    /// In pieces of `size` bytes; `between` gets the number of bytes that are left.
    func receive(_ text: String, by size: Int, between: (Int) -> Void) {
        var bytes = ByteBuffer(string: text)
        while let part = bytes.readSlice(length: min(size, bytes.readableBytes)), part.readableBytes > 0 {
            self.channel.pipeline.fireChannelRead(part)
            self.channel.pipeline.fireChannelReadComplete()
            between(bytes.readableBytes)
        }
    }

    func written() throws -> String {
        var all = ""
        while let part = try self.channel.readOutbound(as: ByteBuffer.self) { all += String(buffer: part) }
        return all
    }

    /// Asks for more, and says whether the socket was asked.
    func wouldRead() -> Bool {
        self.reads.count = 0
        self.channel.pipeline.read()
        return self.reads.count > 0
    }
}

final class RecordingOwner: ConnectionOwner {
    var bounds = ConnectionBounds(
        firstByte: .seconds(1), head: .seconds(2), idle: .seconds(5), rate: 100, requests: 1000)
    var memoryCeiling: Int?
    var isCounted = false
    var exchanges: [Exchange] = []
    /// What is done with each.
    var onExchange: (Exchange) -> Void = { _ in }
    /// Statuses of refusals that it was not asked about, with the targets that could be decoded.
    private(set) var refusals: [String] = []
    private(set) var notices: [ConnectionNotice] = []
    private(set) var isClosed = false

    static let client = AddressKey("192.0.2.7")

    var targets: [String] { self.exchanges.map(\.head.uri) }

    var line: LoopSlices.Line { .strangers }
    func client(on channel: (any Channel)?) -> AddressKey { Self.client }
    func opened(_ connection: ClientConnection) {}
    func closed(_ connection: ClientConnection) { self.isClosed = true }
    func received(_ event: Any) {}
    func take(_ exchange: Exchange) {
        self.exchanges.append(exchange)
        self.onExchange(exchange)
    }
    func refused(_ answer: HTTPAnswer, _ head: HTTPRequestHead?, on connection: ClientConnection) {
        self.refusals.append("\(answer.status.code) \(head?.uri ?? "-")")
    }
    func complete(_ headers: inout HTTPHeaders) {}
    func answered() {}
    func relieveMemory() {}
    func makeRoomInMemory() {}
    func note(_ notice: ConnectionNotice) { self.notices.append(notice) }
}

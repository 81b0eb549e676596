import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertEdge

/// Bytes of a Latin-1 text, of UTF-8, and of neither.
private let values: [[UInt8]] = [
    [0x63, 0x61, 0x66, 0xE9], Array("café".utf8), [0xC3, 0x28, 0xFF], [0xF4, 0x8F, 0xBA, 0x80],
]

@Suite("Fields that are not UTF-8")
struct OpaqueHeadTests {
    private static func bytes(_ channel: EmbeddedChannel) throws -> [UInt8] {
        var all: [UInt8] = []
        while let part = try channel.readOutbound(as: ByteBuffer.self) { all += Array(part.readableBytesView) }
        return all
    }

    private static func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        bytes.indices.contains { bytes[$0...].starts(with: part) }
    }

    @Test("A request's field comes back byte for byte in an answer; the body is left alone", arguments: values)
    func answer(_ value: [UInt8]) throws {
        let fixture = try ConnectionFixture()
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\nX: ".utf8) + value + Array("\r\n\r\n".utf8)
        for byte in request { fixture.channel.pipeline.fireChannelRead(ByteBuffer(bytes: [byte])) }
        let exchange = try #require(fixture.owner.exchanges.first)
        let text = try #require(exchange.head.headers.first(name: "x"))
        // As a body it is the disguise itself, which nobody restores.
        let answer = HTTPAnswer(status: .ok, headers: ["X-Seen": text], body: ByteBuffer(string: text))
        exchange.respond(answer)
        let written = try Self.bytes(fixture.channel)
        #expect(Self.contains(written, Array("X-Seen: ".utf8) + value + Array("\r\n".utf8)))
        #expect(Array(written.suffix(text.utf8.count)) == Array(text.utf8))
        #expect(throws: (any Error).self) {
            _ = try fixture.channel.pipeline.syncOperations.handler(type: OpaqueHead.self)
        }
    }

    @Test("An answer that is not written leaves nothing behind for the next", arguments: values)
    func notWritten(_ value: [UInt8]) throws {
        let fixture = try ConnectionFixture()
        let request = Array("GET / HTTP/1.1\r\nHost: a\r\nX: ".utf8) + value + Array("\r\n\r\n".utf8)
        fixture.channel.pipeline.fireChannelRead(ByteBuffer(bytes: request))
        let exchange = try #require(fixture.owner.exchanges.first)
        let text = try #require(exchange.head.headers.first(name: "x"))
        fixture.connection.cut()
        fixture.time.run()
        exchange.respond(HTTPAnswer(status: .ok, headers: ["X-Seen": text]))
        #expect(try Self.bytes(fixture.channel).isEmpty)

        let other = try ConnectionFixture()
        other.owner.onExchange = { exchange in
            exchange.respond(HTTPAnswer(status: .ok, headers: ["X-Seen": text]))
            exchange.respond(HTTPAnswer(status: .ok, headers: ["X-Seen": text]))
        }
        // The body of the second answer is what a handler that has stayed would change.
        other.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        _ = try Self.bytes(other.channel)
        other.owner.onExchange = { $0.respond(HTTPAnswer(status: .ok, body: ByteBuffer(string: text))) }
        other.receive("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        let written = try Self.bytes(other.channel)
        #expect(Array(written.suffix(text.utf8.count)) == Array(text.utf8))
        #expect(throws: (any Error).self) {
            _ = try other.channel.pipeline.syncOperations.handler(type: OpaqueHead.self)
        }
    }

    @Test("The splitter restores the head of the request, and disguises that of the answer", arguments: values)
    func splitter(_ value: [UInt8]) throws {
        let splitter = UpstreamHeadSplitter()
        let channel = EmbeddedChannel(handler: splitter)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let head = Array("HTTP/1.1 101 Yes\r\nX: ".utf8) + value + Array("\r\n\r\n".utf8)
        channel.pipeline.fireChannelRead(ByteBuffer(bytes: head))
        let read = try #require(try channel.readInbound(as: ByteBuffer.self))
        let text = String(buffer: read)
        #expect(text.unicodeScalars.allSatisfy { $0 != "\u{FFFD}" })
        channel.writeAndFlush(read, promise: nil)
        #expect(try Self.bytes(channel) == head)
        // What is no head any more passes as it is.
        channel.writeAndFlush(ByteBuffer(string: text), promise: nil)
        #expect(try Self.bytes(channel) == Array(text.utf8))
    }
}

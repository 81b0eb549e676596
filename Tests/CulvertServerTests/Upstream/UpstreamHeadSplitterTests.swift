import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertServer

@Suite("Upstream head splitter")
struct UpstreamHeadSplitterTests {
    private static let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    private static let switching = "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n"
    private static let frames = "\u{1}\u{2}\r\n\r\nHTTP/1.1 "

    private static func channel() throws -> (EmbeddedChannel, UpstreamHeadSplitter) {
        let splitter = UpstreamHeadSplitter()
        let channel = EmbeddedChannel(handler: splitter)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        return (channel, splitter)
    }

    private static func read(_ channel: EmbeddedChannel) throws -> String {
        var all = ""
        while let part = try channel.readInbound(as: ByteBuffer.self) { all += String(buffer: part) }
        return all
    }

    private static func feed(_ channel: EmbeddedChannel, _ text: String, by size: Int) throws {
        var bytes = ByteBuffer(string: text)
        while let part = bytes.readSlice(length: min(size, bytes.readableBytes)), part.readableBytes > 0 {
            try channel.writeInbound(part)
        }
    }

    @Test("Up to the 101 all passes, and nothing behind it until there is a leg", arguments: 1...90)
    func holdsWhatIsTheLegs(size: Int) throws {
        let (channel, splitter) = try Self.channel()
        try Self.feed(channel, Self.hints + Self.switching + Self.frames, by: size)
        #expect(try Self.read(channel) == Self.hints + Self.switching)
        splitter.release()
        #expect(try Self.read(channel) == Self.frames)
        // It has left: what comes later meets nobody on its way.
        try Self.feed(channel, "later", by: 5)
        #expect(try Self.read(channel) == "later")
        #expect(throws: (any Error).self) {
            _ = try channel.pipeline.syncOperations.handler(type: UpstreamHeadSplitter.self)
        }
    }

    @Test("Any other answer is HTTP to its end", arguments: 1...60)
    func passesARefusal(size: Int) throws {
        let (channel, _) = try Self.channel()
        let text = Self.hints + "HTTP/1.1 503 No\r\nContent-Length: 30\r\n\r\n" + "HTTP/1.1 101 no head\r\n\r\nbody.."
        try Self.feed(channel, text, by: size)
        #expect(try Self.read(channel) == text)
    }

    @Test("What is no HTTP is passed at once", arguments: ["SSH-2.0\n", "x", "HTTX", "\0"])
    func passesWhatIsNoHTTP(text: String) throws {
        let (channel, _) = try Self.channel()
        try Self.feed(channel, text, by: 1)
        #expect(try Self.read(channel) == text)
    }

    @Test("A head without end is passed on when it is longer than any decoder takes")
    func boundsTheHead() throws {
        let (channel, _) = try Self.channel()
        let line = "X: " + String(repeating: "x", count: 997) + "\r\n"
        try Self.feed(channel, "HTTP/1.1 101 Yes\r\n" + String(repeating: line, count: 140), by: 4096)
        #expect(try Self.read(channel).utf8.count > 128 * 1024)
    }

    @Test("Lone line feeds end lines too")
    func takesLineFeeds() throws {
        let (channel, splitter) = try Self.channel()
        try Self.feed(channel, "HTTP/1.1 101 Yes\nUpgrade: websocket\n\nrest", by: 7)
        #expect(try Self.read(channel) == "HTTP/1.1 101 Yes\nUpgrade: websocket\n\n")
        splitter.release()
        #expect(try Self.read(channel) == "rest")
    }

    @Test("The end of the connection comes behind what was held")
    func holdsTheEnd() throws {
        let (channel, splitter) = try Self.channel()
        let seen = InactiveRecorder()
        try channel.pipeline.syncOperations.addHandler(seen)
        try Self.feed(channel, Self.switching + "last words", by: 1000)
        channel.pipeline.fireChannelInactive()
        #expect(seen.events == [Self.switching])
        splitter.release()
        #expect(seen.events == [Self.switching, "last words", "inactive"])
    }

    @Test("The end within a head is the decoder's to judge")
    func passesTheEnd() throws {
        let (channel, _) = try Self.channel()
        let seen = InactiveRecorder()
        try channel.pipeline.syncOperations.addHandler(seen)
        try Self.feed(channel, "HTTP/1.1 1", by: 3)
        channel.pipeline.fireChannelInactive()
        #expect(seen.events == ["HTTP/1.1 1", "inactive"])
    }
}

private final class InactiveRecorder: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    var events: [String] = []

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.events.append(String(buffer: self.unwrapInboundIn(data)))
    }

    func channelInactive(context: ChannelHandlerContext) { self.events.append("inactive") }
}

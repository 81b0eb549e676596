import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

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
            channel.pipeline.fireChannelRead(part)
            try channel.throwIfErrorCaught()
        }
    }

    @Test("The head of the 101 passes, and nothing behind it until there is a leg", arguments: 1...90)
    func holdsWhatIsTheLegs(size: Int) throws {
        let (channel, splitter) = try Self.channel()
        try Self.feed(channel, Self.hints + Self.switching + Self.frames, by: size)
        #expect(try Self.read(channel) == Self.switching)
        splitter.release()
        #expect(try Self.read(channel) == Self.frames)
        // It has left: what comes later meets nobody on its way.
        try Self.feed(channel, "later", by: 5)
        #expect(try Self.read(channel) == "later")
        #expect(throws: (any Error).self) {
            _ = try channel.pipeline.syncOperations.handler(type: UpstreamHeadSplitter.self)
        }
    }

    @Test("The end of the server's direction waits for the leg behind a 101, and is the connection's end before it")
    func halfClosed() throws {
        let (channel, splitter) = try Self.channel()
        let ends = Ends()
        try channel.pipeline.syncOperations.addHandler(ends)
        try Self.feed(channel, Self.switching + Self.frames, by: 1000)
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(channel.isActive && ends.events == 0)
        splitter.release()
        #expect(channel.isActive && ends.events == 1)
        #expect(try Self.read(channel) == Self.switching + Self.frames)
        for text in ["", "HTTP/1.1 101 Y", "HTTP/1.1 503 No\r\n\r\nbody"] {
            let (early, _) = try Self.channel()
            try Self.feed(early, text, by: 1000)
            early.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            #expect(!early.isActive)
        }
    }

    private final class Ends: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        var events = 0

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case ChannelEvent.inputClosed? = event as? ChannelEvent { self.events += 1 }
        }
    }

    @Test("Any other answer is HTTP to its end", arguments: 1...60)
    func passesARefusal(size: Int) throws {
        let (channel, _) = try Self.channel()
        let text = "HTTP/1.1 503 No\r\nContent-Length: 30\r\n\r\n" + "HTTP/1.1 101 no head\r\n\r\nbody.."
        try Self.feed(channel, Self.hints + text, by: size)
        #expect(try Self.read(channel) == text)
    }

    @Test(
        "An answer that the reader refuses is an error, and nothing of it passes",
        arguments: [
            ("SSH-2.0\n", UpstreamHeadReader.Fault.notHTTP),
            (String(repeating: "HTTP/1.1 100 Go\r\n\r\n", count: 100), .tooManyInterimAnswers),
            ("HTTP/1.1 101 Yes\r\nX: " + String(repeating: "x", count: 1 << 20), .headsTooLong),
        ])
    func refuses(text: String, fault: UpstreamHeadReader.Fault) throws {
        let (channel, _) = try Self.channel()
        #expect(throws: fault) { try Self.feed(channel, text, by: 4096) }
        #expect(try Self.read(channel) == "")
    }

    @Test("A refusal that goes on without end is cut")
    func boundsTheRefusal() throws {
        let (channel, _) = try Self.channel()
        let head = "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n1;"
        #expect(throws: UpstreamHeadSplitter.RefusalTooLong.self) {
            try Self.feed(channel, head + String(repeating: "x", count: 2 << 20), by: 4096)
        }
        #expect(try Self.read(channel).utf8.count <= head.utf8.count + UpstreamHeadSplitter.refusalLimit)
    }

    // MARK: - in slices

    private static let chunks = String(repeating: "1\r\nx\r\n", count: 3000)

    /// A channel whose reads are counted, on a loop that is busy.
    private static func busyChannel() throws -> (EmbeddedChannel, LoopSlices, ReadCounter) {
        let channel = EmbeddedChannel()
        let slices = LoopSlices(loop: channel.eventLoop)
        let reads = ReadCounter()
        try channel.pipeline.syncOperations.addHandlers(reads, UpstreamHeadSplitter(turns: (slices, .none)))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        slices.enqueue {}
        return (channel, slices, reads)
    }

    @Test(
        "Attack: an answer of very many lines reaches the decoder in slices, and nothing is read meanwhile",
        arguments: [
            "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
            "HTTP/1.1 503 No\r\n" + String(repeating: "a: b\r\n", count: 6000) + "\r\n",
            "HTTP/1.1 101 Yes\r\n" + String(repeating: "a: b\r\n", count: 6000) + "\r\n",
        ])
    func manyLines(text: String) throws {
        let (channel, _, reads) = try Self.busyChannel()
        let before = reads.count
        try Self.feed(channel, text, by: 16384)
        let atOnce = try Self.read(channel)
        print("tried \(text.utf8.count) bytes in lines of few: \(atOnce.utf8.count) reach the decoder at once")
        #expect(atOnce.utf8.count < 1000)
        channel.read()
        #expect(reads.count == before)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(10))
        #expect(try atOnce + Self.read(channel) == text)
        // Behind a 101 the read waits for the leg.
        #expect(reads.count == before + (text.hasPrefix("HTTP/1.1 101") ? 0 : 1))
    }

    @Test("A server that ends its direction behind many lines is heard to the end, and then its connection ends")
    func endBehindManyLines() throws {
        let (channel, _, _) = try Self.busyChannel()
        let text = "HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n" + Self.chunks
        try Self.feed(channel, text, by: 16384)
        channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(channel.isActive)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(10))
        #expect(try Self.read(channel) == text)
        #expect(!channel.isActive)
    }

    @Test("Of an opening that is given up the decoder gets no more lines")
    func closesBehindManyLines() throws {
        let (channel, slices, _) = try Self.busyChannel()
        try Self.feed(channel, "HTTP/1.1 503 No\r\n\r\n" + Self.chunks, by: 16384)
        let atOnce = try Self.read(channel)
        channel.close(promise: nil)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(10))
        #expect(try Self.read(channel) == "")
        #expect(atOnce.utf8.count < 1000)
        #expect(!slices.isBusy)
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

    @Test("Behind the 101 no read reaches the socket until there is a leg, and then the one that was due does")
    func holdsReads() throws {
        let reads = ReadCounter()
        let splitter = UpstreamHeadSplitter()
        let channel = EmbeddedChannel(handlers: [reads, splitter])
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let before = reads.count
        channel.read()
        #expect(reads.count == before + 1)
        try Self.feed(channel, Self.switching + "first", by: 1000)
        for _ in 0..<3 { channel.read() }
        #expect(reads.count == before + 1)
        splitter.release()
        #expect(reads.count == before + 2)
    }

    @Test("What comes behind the 101 though reads have stopped has a bound")
    func boundsWhatIsHeld() throws {
        let (channel, splitter) = try Self.channel()
        #expect(throws: UpstreamHeadSplitter.HeldTooMuch.self) {
            try Self.feed(channel, Self.switching + String(repeating: "x", count: 2 << 20), by: 4096)
        }
        #expect(try Self.read(channel) == Self.switching)
        splitter.release()
        #expect(try Self.read(channel) == "")
    }

    @Test(
        "Of a connection that is being closed nothing more is held or passed, and it is cut",
        arguments: [("HTTP/1.1 1", ""), (switching + "held", "held")])
    func dropsBehindTheClose(begun: String, held: String) throws {
        let closes = CloseRecorder()
        let splitter = UpstreamHeadSplitter()
        let channel = EmbeddedChannel(handlers: [closes, splitter])
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        try Self.feed(channel, begun, by: 1000)
        _ = try Self.read(channel)
        // As with TLS, which goes on to bring what comes.
        channel.close(promise: nil)
        #expect(closes.count == 1)
        for _ in 0..<17 { try Self.feed(channel, String(repeating: "x", count: 4096), by: 4096) }
        #expect(closes.count == 2)
        splitter.release()
        #expect(try Self.read(channel) == held)
    }

    @Test("The end within a head passes, and what came of the head does not")
    func passesTheEnd() throws {
        let (channel, _) = try Self.channel()
        let seen = InactiveRecorder()
        try channel.pipeline.syncOperations.addHandler(seen)
        try Self.feed(channel, "HTTP/1.1 1", by: 3)
        channel.pipeline.fireChannelInactive()
        #expect(seen.events == ["inactive"])
    }
}

/// Counts closes, and lets none of them pass.
private final class CloseRecorder: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer

    var count = 0

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        self.count += 1
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

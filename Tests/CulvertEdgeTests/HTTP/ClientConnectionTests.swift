import CulvertCore
import NIOCore
import NIOEmbedded
import NIOHTTP1
import Testing

@testable import CulvertEdge

@Suite("Client connection")
struct ClientConnectionTests {
    private static func get(_ target: String, _ more: String = "") -> String {
        "GET \(target) HTTP/1.1\r\nHost: a\r\n\(more)\r\n"
    }

    private static func post(_ target: String, _ length: Int, _ more: String = "") -> String {
        "POST \(target) HTTP/1.1\r\nHost: a\r\nContent-Length: \(length)\r\n\(more)\r\n"
    }

    private static func ok(_ text: String = "") -> HTTPAnswer {
        HTTPAnswer(status: .ok, body: ByteBuffer(string: text))
    }

    @Test("Requests in one packet are decoded one at a time; the others wait as bytes, and nothing is read")
    func oneAtATime() throws {
        let fixture = try ConnectionFixture()
        fixture.receive((0..<100).map { Self.get("/\($0)") }.joined())
        #expect(fixture.owner.targets == ["/0"])
        #expect(!fixture.wouldRead())
        #expect(fixture.memory.used > 99 * 20)
        fixture.owner.exchanges[0].respond(Self.ok())
        fixture.time.advanceTime(by: .milliseconds(1))
        #expect(fixture.owner.targets == ["/0", "/1"])
        fixture.owner.onExchange = { $0.respond(Self.ok()) }
        fixture.owner.exchanges[1].respond(Self.ok())
        fixture.time.advanceTime(by: .seconds(1))
        #expect(fixture.owner.targets == (0..<100).map { "/\($0)" })
        #expect(fixture.memory.used == 0)
        #expect(fixture.wouldRead())
    }

    @Test("A client that ends its direction has its whole requests answered, and then its connection ends")
    func halfClosed() throws {
        let fixture = try ConnectionFixture()
        var told: [String] = []
        fixture.owner.onExchange = { exchange in exchange.onInputEnd = { told.append(exchange.head.uri) } }
        fixture.receive(Self.get("/0") + Self.get("/1") + "GET /2 HT")
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(told == ["/0"])
        fixture.owner.exchanges[0].respond(Self.ok())
        fixture.time.advanceTime(by: .milliseconds(1))
        #expect(told == ["/0", "/1"])
        #expect(fixture.channel.isActive)
        fixture.owner.exchanges[1].respond(Self.ok())
        fixture.time.advanceTime(by: .milliseconds(1))
        #expect(!fixture.channel.isActive)
        #expect(fixture.owner.targets == ["/0", "/1"])
        #expect(try fixture.written().split(separator: "HTTP/1.1 200 ").count == 2)
    }

    @Test(
        "A client that ends its direction with nothing to be answered is gone",
        arguments: ["", "GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"])
    func halfClosedEarly(text: String) throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { exchange in exchange.collectBody(limit: 100) { _ in } }
        fixture.receive(text)
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        fixture.time.run()
        #expect(!fixture.channel.isActive)
        #expect(fixture.memory.used == 0)
    }

    @Test("In pieces of any size there are the same exchanges", arguments: 1...70)
    func everyChunking(size: Int) throws {
        let fixture = try ConnectionFixture()
        fixture.answerBodies(Self.ok())
        let chunked =
            "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "3;x\r\n\r\nb\r\n2\r\nc!\r\n0\r\nT: 1\r\n\r\n"
        let text = Self.post("/a", 4) + "\r\n\r\n" + chunked + Self.get("/c") + "\r\n" + Self.post("/d", 0)
        fixture.receive(text, by: size) { _ in }
        fixture.time.advanceTime(by: .milliseconds(10))
        #expect(fixture.owner.targets == ["/a", "/b", "/c", "/d"])
        #expect(fixture.bodies == ["\r\n\r\n", "\r\nbc!", "", ""])
    }

    private static func chunks(_ count: Int) -> String {
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + String(repeating: "1\r\nx\r\n", count: count) + "0\r\nT: 1\r\n\r\n"
    }

    @Test(
        "Attack: chunks of a byte reach the decoder in slices, in their order, and nothing is read meanwhile",
        arguments: [true, false], [true, false])
    func tinyChunks(isBusy: Bool, isWanted: Bool) throws {
        let count = isBusy ? LoopSlices.fewMessages + 1 : LoopSlices.messages + 1
        let fixture = try ConnectionFixture()
        var bodies: [Int] = []
        fixture.owner.onExchange = { exchange in
            guard isWanted else {
                exchange.respond(Self.ok())
                return
            }
            exchange.collectBody(limit: 10_000) { body in
                bodies.append(body.readableBytes)
                exchange.respond(Self.ok())
            }
        }
        if isBusy { fixture.slices.enqueue(in: .sessions) {} }
        fixture.receive(Self.chunks(count) + Self.get("/next"))
        let waiting = fixture.connection.feeder.heldBytes
        print("tried \(count) chunks of a byte, wanted: \(isWanted): \(waiting) bytes wait")
        #expect(fixture.owner.targets == ["/"])
        #expect(bodies == [])
        #expect(waiting > 0)
        #expect(fixture.slices.isBusy)
        #expect(!fixture.wouldRead())
        fixture.time.advanceTime(by: .milliseconds(10))
        #expect(fixture.owner.targets == ["/", "/next"])
        #expect(bodies == (isWanted ? [count, 0] : []))
        #expect(fixture.wouldRead())
    }

    @Test("Attack: many connections with chunks of a byte have few of them decoded in one turn of the loop")
    func tinyChunksOfMany() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(Self.ok()) }
        // As if other connections had passed as much as one turn takes.
        fixture.slices.notePassed(LoopSlices.messages)
        let text = Self.chunks(1000)
        fixture.receive(text)
        let decoded = text.utf8.count - fixture.connection.feeder.heldBytes
        print("tried 1000 chunks in \(text.utf8.count) bytes on a busy loop: \(decoded) are decoded at once")
        #expect(decoded < 600)
    }

    @Test("A body that nobody wants is not read")
    func noBody() throws {
        let fixture = try ConnectionFixture()
        fixture.receive(Self.post("/", 100_000, "Expect: 100-continue\r\n"))
        #expect(!fixture.wouldRead())
        #expect(try fixture.written() == "")
        fixture.owner.exchanges[0].respond(HTTPAnswer(status: .unauthorized))
        let answer = try fixture.written()
        #expect(answer.hasPrefix("HTTP/1.1 401 ") && answer.contains("Connection: close"))
    }

    @Test("100 is for a body that is wanted")
    func continues() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { exchange in exchange.collectBody(limit: 10) { _ in exchange.respond(Self.ok()) } }
        fixture.receive(Self.post("/", 3, "Expect: 100-continue\r\n"))
        #expect(try fixture.written() == "HTTP/1.1 100 Continue\r\n\r\n")
        fixture.receive("abc")
        #expect(try fixture.written().hasPrefix("HTTP/1.1 200 "))
        // A longer one has its answer at once.
        fixture.receive(Self.post("/", 11, "Expect: 100-continue\r\n"))
        #expect(try fixture.written().hasPrefix("HTTP/1.1 413 "))
    }

    @Test(
        "Attack: a client that gets another answer than 100 has no further request, since its body may come or not",
        arguments: [("", false), ("Expect: 100-continue\r\n", true)])
    func continuesNot(field: String, isLast: Bool) throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(HTTPAnswer(status: .unauthorized)) }
        fixture.receive(Self.post("/a", Self.get("/b").utf8.count, field))
        #expect(try fixture.written().contains("Connection: close") == isLast)
        // A client that has given up its body means a request by it, and any other client its body.
        fixture.receive(Self.get("/b"))
        print("tried \(isLast ? "with" : "without") Expect: the owner has \(fixture.owner.targets)")
        #expect(fixture.owner.targets == ["/a"])
        fixture.receive(Self.get("/c"))
        #expect(fixture.owner.targets == (isLast ? ["/a"] : ["/a", "/c"]))
    }

    @Test("A long answer is written as the client takes it, whatever it consists of", arguments: [true, false])
    func longAnswers(isBatch: Bool) throws {
        let fixture = try ConnectionFixture()
        let message = PollMessage(opcode: .binary, payload: ByteBuffer(repeating: 7, count: 900_000))
        let batch = PollBatch(ack: 1, first: 1, messages: [message, message])
        let whole = PollCodec.json.encode(batch)
        fixture.receive(Self.get("/a"))
        fixture.channel.isWritable = false
        fixture.owner.exchanges[0].respond(
            isBatch ? HTTPAnswer(batch, in: .json) : HTTPAnswer(status: .ok, body: whole))
        #expect(try fixture.written() == "")
        // A turn's worth, and the rest in turns that come later.
        fixture.channel.isWritable = true
        fixture.channel.pipeline.fireChannelWritabilityChanged()
        var got = try fixture.written()
        #expect((256 * 1024..<320 * 1024).contains(got.utf8.count))
        fixture.receive(Self.get("/b"))
        #expect(fixture.owner.targets == ["/a"])
        fixture.time.advanceTime(by: .milliseconds(10))
        got += try fixture.written()
        // Not compared as texts, of which a failure would print two million bytes.
        var expected = "HTTP/1.1 200 OK\r\n"
        if isBatch { expected += "Content-Type: application/json\r\n" }
        expected += "Content-Length: \(whole.readableBytes)\r\n\(ConnectionFixture.date)\r\n"
        expected += String(buffer: whole)
        let isWhole = got == expected
        #expect(isWhole)
        #expect(fixture.owner.targets == ["/a", "/b"])
        fixture.owner.exchanges[1].respond(Self.ok())
        #expect(try fixture.written().hasPrefix("HTTP/1.1 200 "))
        #expect(fixture.memory.used == 0)
    }

    @Test("A connection that goes amid a long answer holds nothing of it")
    func longAnswerCut() throws {
        let fixture = try ConnectionFixture()
        fixture.receive(Self.get("/a"))
        fixture.channel.isWritable = false
        fixture.owner.exchanges[0].respond(HTTPAnswer(status: .ok, body: ByteBuffer(repeating: 7, count: 200_000)))
        #expect(fixture.memory.used >= 200_000)
        fixture.time.advanceTime(by: .seconds(5000))
        #expect(!fixture.channel.isActive && fixture.memory.used == 0)
    }

    @Test("Behind an early answer the rest of a small body is discarded, and the next request taken")
    func drains() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(Self.ok()) }
        fixture.receive(Self.post("/a", 6) + "abc")
        #expect(!(try fixture.written().contains("Connection: close")))
        fixture.receive("def" + Self.get("/b"))
        #expect(fixture.owner.targets == ["/a", "/b"])
        #expect(fixture.memory.used == 0)
    }

    @Test("The rest of a small body has a deadline")
    func drainsInTime() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(Self.ok()) }
        fixture.receive(Self.post("/a", 6) + "abc")
        fixture.time.advanceTime(by: .seconds(3))
        #expect(!fixture.channel.isActive)
    }

    @Test("A body keeps its rate with a fixed grace, which no early haste makes longer")
    func rate() throws {
        for (early, lasts) in [(0, 2.0), (5000, 2.0)] {
            let fixture = try ConnectionFixture()
            fixture.owner.onExchange = { $0.collectBody(limit: 10_000) { _ in } }
            fixture.receive(Self.post("/", 10_000))
            if early > 0 { fixture.receive(String(repeating: "x", count: early)) }
            fixture.time.advanceTime(by: .nanoseconds(Int64(lasts * 0.9 * 1_000_000_000)))
            #expect(try fixture.written() == "")
            fixture.time.advanceTime(by: .milliseconds(300))
            #expect(try fixture.written().hasPrefix("HTTP/1.1 408 "))
        }
        // 200 bytes a second where 100 are asked for.
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { exchange in
            exchange.collectBody(limit: 10_000) { _ in exchange.respond(Self.ok()) }
        }
        fixture.receive(Self.post("/", 4000))
        for _ in 0..<20 {
            fixture.time.advanceTime(by: .seconds(1))
            fixture.receive(String(repeating: "x", count: 200))
        }
        #expect(try fixture.written().hasPrefix("HTTP/1.1 200 "))
    }

    @Test("What frames a body earns no time")
    func framing() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.collectBody(limit: 10_000) { _ in } }
        fixture.receive("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;")
        for _ in 0..<5 {
            fixture.receive(String(repeating: "e", count: 500))
            fixture.time.advanceTime(by: .milliseconds(500))
        }
        #expect(try fixture.written().hasPrefix("HTTP/1.1 408 "))
    }

    @Test("A body that is kept counts, and is refused when the process is full")
    func counts() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.memoryCeiling = 40_000
        fixture.owner.onExchange = { $0.collectBody(limit: 1_000_000) { _ in } }
        fixture.receive(Self.post("/", 100_000))
        fixture.receive(String(repeating: "x", count: 20_000))
        #expect(fixture.memory.used >= 20_000)
        fixture.receive(String(repeating: "x", count: 30_000))
        #expect(try fixture.written().hasPrefix("HTTP/1.1 503 "))
        #expect(fixture.memory.used == 0)
    }

    @Test("A client that stays silent, or in the middle of a head, is let go", arguments: ["", "GET / HT"])
    func silence(text: String) throws {
        let fixture = try ConnectionFixture()
        if !text.isEmpty { fixture.receive(text) }
        fixture.time.advanceTime(by: .milliseconds(2100))
        #expect(!fixture.channel.isActive)
        #expect(fixture.owner.exchanges.isEmpty)
    }

    @Test("An owner that takes its time has it")
    func deciding() throws {
        let fixture = try ConnectionFixture()
        fixture.receive(Self.get("/"))
        fixture.time.advanceTime(by: .hours(1))
        #expect(fixture.channel.isActive)
        fixture.owner.exchanges[0].respond(Self.ok("late"))
        #expect(try fixture.written().hasSuffix("late"))
        fixture.time.advanceTime(by: .milliseconds(5100))
        #expect(!fixture.channel.isActive)
    }

    @Test("An owner that takes its time over a body has it, too")
    func decidingOnBody() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.collectBody(limit: 10) { _ in } }
        fixture.receive(Self.post("/", 3) + "abc")
        fixture.time.advanceTime(by: .hours(1))
        #expect(fixture.channel.isActive)
        fixture.owner.exchanges[0].respond(Self.ok("late"))
        #expect(try fixture.written().hasSuffix("late"))
    }

    @Test("An exchange is answered once, and ends once")
    func once() throws {
        let fixture = try ConnectionFixture()
        var ends: [Bool] = []
        fixture.owner.onExchange = { $0.onEnd = { ends.append($0) } }
        fixture.receive(Self.get("/a") + Self.get("/b"))
        let first = fixture.owner.exchanges[0]
        first.respond(Self.ok("one"))
        first.respond(Self.ok("two"))
        #expect(ends == [true])
        #expect(first.isGone)
        #expect(!(try fixture.written().contains("two")))
        fixture.time.advanceTime(by: .milliseconds(1))
        try fixture.channel.close().wait()
        fixture.time.run()
        #expect(ends == [true, false])
        #expect(fixture.owner.isClosed)
    }

    @Test(
        "What no decoder takes is refused, and the connection ends",
        arguments: [
            "\u{16}\u{3}\u{1}\r\n\r\n", "GET / HTTP/2.0\r\n\r\n", "GET / HTTP/1.1\r\nA\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        ])
    func refuses(text: String) throws {
        let fixture = try ConnectionFixture()
        fixture.receive(text)
        let answer = try fixture.written()
        #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.contains("Connection: close"))
        #expect(fixture.owner.exchanges.isEmpty)
        fixture.time.advanceTime(by: .seconds(3))
        #expect(!fixture.channel.isActive)
    }

    private static let handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    private static let long = String(repeating: "x", count: 1100)
    private static let half = String(repeating: "x", count: 600)

    private static let faultyHeads: [(String, Int)] = [
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501), ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("GET\t/ HTTP/1.1\r\n\r\n", 400), ("(GET) / HTTP/1.1\r\n\r\n", 400), ("B(", 400),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501),
        ("GET /\(long) HTTP/1.1\r\nHost: a\r\n\r\n", 414), ("GET  /\(long)", 414),
        ("GET / HTTP/1.1\r\nHost: \(long)\r\n\r\n", 431), ("GET /\(half) HTTP/1.1\r\nA: \(half)\r\n\r\n", 431),
        (get("/", "Transfer-Encoding: identity\r\n"), 400), (get("/", "Transfer-Encoding:\r\n"), 400),
        (get("/", "Transfer-Encoding: gzip, chunked\r\n"), 501),
        (post("/", 1, "Transfer-Encoding:\r\n"), 400), (post("/", 1, "Transfer-Encoding: chunked\r\n"), 400),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (get("/", "Transfer-Encoding: identity\r\n\(handshake)"), 400),
        (get("/", "Transfer-Encoding: x, chunked\r\n\(handshake)"), 501),
    ]

    @Test("A head that cannot be gone by is refused, and nothing behind it is a request", arguments: faultyHeads)
    func refusesHeads(text: String, status: Int) throws {
        let fixture = try ConnectionFixture()
        fixture.receive(text)
        let answer = try fixture.written()
        #expect(answer.hasPrefix("HTTP/1.1 \(status) ") && answer.contains("Connection: close"), "\(answer.prefix(80))")
        #expect(fixture.owner.exchanges.isEmpty)
        // Nothing behind it is a request.
        fixture.receive(Self.get("/later"))
        fixture.time.advanceTime(by: .seconds(3))
        #expect(fixture.owner.exchanges.isEmpty && !fixture.channel.isActive)
        #expect(!(try fixture.written().contains("HTTP/1.1")))
    }

    @Test("Blanks and tabs at the ends of a value are no part of it")
    func trims() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(Self.ok()) }
        fixture.receive(Self.get("/a", "X: \t a b \t\r\nY:\r\nConnection: keep-alive \t\r\n"))
        #expect(fixture.owner.exchanges.first?.head.headers["x"] == ["a b"])
        #expect(fixture.owner.exchanges.first?.head.headers["y"] == [""])
        fixture.receive(Self.get("/b", "Connection: close \t\r\n") + Self.get("/c"))
        #expect(fixture.owner.targets == ["/a", "/b"])
        fixture.time.advanceTime(by: .seconds(3))
        #expect(!fixture.channel.isActive)
    }

    static let offers = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n",
        "Connection: upgrade \r\nUpgrade: TLS/1.2\r\n",
        "Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: x\r\n", handshake,
    ]

    @Test("A connection whose offer to upgrade is not taken goes on, in pieces of any size", arguments: offers, 1...40)
    func goesOn(offer: String, size: Int) throws {
        let fixture = try ConnectionFixture()
        fixture.answerBodies(Self.ok())
        let chunked =
            "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\(offer)\r\n2\r\nbb\r\n0\r\n\r\n"
        let text = Self.post("/a", 2, offer) + "{}" + chunked + Self.get("/c", offer) + Self.get("/d")
        fixture.receive(text, by: size) { left in if left % 3 == 0 { fixture.time.run() } }
        fixture.time.advanceTime(by: .milliseconds(10))
        #expect(fixture.owner.targets == ["/a", "/b", "/c", "/d"])
        #expect(fixture.bodies == ["{}", "bb", "", ""])
        #expect(!(try fixture.written().contains("close")))
        #expect(fixture.channel.isActive && fixture.memory.used == 0 && fixture.wouldRead())
    }

    @Test("What a trailer says of the connection does not make it deaf")
    func trailers() throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { exchange in exchange.collectBody(limit: 9) { _ in exchange.respond(Self.ok()) } }
        fixture.receive(
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nConnection: close\r\n\r\n"
                + Self.get("/b"))
        fixture.time.advanceTime(by: .milliseconds(1))
        #expect(fixture.owner.targets == ["/a", "/b"])
    }

    @Test("Of a connection that ends while its decoder is renewed nothing is left", arguments: [true, false])
    func endsAmidRenewal(isDrained: Bool) throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(Self.ok()) }
        fixture.receive(Self.get("/a", Self.offers[0]) + Self.get("/b"))
        #expect(fixture.owner.targets == ["/a"])
        if isDrained { fixture.connection.drain() } else { fixture.channel.close(promise: nil) }
        fixture.time.run()
        #expect(fixture.owner.targets == ["/a"])
        #expect(!fixture.channel.isActive && fixture.owner.isClosed && fixture.memory.used == 0)
    }

    @Test("A body with a Content-Encoding is refused, and no body has one that is identity")
    func encodedBodies() throws {
        for (coding, status) in [("gzip", 415), ("identity, br", 415), ("Identity", 200), ("", 200)] {
            let fixture = try ConnectionFixture()
            fixture.owner.onExchange = { exchange in
                exchange.collectBody(limit: 9) { _ in exchange.respond(Self.ok()) }
            }
            fixture.receive(Self.post("/", 1, "Content-Encoding: \(coding)\r\n") + "x")
            let answer = try fixture.written()
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(coding)")
            #expect(answer.contains("Accept-Encoding: identity\r\n") == (status == 415))
        }
    }

    @Test("An answer that names another protocol says that it concerns the connection alone", arguments: [true, false])
    func upgradeOption(isLast: Bool) throws {
        let fixture = try ConnectionFixture()
        fixture.owner.onExchange = { $0.respond(.upgradeRequired, isLast: isLast) }
        fixture.receive(Self.get("/"))
        let answer = try fixture.written()
        #expect(answer.contains(isLast ? "\r\nConnection: close, Upgrade\r\n" : "\r\nConnection: Upgrade\r\n"))
        #expect(answer.contains(ConnectionFixture.date))
    }

    @Test("What comes behind an upgrade is the other protocol's, in pieces of any size", arguments: 1...60)
    func upgrade(size: Int) throws {
        let fixture = try ConnectionFixture()
        let taker = Taker()
        var ready = false
        fixture.owner.onExchange = { exchange in
            let future = try? exchange.switchProtocols(to: taker, ["Upgrade": "x"])
            future?.assumeIsolated().whenComplete { _ in ready = true }
        }
        let text = Self.get("/", "Upgrade: x\r\nConnection: Upgrade\r\n") + "GET / HTTP/1.1\r\n\r\n\u{1}"
        fixture.receive(text, by: size) { left in if left % 3 == 0 { fixture.time.run() } }
        fixture.time.run()
        #expect(ready)
        #expect(taker.text == "GET / HTTP/1.1\r\n\r\n\u{1}")
        #expect(try fixture.written().hasPrefix("HTTP/1.1 101 "))
        #expect(fixture.memory.used == 0)
    }

    private final class Taker: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var text = ""
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.text += String(buffer: self.unwrapInboundIn(data))
        }
    }
}

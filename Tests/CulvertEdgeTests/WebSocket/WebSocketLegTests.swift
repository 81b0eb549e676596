import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("WebSocket leg")
struct WebSocketLegTests {
    private static func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] { LegFixture.frame(first, payload) }

    @Test("A read burst of data frames is forwarded as it came, in one piece")
    func coalesced() throws {
        let fixture = try LegFixture()
        let burst =
            Self.frame(0x81, [1, 2]) + Self.frame(0x02, [3]) + Self.frame(0x80, []) + [0x82, 0x85, 0, 0, 0, 0, 9]
        try fixture.receive(burst)
        #expect(fixture.session.events == [.forward(burst), .readComplete])
    }

    @Test("However the bytes are cut, the same arrives", arguments: 1...12)
    func chunked(size: Int) throws {
        let fixture = try LegFixture()
        let ping = Self.frame(0x89, [7, 7])
        let stream = Self.frame(0x01, [1, 2, 3]) + ping + Self.frame(0x80, [4]) + Self.frame(0x88, [0x03, 0xE8])
        for start in stride(from: 0, to: stream.count, by: size) {
            try fixture.receive(Array(stream[start..<min(start + size, stream.count)]))
        }
        var forwarded: [UInt8] = []
        var others: [RecordingSession.Event] = []
        for event in fixture.session.take() {
            if case .forward(let bytes) = event { forwarded += bytes } else { others.append(event) }
        }
        #expect(forwarded == Self.frame(0x01, [1, 2, 3]) + ping + Self.frame(0x80, [4]))
        #expect(others == [.close(CloseFrame(code: .normal))])
    }

    @Test("What arrives before the session starts waits for it")
    func early() throws {
        let fixture = try LegFixture(started: false)
        let one = Self.frame(0x81, [1])
        let two = Self.frame(0x81, [2])
        try fixture.receive(one)
        try fixture.receive(two)
        #expect(fixture.session.events.isEmpty)
        fixture.leg.start(delegate: fixture.session)
        #expect(fixture.session.events == [.forward(one + two), .readComplete])
    }

    @Test("A connection that ends before the session starts is told when it does, behind what it sent")
    func lostEarly() throws {
        let fixture = try LegFixture(started: false)
        let bytes = Self.frame(0x81, [1])
        try fixture.receive(bytes)
        fixture.channel.pipeline.fireChannelInactive()
        fixture.leg.start(delegate: fixture.session)
        #expect(fixture.session.take() == [.forward(bytes), .lost])
    }

    @Test("A pong to Culvert's own ping goes no further; an application's does")
    func pongs() throws {
        let fixture = try LegFixture()
        let ping = KeepalivePing.frame(mask: nil)
        let own = Array(ping.readableBytesView.dropFirst(2))
        try fixture.receive(Self.frame(0x8A, own) + Self.frame(0x8A, [1]))
        #expect(fixture.session.take() == [.forward(Self.frame(0x8A, [1]))])
        #expect(fixture.leg.controls.ownPongs == 1)
        #expect(fixture.leg.controls.pongs == 1)
    }

    @Test("A run of pings and pongs among data is forwarded as it came, in one piece")
    func controlRun() throws {
        let fixture = try LegFixture()
        let run = Self.frame(0x89, []) + Self.frame(0x8A, [1]) + Self.frame(0x81, [2]) + Self.frame(0x89, [3, 4])
        let burst = (0..<1000).flatMap { _ in run }
        try fixture.receive(burst)
        #expect(fixture.session.events == [.forward(burst), .readComplete])
        #expect(fixture.leg.controls.pings == 2000)
        #expect(fixture.leg.controls.pongs == 1000)
        #expect(fixture.leg.controls.bytes == 3000)
    }

    // MARK: - pings that are answered here

    private static func fromServer(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
        LegFixture.frame(first, payload, from: .server)
    }

    /// The payloads of the pongs that were written, unmasked.
    private static func pongs(_ bytes: [UInt8]) -> [[UInt8]] {
        var reader = MessageAssembler(sender: .client, messageLimit: 1000)
        reader.append(ByteBuffer(bytes: bytes))
        var pongs: [[UInt8]] = []
        while case .control(.pong, let payload) = reader.next() { pongs.append(Array(payload.readableBytesView)) }
        return pongs
    }

    @Test("Of a run of pings the last is answered")
    func latestPing() throws {
        let fixture = try LegFixture(.server, assembles: true)
        try fixture.receive((0..<5000).flatMap { Self.fromServer(0x89, [UInt8($0 & 0x7F), 9]) })
        #expect(Self.pongs(try fixture.written()) == [[7, 9]])
        #expect(fixture.session.take() == [])
    }

    @Test("A peer that takes nothing has one answer kept for it, and gets that when it takes something")
    func pingsOfOneThatReadsNothing() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.setWritable(false)
        for index in 0..<1000 { try fixture.receive(Self.fromServer(0x89, [UInt8(index & 0x7F)])) }
        #expect(try fixture.written() == [])
        fixture.setWritable(true)
        #expect(Self.pongs(try fixture.written()) == [[103]])
        #expect(fixture.session.take() == [.writable(false), .writable(true)])
    }

    @Test("Behind a Close no ping is answered")
    func pingBehindClose() throws {
        let fixture = try LegFixture(.server, assembles: true)
        var close = ByteBuffer()
        FrameWriter.close(CloseFrame(code: .normal), mask: 0, into: &close)
        fixture.leg.say(close, behind: nil, betweenMessages: false)
        _ = try fixture.written()
        try fixture.receive(Self.fromServer(0x89, [1]))
        #expect(try fixture.written() == [])
    }

    @Test("After a violation nothing more is heard, and what came before it was forwarded")
    func violation() throws {
        let fixture = try LegFixture()
        let good = Self.frame(0x81, [1])
        try fixture.receive(good + [0x83, 0x80, 0, 0, 0, 0] + good)
        try fixture.receive(good)
        #expect(fixture.session.take() == [.forward(good), .violation(.protocolError)])
    }

    @Test("A violation in the first bytes of a header is told before the header is whole")
    func early1009() throws {
        let fixture = try LegFixture(limit: 10)
        try fixture.receive([0x82, 0x8B, 0, 0, 0, 0])
        #expect(fixture.session.take() == [.violation(.messageTooBig)])
    }

    @Test("The end of the connection is told once")
    func lost() throws {
        let fixture = try LegFixture()
        fixture.channel.pipeline.fireChannelInactive()
        _ = try? fixture.channel.finish()
        #expect(fixture.session.take() == [.lost])
    }

    // MARK: - backpressure

    @Test("A paused leg reads nothing; every reason must go before it reads again")
    func paused() throws {
        let fixture = try LegFixture()
        _ = fixture.takeReads()
        fixture.channel.pipeline.read()
        #expect(fixture.takeReads() == 1)
        fixture.leg.pause(.peerNotWritable)
        fixture.leg.pause(.windowFull)
        fixture.channel.pipeline.read()
        #expect(fixture.takeReads() == 0)
        fixture.leg.resume(.peerNotWritable)
        #expect(fixture.takeReads() == 0)
        fixture.leg.resume(.windowFull)
        #expect(fixture.takeReads() == 1)
        fixture.leg.resume(.windowFull)
        #expect(fixture.takeReads() == 0)
    }

    @Test("A leg reads nothing until the session starts")
    func notStarted() throws {
        let fixture = try LegFixture(started: false)
        fixture.channel.pipeline.read()
        #expect(fixture.takeReads() == 0)
        fixture.leg.start(delegate: fixture.session)
        #expect(fixture.takeReads() == 1)
    }

    @Test("A deaf leg reads on, so that the end of its connection is seen")
    func deaf() throws {
        let fixture = try LegFixture()
        fixture.leg.pause(.peerNotWritable)
        _ = fixture.takeReads()
        fixture.channel.pipeline.read()
        fixture.leg.turnDeaf()
        #expect(fixture.takeReads() == 1)
    }

    // MARK: - frames of our own

    /// Two legs of one session, each behind the other.
    private func pair() throws -> (client: LegFixture, upstream: LegFixture) {
        let client = try LegFixture(.client)
        let upstream = try LegFixture(.server)
        client.session.others[ObjectIdentifier(client.leg)] = upstream.leg
        upstream.session.others[ObjectIdentifier(upstream.leg)] = client.leg
        return (client, upstream)
    }

    @Test("A frame of ours is written at once between frames")
    func injectedAtOnce() throws {
        let (client, upstream) = try self.pair()
        try client.receive(Self.frame(0x01, [1]))
        upstream.leg.inject(ByteBuffer(bytes: [0x89, 0]), behind: client.leg.scanner)
        #expect(try upstream.written() == [0x89, 0])
        #expect(!upstream.leg.wantsBoundary)
    }

    @Test("Within a frame it waits for its end, and stands between the frames", arguments: [true, false])
    func injectedAtTheBoundary(isOneRead: Bool) throws {
        let (client, upstream) = try self.pair()
        let frame = Self.frame(0x82, [1, 2, 3, 4])
        let next = Self.frame(0x82, [5])
        try client.receive(Array(frame.prefix(8)))
        upstream.leg.inject(ByteBuffer(bytes: [0x89, 0]), behind: client.leg.scanner)
        #expect(try upstream.written() == [])
        #expect(upstream.leg.wantsBoundary)
        _ = client.session.take()
        if isOneRead {
            try client.receive(Array(frame.dropFirst(8)) + next)
            // The rest of the frame by itself, for ours to follow it.
            #expect(client.session.take() == [.forward(Array(frame.dropFirst(8))), .forward(next)])
        } else {
            try client.receive(Array(frame.dropFirst(8)))
        }
        #expect(!upstream.leg.wantsBoundary)
        upstream.leg.flush()
        #expect(try upstream.written() == [0x89, 0])
    }

    // MARK: - whole messages

    @Test("Messages come whole and unmasked, while they are wanted")
    func messages() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.appetite = 1
        func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] { LegFixture.frame(first, payload, from: .server) }
        try fixture.receive(
            frame(0x02, [1]) + frame(0x89, [7]) + frame(0x80, [2]) + frame(0x82, [3]) + frame(0x81, [4]))
        #expect(fixture.session.take() == [.message(.binary, [1, 2])])
        #expect(Self.pongs(try fixture.written()) == [[7]])
        fixture.session.appetite = 2
        fixture.leg.drainMessages()
        #expect(fixture.session.take() == [.message(.binary, [3]), .message(.text, [4])])
    }

    @Test("When the connection ends, what was held back is not lost")
    func messagesBeforeTheEnd() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.appetite = 0
        try fixture.receive(LegFixture.frame(0x82, [3], from: .server) + [0x88, 0])
        #expect(fixture.session.take() == [])
        fixture.channel.pipeline.fireChannelInactive()
        #expect(fixture.session.take() == [.message(.binary, [3]), .close(CloseFrame(code: nil)), .lost])
    }

    @Test(
        "While its session closes, a leg that assembles rests behind a MiB, whatever that was made of",
        arguments: [[0x89, 0], [0x8A, 1, 7], [0x02, 0], [0x82, 1, 7]] as [[UInt8]])
    func restsWhileItsSessionCloses(frame: [UInt8]) throws {
        for isClosing in [false, true] {
            let fixture = try LegFixture(.server, limit: .max, assembles: true)
            fixture.session.isClosing = isClosing
            // A message that does not end, where the frames are fragments of one.
            var chunk: [UInt8] = []
            while chunk.count < 64 << 10 { chunk += frame }
            if frame[0] == 0x02 {
                try fixture.receive(frame)
                for index in stride(from: 0, to: chunk.count, by: 2) { chunk[index] = 0 }
            }
            for _ in 0..<17 { try fixture.receive(chunk) }
            #expect(fixture.leg.isPaused == isClosing)
            _ = fixture.takeReads()
            fixture.channel.read()
            #expect(fixture.takeReads() == (isClosing ? 0 : 1))
            fixture.advance(PeerReading.dropRest)
            #expect(fixture.takeReads() == (isClosing ? 1 : 0))
        }
    }
}

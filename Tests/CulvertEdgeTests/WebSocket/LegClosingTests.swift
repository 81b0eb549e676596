import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("Closing of a WebSocket leg")
struct LegClosingTests {
    private static let close: [UInt8] = LegFixture.frame(0x88, [0x03, 0xE8])

    @Test("It closes when all is written, and at its deadline when the peer takes nothing", arguments: [false, true])
    func deadline(isStuck: Bool) throws {
        let fixture = try LegFixture()
        if isStuck { fixture.takeNothing() }
        fixture.leg.write(ByteBuffer(bytes: [0x88, 0]))
        fixture.leg.close(within: .seconds(3))
        #expect(fixture.channel.isActive == isStuck)
        fixture.advance(.milliseconds(2999))
        #expect(fixture.channel.isActive == isStuck)
        fixture.advance(.milliseconds(1))
        #expect(!fixture.channel.isActive)
        #expect(fixture.leg.isLost)
        #expect(fixture.session.take() == [.lost])
    }

    @Test("A close handshake below the WebSocket's, as TLS has one, holds the connection up for a second at most")
    func handshakeBelow() throws {
        let fixture = try LegFixture()
        fixture.holdCloses()
        fixture.leg.close(within: .seconds(30))
        #expect(fixture.closes == 1)
        fixture.advance(.milliseconds(999))
        #expect(fixture.closes == 1)
        fixture.advance(.milliseconds(1))
        #expect(fixture.closes == 2)
    }

    @Test("A leg that lingers ends its direction at once, and closes with the peer's, or after its time")
    func lingering() throws {
        let patient = try LegFixture()
        patient.leg.write(ByteBuffer(bytes: [0x88, 0]))
        patient.leg.closeLingering()
        #expect(try patient.written() == [0x88, 0])
        #expect(patient.isOutputEnded)
        patient.advance(WebSocketLeg.lingerTime - .milliseconds(1))
        #expect(patient.channel.isActive)
        patient.advance(.milliseconds(1))
        #expect(!patient.channel.isActive)
        let leaving = try LegFixture()
        leaving.leg.closeLingering()
        leaving.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(!leaving.channel.isActive)
    }

    @Test("A leg whose Close waits for the end of a frame lingers, and ends its direction behind the Close")
    func lingeringAmidFrame() throws {
        let source = try LegFixture(.server)
        let fixture = try LegFixture()
        source.session.others[ObjectIdentifier(source.leg)] = fixture.leg
        try source.receive([0x82, 2, 1])
        fixture.leg.say(ByteBuffer(bytes: [0x88, 0]), behind: source.leg.scanner, betweenMessages: false)
        fixture.leg.closeLingering()
        #expect(!fixture.isOutputEnded)
        try source.receive([2])
        #expect(fixture.isOutputEnded)
        #expect(try fixture.written() == [0x88, 0])
    }

    @Test("A frame that will never be whole is followed by the end of our direction, and by no Close")
    func amidFrame() throws {
        let source = try LegFixture(.server)
        let fixture = try LegFixture()
        try source.receive([0x82, 2, 1])
        fixture.leg.say(ByteBuffer(bytes: [0x88, 0]), behind: source.leg.scanner, betweenMessages: false)
        fixture.leg.closeAmidFrame()
        #expect(fixture.isOutputEnded)
        #expect(try fixture.written() == [])
        #expect(fixture.channel.isActive)
    }

    @Test("A Close that nobody has taken yet counts when the peer ends its direction behind it")
    func halfClosedBeforeTaken() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.appetite = 0
        try fixture.receive([0x82, 1, 7, 0x88, 2, 0x03, 0xE8])
        #expect(fixture.session.take() == [])
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(fixture.session.take() == [.message(.binary, [7]), .close(CloseFrame(code: .normal))])
        #expect(fixture.channel.isActive)
    }

    @Test("An end that comes before the session does is the end of the connection, unless a Close came first")
    func halfClosedBeforeStart() throws {
        for hasSaidClose in [false, true] {
            let fixture = try LegFixture(started: false)
            if hasSaidClose { try fixture.receive(Self.close) }
            fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            fixture.leg.start(delegate: fixture.session)
            #expect(fixture.channel.isActive == hasSaidClose)
            #expect(fixture.session.take() == [hasSaidClose ? .close(CloseFrame(code: .normal)) : .lost])
        }
    }

    @Test(
        "A peer that ends its direction is lost, unless it has said Close and waits for ours",
        arguments: [false, true])
    func halfClosed(hasSaidClose: Bool) throws {
        let fixture = try LegFixture()
        if hasSaidClose { try fixture.receive(Self.close) }
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(fixture.channel.isActive == hasSaidClose)
        guard hasSaidClose else { return }
        fixture.leg.write(ByteBuffer(bytes: [0x88, 0]))
        fixture.leg.close(within: .seconds(3))
        #expect(try fixture.written() == [0x88, 0])
        #expect(!fixture.channel.isActive)
    }

    @Test("What comes behind the end is dropped, and not at full speed")
    func dropped() throws {
        let fixture = try LegFixture()
        try fixture.receive(Self.close)
        _ = fixture.takeReads()
        let read = [UInt8](repeating: 0, count: 64 * 1024)
        var reads = 0
        for _ in 0..<200 {
            fixture.channel.pipeline.read()
            guard fixture.takeReads() == 1 else { break }
            reads += 1
            try fixture.receive(read)
        }
        #expect(reads == PeerReading.dropSlice / read.count)
        fixture.advance(PeerReading.dropRest)
        #expect(fixture.takeReads() == 1)
        #expect(fixture.session.take() == [.close(CloseFrame(code: .normal))])
    }

    @Test("What waits for a peer counts nothing once its connection has ended")
    func countsNothing() throws {
        let fixture = try LegFixture()
        for index in 0..<1000 {
            fixture.leg.write(ByteBuffer(bytes: [UInt8(truncatingIfNeeded: index)]))
            if index == 0 { fixture.holdFlushes() }
            fixture.leg.flush()
        }
        #expect(fixture.leg.queuedBytes > 0)
        fixture.session.onLost = { #expect($0.queuedBytes == 0) }
        fixture.leg.abort()
        fixture.advance(.zero)
        #expect(fixture.session.take() == [.lost])
        #expect(fixture.leg.queuedBytes == 0)
    }

    @Test("Small frames to a peer that takes nothing are copied together, and come out when it does")
    func queue() throws {
        let fixture = try LegFixture()
        // EmbeddedChannel keeps what was written and not flushed.
        let count = 20_000
        for index in 0..<count {
            fixture.leg.write(ByteBuffer(bytes: [UInt8(truncatingIfNeeded: index)]))
            if index == 0 { fixture.holdFlushes() }
            fixture.leg.flush()
        }
        #expect(fixture.leg.queuedBytes >= count - 1)
        #expect(fixture.flushesHeld < 100)
        fixture.releaseFlushes()
        let out = try fixture.written()
        #expect(out == (0..<count).map { UInt8(truncatingIfNeeded: $0) })
        #expect(fixture.leg.queuedBytes == 0)
        #expect(fixture.session.queueChanges > 0)
    }
}

import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

/// A read may bring 16,000 empty messages. They are taken in turns of the loop, and the leg is not read meanwhile.
@Suite("A leg that assembles, and the turns of its loop")
struct LegTurnTests {
    private static func flood(_ count: Int) -> [UInt8] {
        (0..<count).flatMap { _ in LegFixture.frame(0x82, [], from: .server) }
    }

    @Test("A turn takes no more messages than there is room for, and the next turns take the rest")
    func turns() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.room = 10
        _ = fixture.takeReads()
        try fixture.receive(Self.flood(25))
        #expect(fixture.session.take().count == 10)
        #expect(fixture.session.turnsWanted == 1)
        #expect(fixture.leg.isPaused)
        fixture.channel.pipeline.read()
        #expect(fixture.takeReads() == 0)
        // What comes in between waits behind them, and the session's own wish brings no more.
        try fixture.receive(LegFixture.frame(0x81, [7], from: .server))
        fixture.leg.drainMessages()
        #expect(fixture.session.take() == [])
        fixture.leg.takeMore()
        #expect(fixture.session.take().count == 10)
        fixture.leg.takeMore()
        #expect(fixture.session.take().last == .message(.text, [7]))
        #expect(fixture.session.taken.reduce(0, +) == 26)
        #expect(fixture.session.turnsWanted == 2)
        #expect(!fixture.leg.isPaused)
        #expect(fixture.takeReads() == 1)
    }

    @Test("Attack: fragments of a byte count as messages do, and so do pings")
    func fragments() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.room = 10
        var flood = LegFixture.frame(0x02, [0], from: .server)
        for number in UInt8(1)...22 { flood += LegFixture.frame(0x00, [number], from: .server) }
        flood += LegFixture.frame(0x89, [], from: .server) + LegFixture.frame(0x80, [23], from: .server)
        try fixture.receive(flood)
        print("tried 24 fragments of a byte and a ping in one read: \(fixture.session.taken) are taken at once")
        #expect(fixture.session.taken == [10])
        #expect(fixture.session.turnsWanted == 1)
        #expect(fixture.leg.assembledPayload == 10)
        #expect(fixture.leg.isPaused)
        fixture.leg.takeMore()
        #expect(fixture.session.take() == [])
        fixture.leg.takeMore()
        #expect(fixture.session.take() == [.message(.binary, Array(0...23))])
        #expect(fixture.session.taken == [10, 10, 5])
        #expect(fixture.session.turnsWanted == 2)
        #expect(!fixture.leg.isPaused)
        #expect(try fixture.written().count == 6)
    }

    @Test("A read that takes all room and no more waits for no other turn")
    func exactly() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.room = 10
        try fixture.receive(Self.flood(10))
        #expect(fixture.session.taken == [10])
        #expect(fixture.session.turnsWanted == 0)
        #expect(!fixture.leg.isPaused)
    }

    @Test(
        "The connection's end is told behind the last message, in whatever turn that passes", arguments: [false, true])
    func loss(isRemoved: Bool) throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.room = 10
        try fixture.receive(Self.flood(25))
        if isRemoved {
            fixture.channel.close(promise: nil)
            fixture.channel.embeddedEventLoop.run()
        } else {
            fixture.channel.pipeline.fireChannelInactive()
        }
        #expect(fixture.leg.isLost)
        #expect(!fixture.session.take().contains(.lost))
        fixture.leg.takeMore()
        #expect(!fixture.session.take().contains(.lost))
        fixture.leg.takeMore()
        let last = fixture.session.take()
        #expect(last.count == 6)
        #expect(last.last == .lost)
        fixture.leg.takeMore()
        #expect(fixture.session.take() == [])
    }

    @Test("A peer that ends its direction behind many messages is closed when the last of them has passed")
    func halfClosed() throws {
        let fixture = try LegFixture(.server, assembles: true)
        fixture.session.room = 10
        try fixture.receive(Self.flood(25))
        fixture.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        fixture.leg.takeMore()
        #expect(fixture.session.take().count == 20 && fixture.channel.isActive)
        fixture.leg.takeMore()
        #expect(!fixture.channel.isActive)
        let last = fixture.session.take()
        #expect(last.count == 6 && last.last == .lost)
    }

    @Test("Parts of a message count before it is whole")
    func parts() throws {
        let fixture = try LegFixture(.server, assembles: true)
        try fixture.receive([0x82, 100, 1, 2, 3])
        #expect(fixture.leg.assembledPayload == 3)
        try fixture.receive([4, 5])
        #expect(fixture.leg.assembledPayload == 5)
        #expect(fixture.session.take() == [])
    }
}

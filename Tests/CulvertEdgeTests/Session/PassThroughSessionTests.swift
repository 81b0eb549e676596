import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertEdge

/// A native session between two channels without sockets, on a loop whose clock is moved by hand.
private final class PassThroughFixture {
    let ground: SessionGround
    let session: PassThroughSession
    let client: SessionPeer
    let upstream: SessionPeer

    /// - Parameter config: more lines of the configuration.
    init(_ config: String = "") throws {
        self.ground = try SessionGround(config)
        self.client = try SessionPeer(.client, assembles: false, on: self.ground.loop)
        self.upstream = try SessionPeer(.server, assembles: false, on: self.ground.loop)
        self.session = PassThroughSession(
            facts: self.ground.facts, credential: self.ground.credential, edge: self.ground.edge,
            state: self.ground.state, clientLeg: self.client.leg, upstreamLeg: self.upstream.leg,
            lease: self.ground.lease, place: self.ground.place)
        self.session.start()
    }

    deinit {
        self.session.cut()
        for peer in [self.client, self.upstream] { peer.channel.close(promise: nil) }
        self.advance(.seconds(300))
    }

    func advance(_ time: TimeAmount) { self.ground.loop.advanceTime(by: time) }
}

@Suite("The driver of a pass-through session")
struct PassThroughSessionTests {
    private static let bye = CloseFrame(code: CloseCode(rawValue: 4001), reason: "bye")
    /// The first fragment of a client's text message.
    private static let fragment = ByteBuffer(bytes: [0x01, 0x81, 0, 0, 0, 0, 0x61])
    private static let lastFragment = ByteBuffer(bytes: [0x80, 0x81, 0, 0, 0, 0, 0x62])

    @Test("Messages pass in both directions, and are counted")
    func passing() throws {
        let fixture = try PassThroughFixture()
        fixture.client.send(.text, "a")
        fixture.upstream.send(.text, "bc")
        #expect(try fixture.upstream.received() == [.text("a")])
        #expect(try fixture.client.received() == [.text("bc")])
        #expect(
            fixture.session.counts == SessionCounts(messagesIn: 1, bytesIn: 1, messagesOut: 1, bytesOut: 2))
    }

    @Test("A Close goes through end to end, and the session is gone with its connections")
    func closing() throws {
        let fixture = try PassThroughFixture()
        fixture.client.send(Self.bye)
        #expect(try fixture.upstream.received() == [.close(Self.bye)])
        #expect(try fixture.client.received() == [] && !fixture.session.isEnded)
        fixture.upstream.send(Self.bye)
        #expect(try fixture.client.received() == [.close(Self.bye)])
        fixture.ground.loop.run()
        #expect(fixture.session.isGone && fixture.ground.state.session(fixture.session.id) == nil)
        #expect(fixture.ground.edge.openSessions == 0)
    }

    @Test("A Close that is not answered is cut at its deadline")
    func closeDeadline() throws {
        let fixture = try PassThroughFixture("limits: { handshake: 5s }")
        fixture.client.send(Self.bye)
        fixture.advance(.seconds(4))
        #expect(!fixture.session.isEnded)
        fixture.advance(.seconds(1))
        fixture.ground.loop.run()
        #expect(fixture.session.isGone && !fixture.upstream.channel.isActive)
    }

    @Test("A drain with patience waits for the end of a message, and says its Close behind it")
    func patience() throws {
        let fixture = try PassThroughFixture()
        fixture.client.send(Self.fragment)
        fixture.session.shutdown(Self.bye, patience: .seconds(5))
        #expect(fixture.session.isOpen)
        #expect(try fixture.client.received() == [])
        fixture.client.send(Self.lastFragment)
        #expect(try fixture.upstream.received() == [.text("ab"), .close(Self.bye)])
        #expect(try fixture.client.received() == [.close(Self.bye)])
        #expect(!fixture.session.isOpen)
    }

    @Test("The patience of a drain ends, and the side that is idle is told at once")
    func impatience() throws {
        let fixture = try PassThroughFixture()
        fixture.client.send(Self.fragment)
        fixture.session.shutdown(Self.bye, patience: .seconds(5))
        fixture.advance(.seconds(5))
        #expect(try fixture.client.received() == [.close(Self.bye)])
        fixture.client.send(Self.lastFragment)
        #expect(try fixture.upstream.received() == [.text("ab"), .close(Self.bye)])
    }

    @Test("A client that is lost ends the session; the upstream gets 1001")
    func lostClient() throws {
        let fixture = try PassThroughFixture()
        fixture.client.channel.close(promise: nil)
        fixture.ground.loop.run()
        #expect(try fixture.upstream.received() == [.close(CloseFrame(code: .goingAway, reason: "client lost"))])
        #expect(fixture.session.life.closing.ending?.closer == .client)
    }

    @Test("A silent client is pinged after a period, and lost after another one")
    func silentClient() throws {
        let fixture = try PassThroughFixture()
        fixture.advance(.seconds(50))
        fixture.upstream.send(.text, "a")
        #expect(try fixture.client.received() == [.ping, .text("a")])
        fixture.advance(.seconds(25))
        fixture.ground.loop.run()
        #expect(!fixture.client.channel.isActive)
    }

    @Test("A token that dies ends the session for both sides, and nothing passes any more")
    func tokenDies() throws {
        let fixture = try PassThroughFixture()
        fixture.ground.state.apply([.put(SessionGround.entry(isRevoked: true))])
        let reason = TokenFault.revoked.reason
        #expect(try fixture.client.received() == [.close(CloseFrame(code: CloseCode(rawValue: 4401), reason: reason))])
        #expect(try fixture.upstream.received() == [.close(CloseFrame(code: .goingAway, reason: reason))])
        fixture.client.send(.text, "a")
        #expect(try fixture.upstream.received() == [])
        fixture.advance(.milliseconds(500))
        #expect(fixture.session.isEnded)
    }

    @Test("A client that takes nothing pauses the upstream, and ends the session when it has stalled for too long")
    func stall() throws {
        let fixture = try PassThroughFixture("session: { stall: 20s }")
        fixture.client.channel.isWritable = false
        fixture.client.channel.pipeline.fireChannelWritabilityChanged()
        #expect(fixture.upstream.leg.isPaused)
        fixture.advance(.seconds(19))
        #expect(fixture.session.isOpen)
        fixture.advance(.seconds(1))
        #expect(fixture.session.life.closing.ending?.frame.reason == "client too slow")
        #expect(!fixture.upstream.leg.isPaused)
    }

    @Test("A client that is lost while it takes nothing holds the upstream up no longer")
    func lostWhileStalled() throws {
        let fixture = try PassThroughFixture()
        fixture.client.channel.isWritable = false
        fixture.client.channel.pipeline.fireChannelWritabilityChanged()
        #expect(fixture.upstream.leg.isPaused)
        fixture.client.channel.close(promise: nil)
        fixture.ground.loop.run()
        // The upstream's answer to the Close has to be read.
        #expect(!fixture.upstream.leg.isPaused && !fixture.session.isEnded)
    }

    @Test("Silence and lifetime end a session, at their time and not before", arguments: ["idle", "lifetime"])
    func limits(key: String) throws {
        let fixture = try PassThroughFixture("limits: { session: { \(key): 20s } }")
        fixture.advance(.milliseconds(19_999))
        #expect(fixture.session.isOpen)
        fixture.advance(.milliseconds(1))
        #expect(!fixture.session.isOpen)
    }
}

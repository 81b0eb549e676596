import CulvertCore
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertEdge

@Suite("The drain of a loop")
struct LoopDrainTests {
    private static let bye = CloseFrame(code: .goingAway, reason: "server going away")

    /// Notes that a future is done.
    private final class Mark {
        private(set) var isDone = false

        init(_ future: EventLoopFuture<Void>) {
            future.assumeIsolated().whenComplete { _ in self.isDone = true }
        }
    }

    @Test("The drain is over when the last session has ended, and delivered when its client has fetched the Close")
    func sessions() throws {
        let fixture = try SessionFixture()
        let ended = Mark(fixture.state.drain.begin(Self.bye, spread: .zero, under: fixture.state.rules))
        let delivered = Mark(fixture.state.ends.whenDelivered())
        #expect(try fixture.upstream.received() == [.close(Self.bye)])
        #expect(!ended.isDone && !fixture.session.isOpen)
        fixture.upstream.send(Self.bye)
        fixture.loop.run()
        #expect(ended.isDone && !delivered.isDone)
        fixture.upstream.channel.close(promise: nil)
        fixture.advance(.seconds(300))
        #expect(delivered.isDone && fixture.state.sessions.all.isEmpty)
    }

    @Test("A session that begins while the others are told to go is closed, too")
    func latecomer() throws {
        let ground = try SessionGround()
        let drained = Mark(ground.state.drain.begin(Self.bye, spread: .zero, under: ground.state.rules))
        #expect(drained.isDone)
        let upstream = try SessionPeer(.server, on: ground.loop)
        let session = ResumableSession(
            facts: ground.facts, credential: ground.credential, edge: ground.edge, state: ground.state,
            upstreamLeg: upstream.leg, lease: ground.lease, place: ground.place)
        session.start()
        #expect(!session.isOpen)
        session.cut()
        upstream.channel.close(promise: nil)
        ground.loop.advanceTime(by: .seconds(300))
    }

    @Test("Sessions whose client polls are closed when another process takes the listeners, those with a lane are not")
    func polled() throws {
        let lane = FakeLane()
        let (polled, other) = (try SessionFixture(), try SessionFixture(lane: lane))
        for fixture in [polled, other] {
            let done = Mark(fixture.state.drain.closePolled(Self.bye))
            fixture.advance(.milliseconds(10))
            #expect(done.isDone)
        }
        #expect(!polled.session.isOpen && other.session.isOpen)
    }

    @Test("A loop has stopped when its last connection is closed, and no session is being put in its place")
    func stop() throws {
        let ground = try SessionGround()
        let lane = FakeLane()
        ground.state.connections.add(lane)
        ground.state.ends.starting += 1
        let stopped = Mark(ground.state.drain.stop())
        ground.loop.advanceTime(by: .milliseconds(10))
        ground.state.laneClosed(lane)
        #expect(!stopped.isDone)
        ground.state.ends.starting -= 1
        #expect(stopped.isDone)
    }
}

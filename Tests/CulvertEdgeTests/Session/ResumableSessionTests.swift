import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertEdge

@Suite("The driver of a resumable session")
struct ResumableSessionTests {
    private static let stayedAway = CloseFrame(code: .goingAway, reason: "client stayed away")
    private static let lost = CloseFrame(code: .goingAway, reason: "client lost")

    private static func batch(_ texts: [String], first: UInt64 = 1, ack: UInt64 = 0) -> PollBatch {
        PollBatch(
            ack: ack, first: first,
            messages: texts.map { PollMessage(opcode: .text, payload: ByteBuffer(string: $0)) })
    }

    private static func sent(
        _ texts: [String], first: UInt64 = 1, ack: UInt64 = 0, close: CloseFrame? = nil
    ) -> FakeLane.Order {
        .batch(ack: ack, first: first, texts, close: close)
    }

    // MARK: - requests

    @Test("A parked poll is answered by the next message, or empty when its time is up")
    func parked() throws {
        let fixture = try SessionFixture()
        let first = fixture.ask(.receive(ack: 0))
        #expect(fixture.edge.admissions.parkedPolls == 1)
        fixture.upstream.send(.text, "a")
        #expect(fixture.answers(to: first) == [.batch(ack: 0, first: 1, ["a"], close: nil)])
        #expect(fixture.edge.admissions.parkedPolls == 0)
        let second = fixture.ask(.receive(ack: 1))
        fixture.advance(.seconds(24))
        #expect(fixture.answers(to: second) == [])
        fixture.advance(.seconds(1))
        #expect(fixture.answers(to: second) == [.empty])
    }

    @Test("A newer poll answers the parked one, and a connection that goes takes its poll with it")
    func superseded() throws {
        let fixture = try SessionFixture()
        let first = fixture.ask(.receive(ack: 0))
        let second = fixture.ask(.receive(ack: 0))
        #expect(fixture.answers(to: first) == [.empty] && fixture.answers(to: second) == [])
        fixture.session.requests.connectionLost(ticket: second)
        #expect(fixture.edge.admissions.parkedPolls == 0)
        fixture.upstream.send(.text, "a")
        #expect(fixture.answers(to: second) == [])
        #expect(fixture.answers(to: fixture.ask(.receive(ack: 0))) == [.batch(ack: 0, first: 1, ["a"], close: nil)])
    }

    @Test("Over the limit of parked polls a poll is refused, and what it acknowledged holds")
    func tooManyParked() throws {
        let fixture = try SessionFixture("limits: { http: { parked: 1 } }")
        fixture.edge.admissions.parked()
        fixture.upstream.send(.text, "a")
        #expect(fixture.answers(to: fixture.ask(.receive(ack: 1))) == [.problem(503, "too_many_polls")])
        #expect(fixture.session.client.traffic.stream.acknowledged == 1)
    }

    @Test("A client that stays away ends the session; the upstream gets 1001, and later requests 410, then 404")
    func staysAway() throws {
        let fixture = try SessionFixture()
        fixture.advance(.seconds(59))
        #expect(try fixture.upstream.received() == [.ping])
        fixture.advance(.seconds(1))
        #expect(try fixture.upstream.received() == [.close(Self.stayedAway)])
        fixture.upstream.send(Self.stayedAway)
        #expect(fixture.session.isEnded)
        #expect(fixture.answers(to: fixture.ask(.receive(ack: 0))) == [.problem(410, "session_ended")])
    }

    @Test("A client whose poll's connection goes has from then on the time to come back, and no longer")
    func lostPoll() throws {
        let fixture = try SessionFixture()
        let poll = fixture.ask(.receive(ack: 0))
        fixture.advance(.seconds(5))
        fixture.session.requests.connectionLost(ticket: poll)
        fixture.advance(.seconds(59))
        #expect(try fixture.upstream.received() == [.ping])
        #expect(fixture.session.isOpen)
        fixture.advance(.seconds(1))
        #expect(try fixture.upstream.received() == [.close(Self.stayedAway)])
    }

    @Test("A poll whose token dies is told so, and the upstream gets 1001")
    func tokenDies() throws {
        let fixture = try SessionFixture()
        let poll = fixture.ask(.receive(ack: 0))
        fixture.state.apply([.put(SessionFixture.entry(isRevoked: true))])
        #expect(fixture.answers(to: poll) == [.unauthorized(.revoked)])
        let end = CloseFrame(code: .goingAway, reason: TokenFault.revoked.reason)
        #expect(try fixture.upstream.received() == [.close(end)])
        // The upstream has half a second for its answer.
        fixture.advance(.milliseconds(500))
        #expect(fixture.session.isEnded)
    }

    /// A session that passes on a large batch, and requests that bring its first message again and wait for it.
    private func waiting(_ count: Int) throws -> (fixture: SessionFixture, requests: [UInt64]) {
        let fixture = try SessionFixture()
        fixture.ask(.send(Self.batch((0..<5000).map { "\($0)" })))
        let requests = (0..<count).map { _ in fixture.ask(.send(Self.batch(["0"]))) }
        #expect(requests.allSatisfy { fixture.answers(to: $0) == [] })
        return (fixture, requests)
    }

    @Test("Attack: requests that wait behind a batch are let go of with their connections")
    func goneWhileWaiting() throws {
        let (fixture, requests) = try self.waiting(300)
        for ticket in requests.dropLast() { fixture.session.requests.connectionLost(ticket: ticket) }
        fixture.advance(.milliseconds(10))
        #expect(requests.dropLast().allSatisfy { fixture.answers(to: $0) == [] })
        #expect(fixture.answers(to: requests[299]) == [.batch(ack: 5000, first: 1, [], close: nil)])
    }

    @Test("Attack: the end of a token answers few of the requests that wait at once, and the others in turns")
    func tokenDiesWhileManyWait() throws {
        let (fixture, requests) = try self.waiting(300)
        fixture.state.apply([.put(SessionFixture.entry(isRevoked: true))])
        let told = requests.count { fixture.answers(to: $0) == [.unauthorized(.revoked)] }
        print("tried 300 requests of a session whose token dies: \(told) were answered in that turn")
        #expect(told > 0 && told <= ForwardQueue.repliesAtOnce)
        fixture.advance(.milliseconds(10))
        #expect(requests.allSatisfy { fixture.answers(to: $0) == [.unauthorized(.revoked)] })
    }

    // MARK: - lanes

    @Test("A lane is sent each message once, and acknowledges within 100 ms what it has brought")
    func lane() throws {
        let lane = FakeLane()
        let fixture = try SessionFixture(lane: lane)
        fixture.upstream.send(.text, "a")
        #expect(lane.take() == [Self.sent(["a"])])
        fixture.bring(Self.batch([], ack: 1), on: lane)
        // The first envelope is answered at once.
        #expect(lane.take() == [Self.sent([], first: 2), .read])
        fixture.bring(Self.batch(["x", "y"], ack: 1), on: lane)
        #expect(lane.take() == [.read])
        #expect(try fixture.upstream.received() == [.text("x"), .text("y")])
        fixture.advance(.milliseconds(100))
        #expect(lane.take() == [Self.sent([], first: 2, ack: 2)])
    }

    @Test("An unconfirmed session ends with the lane that opened it; a confirmed one outlives it")
    func unconfirmed() throws {
        let lane = FakeLane()
        let fixture = try SessionFixture(lane: lane)
        fixture.session.lane(lane.generation, .lost)
        #expect(try fixture.upstream.received() == [.close(Self.lost)])
        let other = FakeLane()
        let second = try SessionFixture(lane: other)
        second.bring(Self.batch([]), on: other)
        second.session.lane(other.generation, .lost)
        #expect(try second.upstream.received() == [] && second.session.isOpen)
    }

    @Test(
        "A lane that joins takes over with its first envelope, answers the parked poll, and gets what is unacknowledged"
    )
    func takeover() throws {
        let (first, second) = (FakeLane(), FakeLane())
        let fixture = try SessionFixture(lane: first)
        fixture.bring(Self.batch([]), on: first)
        fixture.upstream.send(.text, "a")
        _ = first.take()
        let poll = fixture.ask(.receive(ack: 1))
        fixture.join(second)
        #expect(first.take() == [] && second.take() == [])
        fixture.bring(Self.batch([], ack: 0), on: second)
        #expect(first.take() == [.close(CloseFrame(code: CloseCode(rawValue: 4409), reason: "another lane took over"))])
        #expect(second.take() == [Self.sent([], first: 2), .read])
        #expect(fixture.answers(to: poll) == [.empty])
        // What the first lane still says is ignored.
        fixture.bring(Self.batch(["x"]), on: first)
        #expect(try fixture.upstream.received() == [])
    }

    @Test("A lane that takes over gets a long window in turns of the loop, and all of it")
    func longWindow() throws {
        let texts = (1...5000).map { "\($0)" }
        let fixture = try SessionFixture()
        var frames = ByteBuffer()
        for text in texts {
            FrameWriter.write(.text, payload: ByteBuffer(string: text), mask: nil, into: &frames)
        }
        fixture.upstream.send(frames)
        fixture.advance(.milliseconds(10))
        let lane = FakeLane()
        fixture.join(lane)
        fixture.bring(Self.batch([]), on: lane)
        let first = Self.texts(lane.take())
        #expect(!first.isEmpty && first.count <= LoopSlices.messages)
        fixture.advance(.milliseconds(10))
        // Not compared in the expectation, of which a failure would print all of them.
        let isWhole = first + Self.texts(lane.take()) == texts
        #expect(isWhole)
    }

    /// Of all batches among the orders.
    private static func texts(_ orders: [FakeLane.Order]) -> [String] {
        orders.flatMap { order in if case .batch(_, _, let texts, _) = order { texts } else { [String]() } }
    }

    @Test("A lane on the session's loop that brings more as soon as it may is taken in order")
    func synchronousLane() throws {
        let lane = FakeLane()
        let fixture = try SessionFixture(lane: lane)
        var next: UInt64 = 2
        lane.onOrder = { [unowned fixture, unowned lane] order in
            guard order == .read, next <= 50 else { return }
            let first = next
            next += 1
            fixture.bring(Self.batch(["\(first)"], first: first), on: lane)
        }
        fixture.bring(Self.batch(["1"]), on: lane)
        #expect(try fixture.upstream.received() == (1...50).map { .text("\($0)") })
    }

    @Test("A lane whose numbers have a gap is closed, and the session lives on")
    func gap() throws {
        let lane = FakeLane()
        let fixture = try SessionFixture(lane: lane)
        fixture.bring(Self.batch(["x"], first: 3), on: lane)
        #expect(lane.take() == [.close(CloseFrame(code: .protocolError, reason: "expected 1"))])
        #expect(fixture.session.isOpen)
    }

    @Test("The upstream's Close is behind its last message; acknowledged, it closes the lane and forgets the session")
    func upstreamCloses() throws {
        let lane = FakeLane()
        let fixture = try SessionFixture(lane: lane)
        fixture.bring(Self.batch([]), on: lane)
        _ = lane.take()
        let bye = CloseFrame(code: CloseCode(rawValue: 4001), reason: "bye")
        fixture.upstream.send(.text, "a")
        fixture.upstream.send(bye)
        #expect(lane.take() == [Self.sent(["a"]), Self.sent([], first: 2, close: bye)])
        #expect(try fixture.upstream.received() == [.close(bye)])
        #expect(fixture.session.isEnded && fixture.state.session(fixture.session.id) != nil)
        fixture.bring(Self.batch([], ack: 2), on: lane)
        #expect(lane.take() == [.close(CloseFrame(code: .normal))])
        #expect(fixture.state.session(fixture.session.id) == nil)
    }

    // MARK: - time

    @Test("An upstream that is silent for a period is pinged, and lost after another one")
    func silentUpstream() throws {
        let fixture = try SessionFixture()
        let poll = fixture.ask(.receive(ack: 0))
        fixture.advance(.seconds(50))
        #expect(try fixture.upstream.received() == [.ping])
        _ = fixture.ask(.receive(ack: 0))
        fixture.advance(.seconds(25))
        #expect(!fixture.upstream.channel.isActive)
        #expect(fixture.session.isEnded && fixture.answers(to: poll) == [.empty])
    }

    @Test("A session has its lifetime")
    func lifetime() throws {
        let fixture = try SessionFixture("limits: { session: { lifetime: 10s } }")
        let poll = fixture.ask(.receive(ack: 0))
        fixture.advance(.seconds(9))
        #expect(fixture.answers(to: poll) == [])
        fixture.advance(.seconds(1))
        let over = CloseFrame(code: .goingAway, reason: "lifetime over")
        #expect(fixture.answers(to: poll) == [.batch(ack: 0, first: 1, [], close: over)])
        #expect(try fixture.upstream.received() == [.close(over)])
    }
}

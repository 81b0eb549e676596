import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertEdge

@Suite("The upstream's Close behind a large batch")
struct ForwardedCloseTests {
    /// More than two turns' worth.
    private static let count = 5000
    private static let texts = (1...count).map { "\($0)" }
    private static let end = CloseFrame(code: CloseCode(rawValue: 4001), reason: "end")

    private static func batch(first: UInt64 = 1, close: CloseFrame? = nil) -> PollBatch {
        PollBatch(
            ack: 0, first: first,
            messages: self.texts.map { PollMessage(opcode: .text, payload: ByteBuffer(string: $0)) }, close: close)
    }

    private static let taken = SessionAnswer.batch(ack: UInt64(count), first: 1, [], close: nil)
    private static let gone = SessionAnswer.problem(410, "session_ended")

    /// The ways in which a session is closed while a batch is being forwarded, and the Close that the upstream gets.
    enum Way: CaseIterable {
        case deletion
        case drain
        case operation
        case lane

        func close(_ fixture: SessionFixture) -> CloseFrame {
            let session = fixture.session
            switch self {
            case .deletion: fixture.ask(.close(ForwardedCloseTests.end))
            case .drain: session.shutdown(ForwardedCloseTests.end)
            case .lane:
                session.tell { client, life, moment in
                    var actions: [ResumableAction] = []
                    client.traffic.closeFromClient(ForwardedCloseTests.end, &life, moment, &actions)
                    return actions
                }
            case .operation:
                session.dismiss(ForwardedCloseTests.end, upstreamReason: "idle")
                return CloseFrame(code: .goingAway, reason: "idle")
            }
            return ForwardedCloseTests.end
        }
    }

    @Test("Attack: a batch with a Close passes in slices, as one without does, and the Close comes behind it")
    func inTheBatch() throws {
        let fixture = try SessionFixture()
        let post = fixture.ask(.send(Self.batch(close: Self.end)))
        let first = try fixture.upstream.received()
        #expect(first == Self.texts.prefix(LoopSlices.messages).map { .text($0) })
        #expect(fixture.answers(to: post) == [])
        // The client has closed the session, whatever is still to pass.
        #expect(fixture.answers(to: fixture.ask(.receive(ack: 0))) == [Self.gone])
        fixture.advance(.milliseconds(10))
        let rest = try fixture.upstream.received()
        #expect(rest == Self.texts.dropFirst(first.count).map { .text($0) } + [.close(Self.end)])
        #expect(fixture.answers(to: post) == [Self.taken])
        fixture.upstream.send(Self.end)
        #expect(fixture.session.isEnded)
    }

    @Test(
        "Attack: however a session is closed, what was taken passes in slices, and in front of the Close",
        arguments: Way.allCases)
    func inSlices(_ way: Way) throws {
        let fixture = try SessionFixture()
        let post = fixture.ask(.send(Self.batch()))
        let first = try fixture.upstream.received()
        let close = way.close(fixture)
        #expect(try fixture.upstream.received() == [])
        #expect(!fixture.session.isOpen)
        fixture.advance(.milliseconds(10))
        let rest = try fixture.upstream.received()
        #expect(rest == Self.texts.dropFirst(first.count).map { .text($0) } + [.close(close)])
        #expect(fixture.answers(to: post) == [Self.taken])
    }

    @Test("A DELETE is answered 204 behind the batch, and every request that comes after it 410")
    func deletion() throws {
        let fixture = try SessionFixture()
        fixture.ask(.send(Self.batch()))
        let deletion = fixture.ask(.close(Self.end))
        #expect(fixture.answers(to: deletion) == [])
        #expect(fixture.answers(to: fixture.ask(.close(Self.end))) == [Self.gone])
        fixture.advance(.milliseconds(10))
        #expect(fixture.answers(to: deletion) == [.empty])
    }

    @Test("Attack: a token that dies while a Close waits behind its messages has none of them pass any more")
    func expelled() throws {
        let fixture = try SessionFixture()
        let post = fixture.ask(.send(Self.batch()))
        fixture.session.dismiss(Self.end, upstreamReason: "closed by the operator")
        _ = try fixture.upstream.received()
        fixture.state.apply([.put(SessionFixture.entry(isRevoked: true))])
        let close = CloseFrame(code: .goingAway, reason: "closed by the operator")
        #expect(try fixture.upstream.received() == [.close(close)])
        #expect(fixture.answers(to: post) == [.unauthorized(.revoked)])
        fixture.advance(.milliseconds(10))
        #expect(try fixture.upstream.received() == [])
    }

    @Test("Attack: a session that is closed for memory drops what waits in front of its Close, and says that")
    func relieved() throws {
        let fixture = try SessionFixture()
        let post = fixture.ask(.send(Self.batch(close: Self.end)))
        _ = try fixture.upstream.received()
        #expect(SessionRelief(session: fixture.session).relieve() > 0)
        #expect(try fixture.upstream.received() == [.close(Self.end)])
        #expect(fixture.answers(to: post) == [Self.gone])
        #expect(fixture.session.client.traffic.forwarding.heldBytes == 0)
    }

    @Test("An upstream that says Close first gets ours at once, and none of the messages in front of it")
    func upstreamFirst() throws {
        let fixture = try SessionFixture()
        let post = fixture.ask(.send(Self.batch(close: Self.end)))
        _ = try fixture.upstream.received()
        fixture.upstream.send(CloseFrame(code: .normal))
        #expect(try fixture.upstream.received() == [.close(Self.end)])
        #expect(fixture.answers(to: post) == [Self.gone])
        #expect(fixture.session.isEnded)
    }

    @Test("Attack: very many requests that wait behind a batch are answered in slices", arguments: [true, false])
    func waitingAnswers(isLost: Bool) throws {
        let fixture = try SessionFixture()
        fixture.ask(.send(Self.batch()))
        let repeated = PollBatch(
            ack: 0, first: 1, messages: [PollMessage(opcode: .text, payload: ByteBuffer(string: "1"))])
        let posts = (0..<500).map { _ in fixture.ask(.send(repeated)) }
        func answered() -> Int { posts.filter { !fixture.answers(to: $0).isEmpty }.count }
        #expect(answered() == 0)
        if isLost { fixture.upstream.channel.close(promise: nil) }
        fixture.loop.run()
        // The batch itself has the first answer of 64.
        #expect(answered() == (isLost ? 63 : 0))
        fixture.advance(.milliseconds(100))
        print("tried 500 requests behind a batch: all have an answer: \(answered() == 500)")
        #expect(posts.allSatisfy { fixture.answers(to: $0) == [isLost ? Self.gone : Self.taken] })
    }

    @Test("A lost upstream leaves no request unanswered")
    func upstreamLost() throws {
        let fixture = try SessionFixture()
        let post = fixture.ask(.send(Self.batch(close: Self.end)))
        fixture.upstream.channel.close(promise: nil)
        fixture.loop.run()
        #expect(fixture.answers(to: post) == [Self.gone])
        #expect(fixture.session.isEnded)
    }

    @Test("The payload of a batch that was taken before in part is counted once")
    func counted() throws {
        let fixture = try SessionFixture()
        fixture.ask(.send(Self.batch()))
        fixture.advance(.milliseconds(10))
        fixture.ask(.send(Self.batch(first: UInt64(Self.count - 9))))
        fixture.advance(.milliseconds(10))
        let all = Self.texts.reduce(0) { $0 + $1.utf8.count }
        let again = Self.texts.prefix(10).reduce(0) { $0 + $1.utf8.count }
        #expect(fixture.session.counts.messagesIn == UInt64(2 * Self.count - 10))
        #expect(fixture.session.counts.bytesIn == UInt64(2 * all - again))
    }
}

@Suite("A GET that waits for its turn")
struct HalfClosedTurnTests {
    /// A window that one turn of a busy loop does not give out.
    private func waiting() throws -> (fixture: SessionFixture, get: UInt64) {
        let fixture = try SessionFixture()
        for number in 1...100 { fixture.upstream.send(.text, "\(number)") }
        fixture.state.slices.enqueue(in: .sessions) {}
        let get = fixture.ask(.receive(ack: 0))
        #expect(fixture.answers(to: get) == [])
        return (fixture, get)
    }

    @Test("A client that half-closes meanwhile gets the window in the request's turn")
    func window() throws {
        let (fixture, get) = try self.waiting()
        fixture.session.requests.endInput(ticket: get)
        fixture.advance(.milliseconds(1))
        #expect(fixture.answers(to: get) == [.batch(ack: 0, first: 1, (1...100).map { "\($0)" }, close: nil)])
    }

    @Test("A client that half-closes meanwhile, and whose window is empty by then, is answered 204 and not parked")
    func empty() throws {
        let (fixture, get) = try self.waiting()
        fixture.session.requests.endInput(ticket: get)
        // Another request of the client's acknowledges the whole window.
        fixture.ask(.send(PollBatch(ack: 100, first: 1)))
        fixture.advance(.milliseconds(1))
        #expect(fixture.answers(to: get) == [.empty])
        #expect(fixture.session.client.traffic.parked == nil)
    }
}

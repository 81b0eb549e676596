import CulvertCore
import NIOCore
import Testing

/// A stream with a clock that is moved by hand.
struct StreamFixture {
    static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    var stream: ResumableStream
    var now = Self.start

    init(buffer: Int = 1000, maxBatch: Int = 1000) {
        self.stream = ResumableStream(
            settings: SessionSettings(
                hold: .seconds(25), resume: .seconds(60), ping: .seconds(25), buffer: buffer, maxBatch: maxBatch),
            now: Self.start)
    }

    /// Numbers of the messages that a poll with `ack` is answered with; nil when it parks or is refused.
    mutating func reply(ack: UInt64) -> PollBatch? {
        guard case .reply(let batch) = self.stream.poll(ack: ack, now: self.now).outcome else { return nil }
        return batch
    }

    /// The lane of a poll that is to park.
    mutating func park(ack: UInt64) throws -> ResumableStream.Lane {
        guard case .park(let lane) = self.stream.poll(ack: ack, now: self.now).outcome else {
            throw NotParked()
        }
        return lane
    }

    struct NotParked: Error {}
}

struct ResumableStreamTests {
    @Test("A poll with nothing to say parks and is answered by the next message")
    func parkedPollIsAnswered() throws {
        var fixture = StreamFixture()
        let lane = try fixture.park(ack: 0)
        #expect(lane.deadline == fixture.now + .seconds(25))
        #expect(fixture.stream.takeReady(now: fixture.now) == nil)
        fixture.stream.enqueue(textMessage("a"))
        let ready = fixture.stream.takeReady(now: fixture.now)
        let (answered, batch) = try #require(ready)
        #expect(answered == lane)
        #expect(batch == PollBatch(ack: 0, first: 1, messages: [textMessage("a")]))
        #expect(fixture.stream.takeReady(now: fixture.now) == nil, "one answer for one request")
    }

    @Test("A message that waits answers a poll at once, the same one again for the same ack")
    func repeatedPoll() {
        var fixture = StreamFixture()
        fixture.stream.enqueue(textMessage("a"))
        fixture.stream.enqueue(textMessage("b"))
        let batch = PollBatch(ack: 0, first: 1, messages: [textMessage("a"), textMessage("b")])
        #expect(fixture.reply(ack: 0) == batch)
        #expect(fixture.reply(ack: 0) == batch)
        #expect(fixture.reply(ack: 1) == PollBatch(ack: 0, first: 2, messages: [textMessage("b")]))
        // Overtaken on its way: what was acknowledged since is gone, and the client has it.
        #expect(fixture.reply(ack: 0)?.first == 2)
    }

    @Test("A newer poll supersedes the parked one, and what the old lane still says is ignored")
    func supersede() throws {
        var fixture = StreamFixture()
        let old = try fixture.park(ack: 0)
        fixture.now = fixture.now + .seconds(5)
        let (superseded, outcome) = fixture.stream.poll(ack: 0, now: fixture.now)
        #expect(superseded == old)
        guard case .park(let new) = outcome else {
            Issue.record("not parked")
            return
        }
        #expect(new.generation > old.generation)
        fixture.stream.laneLost(generation: old.generation, now: fixture.now)
        #expect(fixture.stream.parked == new)
        fixture.stream.laneLost(generation: new.generation, now: fixture.now)
        #expect(fixture.stream.parked == nil)
    }

    @Test("A lane that is lost takes no message with it")
    func lostLane() throws {
        var fixture = StreamFixture()
        let lane = try fixture.park(ack: 0)
        fixture.stream.laneLost(generation: lane.generation, now: fixture.now)
        fixture.stream.enqueue(textMessage("a"))
        #expect(fixture.stream.takeReady(now: fixture.now) == nil)
        #expect(fixture.reply(ack: 0)?.messages == [textMessage("a")])
    }

    @Test("A parked poll expires at its deadline and not before")
    func expiry() throws {
        var fixture = StreamFixture()
        let lane = try fixture.park(ack: 0)
        #expect(fixture.stream.takeExpired(now: lane.deadline - .nanoseconds(1)) == nil)
        #expect(fixture.stream.takeExpired(now: lane.deadline) == lane)
        #expect(fixture.stream.takeExpired(now: lane.deadline) == nil)
        #expect(fixture.stream.resumeDeadline == lane.deadline + .seconds(60))
    }

    @Test("A parked poll that is answered before its time gives the client the resume time from then on")
    func takenEarly() throws {
        var fixture = StreamFixture()
        let lane = try fixture.park(ack: 0)
        fixture.now = fixture.now + .seconds(5)
        #expect(fixture.stream.takeParked(now: fixture.now) == lane)
        #expect(fixture.stream.takeParked(now: fixture.now) == nil)
        #expect(fixture.stream.resumeDeadline == fixture.now + .seconds(60))
    }

    // MARK: - resume

    @Test("A client that stays away for the resume time is given up, at that moment and not before")
    func abandoned() {
        let stream = StreamFixture().stream
        #expect(!stream.isAbandoned(hasEnded: false, now: StreamFixture.start + .seconds(60) - .nanoseconds(1)))
        #expect(stream.isAbandoned(hasEnded: false, now: StreamFixture.start + .seconds(60)))
    }

    @Test("A session with a parked poll is not given up")
    func notAbandoned() throws {
        var fixture = StreamFixture()
        _ = try fixture.park(ack: 0)
        #expect(!fixture.stream.isAbandoned(hasEnded: false, now: .distantFuture))
    }

    enum Touch: CaseIterable, Sendable {
        case poll, post, repeatedPost, gap, ackBeyond, lostLane, answered, finish
    }

    @Test("Every request of the client, and the end of a lane, begins the resume time anew", arguments: Touch.allCases)
    func touches(touch: Touch) throws {
        var fixture = StreamFixture()
        let lane = touch == .lostLane || touch == .answered ? try fixture.park(ack: 0) : nil
        fixture.now = fixture.now + .seconds(50)
        switch touch {
        case .poll:
            fixture.stream.enqueue(textMessage("a"))
            #expect(fixture.reply(ack: 0) != nil)
        case .post: #expect(fixture.stream.receive(first: 1, count: 1, ack: 0, now: fixture.now) == .accept(skip: 0))
        case .repeatedPost: #expect(fixture.stream.receive(first: 0, count: 0, ack: 0, now: fixture.now) == .duplicate)
        case .gap: #expect(fixture.stream.receive(first: 5, count: 1, ack: 0, now: fixture.now) == .gap(expected: 1))
        case .ackBeyond: #expect(fixture.stream.poll(ack: 7, now: fixture.now).outcome == .ackBeyond(last: 0))
        case .lostLane: fixture.stream.laneLost(generation: lane?.generation ?? 0, now: fixture.now)
        case .answered:
            fixture.stream.enqueue(textMessage("a"))
            #expect(fixture.stream.takeReady(now: fixture.now) != nil)
        case .finish: fixture.stream.finish(CloseFrame(code: .normal), now: fixture.now)
        }
        #expect(fixture.stream.resumeDeadline == fixture.now + .seconds(60))
    }

    @Test("Neither a message of the upstream nor a dead lane keeps a session without a client alive")
    func noTouch() throws {
        var fixture = StreamFixture()
        let old = try fixture.park(ack: 0)
        fixture.stream.laneLost(generation: old.generation, now: fixture.now)
        let deadline = fixture.stream.resumeDeadline
        fixture.now = fixture.now + .seconds(30)
        fixture.stream.enqueue(textMessage("a"))
        fixture.stream.laneLost(generation: old.generation, now: fixture.now)
        #expect(fixture.stream.takeReady(now: fixture.now) == nil)
        #expect(fixture.stream.takeExpired(now: fixture.now) == nil)
        #expect(fixture.stream.resumeDeadline == deadline)
    }

    // MARK: - windows

    @Test("The send window is full at the buffer's size and open again after the ack")
    func fullWindow() {
        var fixture = StreamFixture(buffer: 3 * 17)
        for text in ["a", "b", "c"] {
            #expect(!fixture.stream.isSendWindowFull)
            fixture.stream.enqueue(textMessage(text))
        }
        #expect(fixture.stream.isSendWindowFull)
        _ = fixture.reply(ack: 0)
        #expect(fixture.stream.isSendWindowFull, "given is not acknowledged")
        _ = fixture.stream.receive(first: 0, count: 0, ack: 1, now: fixture.now)
        #expect(!fixture.stream.isSendWindowFull, "an ack in a POST counts as one in a GET")
    }

    @Test("Batches are bounded and follow each other without a hole")
    func boundedBatches() {
        var fixture = StreamFixture(maxBatch: 40)
        let all = (0..<7).map { textMessage("message \($0)") }
        for message in all { fixture.stream.enqueue(message) }
        var got: [PollMessage] = []
        while got.count < all.count, let batch = fixture.reply(ack: UInt64(got.count)) {
            #expect(batch.first == UInt64(got.count + 1))
            #expect(batch.messages.count == 1)
            got += batch.messages
        }
        #expect(got == all)
    }

    @Test("An ack of what was never sent changes nothing: not the window, not the parked poll")
    func ackBeyond() throws {
        var fixture = StreamFixture()
        let lane = try fixture.park(ack: 0)
        for ack in [1, UInt64.max] {
            let (superseded, outcome) = fixture.stream.poll(ack: ack, now: fixture.now)
            #expect(superseded == nil)
            #expect(outcome == .ackBeyond(last: 0))
            #expect(fixture.stream.receive(first: 1, count: 1, ack: ack, now: fixture.now) == .ackBeyond(last: 0))
        }
        #expect(fixture.stream.parked == lane)
        #expect(fixture.stream.received == 0)
    }

    @Test("Posts are taken once and in order, whatever is repeated, overlaps or comes early")
    func posts() {
        var fixture = StreamFixture()
        let table: [(UInt64, Int, ResumableStream.OnBatch, UInt64)] = [
            (2, 1, .gap(expected: 1), 0),
            (1, 3, .accept(skip: 0), 3),
            (1, 3, .duplicate, 3),
            (2, 4, .accept(skip: 2), 5),
            (7, 1, .gap(expected: 6), 5),
            (.max, .max, .gap(expected: 6), 5),
            (0, 9, .gap(expected: 6), 5),
            (6, 1, .accept(skip: 0), 6),
            (0, 0, .duplicate, 6),
        ]
        for (first, count, expected, received) in table {
            let verdict = fixture.stream.receive(first: first, count: count, ack: 0, now: fixture.now)
            #expect(verdict == expected, "\(first), \(count)")
            #expect(fixture.stream.received == received)
        }
        fixture.stream.enqueue(textMessage("a"))
        #expect(fixture.reply(ack: 0)?.ack == 6, "every batch to the client acknowledges")
    }
}

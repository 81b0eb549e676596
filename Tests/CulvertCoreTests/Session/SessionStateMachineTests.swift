import CulvertCore
import NIOCore
import Testing

/// A machine with a clock that is moved by hand.
struct MachineFixture {
    static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    var machine: SessionStateMachine
    var now = Self.start

    init(buffer: Int = 1000, maxBatch: Int = 1000, isResumable: Bool = true) {
        self.machine = SessionStateMachine(
            settings: SessionSettings(
                hold: .seconds(25), resume: .seconds(60), ping: .seconds(25), buffer: buffer, maxBatch: maxBatch),
            isResumable: isResumable, now: Self.start)
    }

    /// Numbers of the messages that a poll with `ack` is answered with; nil when it parks or is refused.
    mutating func reply(ack: UInt64) -> PollBatch? {
        guard case .reply(let batch) = self.machine.poll(ack: ack, now: self.now).outcome else { return nil }
        return batch
    }

    /// The lane of a poll that is to park.
    mutating func park(ack: UInt64) throws -> SessionStateMachine.Lane {
        guard case .park(let lane) = self.machine.poll(ack: ack, now: self.now).outcome else {
            throw NotParked()
        }
        return lane
    }

    struct NotParked: Error {}
}

struct SessionStateMachineTests {
    @Test("A poll with nothing to say parks and is answered by the next message")
    func parkedPollIsAnswered() throws {
        var fixture = MachineFixture()
        let lane = try fixture.park(ack: 0)
        #expect(lane.deadline == fixture.now + .seconds(25))
        #expect(fixture.machine.takeReady(now: fixture.now) == nil)
        fixture.machine.enqueue(textMessage("a"))
        let ready = fixture.machine.takeReady(now: fixture.now)
        let (answered, batch) = try #require(ready)
        #expect(answered == lane)
        #expect(batch == PollBatch(ack: 0, first: 1, messages: [textMessage("a")]))
        #expect(fixture.machine.takeReady(now: fixture.now) == nil, "one answer for one request")
    }

    @Test("A message that waits answers a poll at once, the same one again for the same ack")
    func repeatedPoll() {
        var fixture = MachineFixture()
        fixture.machine.enqueue(textMessage("a"))
        fixture.machine.enqueue(textMessage("b"))
        let batch = PollBatch(ack: 0, first: 1, messages: [textMessage("a"), textMessage("b")])
        #expect(fixture.reply(ack: 0) == batch)
        #expect(fixture.reply(ack: 0) == batch)
        #expect(fixture.reply(ack: 1) == PollBatch(ack: 0, first: 2, messages: [textMessage("b")]))
        // Overtaken on its way: what was acknowledged since is gone, and the client has it.
        #expect(fixture.reply(ack: 0)?.first == 2)
    }

    @Test("A newer poll supersedes the parked one, and what the old lane still says is ignored")
    func supersede() throws {
        var fixture = MachineFixture()
        let old = try fixture.park(ack: 0)
        fixture.now = fixture.now + .seconds(5)
        let (superseded, outcome) = fixture.machine.poll(ack: 0, now: fixture.now)
        #expect(superseded == old)
        guard case .park(let new) = outcome else {
            Issue.record("not parked")
            return
        }
        #expect(new.generation > old.generation)
        fixture.machine.laneLost(generation: old.generation, now: fixture.now)
        #expect(fixture.machine.parked == new)
        fixture.machine.laneLost(generation: new.generation, now: fixture.now)
        #expect(fixture.machine.parked == nil)
    }

    @Test("A lane that is lost takes no message with it")
    func lostLane() throws {
        var fixture = MachineFixture()
        let lane = try fixture.park(ack: 0)
        fixture.machine.laneLost(generation: lane.generation, now: fixture.now)
        fixture.machine.enqueue(textMessage("a"))
        #expect(fixture.machine.takeReady(now: fixture.now) == nil)
        #expect(fixture.reply(ack: 0)?.messages == [textMessage("a")])
    }

    @Test("A parked poll expires at its deadline and not before")
    func expiry() throws {
        var fixture = MachineFixture()
        let lane = try fixture.park(ack: 0)
        #expect(fixture.machine.takeExpired(now: lane.deadline - .nanoseconds(1)) == nil)
        #expect(fixture.machine.takeExpired(now: lane.deadline) == lane)
        #expect(fixture.machine.takeExpired(now: lane.deadline) == nil)
        #expect(fixture.machine.resumeDeadline == lane.deadline + .seconds(60))
    }

    @Test("The distant future answers a parked poll at once")
    func drain() throws {
        var fixture = MachineFixture()
        let lane = try fixture.park(ack: 0)
        #expect(fixture.machine.takeExpired(now: .distantFuture) == lane)
    }

    // MARK: - resume

    @Test("A client that stays away for the resume time is given up, at that moment and not before")
    func abandoned() {
        let machine = MachineFixture().machine
        #expect(!machine.isAbandoned(now: MachineFixture.start + .seconds(60) - .nanoseconds(1)))
        #expect(machine.isAbandoned(now: MachineFixture.start + .seconds(60)))
    }

    @Test("A session with a parked poll, or one that cannot be resumed, is not given up")
    func notAbandoned() throws {
        var fixture = MachineFixture()
        _ = try fixture.park(ack: 0)
        #expect(!fixture.machine.isAbandoned(now: .distantFuture))
        #expect(!MachineFixture(isResumable: false).machine.isAbandoned(now: .distantFuture))
    }

    enum Touch: CaseIterable, Sendable {
        case poll, post, repeatedPost, gap, ackBeyond, lostLane, answered, finish
    }

    @Test("Every request of the client, and the end of a lane, begins the resume time anew", arguments: Touch.allCases)
    func touches(touch: Touch) throws {
        var fixture = MachineFixture()
        let lane = touch == .lostLane || touch == .answered ? try fixture.park(ack: 0) : nil
        fixture.now = fixture.now + .seconds(50)
        switch touch {
        case .poll:
            fixture.machine.enqueue(textMessage("a"))
            #expect(fixture.reply(ack: 0) != nil)
        case .post: #expect(fixture.machine.receive(first: 1, count: 1, ack: 0, now: fixture.now) == .accept(skip: 0))
        case .repeatedPost: #expect(fixture.machine.receive(first: 0, count: 0, ack: 0, now: fixture.now) == .duplicate)
        case .gap: #expect(fixture.machine.receive(first: 5, count: 1, ack: 0, now: fixture.now) == .gap(expected: 1))
        case .ackBeyond: #expect(fixture.machine.poll(ack: 7, now: fixture.now).outcome == .ackBeyond(last: 0))
        case .lostLane: fixture.machine.laneLost(generation: lane?.generation ?? 0, now: fixture.now)
        case .answered:
            fixture.machine.enqueue(textMessage("a"))
            #expect(fixture.machine.takeReady(now: fixture.now) != nil)
        case .finish: fixture.machine.finish(CloseFrame(code: .normal), now: fixture.now)
        }
        #expect(fixture.machine.resumeDeadline == fixture.now + .seconds(60))
    }

    @Test("Neither a message of the upstream nor a dead lane keeps a session without a client alive")
    func noTouch() throws {
        var fixture = MachineFixture()
        let old = try fixture.park(ack: 0)
        fixture.machine.laneLost(generation: old.generation, now: fixture.now)
        let deadline = fixture.machine.resumeDeadline
        fixture.now = fixture.now + .seconds(30)
        fixture.machine.enqueue(textMessage("a"))
        fixture.machine.laneLost(generation: old.generation, now: fixture.now)
        #expect(fixture.machine.takeReady(now: fixture.now) == nil)
        #expect(fixture.machine.takeExpired(now: fixture.now) == nil)
        #expect(fixture.machine.resumeDeadline == deadline)
    }

    // MARK: - windows

    @Test("The send window is full at the buffer's size and open again after the ack")
    func fullWindow() {
        var fixture = MachineFixture(buffer: 3 * 17)
        for text in ["a", "b", "c"] {
            #expect(!fixture.machine.isSendWindowFull)
            fixture.machine.enqueue(textMessage(text))
        }
        #expect(fixture.machine.isSendWindowFull)
        _ = fixture.reply(ack: 0)
        #expect(fixture.machine.isSendWindowFull, "given is not acknowledged")
        _ = fixture.machine.receive(first: 0, count: 0, ack: 1, now: fixture.now)
        #expect(!fixture.machine.isSendWindowFull, "an ack in a POST counts as one in a GET")
    }

    @Test("Batches are bounded and follow each other without a hole")
    func boundedBatches() {
        var fixture = MachineFixture(maxBatch: 40)
        let all = (0..<7).map { textMessage("message \($0)") }
        for message in all { fixture.machine.enqueue(message) }
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
        var fixture = MachineFixture()
        let lane = try fixture.park(ack: 0)
        for ack in [1, UInt64.max] {
            let (superseded, outcome) = fixture.machine.poll(ack: ack, now: fixture.now)
            #expect(superseded == nil)
            #expect(outcome == .ackBeyond(last: 0))
            #expect(fixture.machine.receive(first: 1, count: 1, ack: ack, now: fixture.now) == .ackBeyond(last: 0))
        }
        #expect(fixture.machine.parked == lane)
        #expect(fixture.machine.received == 0)
    }

    @Test("Posts are taken once and in order, whatever is repeated, overlaps or comes early")
    func posts() {
        var fixture = MachineFixture()
        let table: [(UInt64, Int, SessionStateMachine.OnBatch, UInt64)] = [
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
            let verdict = fixture.machine.receive(first: first, count: count, ack: 0, now: fixture.now)
            #expect(verdict == expected, "\(first), \(count)")
            #expect(fixture.machine.received == received)
        }
        fixture.machine.enqueue(textMessage("a"))
        #expect(fixture.reply(ack: 0)?.ack == 6, "every batch to the client acknowledges")
    }
}

import CulvertCore
import NIOCore
import Testing

struct SessionEndTests {
    private static let bye = CloseFrame(code: .normal, reason: "bye")

    @Test("The Close comes behind the last message and again until it is acknowledged")
    func closeBehindMessages() {
        var fixture = StreamFixture(maxBatch: 20)
        fixture.stream.enqueue(textMessage("a"))
        fixture.stream.enqueue(textMessage("b"))
        fixture.stream.finish(Self.bye, now: fixture.now)
        #expect(fixture.reply(ack: 0) == PollBatch(ack: 0, first: 1, messages: [textMessage("a")]))
        let last = PollBatch(ack: 0, first: 2, messages: [textMessage("b")], close: Self.bye)
        #expect(fixture.reply(ack: 1) == last)
        #expect(fixture.reply(ack: 1) == last)
        #expect(!fixture.stream.isDelivered)
        #expect(fixture.reply(ack: 2) == PollBatch(ack: 0, first: 3, close: Self.bye))
        #expect(!fixture.stream.isDelivered, "the last message is acknowledged, the Close is not")
        #expect(fixture.reply(ack: 3)?.close == Self.bye)
        #expect(fixture.stream.isDelivered)
    }

    @Test("A parked poll is told of the end at once")
    func endAnswersParked() throws {
        var fixture = StreamFixture()
        let lane = try fixture.park(ack: 0)
        fixture.stream.finish(Self.bye, now: fixture.now)
        let ready = fixture.stream.takeReady(now: fixture.now)
        let (answered, batch) = try #require(ready)
        #expect(answered == lane)
        #expect(batch == PollBatch(ack: 0, first: 1, close: Self.bye))
    }

    @Test("The first Close stands")
    func firstCloseStands() {
        var fixture = StreamFixture()
        fixture.stream.finish(Self.bye, now: fixture.now)
        fixture.stream.finish(CloseFrame(code: .internalError), now: fixture.now + .seconds(5))
        #expect(fixture.stream.finalFrame == Self.bye)
        #expect(fixture.stream.resumeDeadline == fixture.now + .seconds(60))
    }

    @Test("The Close may be acknowledged by a POST, and nothing behind it")
    func acknowledgedByPost() {
        var fixture = StreamFixture()
        fixture.stream.enqueue(textMessage("a"))
        #expect(fixture.stream.acknowledge(2) == 1)
        fixture.stream.finish(Self.bye, now: fixture.now)
        #expect(fixture.stream.acknowledge(3) == 1)
        #expect(fixture.stream.acknowledge(.max) == 1)
        #expect(!fixture.stream.isDelivered)
        #expect(fixture.stream.receive(first: 0, count: 0, ack: 2, now: fixture.now) == .duplicate)
        #expect(fixture.stream.isDelivered)
        #expect(!fixture.stream.isSendWindowFull)
    }

    @Test("After the end the tombstone says why for the resume time, then goes")
    func tombstone() {
        var fixture = StreamFixture()
        fixture.now = fixture.now + .seconds(40)
        fixture.stream.finish(Self.bye, now: fixture.now)
        // The Close is out; that the client's answer never comes does not take the facts away.
        #expect(fixture.stream.finalFrame == Self.bye)
        #expect(!fixture.stream.isAbandoned(hasEnded: true, now: fixture.now + .seconds(59)))
        #expect(fixture.stream.isAbandoned(hasEnded: true, now: fixture.now + .seconds(60)))
    }

    @Test("Nothing is enqueued behind the Close")
    func nothingBehindClose() {
        var fixture = StreamFixture()
        fixture.stream.finish(Self.bye, now: fixture.now)
        fixture.stream.enqueue(textMessage("late"))
        #expect(fixture.reply(ack: 0) == PollBatch(ack: 0, first: 1, close: Self.bye))
    }

    @Test("A batch with nothing but a Close does not overtake messages on their way")
    func closeDoesNotOvertake() {
        var fixture = StreamFixture()
        // Message 1 is in a request that is late; the Close behind it would be number 2.
        #expect(fixture.stream.receive(first: 2, count: 0, ack: 0, now: fixture.now) == .gap(expected: 1))
    }

    @Test("What is forfeited is gone, whether or not an end was on its way, and its numbers are not used again")
    func forfeited() {
        let why = CloseFrame(code: .tryAgainLater, reason: "no room")
        for endsBefore in [false, true] {
            var fixture = StreamFixture(buffer: 40)
            for _ in 0..<3 { fixture.stream.enqueue(textMessage("a")) }
            #expect(fixture.stream.isSendWindowFull && fixture.stream.unacknowledgedBytes > 40)
            if endsBefore { fixture.stream.finish(Self.bye, now: fixture.now) }
            fixture.stream.forfeit(why)
            #expect(!fixture.stream.isSendWindowFull && fixture.stream.unacknowledgedBytes == 0)
            #expect(fixture.reply(ack: 1) == PollBatch(ack: 0, first: 4, close: why))
        }
    }

    @Test("Behind the last message no window is full: the upstream is read on for its Close")
    func nothingIsHeldBack() {
        var fixture = StreamFixture(buffer: 10)
        fixture.stream.enqueue(textMessage("a"))
        #expect(fixture.stream.isSendWindowFull)
        fixture.stream.finish(Self.bye, now: fixture.now)
        #expect(!fixture.stream.isSendWindowFull)
        #expect(fixture.reply(ack: 0)?.messages == [textMessage("a")])
    }

    // MARK: - a client that would keep an ended session

    @Test("After the end a request that takes nothing new extends nothing")
    func oldAcknowledgements() {
        var fixture = StreamFixture()
        for text in ["a", "b", "c"] { fixture.stream.enqueue(textMessage(text)) }
        _ = fixture.stream.acknowledge(1)
        fixture.stream.finish(Self.bye, now: fixture.now)
        let deadline = fixture.now + .seconds(60)
        for _ in 0..<5 {
            fixture.now = fixture.now + .seconds(10)
            #expect(fixture.reply(ack: 1)?.messages.count == 2)
            #expect(fixture.reply(ack: 0)?.messages.count == 2)
            _ = fixture.stream.receive(first: 1, count: 1, ack: 0, now: fixture.now)
            fixture.stream.touch(now: fixture.now)
            fixture.stream.laneLost(generation: 1, now: fixture.now)
        }
        #expect(fixture.stream.resumeDeadline == deadline)
        #expect(fixture.stream.isAbandoned(hasEnded: false, now: deadline))
    }

    @Test("After the end what takes something new extends the time, but not for ever")
    func slowTaker() {
        var fixture = StreamFixture(buffer: 100_000)
        for number in 0..<100 { fixture.stream.enqueue(textMessage("\(number)")) }
        let end = fixture.now
        fixture.stream.finish(Self.bye, now: end)
        for ack in 1...10 {
            fixture.now = fixture.now + .seconds(5)
            #expect(fixture.reply(ack: UInt64(ack)) != nil)
        }
        #expect(fixture.stream.resumeDeadline == fixture.now + .seconds(60))
        for ack in 11...30 {
            fixture.now = fixture.now + .seconds(5)
            _ = fixture.reply(ack: UInt64(ack))
        }
        #expect(fixture.stream.resumeDeadline == end + .seconds(120))
        #expect(fixture.stream.isAbandoned(hasEnded: false, now: end + .seconds(120)))
    }
}

import CulvertCore
import NIOCore
import Testing

struct SessionEndTests {
    private static let bye = CloseFrame(code: .normal, reason: "bye")

    @Test("The Close comes behind the last message and again until it is acknowledged")
    func closeBehindMessages() {
        var fixture = MachineFixture(maxBatch: 20)
        fixture.machine.enqueue(textMessage("a"))
        fixture.machine.enqueue(textMessage("b"))
        fixture.machine.finish(Self.bye, now: fixture.now)
        #expect(fixture.reply(ack: 0) == PollBatch(ack: 0, first: 1, messages: [textMessage("a")]))
        let last = PollBatch(ack: 0, first: 2, messages: [textMessage("b")], close: Self.bye)
        #expect(fixture.reply(ack: 1) == last)
        #expect(fixture.reply(ack: 1) == last)
        #expect(!fixture.machine.isDelivered)
        #expect(fixture.reply(ack: 2) == PollBatch(ack: 0, first: 3, close: Self.bye))
        #expect(!fixture.machine.isDelivered, "the last message is acknowledged, the Close is not")
        #expect(fixture.reply(ack: 3)?.close == Self.bye)
        #expect(fixture.machine.isDelivered)
    }

    @Test("A parked poll is told of the end at once")
    func endAnswersParked() throws {
        var fixture = MachineFixture()
        let lane = try fixture.park(ack: 0)
        fixture.machine.finish(Self.bye, now: fixture.now)
        let ready = fixture.machine.takeReady(now: fixture.now)
        let (answered, batch) = try #require(ready)
        #expect(answered == lane)
        #expect(batch == PollBatch(ack: 0, first: 1, close: Self.bye))
    }

    @Test("The first Close stands")
    func firstCloseStands() {
        var fixture = MachineFixture()
        fixture.machine.finish(Self.bye, now: fixture.now)
        fixture.machine.finish(CloseFrame(code: .internalError), now: fixture.now + .seconds(5))
        #expect(fixture.machine.finalFrame == Self.bye)
        #expect(fixture.machine.resumeDeadline == fixture.now + .seconds(60))
    }

    @Test("The Close may be acknowledged by a POST, and nothing behind it")
    func acknowledgedByPost() {
        var fixture = MachineFixture()
        fixture.machine.enqueue(textMessage("a"))
        #expect(fixture.machine.acknowledge(2) == 1)
        fixture.machine.finish(Self.bye, now: fixture.now)
        #expect(fixture.machine.acknowledge(3) == 1)
        #expect(fixture.machine.acknowledge(.max) == 1)
        #expect(!fixture.machine.isDelivered)
        #expect(fixture.machine.receive(first: 0, count: 0, ack: 2, now: fixture.now) == .duplicate)
        #expect(fixture.machine.isDelivered)
        #expect(!fixture.machine.isSendWindowFull)
    }

    @Test("After the end the tombstone says why for the resume time, then goes")
    func tombstone() {
        var fixture = MachineFixture()
        fixture.now = fixture.now + .seconds(40)
        let actions = fixture.machine.close(.close(from: .server, Self.bye))
        #expect(actions.toClient == Self.bye)
        fixture.machine.finish(Self.bye, now: fixture.now)
        // The Close is out; that the client's answer never comes does not take the facts away.
        #expect(fixture.machine.close(.lost(.client)).ended)
        #expect(fixture.machine.closing.isEnded)
        #expect(fixture.machine.closing.ending == Ending(frame: Self.bye, closer: .upstream))
        #expect(fixture.machine.finalFrame == Self.bye)
        #expect(!fixture.machine.isAbandoned(now: fixture.now + .seconds(59)))
        #expect(fixture.machine.isAbandoned(now: fixture.now + .seconds(60)))
    }

    @Test("Nothing is enqueued behind the Close")
    func nothingBehindClose() {
        var fixture = MachineFixture()
        fixture.machine.finish(Self.bye, now: fixture.now)
        fixture.machine.enqueue(textMessage("late"))
        #expect(fixture.reply(ack: 0) == PollBatch(ack: 0, first: 1, close: Self.bye))
    }

    @Test("A batch with nothing but a Close does not overtake messages on their way")
    func closeDoesNotOvertake() {
        var fixture = MachineFixture()
        // Message 1 is in a request that is late; the Close behind it would be number 2.
        #expect(fixture.machine.receive(first: 2, count: 0, ack: 0, now: fixture.now) == .gap(expected: 1))
    }

    @Test("What is forfeited is gone, whether or not an end was on its way, and its numbers are not used again")
    func forfeited() {
        let why = CloseFrame(code: .tryAgainLater, reason: "no room")
        for endsBefore in [false, true] {
            var fixture = MachineFixture(buffer: 40)
            for _ in 0..<3 { fixture.machine.enqueue(textMessage("a")) }
            #expect(fixture.machine.isSendWindowFull && fixture.machine.unacknowledgedBytes > 40)
            if endsBefore { fixture.machine.finish(Self.bye, now: fixture.now) }
            fixture.machine.forfeit(why)
            #expect(!fixture.machine.isSendWindowFull && fixture.machine.unacknowledgedBytes == 0)
            #expect(fixture.reply(ack: 1) == PollBatch(ack: 0, first: 4, close: why))
        }
    }

    @Test("Behind the last message no window is full: the upstream is read on for its Close")
    func nothingIsHeldBack() {
        var fixture = MachineFixture(buffer: 10)
        fixture.machine.enqueue(textMessage("a"))
        #expect(fixture.machine.isSendWindowFull)
        fixture.machine.finish(Self.bye, now: fixture.now)
        #expect(!fixture.machine.isSendWindowFull)
        #expect(fixture.reply(ack: 0)?.messages == [textMessage("a")])
    }

    // MARK: - a client that would keep an ended session

    @Test("After the end a request that takes nothing new extends nothing")
    func oldAcknowledgements() {
        var fixture = MachineFixture()
        for text in ["a", "b", "c"] { fixture.machine.enqueue(textMessage(text)) }
        _ = fixture.machine.acknowledge(1)
        fixture.machine.finish(Self.bye, now: fixture.now)
        let deadline = fixture.now + .seconds(60)
        for _ in 0..<5 {
            fixture.now = fixture.now + .seconds(10)
            #expect(fixture.reply(ack: 1)?.messages.count == 2)
            #expect(fixture.reply(ack: 0)?.messages.count == 2)
            _ = fixture.machine.receive(first: 1, count: 1, ack: 0, now: fixture.now)
            fixture.machine.touch(now: fixture.now)
            fixture.machine.laneLost(generation: 1, now: fixture.now)
        }
        #expect(fixture.machine.resumeDeadline == deadline)
        #expect(fixture.machine.isAbandoned(now: deadline))
    }

    @Test("After the end what takes something new extends the time, but not for ever")
    func slowTaker() {
        var fixture = MachineFixture(buffer: 100_000)
        for number in 0..<100 { fixture.machine.enqueue(textMessage("\(number)")) }
        let end = fixture.now
        fixture.machine.finish(Self.bye, now: end)
        for ack in 1...10 {
            fixture.now = fixture.now + .seconds(5)
            #expect(fixture.reply(ack: UInt64(ack)) != nil)
        }
        #expect(fixture.machine.resumeDeadline == fixture.now + .seconds(60))
        for ack in 11...30 {
            fixture.now = fixture.now + .seconds(5)
            _ = fixture.reply(ack: UInt64(ack))
        }
        #expect(fixture.machine.resumeDeadline == end + .seconds(120))
        #expect(fixture.machine.isAbandoned(now: end + .seconds(120)))
    }
}

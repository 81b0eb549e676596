import CulvertCore
import NIOCore
import Testing

struct SocketLanesTests {
    @Test("A lane that opened the session is in use from the beginning; its first envelope is told from the next")
    func opening() {
        var lanes = SocketLanes()
        let lane = lanes.open()
        #expect(lanes.active?.generation == lane)
        #expect(lanes.active?.isConfirmed == false)
        #expect(lanes.envelope(from: lane) == .first)
        #expect(lanes.active?.isConfirmed == true)
        #expect(lanes.envelope(from: lane) == .next)
    }

    @Test("A lane that joins takes over with its first envelope, and the earlier one counts no more")
    func takingOver() {
        var lanes = SocketLanes()
        let first = lanes.open()
        let second = lanes.join()
        #expect(lanes.envelope(from: first) == .first)
        #expect(lanes.envelope(from: second) == .first)
        #expect(lanes.envelope(from: first) == .ignore)
        #expect(lanes.lost(first) == false, "its end is no news")
        #expect(lanes.active?.generation == second)
        #expect(lanes.lost(second) == true)
        #expect(lanes.active == nil)
    }

    @Test("Of two that have joined and said nothing the later one stays")
    func joiningTwice() {
        var lanes = SocketLanes()
        let first = lanes.join()
        let second = lanes.join()
        #expect(lanes.envelope(from: first) == .ignore)
        #expect(lanes.active == nil)
        #expect(lanes.envelope(from: second) == .first)
    }

    @Test("A lane that is lost before it has said anything takes nothing with it")
    func losingAJoiner() {
        var lanes = SocketLanes()
        let first = lanes.open()
        let second = lanes.join()
        #expect(lanes.lost(second) == false)
        #expect(lanes.envelope(from: second) == .ignore)
        #expect(lanes.active?.generation == first)
    }
}

struct SessionLaneTests {
    @Test("A lane is sent every message once, in envelopes of bounded size, and another lane the unacknowledged again")
    func sending() {
        var fixture = StreamFixture(maxBatch: 40)
        let lane = fixture.stream.sockets.open()
        for text in ["a", "b", "c"] { fixture.stream.enqueue(textMessage(text)) }
        #expect(
            fixture.stream.takeForSocket()
                == PollBatch(ack: 0, first: 1, messages: [textMessage("a"), textMessage("b")]))
        #expect(fixture.stream.takeForSocket() == PollBatch(ack: 0, first: 3, messages: [textMessage("c")]))
        #expect(fixture.stream.takeForSocket() == nil)
        #expect(fixture.stream.acknowledge(1) == nil)
        let next = fixture.stream.sockets.join()
        #expect(fixture.stream.sockets.envelope(from: next) == .first)
        #expect(fixture.stream.takeForSocket()?.first == 2)
        #expect(fixture.stream.takeForSocket() == nil)
        #expect(fixture.stream.socketLost(lane, now: fixture.now) == false)
    }

    @Test("What the client has sent is owed an acknowledgement until something goes out on the lane")
    func owing() {
        var fixture = StreamFixture()
        #expect(!fixture.stream.owesAcknowledgement)
        _ = fixture.stream.sockets.open()
        _ = fixture.stream.receive(first: 1, count: 2, ack: 0, now: fixture.now)
        #expect(fixture.stream.owesAcknowledgement)
        #expect(fixture.stream.acknowledgementForSocket() == PollBatch(ack: 2, first: 1))
        #expect(!fixture.stream.owesAcknowledgement)
        _ = fixture.stream.receive(first: 3, count: 1, ack: 0, now: fixture.now)
        fixture.stream.enqueue(textMessage("a"))
        #expect(fixture.stream.takeForSocket() == PollBatch(ack: 3, first: 1, messages: [textMessage("a")]))
        #expect(!fixture.stream.owesAcknowledgement)
        #expect(fixture.stream.acknowledgementForSocket() == PollBatch(ack: 3, first: 2))
    }

    @Test("The Close is behind the last message, once on each lane, until it is acknowledged")
    func closing() {
        var fixture = StreamFixture()
        let frame = CloseFrame(code: .goingAway, reason: "bye")
        let lane = fixture.stream.sockets.open()
        fixture.stream.enqueue(textMessage("a"))
        fixture.stream.finish(frame, now: fixture.now)
        #expect(
            fixture.stream.takeForSocket() == PollBatch(ack: 0, first: 1, messages: [textMessage("a")], close: frame))
        #expect(fixture.stream.takeForSocket() == nil)
        #expect(fixture.stream.socketLost(lane, now: fixture.now) == true)
        _ = fixture.stream.acknowledge(1)
        _ = fixture.stream.sockets.open()
        #expect(fixture.stream.takeForSocket() == PollBatch(ack: 0, first: 2, close: frame))
        #expect(!fixture.stream.isDelivered)
        #expect(fixture.stream.acknowledge(2) == nil)
        #expect(fixture.stream.isDelivered)
    }

    @Test("A session with a lane is not abandoned; without, the client has `resume` from the lane's end")
    func abandoning() {
        var fixture = StreamFixture()
        let lane = fixture.stream.sockets.open()
        fixture.now = fixture.now + .seconds(3600)
        #expect(!fixture.stream.isAbandoned(hasEnded: false, now: fixture.now))
        #expect(fixture.stream.socketLost(lane, now: fixture.now) == true)
        #expect(!fixture.stream.isAbandoned(hasEnded: false, now: fixture.now + .seconds(59)))
        // One that has joined and said nothing is no lane yet.
        _ = fixture.stream.sockets.join()
        #expect(fixture.stream.isAbandoned(hasEnded: false, now: fixture.now + .seconds(60)))
    }

    @Test("An envelope is one frame of a server's whose payload is the batch", arguments: [0, 1, 90, 200, 70_000])
    func envelope(size: Int) throws {
        var messages = [textMessage("ü")]
        messages.append(PollMessage(opcode: .binary, payload: ByteBuffer(repeating: 7, count: size)))
        let batch = PollBatch(ack: 5, first: 9, messages: messages, close: CloseFrame(code: .normal, reason: "end"))
        var assembler = MessageAssembler(sender: .server, messageLimit: 1 << 20)
        assembler.append(PollCodec.encodeEnvelope(batch))
        guard case .message(.binary, let payload) = assembler.next() else {
            Issue.record("no binary message")
            return
        }
        #expect(payload == PollCodec.encodeBinary(batch))
        #expect(try PollCodec.decodeBinary(payload, messageLimit: 1 << 20) == batch)
        #expect(assembler.next() == .needMore)
    }
}

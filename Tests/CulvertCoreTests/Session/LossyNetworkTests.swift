import CulvertCore
import NIOCore
import Testing

struct LossyNetworkTests {
    /// What is on its way: delivered in any order, twice or never.
    private struct Network<Packet> {
        var packets: [Packet] = []

        mutating func send(_ packet: Packet) { self.packets.append(packet) }

        mutating func take(_ random: inout PollRandom, isLossy: Bool) -> Packet? {
            guard let index = self.packets.indices.randomElement(using: &random) else { return nil }
            if isLossy, random.chance(25) { return self.packets[index] }
            let packet = self.packets.remove(at: index)
            return isLossy && random.chance(25) ? nil : packet
        }
    }

    private static func text(_ number: Int) -> PollMessage { textMessage("message \(number)") }

    @Test(
        "Two windows over a network that drops, repeats and reorders lose and double nothing",
        arguments: 0..<30 as Range<UInt64>)
    func windows(seed: UInt64) {
        var random = PollRandom(seed: seed)
        let total = 200
        var sender = SendWindow(byteLimit: 500)
        var receiver = ReceiveWindow()
        var data = Network<(first: UInt64, messages: [PollMessage])>()
        var acks = Network<UInt64>()
        var sent = 0
        var taken: [PollMessage] = []
        var steps = 0
        while sender.acknowledged < UInt64(total) {
            steps += 1
            guard steps < 100_000 else {
                Issue.record("no progress")
                return
            }
            let isLossy = steps < 3000
            if sent < total, !sender.isFull {
                sent += 1
                _ = sender.append(Self.text(sent))
            }
            data.send(sender.batch(after: sender.acknowledged, maxBytes: Int.random(in: 0...300, using: &random)))
            if let (first, messages) = data.take(&random, isLossy: isLossy),
                case .accept(let skip) = receiver.receive(first: first, count: messages.count)
            {
                taken += messages.dropFirst(skip)
            }
            acks.send(receiver.received)
            if let ack = acks.take(&random, isLossy: isLossy) {
                if case .beyond = sender.acknowledge(ack) { Issue.record("an ack of nothing") }
            }
        }
        #expect(taken == (1...total).map(Self.text))
        #expect(sender.isEmpty)
        #expect(sender.bytes == 0)
    }

    private enum Request {
        case poll(ack: UInt64)
        case post(ByteBuffer)
    }

    /// A client of the protocol and what it has seen.
    private struct Client {
        var out = SendWindow(byteLimit: 600)
        var into = ReceiveWindow()
        var taken: [PollMessage] = []
        var sent = 0
        var close: CloseFrame?
        var tookBehindClose = false

        /// The Close counts as one message behind the last.
        var ack: UInt64 { self.into.received + (self.close == nil ? 0 : 1) }

        mutating func read(_ batch: PollBatch) {
            _ = self.out.acknowledge(batch.ack)
            let verdict = self.into.receive(first: batch.first, count: batch.messages.count)
            if case .accept(let skip) = verdict {
                if self.close != nil { self.tookBehindClose = true }
                self.taken += batch.messages.dropFirst(skip)
            }
            let end = batch.first + UInt64(batch.messages.count)
            if let close = batch.close, end == self.into.received + 1 { self.close = close }
        }
    }

    @Test(
        "A polled session over such a network loses and doubles nothing either way, and ends with its Close",
        arguments: [PollCodec.binary, .json], 0..<15 as Range<UInt64>)
    func session(codec: PollCodec, seed: UInt64) throws {
        var random = PollRandom(seed: seed)
        let total = 150
        let bye = CloseFrame(code: CloseCode(rawValue: 4000), reason: "done")
        var fixture = StreamFixture(buffer: 600, maxBatch: 200)
        var client = Client()
        var requests = Network<Request>()
        var replies = Network<ByteBuffer>()
        var enqueued = 0
        var arrived: [PollMessage] = []
        var steps = 0
        while !(fixture.stream.isDelivered && client.out.acknowledged == UInt64(total)) {
            steps += 1
            try #require(steps < 100_000, "no progress")
            let isLossy = steps < 3000
            fixture.now = fixture.now + .milliseconds(Int64.random(in: 0...3000, using: &random))
            // The upstream speaks while it may, and closes behind its last word.
            if enqueued < total, !fixture.stream.isSendWindowFull, random.chance(60) {
                enqueued += 1
                fixture.stream.enqueue(Self.text(enqueued))
            } else if enqueued == total, fixture.stream.finalFrame == nil {
                fixture.stream.finish(bye, now: fixture.now)
            }
            // The client polls, posts, or has a connection cut under a parked poll.
            if client.sent < total, !client.out.isFull {
                client.sent += 1
                _ = client.out.append(Self.text(-client.sent))
            }
            requests.send(.poll(ack: client.ack))
            let (first, messages) = client.out.batch(after: client.out.acknowledged, maxBytes: 120)
            requests.send(.post(codec.encode(PollBatch(ack: client.ack, first: first, messages: messages))))
            if isLossy, random.chance(10), let lane = fixture.stream.parked {
                fixture.stream.laneLost(generation: lane.generation, now: fixture.now)
            }
            for _ in 0..<2 {
                switch requests.take(&random, isLossy: isLossy) {
                case .poll(let ack):
                    switch fixture.stream.poll(ack: ack, now: fixture.now).outcome {
                    case .reply(let batch): replies.send(codec.encode(batch))
                    case .park: break
                    case .ackBeyond: Issue.record("an ack of nothing")
                    }
                case .post(let body):
                    let batch = try codec.decode(body, messageLimit: 1000)
                    let verdict = fixture.stream.receive(
                        first: batch.first, count: batch.messages.count, ack: batch.ack, now: fixture.now)
                    if case .accept(let skip) = verdict { arrived += batch.messages.dropFirst(skip) }
                    let answer = PollBatch(ack: fixture.stream.received, first: 1)
                    replies.send(codec.encode(answer))
                case nil: break
                }
            }
            if let (_, batch) = fixture.stream.takeReady(now: fixture.now) { replies.send(codec.encode(batch)) }
            _ = fixture.stream.takeExpired(now: fixture.now)
            if let body = replies.take(&random, isLossy: isLossy) {
                client.read(try codec.decode(body, messageLimit: 1000))
            }
        }
        #expect(client.taken == (1...total).map(Self.text))
        #expect(arrived == (1...total).map { Self.text(-$0) })
        #expect(client.close == bye)
        #expect(!client.tookBehindClose)
    }
}

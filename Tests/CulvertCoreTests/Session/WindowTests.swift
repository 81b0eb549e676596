import CulvertCore
import NIOCore
import Testing

struct SendWindowTests {
    /// Keeps everything for ever and searches it from the start.
    private struct Model {
        var all: [PollMessage] = []
        var acknowledged = 0

        var bytes: Int { self.all[self.acknowledged...].reduce(0) { $0 + $1.payload.readableBytes + 16 } }
    }

    private static func message(_ count: Int) -> PollMessage {
        PollMessage(opcode: .binary, payload: ByteBuffer(repeating: 1, count: count))
    }

    @Test("The window agrees with a list that forgets nothing", arguments: 0..<40 as Range<UInt64>)
    func model(seed: UInt64) {
        var random = PollRandom(seed: seed)
        var window = SendWindow(byteLimit: 2000)
        var model = Model()
        for _ in 0..<400 {
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                let message = Self.message(Int.random(in: 0...300, using: &random))
                model.all.append(message)
                #expect(window.append(message) == UInt64(model.all.count))
            case 1:
                let number = Int.random(in: 0...model.all.count + 2, using: &random)
                let ack = window.acknowledge(UInt64(number))
                if number > model.all.count {
                    #expect(ack == .beyond(last: UInt64(model.all.count)))
                } else if number > model.acknowledged {
                    #expect(ack == .ok)
                    model.acknowledged = number
                } else {
                    #expect(ack == .stale)
                }
            default:
                let after = Int.random(in: 0...model.all.count + 2, using: &random)
                let maxBytes = Int.random(in: 0...1000, using: &random)
                let (first, messages) = window.batch(after: UInt64(after), maxBytes: maxBytes)
                let start = min(max(after, model.acknowledged), model.all.count)
                #expect(first == UInt64(start + 1))
                #expect(messages == Array(model.all[start...].prefix(messages.count)))
                let cost = { (part: [PollMessage]) in part.reduce(0) { $0 + $1.payload.readableBytes + 16 } }
                #expect(messages.count <= 1 || cost(messages) <= maxBytes)
                if start + messages.count < model.all.count {
                    #expect(!messages.isEmpty)
                    #expect(cost(messages + [model.all[start + messages.count]]) > maxBytes, "one more would have fit")
                }
            }
            #expect(window.bytes == model.bytes)
            #expect((window.heldBytes == 0) == window.isEmpty)
            #expect(window.heldBytes >= window.bytes - 16 * Int(window.lastSequence - window.acknowledged))
            #expect(window.isFull == (model.bytes >= 2000))
            #expect(window.isEmpty == (model.acknowledged == model.all.count))
            #expect(window.lastSequence == UInt64(model.all.count))
            #expect(window.acknowledged == UInt64(model.acknowledged))
        }
    }

    @Test("A message longer than the batch goes alone")
    func longMessage() {
        var window = SendWindow(byteLimit: 10)
        for count in [500, 1] { _ = window.append(Self.message(count)) }
        #expect(window.batch(after: 0, maxBytes: 0).messages == [Self.message(500)])
        #expect(window.batch(after: 1, maxBytes: 0).messages == [Self.message(1)])
    }

    @Test("Empty messages fill the window too")
    func emptyMessages() {
        var window = SendWindow(byteLimit: 160)
        for count in 1...10 {
            #expect(!window.isFull)
            #expect(window.append(Self.message(0)) == UInt64(count))
        }
        #expect(window.isFull)
    }

    @Test(
        "A full window takes about what it counts, however small its messages are",
        arguments: [0, 1, 16, 100, 1023, 1024])
    func cost(length: Int) {
        var window = SendWindow(byteLimit: 1 << 20)
        while !window.isFull { _ = window.append(Self.message(length)) }
        #expect(window.heldBytes <= window.bytes * 2 + 10_000, "\(length): \(window.heldBytes) for \(window.bytes)")
        // A batch that was taken shares the window's memory, and the window goes on behind it.
        let taken = window.batch(after: 0, maxBytes: 1 << 16).messages
        _ = window.append(Self.message(length))
        #expect(taken.allSatisfy { $0.payload.readableBytes == length })
        #expect(window.acknowledge(window.lastSequence) == .ok)
        #expect(window.heldBytes == 0 && window.bytes == 0)
    }

    @Test(
        "A batch has so many messages and no more, and the next goes on behind it",
        arguments: [1, 2, 1023, 1024, 1025, 2048])
    func messagesOfABatch(most: Int) {
        var window = SendWindow(byteLimit: .max)
        for _ in 0..<3000 { _ = window.append(Self.message(0)) }
        var after: UInt64 = 0
        var sizes: [Int] = []
        while after < 3000 {
            let (first, messages) = window.batch(after: after, maxBytes: .max, maxMessages: most)
            #expect(first == after + 1)
            sizes.append(messages.count)
            guard !messages.isEmpty else { break }
            after += UInt64(messages.count)
        }
        #expect(sizes.dropLast().allSatisfy { $0 == most })
        #expect(sizes.reduce(0, +) == 3000)
    }

    @Test("Whether more waits than a turn takes agrees with a batch of that size", arguments: 0..<40 as Range<UInt64>)
    func excess(seed: UInt64) {
        var random = PollRandom(seed: seed)
        var window = SendWindow(byteLimit: .max)
        let lengths = [0, 1, 20, 900, 1023, 1024, 5000]
        for _ in 0..<Int.random(in: 0...400, using: &random) {
            _ = window.append(Self.message(lengths.randomElement(using: &random) ?? 0))
        }
        _ = window.acknowledge(UInt64.random(in: 0...window.lastSequence, using: &random))
        for _ in 0..<50 {
            let after = UInt64.random(in: 0...window.lastSequence + 2, using: &random)
            let most = Int.random(in: 0...100, using: &random)
            let bytes = Int.random(in: 0...20_000, using: &random)
            let all = window.batch(after: after, maxBytes: .max).messages
            let cost = all.reduce(0) { $0 + $1.payload.readableBytes + SendWindow.overhead }
            #expect(
                window.exceeds(messages: most, bytes: bytes, after: after) == (all.count > most || cost > bytes),
                "\(all.count) messages of \(cost) bytes, \(most), \(bytes)")
        }
    }

    @Test("What a lane reads at the end of a very long window costs no walk over the window")
    func longWindow() {
        var window = SendWindow(byteLimit: .max)
        let message = Self.message(1024)
        // Each is a pack by itself. A walk over all of them, 100,000 times, would take minutes.
        for _ in 0..<100_000 { _ = window.append(message) }
        for number in (1...100_000 as ClosedRange<UInt64>).reversed() {
            let (first, messages) = window.batch(after: number - 1, maxBytes: 1)
            guard first == number, messages.count == 1 else {
                Issue.record("number \(number): \(first), \(messages.count) messages")
                return
            }
            if number % 1000 == 0 { _ = window.exceeds(messages: .max, bytes: 4096, after: number) }
        }
    }

    @Test("Packed messages keep their kinds and bytes in order", arguments: 0..<20 as Range<UInt64>)
    func kinds(seed: UInt64) {
        var random = PollRandom(seed: seed)
        var window = SendWindow(byteLimit: .max)
        let all = (0..<300).map { _ in random.message() }
        for message in all { _ = window.append(message) }
        for dropped in [0, 1, 150, 299] {
            _ = window.acknowledge(UInt64(dropped))
            #expect(window.batch(after: 0, maxBytes: .max).messages == Array(all[dropped...]))
        }
    }

    @Test(
        "Numbers at the end of 64 bits are refused and change nothing", arguments: [3, 1 << 63, UInt64.max - 1, .max])
    func extremes(number: UInt64) {
        var window = SendWindow(byteLimit: 1000)
        #expect(window.batch(after: number, maxBytes: 100).first == 1)
        for count in [1, 2] { _ = window.append(Self.message(count)) }
        #expect(window.acknowledge(number) == .beyond(last: 2))
        #expect(window.acknowledged == 0)
        let (first, messages) = window.batch(after: number, maxBytes: 100)
        #expect(first == 3)
        #expect(messages.isEmpty)
    }
}

struct ReceiveWindowTests {
    @Test("The window agrees with a set of numbers seen", arguments: 0..<40 as Range<UInt64>)
    func model(seed: UInt64) {
        var random = PollRandom(seed: seed)
        var window = ReceiveWindow()
        var seen = 0
        for _ in 0..<400 {
            let first = Int.random(in: max(0, seen - 8)...seen + 3, using: &random)
            let count = Int.random(in: 0...6, using: &random)
            let fresh = (first..<first + count).filter { $0 > seen }
            let verdict = window.receive(first: UInt64(first), count: count)
            if count > 0, first == 0 || first > seen + 1 {
                #expect(verdict == .gap(expected: UInt64(seen + 1)))
            } else if fresh.isEmpty {
                if count > 0 { #expect(verdict == .duplicate) }
            } else {
                #expect(verdict == .accept(skip: count - fresh.count))
                seen += fresh.count
            }
            #expect(window.received == UInt64(seen))
        }
    }

    @Test(
        "Numbers at the end of 64 bits are a gap and take nothing",
        arguments: [2, 1 << 63, UInt64.max - 1, .max], [1, 2, Int.max])
    func extremes(first: UInt64, count: Int) {
        var window = ReceiveWindow()
        #expect(window.receive(first: first, count: count) == .gap(expected: 1))
        #expect(window.received == 0)
    }

    @Test("A negative count takes nothing", arguments: [-1, Int.min])
    func negative(count: Int) {
        var window = ReceiveWindow()
        #expect(window.receive(first: 1, count: count) == .duplicate)
        #expect(window.received == 0)
    }

    /// Two strides short of the end of 64 bits, which only a peer that says so many messages reaches.
    private static func atTheEnd() -> ReceiveWindow {
        var window = ReceiveWindow()
        _ = window.receive(first: 1, count: .max)
        _ = window.receive(first: 1 << 63, count: .max)
        return window
    }

    @Test("The last number of all is taken once")
    func lastNumber() {
        var window = Self.atTheEnd()
        #expect(window.received == UInt64.max - 1)
        #expect(window.receive(first: .max, count: 1) == .accept(skip: 0))
        #expect(window.received == .max)
        #expect(window.receive(first: .max, count: 1) == .duplicate)
        #expect(window.receive(first: 1, count: .max) == .duplicate)
    }

    @Test("A batch that runs over the last number takes nothing")
    func overrun() {
        var window = Self.atTheEnd()
        #expect(window.receive(first: .max, count: 2) == .gap(expected: .max))
        #expect(window.received == UInt64.max - 1)
    }
}

import CulvertCore
import NIOCore
import Testing

/// A batch that brings nothing new is answered by its outline.
struct BatchOutlineTests {
    private static func body(first: UInt64 = 7, _ frames: [UInt8]) -> ByteBuffer {
        var body = ByteBuffer(integer: UInt64(3))
        body.writeInteger(first)
        body.writeBytes(frames)
        return body
    }

    private static func outline(_ body: ByteBuffer, limit: Int = 1 << 20) throws -> BatchOutline? {
        try BatchOutline.of(body, batchLimit: limit)
    }

    @Test("It has the numbers of the batch that is read", arguments: 0..<30 as Range<UInt64>)
    func agrees(seed: UInt64) throws {
        var random = PollRandom(seed: seed)
        for count in 0..<5 {
            let messages = (0..<count).map { _ in random.message() }
            let close = random.chance(50) ? CloseFrame(code: .normal, reason: "bye") : nil
            let batch = PollBatch(ack: 3, first: 7, messages: messages, close: close)
            var body = ByteBuffer(bytes: [1, 2, 3])
            body.writeImmutableBuffer(PollCodec.encodeBinary(batch))
            body.moveReaderIndex(forwardBy: 3)
            let expected = BatchOutline(ack: 3, first: 7, count: count, hasClose: close != nil)
            #expect(try Self.outline(body) == expected)
        }
    }

    @Test(
        "What is no batch by its headers has none",
        arguments: [
            [0x82], [0x82, 1], [0x82, 0x80, 0, 0, 0, 0], [0x02, 0], [0x80, 0], [0x89, 0], [0xC2, 0], [0x83, 0],
            [0x88, 0, 0x82, 0], [0x88, 0, 0x88, 0], [0x82, 126, 0], [0x82, 126, 0, 200], [0x82, 127, 0, 0, 0, 0],
            [0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0],
        ] as [[UInt8]])
    func malformed(frames: [UInt8]) throws {
        #expect(try Self.outline(Self.body(frames)) == nil)
    }

    @Test("Nor has a body that is too short for the numbers", arguments: 0..<16)
    func short(length: Int) throws {
        #expect(try Self.outline(ByteBuffer(repeating: 0, count: length)) == nil)
    }

    @Test("Too many messages are refused, and what stands behind them is not looked at")
    func tooMany() throws {
        let flood = (0..<5).flatMap { _ in [0x82, 0] as [UInt8] }
        #expect(try Self.outline(Self.body(flood), limit: 80)?.count == 5)
        for rest in [[], [0xFF, 0xFF]] as [[UInt8]] {
            #expect(throws: PollProblem.self) { try Self.outline(Self.body(flood + rest), limit: 79) }
        }
        // A message that is alone may be larger.
        #expect(try Self.outline(Self.body([0x82, 0]), limit: 1)?.count == 1)
    }

    // MARK: - reading in slices

    @Test("A batch that is read in slices is the batch", arguments: [1, 2, 3, 7, 1000])
    func slices(most: Int) throws {
        var random = PollRandom(seed: 5)
        let messages = (0..<20).map { _ in random.message() }
        let batch = PollBatch(ack: 3, first: 7, messages: messages, close: CloseFrame(code: .normal))
        var reader = try BinaryBatchReader(PollCodec.encodeBinary(batch), messageLimit: 1 << 20)
        var steps = 1
        var read = try reader.read(most)
        while read == nil {
            #expect(reader.count == steps * most)
            #expect(reader.heldBytes > 0)
            steps += 1
            read = try reader.read(most)
        }
        #expect(read == batch)
        // 21 frames, the Close among them.
        #expect(steps == (21 + most - 1) / most)
    }

    @Test("A fault is found in the slice in which it stands")
    func fault() throws {
        var reader = try BinaryBatchReader(Self.body([0x82, 0, 0x82, 0, 0x83, 0]), messageLimit: 100)
        #expect(try reader.read(2) == nil)
        #expect(throws: PollProblem.self) { try reader.read(2) }
    }

    @Test("A session's machine tells what it would take, and a lane takes as many messages as it asks for")
    func machine() {
        var fixture = StreamFixture()
        #expect(fixture.stream.takes(first: 1, count: 5))
        #expect(!fixture.stream.takes(first: 2, count: 5))
        #expect(!fixture.stream.takes(first: 1, count: 0))
        #expect(fixture.stream.receive(first: 1, count: 5, ack: 0, now: fixture.now) == .accept(skip: 0))
        #expect(!fixture.stream.takes(first: 1, count: 5))
        #expect(fixture.stream.takes(first: 1, count: 6))
        _ = fixture.stream.sockets.open()
        for text in ["a", "b", "c"] { fixture.stream.enqueue(textMessage(text)) }
        #expect(fixture.stream.takeForSocket(2)?.messages.count == 2)
        #expect(fixture.stream.takeForSocket(2)?.messages.count == 1)
    }
}

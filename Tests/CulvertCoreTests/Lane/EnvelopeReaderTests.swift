import NIOCore
import Testing

@testable import CulvertCore

@Suite("Envelopes of a lane")
struct EnvelopeReaderTests {
    /// An envelope of empty messages, as a client that masks with zeros sends it.
    private static func envelope(first: UInt64, count: Int) -> ByteBuffer {
        let messages = (0..<count).map { _ in PollMessage(opcode: .binary, payload: ByteBuffer()) }
        let batch = PollCodec.encodeBinary(PollBatch(ack: 0, first: first, messages: messages))
        var frame = ByteBuffer()
        FrameWriter.write(.binary, payload: batch, mask: 0, into: &frame)
        return frame
    }

    private static func assembler(_ frames: ByteBuffer...) -> MessageAssembler {
        var assembler = MessageAssembler(sender: .client, messageLimit: 1 << 20, keepsPings: true)
        for frame in frames { assembler.append(frame) }
        return assembler
    }

    @Test("A large envelope is read in parts, each as large as there is room for, and counts meanwhile")
    func parts() {
        var assembler = Self.assembler(Self.envelope(first: 1, count: 250), Self.envelope(first: 251, count: 1))
        var reader = EnvelopeReader(messageLimit: 100, batchLimit: 1 << 20)
        for _ in 0..<2 {
            var room = 100
            guard case .noRoom = reader.next(&assembler, room: &room) else {
                Issue.record("read more than there was room for")
                return
            }
            #expect(room == 0)
            #expect(reader.heldBytes > 500)
        }
        var room = 100
        guard case .batch(let large) = reader.next(&assembler, room: &room) else {
            Issue.record("the large envelope is not read to its end")
            return
        }
        #expect(large.messages.count == 250)
        #expect(room == 49)
        #expect(reader.heldBytes == 0)
        guard case .batch(let small) = reader.next(&assembler, room: &room) else {
            Issue.record("the small envelope is not read")
            return
        }
        #expect(small.first == 251)
        #expect(room == 47)
        guard case .needMore = reader.next(&assembler, room: &room) else {
            Issue.record("there is something behind the last")
            return
        }
    }

    @Test("Attack: an envelope in fragments of a byte, and envelopes without messages, take room for each frame")
    func frames() {
        let payload = Self.envelope(first: 1, count: 2).readableBytesView.dropFirst(6)
        var fragments = ByteBuffer()
        for (index, byte) in payload.enumerated() {
            let first: UInt8 = (index == 0 ? 2 : 0) | (index == payload.count - 1 ? 0x80 : 0)
            fragments.writeBytes([first, 0x81, 0, 0, 0, 0, byte])
        }
        var assembler = Self.assembler(fragments, Self.envelope(first: 3, count: 0), Self.envelope(first: 3, count: 0))
        var reader = EnvelopeReader(messageLimit: 100, batchLimit: 1 << 20)
        var steps: [String] = []
        var left: [Int] = []
        for _ in 0..<6 {
            var room = payload.count - 1
            switch reader.next(&assembler, room: &room) {
            case .noRoom: steps.append("no room")
            case .batch(let batch): steps.append("\(batch.messages.count)")
            case .needMore: steps.append("need more")
            case .end: steps.append("end")
            }
            left.append(room)
        }
        print("tried an envelope in \(payload.count) frames, with room for one less: \(steps), room \(left)")
        #expect(steps == ["no room", "2", "0", "0", "need more", "need more"])
        let most = payload.count - 1
        #expect(left == [0, most - 3, most - 1, most - 1, most, most])
    }

    @Test("A large envelope that comes again is not taken apart again, and what is new passes")
    func again() {
        let count = 3000
        var assembler = Self.assembler(
            Self.envelope(first: 1, count: count), Self.envelope(first: 1, count: count),
            Self.envelope(first: 2, count: count), Self.envelope(first: 1, count: count))
        var reader = EnvelopeReader(messageLimit: 100, batchLimit: 1 << 20)
        var found: [[UInt64]] = []
        for _ in 0..<4 {
            var room = 1 << 20
            guard case .batch(let batch) = reader.next(&assembler, room: &room) else {
                Issue.record("no batch")
                return
            }
            found.append([batch.first, UInt64(batch.messages.count)])
        }
        #expect(found == [[1, 3000], [3001, 0], [2, 3000], [3002, 0]])
    }

    @Test("What is no envelope ends the lane, and nothing of it is kept")
    func violation() {
        var broken = ByteBuffer(integer: UInt64(0))
        broken.writeInteger(UInt64(1))
        broken.writeBytes([0x82, 0, 0x83, 0])
        var frame = ByteBuffer()
        FrameWriter.write(.binary, payload: broken, mask: 0, into: &frame)
        var assembler = Self.assembler(frame)
        var reader = EnvelopeReader(messageLimit: 100, batchLimit: 1 << 20)
        var room = 100
        guard case .end(let close, let isAnswer) = reader.next(&assembler, room: &room) else {
            Issue.record("taken")
            return
        }
        #expect(close.code == .protocolError)
        #expect(!isAnswer)
        #expect(reader.heldBytes == 0)
    }
}

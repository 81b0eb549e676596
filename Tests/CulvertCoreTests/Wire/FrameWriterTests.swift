import CulvertCore
import NIOCore
import Testing

@Suite("Frame writer")
struct FrameWriterTests {
    static let lengths = [0, 1, 2, 3, 4, 7, 8, 9, 125, 126, 127, 255, 256, 65535, 65536, 70001]

    @Test("Writes the shortest length and the right mask", arguments: lengths, [nil, 0, WireBytes.mask])
    func encodes(length: Int, mask: UInt32?) {
        var random = WireRandom(seed: UInt64(length))
        let payload = random.bytes(length)
        for (opcode, fin, head) in [
            (.text, true, 0x81), (.binary, false, 0x02), (.continuation, false, 0x00), (.continuation, true, 0x80),
        ] as [(Opcode, Bool, UInt8)] {
            var out = ByteBuffer(string: "before")
            FrameWriter.write(opcode, fin: fin, payload: ByteBuffer(bytes: payload), mask: mask, into: &out)
            #expect(out.readString(length: 6) == "before")
            let isRight = out.readableBytesView.elementsEqual(WireBytes.frame(head, payload, mask: mask))
            #expect(isRight, "\(opcode) \(fin)")
        }
    }

    @Test("A payload that is a slice of a larger buffer is written alone")
    func slice() {
        var whole = ByteBuffer(string: "abcdef")
        whole.moveReaderIndex(forwardBy: 2)
        whole.moveWriterIndex(to: 5)
        var out = ByteBuffer()
        FrameWriter.write(.text, payload: whole, mask: nil, into: &out)
        #expect(Array(out.readableBytesView) == [0x81, 3] + Array("cde".utf8))
    }

    @Test("What is written passes the scanner", arguments: lengths)
    func roundTrip(length: Int) {
        var out = ByteBuffer()
        let payload = ByteBuffer(repeating: 0x61, count: length)
        FrameWriter.write(.text, fin: false, payload: payload, mask: 1, into: &out)
        if length <= 125 { FrameWriter.write(.ping, payload: payload, mask: 2, into: &out) }
        FrameWriter.write(.continuation, payload: payload, mask: 3, into: &out)
        FrameWriter.close(CloseFrame(code: .goingAway, reason: "bye"), mask: 4, into: &out)
        let record = ScanRecord.of(
            [Array(out.readableBytesView)],
            FrameScanner(sender: .client, messageLimit: 2 * length, allowedRSV: 0, validateText: true))
        #expect(record.violation == nil)
        #expect(record.messages == 1)
        #expect(record.payloadBytes == UInt64(2 * length))
        #expect(record.events.count == (length <= 125 ? 2 : 1))
    }

    @Test("A mask is applied byte for byte at every length and start, and twice is undone")
    func toggles() {
        var random = WireRandom(seed: 5)
        let key = WireBytes.key(WireBytes.mask)
        for start in 0..<9 {
            for count in 0...40 {
                let bytes = random.bytes(start + count + 3)
                var expected = bytes
                for index in 0..<count { expected[start + index] ^= key[index % 4] }
                var buffer = ByteBuffer(bytes: bytes)
                FrameWriter.toggle(&buffer, from: start, count: count, mask: WireBytes.mask)
                #expect(Array(buffer.readableBytesView) == expected, "\(count) from \(start)")
                FrameWriter.toggle(&buffer, from: start, count: count, mask: WireBytes.mask)
                #expect(Array(buffer.readableBytesView) == bytes, "\(count) from \(start), twice")
            }
        }
    }

    @Test(
        "A range outside of the readable bytes is left alone",
        arguments: [
            (0, 1), (1, 4), (2, 9), (9, 1), (3, -1), (-1, 2), (3, 0),
        ])
    func outOfRange(index: Int, count: Int) {
        var buffer = ByteBuffer(bytes: [9, 9, 1, 2, 3])
        buffer.moveReaderIndex(forwardBy: 2)
        FrameWriter.toggle(&buffer, from: index, count: count, mask: .max)
        buffer.moveReaderIndex(to: 0)
        #expect(Array(buffer.readableBytesView) == [9, 9, 1, 2, 3])
    }

    @Test("A copy of the buffer is not changed by a mask applied to it")
    func copyOnWrite() {
        var buffer = ByteBuffer(bytes: [1, 2, 3])
        let copy = buffer
        FrameWriter.toggle(&buffer, from: 0, count: 3, mask: .max)
        #expect(Array(buffer.readableBytesView) == [0xFE, 0xFD, 0xFC])
        #expect(Array(copy.readableBytesView) == [1, 2, 3])
    }
}

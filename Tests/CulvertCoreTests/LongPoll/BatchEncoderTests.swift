import CulvertCore
import NIOCore
import Testing

struct BatchEncoderTests {
    @Test(
        "In pieces of any size a batch is what it is at once, and as long as is said before",
        arguments: [PollCodec.binary, .json], [1, 2, 3, 7, 64, 1000, 4096, 65_536])
    func pieces(codec: PollCodec, size: Int) {
        for seed in 0..<20 as Range<UInt64> {
            var random = PollRandom(seed: seed)
            var batch = PollBatch(ack: random.next(), first: 1)
            for _ in 0..<Int.random(in: 0...6, using: &random) { batch.append(random.message()) }
            if random.chance(40) { batch.close = CloseFrame(code: .normal, reason: "\"é\\\n€") }
            var encoder = BatchEncoder(batch, codec: codec)
            let length = encoder.length
            var whole = ByteBuffer()
            var largest = 0
            while let piece = encoder.next(size) {
                largest = max(largest, piece.readableBytes)
                whole.writeImmutableBuffer(piece)
            }
            #expect(whole == codec.encode(batch))
            #expect(whole.readableBytes == length)
            // Text that is all escapes, and what stands around a message.
            #expect(largest <= 6 * size + 200)
        }
    }
}

import CulvertCore
import Testing

@Suite("What a connection keeps of its largest read and flush")
struct KeptBuffersTests {
    @Test(
        "The largest counts, as the power of two that its buffer has",
        arguments: [
            (reads: [64, 2048, 16 * 1024], flushes: [], bytes: 0),
            (reads: [16 * 1024 + 1], flushes: [], bytes: 32 * 1024),
            (reads: [32 * 1024, 64, 20_000], flushes: [], bytes: 32 * 1024),
            (reads: [], flushes: [16_000], bytes: 0),
            (reads: [], flushes: [16 * 1024], bytes: 32 * 1024),
            (reads: [], flushes: [32 * 1024, 10], bytes: 64 * 1024),
            (reads: [32 * 1024], flushes: [32 * 1024], bytes: 96 * 1024),
        ])
    func largest(reads: [Int], flushes: [Int], bytes: Int) {
        var kept = KeptBuffers()
        for count in reads { _ = kept.read(count) }
        for count in flushes { _ = kept.flushed(count) }
        #expect(kept.bytes == bytes)
    }

    @Test("It tells of growth alone")
    func growth() {
        var kept = KeptBuffers()
        let grown = [
            kept.read(1000), kept.read(20_000), kept.read(32 * 1024), kept.flushed(20_000), kept.flushed(20_000),
        ]
        #expect(grown == [false, true, false, true, false])
    }
}

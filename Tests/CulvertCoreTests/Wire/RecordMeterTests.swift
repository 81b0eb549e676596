import CulvertCore
import NIOCore
import Testing

@Suite("What TLS keeps of records without an end")
struct RecordMeterTests {
    private static func record(_ length: Int) -> [UInt8] {
        [23, 3, 3, UInt8(length >> 8), UInt8(length & 0xFF)] + [UInt8](repeating: 7, count: length)
    }

    @Test(
        "All bytes count until plaintext comes, twice and up to a bound",
        arguments: [
            (bytes: 2048, memory: 0), (bytes: 2049, memory: 4098), (bytes: 16_000, memory: 32_000),
            (bytes: 100_000, memory: 2 * 17 * 1024),
        ])
    func withoutPlaintext(bytes: Int, memory: Int) {
        var meter = RecordMeter()
        meter.arrived(ByteBuffer(repeating: 1, count: bytes))
        #expect(meter.memory == memory)
    }

    @Test(
        "Once plaintext has come the record alone counts that has not ended, however its bytes arrive",
        arguments: [1, 2, 5, 7, 4096, 100_000])
    func behindPlaintext(piece: Int) {
        let whole = Self.record(0) + Self.record(300) + Self.record(16_384)
        let partial = Array(Self.record(16_384).dropLast())
        var meter = RecordMeter()
        var rest = ByteBuffer(bytes: whole + partial)
        while let part = rest.readSlice(length: min(piece, max(1, rest.readableBytes))) { meter.arrived(part) }
        meter.plaintextCame()
        #expect(meter.memory == 2 * partial.count)
        meter.arrived(ByteBuffer(bytes: [7]))
        meter.plaintextCame()
        #expect(meter.memory == 0)
    }
}

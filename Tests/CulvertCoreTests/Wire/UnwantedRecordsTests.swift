import CulvertCore
import NIOCore
import Testing

@Suite("TLS: records that come unasked")
struct UnwantedRecordsTests {
    /// `count` records of application data, each with `length` encrypted bytes.
    private static func records(_ count: Int, length: Int) -> ByteBuffer {
        var bytes = ByteBuffer()
        for _ in 0..<count {
            bytes.writeBytes([0x17, 0x03, 0x03, UInt8(length >> 8), UInt8(length & 255)])
            bytes.writeRepeatingByte(0xA5, count: length)
        }
        return bytes
    }

    /// Gives all of `bytes` in pieces of `size`.
    private static func passes(_ bytes: ByteBuffer, by size: Int, asking: Bool) -> Bool {
        var bytes = bytes
        var meter = UnwantedRecords()
        meter.asked()
        _ = meter.arrived(ByteBuffer())
        while let part = bytes.readSlice(length: min(size, bytes.readableBytes)), part.readableBytes > 0 {
            if asking { meter.asked() }
            if !meter.arrived(part) { return false }
        }
        return true
    }

    @Test("Attack: a socket full of the smallest records passes when it is read, and not when nobody asks")
    func smallest() {
        let bytes = Self.records(10_000, length: 18)
        for size in [1000, 16_384, 32_768] {
            print("tried 10,000 records of a byte, in reads of \(size)")
            #expect(Self.passes(bytes, by: size, asking: true))
            #expect(!Self.passes(bytes, by: size, asking: false))
        }
    }

    @Test("Ordinary records of as many bytes as a socket keeps pass unasked, however the reads cut them")
    func ordinary() {
        let bytes = Self.records(128, length: 16_401)
        for size in [16_384, 32_768, 1_000_000] {
            #expect(Self.passes(bytes, by: size, asking: false))
        }
        #expect(Self.passes(Self.records(250, length: 18), by: 1 << 20, asking: false))
    }

    @Test("What was asked for does not count against what comes later")
    func mixed() {
        var meter = UnwantedRecords()
        for _ in 0..<10 {
            meter.asked()
            let asked = meter.arrived(Self.records(500, length: 18))
            let unasked = meter.arrived(Self.records(200, length: 18))
            #expect(asked && unasked)
        }
        let more = meter.arrived(Self.records(100, length: 18))
        #expect(!more)
    }
}

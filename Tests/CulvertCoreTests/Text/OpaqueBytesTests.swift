import CulvertCore
import NIOCore
import Testing

@Suite("Bytes that are not UTF-8")
struct OpaqueBytesTests {
    private static func disguised(_ bytes: [UInt8], by size: Int) -> [UInt8] {
        var opaque = OpaqueBytes()
        var out: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            let part = ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)])
            out += Array(opaque.disguise(part).readableBytesView)
        }
        return out
    }

    private static func restored(_ bytes: [UInt8]) -> [UInt8] {
        Array(OpaqueBytes.restored(ByteBuffer(bytes: bytes)).readableBytesView)
    }

    @Test(
        "Whatever comes is restored byte for byte, in pieces of any size, and is UTF-8 meanwhile",
        arguments: [
            [0xE9], [0xFF, 0xFE], [0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x98], [0xC3, 0xC3, 0xA9], [0xC0, 0xAF],
            [0xED, 0xA0, 0x80], [0xE0, 0x80, 0xAF], [0xF4, 0x90, 0x80, 0x80], [0xF8, 0x88, 0x80, 0x80, 0x80],
            [0x41, 0x80, 0x42, 0xBF, 0x43], [0xF4, 0x8F, 0xBA, 0x80], [0xF4, 0x8F, 0xBB, 0xBF, 0xE9],
            [0xF4, 0x8F, 0xBA], [0xEF, 0xBF, 0xBD, 0xFF], Array(0x80...0xFF),
        ] as [[UInt8]])
    func roundTrip(_ value: [UInt8]) {
        let section = Array("X: ".utf8) + value + Array("\r\n".utf8)
        for size in 1...section.count {
            let disguised = Self.disguised(section, by: size)
            let text = String(validating: disguised, as: UTF8.self)
            #expect(text != nil && text?.unicodeScalars.contains("\u{FFFD}") == value.starts(with: [0xEF, 0xBF, 0xBD]))
            #expect(Self.restored(disguised) == section, "by \(size)")
        }
    }

    @Test("UTF-8 passes as it is", arguments: ["", "plain", "grüße", "日本語", "👋", "\u{FFFD}", "\u{10FFFF}", "e\u{301}"])
    func text(_ value: String) {
        let section = Array("X: \(value)\r\n".utf8)
        for size in 1...section.count {
            #expect(Self.disguised(section, by: size) == section)
            #expect(Self.restored(section) == section)
        }
    }
}

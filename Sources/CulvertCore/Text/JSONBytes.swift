package import NIOCore

/// Strings of JSON (RFC 8259 section 7) and base64 (RFC 4648 section 4), written and read by bytes: text from a peer is
/// never taken apart into characters, and a window of it costs some nanoseconds a byte.
package enum JSONBytes {
    /// A control character, a quotation mark or a backslash.
    @inline(__always)
    private static func isEscaped(_ byte: UInt8) -> Bool { byte < 0x20 || byte == 0x22 || byte == 0x5C }

    /// The letter behind the backslash; 0 for a byte that is written as a number.
    private static func letter(_ byte: UInt8) -> UInt8 {
        switch byte {
        case 0x0A: UInt8(ascii: "n")
        case 0x0D: UInt8(ascii: "r")
        case 0x09: UInt8(ascii: "t")
        case 0x22, 0x5C: byte
        default: 0
        }
    }

    /// Bytes of `text` in a string, without its quotation marks.
    package static func escapedLength(_ text: UnsafeRawBufferPointer) -> Int {
        var width = text.count
        var index = 0
        while index < text.count {
            let byte = text[index]
            if self.isEscaped(byte) { width += self.letter(byte) == 0 ? 5 : 1 }
            index += 1
        }
        return width
    }

    /// Appends a part of a string, which may begin and end within a character, without quotation marks.
    package static func escape(_ text: UnsafeRawBufferPointer, into out: inout ByteBuffer) {
        let width = self.escapedLength(text)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: width) { target in
            _ = self.escape(text, target, from: 0)
            return width
        }
    }

    /// `text` as a string with its quotation marks.
    package static func quoted(_ text: String) -> String {
        var text = text
        return text.withUTF8 { text in
            let text = UnsafeRawBufferPointer(text)
            let width = self.escapedLength(text) + 2
            return String(unsafeUninitializedCapacity: width) { target in
                self.quote(text, UnsafeMutableRawBufferPointer(target))
                return width
            }
        }
    }

    private static func quote(_ text: UnsafeRawBufferPointer, _ out: UnsafeMutableRawBufferPointer) {
        out[0] = 0x22
        out[self.escape(text, out, from: 1)] = 0x22
    }

    /// - Returns: where the text ends in `out`.
    private static func escape(
        _ text: UnsafeRawBufferPointer, _ out: UnsafeMutableRawBufferPointer, from start: Int
    ) -> Int {
        var end = start
        // Runs of bytes that need no escape are copied whole.
        var run = 0
        var index = 0
        while index < text.count {
            let byte = text[index]
            if self.isEscaped(byte) {
                self.copy(text, run..<index, out, &end)
                run = index + 1
                out[end] = 0x5C
                let letter = self.letter(byte)
                if letter != 0 {
                    out[end + 1] = letter
                    end += 2
                } else {
                    out[end + 1] = UInt8(ascii: "u")
                    out[end + 2] = UInt8(ascii: "0")
                    out[end + 3] = UInt8(ascii: "0")
                    out[end + 4] = self.digit(byte >> 4)
                    out[end + 5] = self.digit(byte & 15)
                    end += 6
                }
            }
            index += 1
        }
        self.copy(text, run..<text.count, out, &end)
        return end
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 + value - 10 }

    @inline(__always)
    private static func copy(
        _ text: UnsafeRawBufferPointer, _ run: Range<Int>, _ out: UnsafeMutableRawBufferPointer, _ end: inout Int
    ) {
        guard !run.isEmpty else { return }
        UnsafeMutableRawBufferPointer(rebasing: out[end...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: text[run]))
        end += run.count
    }

    // MARK: - base64

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    private static let none: UInt8 = 0xFF
    /// The value of each byte of the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: Self.none, count: 256)
        for (index, byte) in Self.alphabet.enumerated() { values[Int(byte)] = UInt8(index) }
        return values
    }()

    /// Appends `bytes` as base64 with padding.
    package static func writeBase64(_ bytes: UnsafeRawBufferPointer, into out: inout ByteBuffer) {
        let width = (bytes.count + 2) / 3 * 4
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: width) { out in
            self.alphabet.withUnsafeBufferPointer { alphabet in
                var end = 0
                var index = 0
                while index < bytes.count {
                    let left = bytes.count - index
                    let bits =
                        UInt32(bytes[index]) << 16 | (left > 1 ? UInt32(bytes[index + 1]) << 8 : 0)
                        | (left > 2 ? UInt32(bytes[index + 2]) : 0)
                    out[end] = alphabet[Int(bits >> 18)]
                    out[end + 1] = alphabet[Int(bits >> 12 & 63)]
                    out[end + 2] = left > 1 ? alphabet[Int(bits >> 6 & 63)] : UInt8(ascii: "=")
                    out[end + 3] = left > 2 ? alphabet[Int(bits & 63)] : UInt8(ascii: "=")
                    end += 4
                    index += 3
                }
            }
            return width
        }
    }

    /// Reads base64 with padding in its own place, where the result is shorter.
    ///
    /// - Returns: bytes of the result, from the start of `bytes`; nil when `bytes` is something else.
    package static func readBase64(_ bytes: UnsafeMutableRawBufferPointer) -> Int? {
        guard bytes.count % 4 == 0 else { return nil }
        guard bytes.count > 0 else { return 0 }
        let equals = UInt8(ascii: "=")
        let padding = bytes[bytes.count - 1] != equals ? 0 : bytes[bytes.count - 2] != equals ? 1 : 2
        let length = bytes.count - padding
        return self.values.withUnsafeBufferPointer { values in
            var end = 0
            var bits: UInt32 = 0
            for index in 0..<length {
                let six = values[Int(bytes[index])]
                if six == Self.none { return nil }
                bits = bits << 6 | UInt32(six)
                if index & 3 == 3 {
                    bytes[end] = UInt8(truncatingIfNeeded: bits >> 16)
                    bytes[end + 1] = UInt8(truncatingIfNeeded: bits >> 8)
                    bytes[end + 2] = UInt8(truncatingIfNeeded: bits)
                    end += 3
                }
            }
            if padding == 1 {
                bytes[end] = UInt8(truncatingIfNeeded: bits >> 10)
                bytes[end + 1] = UInt8(truncatingIfNeeded: bits >> 2)
            } else if padding == 2 {
                bytes[end] = UInt8(truncatingIfNeeded: bits >> 4)
            }
            return bytes.count / 4 * 3 - padding
        }
    }
}

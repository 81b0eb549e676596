/// Incremental UTF-8 check that fails at the first byte that no continuation can repair (RFC 3629).
package struct UTF8Validator: Equatable, Sendable {
    /// Continuation bytes still to come of the current character.
    private var pending: UInt8 = 0
    /// Range of the next continuation byte: narrower after E0, ED, F0 and F4 (overlong forms, surrogates, beyond
    /// U+10FFFF).
    private var low: UInt8 = 0x80
    private var high: UInt8 = 0xBF

    package init() {}

    /// Whether the bytes so far end on a character border.
    package var isComplete: Bool { self.pending == 0 }

    package mutating func reset() {
        self = UTF8Validator()
    }

    /// Checks the next bytes. `mask` is the frame's masking key as four bytes in wire order, already rotated so that
    /// its first byte belongs to the first of `bytes`; 0 for none.
    package mutating func consume(_ bytes: UnsafeRawBufferPointer, mask: UInt32 = 0) -> Bool {
        let wide = UInt64(mask) | UInt64(mask) << 32
        var index = 0
        while index < bytes.count {
            if self.pending == 0, index & 3 == 0 {
                // Eight bytes of ASCII at a time.
                while bytes.count - index >= 8 {
                    let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                    if (word ^ wide) & 0x8080_8080_8080_8080 != 0 { break }
                    index += 8
                }
                if index == bytes.count { break }
            }
            let key = UInt8(truncatingIfNeeded: mask >> UInt32((index & 3) * 8))
            if !self.step(bytes[index] ^ key) { return false }
            index += 1
        }
        return true
    }

    private mutating func step(_ byte: UInt8) -> Bool {
        if self.pending > 0 {
            guard byte >= self.low, byte <= self.high else { return false }
            self.pending -= 1
            self.low = 0x80
            self.high = 0xBF
            return true
        }
        switch byte {
        case 0x00...0x7F: return true
        case 0xC2...0xDF: self.pending = 1
        case 0xE0: (self.pending, self.low) = (2, 0xA0)
        case 0xED: (self.pending, self.high) = (2, 0x9F)
        case 0xE1...0xEF: self.pending = 2
        case 0xF0: (self.pending, self.low) = (3, 0x90)
        case 0xF4: (self.pending, self.high) = (3, 0x8F)
        case 0xF1...0xF3: self.pending = 3
        default: return false
        }
        return true
    }
}

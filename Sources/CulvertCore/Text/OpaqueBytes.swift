package import NIOCore

/// Carries bytes that are not UTF-8 through a program that keeps header sections as `String`.
///
/// The value of a field may hold any byte from 0x80 on, and a recipient takes these for opaque data (RFC 9110 5.5).
/// NIO's decoder makes a `String` of each value, and writes U+FFFD for what is not UTF-8. So each such byte is disguised
/// as a character before the decoder sees it: U+10FE80 for 0x80, up to U+10FEFF for 0xFF, a private range. It is restored
/// behind the encoder. UTF-8 passes as it is. The characters of the range are disguised byte by byte when they come from
/// outside, so that what is restored is always what came.
package struct OpaqueBytes: Sendable {
    /// The front of a character whose other bytes have not come; three bytes at most.
    private var begun: [UInt8] = []

    /// The first byte of each disguise in UTF-8. It begins no other assigned character.
    package static let mark: UInt8 = 0xF4

    package init() {}

    /// The next part of a header section, disguised. The front of a character at its end is kept for the part after it;
    /// a section ends with a line feed, behind which nothing is kept.
    package mutating func disguise(_ part: ByteBuffer) -> ByteBuffer {
        if self.begun.isEmpty, Self.isASCII(part) { return part }
        let bytes = self.begun + part.readableBytesView
        self.begun = []
        var out: [UInt8] = []
        out.reserveCapacity(2 * bytes.count)
        var at = 0
        while at < bytes.count {
            switch Self.next(bytes, at) {
            case .character(let length):
                out += bytes[at..<at + length]
                at += length
            case .opaque:
                let byte = bytes[at]
                out += [Self.mark, 0x8F, 0xBA | byte >> 6 & 1, 0x80 | byte & 0x3F]
                at += 1
            case .begun:
                self.begun = Array(bytes[at...])
                at = bytes.count
            }
        }
        return ByteBuffer(bytes: out)
    }

    /// A whole header section, disguised.
    package static func disguised(_ section: ByteBuffer) -> ByteBuffer {
        var bytes = OpaqueBytes()
        return bytes.disguise(section)
    }

    /// The bytes as they were before they were disguised.
    package static func restored(_ section: ByteBuffer) -> ByteBuffer {
        let hasMark = section.withUnsafeReadableBytes { $0.bindMemory(to: UInt8.self).offset(of: self.mark) != nil }
        guard hasMark else { return section }
        let bytes = Array(section.readableBytesView)
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var at = 0
        while at < bytes.count {
            if self.isDisguise(bytes, at) {
                out.append(0x80 | (bytes[at + 2] & 1) << 6 | bytes[at + 3] & 0x3F)
                at += 4
            } else {
                out.append(bytes[at])
                at += 1
            }
        }
        return ByteBuffer(bytes: out)
    }

    /// The byte that a character stands for; nil for an ordinary character.
    package static func byte(disguisedAs scalar: UInt32) -> UInt8? {
        (0x10FE80...0x10FEFF).contains(scalar) ? UInt8(truncatingIfNeeded: scalar) : nil
    }

    private static func isASCII(_ part: ByteBuffer) -> Bool {
        part.withUnsafeReadableBytes { bytes in
            // Without a branch for each byte.
            var all: UInt8 = 0
            for byte in bytes { all |= byte }
            return all < 0x80
        }
    }

    private static func isDisguise(_ bytes: [UInt8], _ at: Int) -> Bool {
        bytes.count - at >= 4 && bytes[at] == self.mark && bytes[at + 1] == 0x8F && bytes[at + 2] & 0xFE == 0xBA
            && bytes[at + 3] & 0xC0 == 0x80
    }

    private enum Next {
        /// A character of so many bytes.
        case character(Int)
        /// A byte that is not part of UTF-8.
        case opaque
        /// The bytes so far may become a character.
        case begun
    }

    private static func next(_ bytes: [UInt8], _ at: Int) -> Next {
        let (length, second) = self.shape(bytes[at])
        if length <= 1 { return length == 1 ? .character(1) : .opaque }
        for index in 1..<length {
            guard at + index < bytes.count else { return .begun }
            let range = index == 1 ? second : 0x80...0xBF
            guard range.contains(bytes[at + index]) else { return .opaque }
        }
        return self.isDisguise(bytes, at) ? .opaque : .character(length)
    }

    /// How long the character is that `first` begins, and what its second byte may be (RFC 3629 section 4); a length
    /// of 0 for a byte that begins none.
    private static func shape(_ first: UInt8) -> (length: Int, second: ClosedRange<UInt8>) {
        switch first {
        case 0..<0x80: (1, 0x80...0xBF)
        case 0xC2...0xDF: (2, 0x80...0xBF)
        case 0xE0: (3, 0xA0...0xBF)
        case 0xED: (3, 0x80...0x9F)
        case 0xE1...0xEF: (3, 0x80...0xBF)
        case 0xF0: (4, 0x90...0xBF)
        case 0xF1...0xF3: (4, 0x80...0xBF)
        case 0xF4: (4, 0x80...0x8F)
        default: (0, 0x80...0xBF)
        }
    }
}

import CulvertCore
import Logging

/// The bytes of a line that is being written. Text is read byte by byte, for a peer chose some of it.
struct LineBytes {
    /// How text is escaped.
    enum Style {
        /// In a JSON string (RFC 8259, 7). More is escaped than must be: everything that ends a line or moves a cursor.
        case json
        /// In quotation marks in a line for people.
        case quoted
        /// Without quotation marks in a line for people.
        case text
    }

    private(set) var bytes: [UInt8] = []

    init() { self.bytes.reserveCapacity(512) }

    var isFull: Bool { self.bytes.count >= LogLine.lineLimit }

    mutating func append(_ byte: UInt8) { self.bytes.append(byte) }

    mutating func append(_ text: String) { self.bytes.append(contentsOf: text.utf8) }

    /// - Parameter style: one with quotation marks.
    mutating func appendQuoted(_ text: String, _ style: Style) {
        self.append(UInt8(ascii: "\""))
        self.appendEscaped(text, style)
        self.append(UInt8(ascii: "\""))
    }

    /// A word as it is; anything else in quotation marks.
    mutating func appendField(_ text: String) {
        let isWord =
            !text.isEmpty && text.utf8.count <= LogLine.fieldLimit
            && text.utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
                    && $0 != UInt8(ascii: "=")
            }
        if isWord { self.append(text) } else { self.appendQuoted(text, .quoted) }
    }

    mutating func appendEscaped(_ text: String, _ style: Style) {
        var text = text
        text.withUTF8 { self.appendEscaped($0, style) }
    }

    private mutating func appendEscaped(_ text: UnsafeBufferPointer<UInt8>, _ style: Style) {
        let end = self.bytes.count + LogLine.fieldLimit
        var index = 0
        /// The first of the bytes that need no escape and are not copied yet.
        var start = 0
        while index < text.count {
            if self.bytes.count + index - start >= end {
                self.bytes.append(contentsOf: text[start..<index])
                self.append("…[\(text.count - index) bytes more]")
                return
            }
            let byte = text[index]
            if byte >= 0x20, byte < 0x7F, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                index += 1
                continue
            }
            let (scalar, length) = Self.scalar(text, at: index)
            if Self.needsEscape(scalar, style) {
                self.bytes.append(contentsOf: text[start..<index])
                self.appendEscape(scalar, style)
                start = index + length
            }
            index += length
        }
        self.bytes.append(contentsOf: text[start...])
    }

    /// The scalar that begins at `index`; strings are valid UTF-8.
    private static func scalar(_ text: UnsafeBufferPointer<UInt8>, at index: Int) -> (value: UInt32, length: Int) {
        let first = UInt32(text[index])
        func next(_ offset: Int) -> UInt32 {
            index + offset < text.count ? UInt32(text[index + offset] & 0x3F) : 0
        }
        switch first {
        case 0xC0..<0xE0: return ((first & 0x1F) << 6 | next(1), min(2, text.count - index))
        case 0xE0..<0xF0: return ((first & 0x0F) << 12 | next(1) << 6 | next(2), min(3, text.count - index))
        case 0xF0...:
            let value = (first & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3)
            return (value, min(4, text.count - index))
        default: return (first, 1)
        }
    }

    private static func needsEscape(_ scalar: UInt32, _ style: Style) -> Bool {
        switch scalar {
        case 0x22: style != .text
        case 0x5C: true
        default: ShownText.isHidden(scalar) || OpaqueBytes.byte(disguisedAs: scalar) != nil
        }
    }

    private mutating func appendEscape(_ scalar: UInt32, _ style: Style) {
        if let byte = OpaqueBytes.byte(disguisedAs: scalar) {
            // JSON has no escape for a byte, so its readers get the text `\xNN`.
            self.append(style == .json ? "\\\\x" : "\\x")
            self.append(String(byte, radix: 16))
            return
        }
        self.append(UInt8(ascii: "\\"))
        switch scalar {
        case 0x22, 0x5C: self.append(UInt8(scalar))
        case 0x0A: self.append(UInt8(ascii: "n"))
        case 0x0D: self.append(UInt8(ascii: "r"))
        case 0x09: self.append(UInt8(ascii: "t"))
        default:
            let digits = String(scalar, radix: 16)
            let width = style == .json ? 4 : 2
            self.append(style == .json ? "u" : "u{")
            self.append(String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits)
            if style != .json { self.append(UInt8(ascii: "}")) }
        }
    }

    // MARK: - values

    /// A value of metadata as JSON. Where the line is full, what is left of an array or an object is left out.
    mutating func appendJSON(_ value: Logger.MetadataValue) {
        switch value {
        case .string(let text):
            self.appendQuoted(text, .json)
        case .stringConvertible(let value):
            switch value {
            case let number as any FixedWidthInteger: self.append(String(describing: number))
            case let flag as Bool: self.append(flag ? "true" : "false")
            case let number as Double where number.isFinite: self.append(String(describing: number))
            default: self.appendQuoted(value.description, .json)
            }
        case .array(let values):
            self.append("[")
            for (index, value) in values.enumerated() {
                if index > 0 { self.append(",") }
                guard !self.isFull else {
                    self.append("\"…\"")
                    break
                }
                self.appendJSON(value)
            }
            self.append("]")
        case .dictionary(let members):
            self.append("{")
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { self.append(",") }
                guard !self.isFull else {
                    self.append("\"…\":\"…\"")
                    break
                }
                self.appendQuoted(member.key, .json)
                self.append(":")
                self.appendJSON(member.value)
            }
            self.append("}")
        }
    }

    // MARK: - time

    /// - Parameter time: milliseconds since 1970, UTC.
    mutating func appendTimestamp(_ time: Int64) {
        let time = min(max(time, -62_167_219_200_000), 253_402_300_799_999)
        let days = (time >= 0 ? time : time - 86_399_999) / 86_400_000
        let inDay = time - days * 86_400_000
        let date = CivilDate(daysSince1970: days)
        self.appendNumber(date.year, 4)
        self.append(UInt8(ascii: "-"))
        self.appendNumber(date.month, 2)
        self.append(UInt8(ascii: "-"))
        self.appendNumber(date.day, 2)
        self.append(UInt8(ascii: "T"))
        self.appendNumber(inDay / 3_600_000, 2)
        self.append(UInt8(ascii: ":"))
        self.appendNumber(inDay / 60_000 % 60, 2)
        self.append(UInt8(ascii: ":"))
        self.appendNumber(inDay / 1_000 % 60, 2)
        self.append(UInt8(ascii: "."))
        self.appendNumber(inDay % 1_000, 3)
        self.append(UInt8(ascii: "Z"))
    }

    private mutating func appendNumber(_ number: Int64, _ width: Int) {
        var divisor: Int64 = 1
        for _ in 1..<width { divisor *= 10 }
        while divisor > 0 {
            self.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number / divisor % 10))
            divisor /= 10
        }
    }
}

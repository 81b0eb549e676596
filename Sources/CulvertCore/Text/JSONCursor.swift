/// Reads a JSON document (RFC 8259) from front to back, in time linear in its bytes and without recursion of its own.
///
/// The caller asks for what it expects and skips the rest, so that only what is asked for is ever made. Works on bytes:
/// no Swift `Character` joins a quotation mark with what follows it.
///
///     try cursor.beginObject()
///     while let name = try cursor.nextMember() {
///         if name == "alg" { algorithm = try cursor.string() } else { try cursor.skip() }
///     }
///     try cursor.finish()
///
/// Valid as long as the bytes that it was made with.
package struct JSONCursor {
    package enum Kind: Equatable, Sendable {
        case object
        case array
        case string
        case number
        case bool
        case null
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    private let limits: JSONLimits
    private var offset = 0
    private var depth = 0
    private var valuesLeft: Int
    /// A bit for each depth: the object or array there has had a member or element.
    private var begun: UInt64 = 0
    /// A bit for each depth: there is an array, not an object.
    private var arrays: UInt64 = 0

    /// Longest number, in bytes. No number that means anything is longer.
    private static let numberLimit = 64
    /// Longest name of a member, in bytes. Claims that are URLs have room.
    private static let nameLimit = 256

    package init(_ bytes: UnsafeRawBufferPointer, limits: JSONLimits) throws(JSONFault) {
        guard bytes.count <= limits.bytes else { throw .tooLong }
        self.bytes = bytes.bindMemory(to: UInt8.self)
        self.limits = limits
        self.valuesLeft = limits.values
    }

    // MARK: - structure

    /// The kind of the next value, by its first byte.
    package mutating func kind() throws(JSONFault) -> Kind {
        switch self.peek() {
        case UInt8(ascii: "{")?: return .object
        case UInt8(ascii: "[")?: return .array
        case UInt8(ascii: "\"")?: return .string
        case UInt8(ascii: "t")?, UInt8(ascii: "f")?: return .bool
        case UInt8(ascii: "n")?: return .null
        case UInt8(ascii: "-")?, (0x30...0x39)?: return .number
        default: throw .syntax
        }
    }

    package mutating func beginObject() throws(JSONFault) { try self.begin(.object) }

    package mutating func beginArray() throws(JSONFault) { try self.begin(.array) }

    private mutating func begin(_ wanted: Kind) throws(JSONFault) {
        guard try self.kind() == wanted else { throw .type }
        try self.count()
        guard self.depth < self.limits.depth else { throw .tooDeep }
        let bit: UInt64 = 1 << UInt64(self.depth)
        self.begun &= ~bit
        self.arrays = wanted == .array ? self.arrays | bit : self.arrays & ~bit
        self.depth += 1
        self.offset += 1
    }

    /// The name of the object's next member, whose value comes next; nil at the object's end.
    package mutating func nextMember() throws(JSONFault) -> String? {
        guard try self.next(before: UInt8(ascii: "}")) else { return nil }
        let name = try self.text()
        // Hashing a String normalises it, which is not linear in a run of combining marks.
        guard name.utf8.count <= Self.nameLimit else { throw .tooLong }
        try self.colon()
        return name
    }

    /// Whether the array has another element, which comes next; false at the array's end.
    package mutating func nextElement() throws(JSONFault) -> Bool {
        try self.next(before: UInt8(ascii: "]"))
    }

    private mutating func next(before end: UInt8) throws(JSONFault) -> Bool {
        guard self.depth > 0, let byte = self.peek() else { throw .syntax }
        let bit: UInt64 = 1 << UInt64(self.depth - 1)
        if byte == end {
            self.depth -= 1
            self.offset += 1
            return false
        }
        if self.begun & bit != 0 {
            guard byte == UInt8(ascii: ",") else { throw .syntax }
            self.offset += 1
            // A comma in front of the end.
            guard let byte = self.peek(), byte != end else { throw .syntax }
        }
        self.begun |= bit
        return true
    }

    /// Checks that only white space follows the document's one value.
    package mutating func finish() throws(JSONFault) {
        guard self.depth == 0, self.peek() == nil else { throw .syntax }
    }

    // MARK: - values

    package mutating func string() throws(JSONFault) -> String {
        guard try self.kind() == .string else { throw .type }
        try self.count()
        return try self.text()
    }

    package mutating func bool() throws(JSONFault) -> Bool {
        guard try self.kind() == .bool else { throw .type }
        try self.count()
        let value = self.bytes[self.offset] == UInt8(ascii: "t")
        try self.word(value ? "true" : "false")
        return value
    }

    package mutating func null() throws(JSONFault) {
        guard try self.kind() == .null else { throw .type }
        try self.count()
        try self.word("null")
    }

    /// A whole number from 0 to 2^64 - 1, written without fraction and exponent.
    package mutating func unsigned() throws(JSONFault) -> UInt64 {
        let (range, isWhole) = try self.number()
        guard isWhole, self.bytes[range.lowerBound] != UInt8(ascii: "-") else { throw .type }
        var value: UInt64 = 0
        for byte in self.bytes[range] {
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte &- 0x30))
            if overflow || carry { throw .type }
            value = sum
        }
        return value
    }

    /// A number that a peer may write in any way: `.integer` where it is whole and fits, otherwise `.number`.
    package mutating func numericValue() throws(JSONFault) -> JSONValue {
        let (range, isWhole) = try self.number()
        let text = String(decoding: self.bytes[range], as: UTF8.self)
        // Checked by bytes: a number as RFC 8259 section 6 has it.
        if isWhole, let value = Int64(text) { return .integer(value) }
        // Checked by bytes: the same, so neither `inf` nor a hexadecimal one.
        guard let value = Double(text), value.isFinite else { throw .type }
        return Int64(exactly: value).map { .integer($0) } ?? .number(value)
    }

    /// Passes over the next value, whatever it is.
    package mutating func skip() throws(JSONFault) {
        let outer = self.depth
        repeat {
            switch try self.kind() {
            case .object: try self.beginObject()
            case .array: try self.beginArray()
            case .string:
                try self.count()
                _ = try self.quoted()
            case .number: _ = try self.number()
            case .bool: _ = try self.bool()
            case .null: try self.null()
            }
            // To the next value within, or out of all that ends here.
            while self.depth > outer, try !self.advance() {}
        } while self.depth > outer
    }

    /// Whether the innermost object or array has another value, which comes next.
    private mutating func advance() throws(JSONFault) -> Bool {
        if self.arrays & (1 << UInt64(self.depth - 1)) != 0 { return try self.nextElement() }
        guard try self.next(before: UInt8(ascii: "}")) else { return false }
        _ = try self.quoted()
        try self.colon()
        return true
    }
}

// MARK: - bytes

extension JSONCursor {
    /// The next byte that is not white space; nil at the end.
    private mutating func peek() -> UInt8? {
        while self.offset < self.bytes.count {
            switch self.bytes[self.offset] {
            case 0x20, 0x09, 0x0A, 0x0D: self.offset += 1
            case let byte: return byte
            }
        }
        return nil
    }

    private mutating func colon() throws(JSONFault) {
        guard self.peek() == UInt8(ascii: ":") else { throw .syntax }
        self.offset += 1
    }

    private mutating func count() throws(JSONFault) {
        guard self.valuesLeft > 0 else { throw .tooMany }
        self.valuesLeft -= 1
    }

    private mutating func word(_ word: StaticString) throws(JSONFault) {
        let expected = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard self.bytes.count - self.offset >= expected.count,
            self.bytes[self.offset..<self.offset + expected.count].elementsEqual(expected)
        else { throw .syntax }
        self.offset += expected.count
    }

    /// - Returns: where the number stands, and whether it has neither fraction nor exponent.
    private mutating func number() throws(JSONFault) -> (range: Range<Int>, isWhole: Bool) {
        guard try self.kind() == .number else { throw .type }
        try self.count()
        let start = self.offset
        if self.bytes[self.offset] == UInt8(ascii: "-") { self.offset += 1 }
        if self.offset < self.bytes.count, self.bytes[self.offset] == 0x30 {
            self.offset += 1
        } else {
            try self.digits()
        }
        var isWhole = true
        if self.offset < self.bytes.count, self.bytes[self.offset] == UInt8(ascii: ".") {
            isWhole = false
            self.offset += 1
            try self.digits()
        }
        if self.offset < self.bytes.count, self.bytes[self.offset] | 0x20 == UInt8(ascii: "e") {
            isWhole = false
            self.offset += 1
            if self.offset < self.bytes.count, [0x2B, 0x2D].contains(self.bytes[self.offset]) { self.offset += 1 }
            try self.digits()
        }
        guard self.offset - start <= Self.numberLimit else { throw .type }
        return (start..<self.offset, isWhole)
    }

    private mutating func digits() throws(JSONFault) {
        let start = self.offset
        while self.offset < self.bytes.count, (0x30...0x39).contains(self.bytes[self.offset]) { self.offset += 1 }
        guard self.offset > start else { throw .syntax }
    }

    /// Passes over a string.
    ///
    /// - Returns: what stands between the quotation marks, and whether some of it is escaped.
    private mutating func quoted() throws(JSONFault) -> (range: Range<Int>, isEscaped: Bool) {
        guard self.peek() == UInt8(ascii: "\"") else { throw .syntax }
        let start = self.offset + 1
        var at = start
        var isEscaped = false
        while at < self.bytes.count {
            switch self.bytes[at] {
            case UInt8(ascii: "\""):
                self.offset = at + 1
                return (start..<at, isEscaped)
            case UInt8(ascii: "\\"):
                isEscaped = true
                at += 2
            case 0..<0x20: throw .syntax
            default: at += 1
            }
        }
        throw .syntax
    }

    private mutating func text() throws(JSONFault) -> String {
        let (range, isEscaped) = try self.quoted()
        let raw = UnsafeBufferPointer(rebasing: self.bytes[range])
        let text =
            isEscaped
            ? String(validating: try Self.unescape(raw), as: UTF8.self) : String(validating: raw, as: UTF8.self)
        guard let text else { throw .syntax }
        return text
    }

    private static func unescape(_ raw: UnsafeBufferPointer<UInt8>) throws(JSONFault) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(raw.count)
        var at = 0
        while at < raw.count {
            let byte = raw[at]
            at += 1
            guard byte == UInt8(ascii: "\\") else {
                out.append(byte)
                continue
            }
            guard at < raw.count else { throw .syntax }
            let escape = raw[at]
            at += 1
            switch escape {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): out.append(escape)
            case UInt8(ascii: "b"): out.append(0x08)
            case UInt8(ascii: "f"): out.append(0x0C)
            case UInt8(ascii: "n"): out.append(0x0A)
            case UInt8(ascii: "r"): out.append(0x0D)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "u"): out += Array(String(try self.scalar(raw, &at)).utf8)
            default: throw .syntax
            }
        }
        return out
    }

    /// The character after `\u`: four digits, or a pair of surrogates (RFC 8259 section 7). Half a pair is refused.
    private static func scalar(_ raw: UnsafeBufferPointer<UInt8>, _ at: inout Int) throws(JSONFault) -> Unicode.Scalar {
        var code = try self.hex(raw, &at)
        if (0xD800...0xDBFF).contains(code) {
            guard raw.count - at >= 2, raw[at] == UInt8(ascii: "\\"), raw[at + 1] == UInt8(ascii: "u") else {
                throw .syntax
            }
            at += 2
            let low = try self.hex(raw, &at)
            guard (0xDC00...0xDFFF).contains(low) else { throw .syntax }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw .syntax }
        return scalar
    }

    private static func hex(_ raw: UnsafeBufferPointer<UInt8>, _ at: inout Int) throws(JSONFault) -> UInt32 {
        guard raw.count - at >= 4 else { throw .syntax }
        var code: UInt32 = 0
        for byte in raw[at..<at + 4] {
            guard let digit = byte.hexDigit else { throw .syntax }
            code = code << 4 | UInt32(digit)
        }
        at += 4
        return code
    }
}

extension UInt8 {
    fileprivate var hexDigit: UInt8? {
        switch self {
        case 0x30...0x39: self - 0x30
        case 0x41...0x46: self - 0x41 + 10
        case 0x61...0x66: self - 0x61 + 10
        default: nil
        }
    }
}

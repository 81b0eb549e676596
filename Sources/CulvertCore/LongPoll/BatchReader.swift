/// Reads the JSON form of a batch (docs/protocol.md, section 3) byte by byte, in one pass, and so much at a time.
///
/// The shape is fixed: a member that a batch does not have ends the reading, so that no value is ever skipped and
/// nothing is nested deeper than a batch is. Strings are unescaped, and base64 is read, in their own place, where the
/// result is never longer.
struct BatchReader {
    /// The place of a message's payload in the bytes, and its length.
    struct Message {
        var opcode: Opcode
        var start: Int
        var length: Int
    }

    private(set) var ack: UInt64?
    private(set) var first: UInt64?
    private(set) var messages: [Message] = []
    private(set) var close: CloseFrame?

    private static let batchNames: [StaticString] = ["ack", "first", "messages", "close"]
    private static let messageNames: [StaticString] = ["text", "binary"]
    private static let closeNames: [StaticString] = ["code", "reason"]

    /// The next step of the reader.
    private enum Step {
        /// The reader checks that the next bytes are UTF-8.
        case validate
        case begin
        case member
        case message
        case behindMember
        case end
        case done
    }

    /// Bytes that are looked at in the time of one message.
    private static let bytesPerMessage = 256

    /// The whole text, as long as ``read(_:most:)`` runs.
    private var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    private var step = Step.validate
    private var validator = UTF8Validator()
    /// Members of the batch that the reader has seen, a bit each.
    private var seen: UInt8 = 0
    private var index = 0
    private var budget: BatchBudget

    init(budget: BatchBudget) { self.budget = budget }

    /// Reads as much as about `most` messages.
    ///
    /// - Parameter bytes: the whole text, as the last call has left it.
    /// - Returns: whether all is read.
    mutating func read(_ bytes: UnsafeMutableRawBufferPointer, most: Int) throws(PollProblem) -> Bool {
        self.bytes = bytes
        defer { self.bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        var left = most
        while self.step != .done {
            guard left > 0 else { return false }
            if self.step == .validate {
                try self.validate(&left)
            } else {
                let begin = self.index
                try self.takeStep()
                left -= 1 + max(0, self.index - begin) / Self.bytesPerMessage
            }
        }
        return true
    }

    private mutating func takeStep() throws(PollProblem) {
        switch self.step {
        case .begin:
            // RFC 8259 8.1: a byte order mark may be ignored.
            self.index = self.bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
            guard self.take(UInt8(ascii: "{")) else { throw Self.noBatch }
            self.step = self.take(UInt8(ascii: "}")) ? .end : .member
        case .member: try self.readMember()
        case .message:
            try self.readMessage()
            guard !self.take(UInt8(ascii: ",")) else { return }
            guard self.take(UInt8(ascii: "]")) else { throw Self.noBatch }
            self.step = .behindMember
        case .behindMember:
            if self.take(UInt8(ascii: ",")) {
                self.step = .member
            } else {
                guard self.take(UInt8(ascii: "}")) else { throw Self.noBatch }
                self.step = .end
            }
        case .end:
            self.skipSpace()
            guard self.index == self.bytes.count else { throw Self.noBatch }
            self.step = .done
        case .validate, .done: break
        }
    }

    /// Looks at as many bytes as `left` messages are worth.
    private mutating func validate(_ left: inout Int) throws(PollProblem) {
        let (most, overflow) = left.multipliedReportingOverflow(by: Self.bytesPerMessage)
        let part = self.bytes[self.index...].prefix(overflow ? .max : most)
        guard self.validator.consume(UnsafeRawBufferPointer(rebasing: part)) else { throw Self.noBatch }
        self.index += part.count
        left -= part.count / Self.bytesPerMessage
        guard self.index == self.bytes.count else { return }
        guard self.validator.isComplete else { throw Self.noBatch }
        self.step = .begin
    }

    // MARK: - the members of a batch

    private mutating func readMember() throws(PollProblem) {
        self.step = .behindMember
        var seen = self.seen
        let member = try self.memberName("", Self.batchNames, &seen)
        self.seen = seen
        switch member {
        case 0: self.ack = try self.number("ack")
        case 1: self.first = try self.number("first")
        case 2:
            guard try self.begins(UInt8(ascii: "["), "messages") else { return }
            self.index += 1
            if !self.take(UInt8(ascii: "]")) { self.step = .message }
        default: try self.readClose()
        }
    }

    private mutating func readMessage() throws(PollProblem) {
        let number = self.messages.count
        var text: Range<Int>?
        var binary: Range<Int>?
        guard self.peek() == UInt8(ascii: "{") else { throw self.wrong("messages[\(number)]") }
        try self.object("messages[\(number)]", Self.messageNames) { (reader, member) throws(PollProblem) in
            if member == 0 {
                text = try reader.string("messages[\(number)].text")
            } else {
                binary = try reader.string("messages[\(number)].binary")
            }
        }
        var message: Message
        switch (text, binary) {
        case (let text?, nil): message = Message(opcode: .text, start: text.lowerBound, length: text.count)
        case (nil, let binary?):
            guard let length = JSONBytes.readBase64(UnsafeMutableRawBufferPointer(rebasing: self.bytes[binary])) else {
                throw PollProblem(400, "messages[\(number)].binary is not base64.")
            }
            message = Message(opcode: .binary, start: binary.lowerBound, length: length)
        default: throw PollProblem(400, "messages[\(number)] needs either text or binary.")
        }
        try self.budget.take(message.length)
        self.messages.append(message)
    }

    private mutating func readClose() throws(PollProblem) {
        guard try self.begins(UInt8(ascii: "{"), "close") else { return }
        var code: CloseCode?
        var reason = ""
        try self.object("close", Self.closeNames) { (reader, member) throws(PollProblem) in
            if member == 0 {
                guard let number = try reader.number("close.code") else { return }
                guard let exact = UInt16(exactly: number) else { throw Self.wrongValue("close.code") }
                code = CloseCode(rawValue: exact)
            } else if let range = try reader.string("close.reason") {
                reason = String(decoding: reader.bytes[range], as: UTF8.self)
            }
        }
        self.close = CloseFrame(code: code, reason: reason)
    }

    // MARK: - values

    private static let noBatch = PollProblem(400, "The body is not a JSON batch.")

    /// The value at the index is another one than the batch has at `path`.
    private func wrong(_ path: @autoclosure () -> String) -> PollProblem {
        switch self.index < self.bytes.count ? self.bytes[self.index] : 0 {
        case UInt8(ascii: "\""), UInt8(ascii: "{"), UInt8(ascii: "["), UInt8(ascii: "t"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            Self.wrongValue(path())
        default: Self.noBatch
        }
    }

    private static func wrongValue(_ path: String) -> PollProblem {
        PollProblem(400, "\(path) is not what a batch has there.")
    }

    private mutating func skipSpace() {
        while self.index < self.bytes.count {
            switch self.bytes[self.index] {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\n"), UInt8(ascii: "\r"): self.index += 1
            default: return
            }
        }
    }

    /// The next byte that is not a space; 0 at the end.
    private mutating func peek() -> UInt8 {
        self.skipSpace()
        return self.index < self.bytes.count ? self.bytes[self.index] : 0
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard self.peek() == byte else { return false }
        self.index += 1
        return true
    }

    /// Whether a value begins with `byte`. False for null, which is passed over: it stands for a member left out.
    private mutating func begins(_ byte: UInt8, _ path: @autoclosure () -> String) throws(PollProblem) -> Bool {
        if self.peek() == byte { return true }
        guard self.bytes[self.index...].starts(with: [0x6E, 0x75, 0x6C, 0x6C]) else { throw self.wrong(path()) }
        self.index += 4
        return false
    }

    /// Calls `member` for each member with the index of its name in `names`.
    private mutating func object(
        _ path: @autoclosure () -> String, _ names: [StaticString],
        _ member: (inout BatchReader, Int) throws(PollProblem) -> Void
    ) throws(PollProblem) {
        guard self.take(UInt8(ascii: "{")) else { throw Self.noBatch }
        if self.take(UInt8(ascii: "}")) { return }
        var seen: UInt8 = 0
        repeat { try member(&self, self.memberName(path(), names, &seen)) } while self.take(UInt8(ascii: ","))
        guard self.take(UInt8(ascii: "}")) else { throw Self.noBatch }
    }

    /// Reads the name of a member, and the colon behind it.
    ///
    /// - Parameter seen: the members of the same object that were there before, a bit each.
    /// - Returns: the index of the name in `names`.
    private mutating func memberName(
        _ path: @autoclosure () -> String, _ names: [StaticString], _ seen: inout UInt8
    ) throws(PollProblem) -> Int {
        guard self.peek() == UInt8(ascii: "\""), let range = try self.string("") else { throw Self.noBatch }
        let name = UnsafeRawBufferPointer(rebasing: self.bytes[range])
        guard let known = names.firstIndex(where: { Self.equal(name, $0) }) else {
            // The peer chose the name's length, not that of our answer.
            let text = String(decoding: name.prefix(128), as: UTF8.self).unicodeScalars.prefix(32)
            let place = path()
            throw Self.wrongValue("\(place)\(place.isEmpty ? "" : ".")\(String(text))")
        }
        guard seen & 1 << UInt8(known) == 0 else {
            let place = path()
            throw PollProblem(400, "\(place)\(place.isEmpty ? "" : ".")\(names[known]) is there twice.")
        }
        seen |= 1 << UInt8(known)
        guard self.take(UInt8(ascii: ":")) else { throw Self.noBatch }
        return known
    }

    private static func equal(_ name: UnsafeRawBufferPointer, _ known: StaticString) -> Bool {
        guard name.count == known.utf8CodeUnitCount else { return false }
        return name.elementsEqual(UnsafeBufferPointer(start: known.utf8Start, count: known.utf8CodeUnitCount))
    }

    /// A number without a fraction, from 0; nil for null. Exact over all 64 bits.
    private mutating func number(_ path: String) throws(PollProblem) -> UInt64? {
        switch self.peek() {
        case UInt8(ascii: "n"):
            guard try self.begins(0, path) else { return nil }
            throw Self.noBatch
        case UInt8(ascii: "0")...UInt8(ascii: "9"): break
        default: throw self.wrong(path)
        }
        let begin = self.index
        var value: UInt64 = 0
        var isExact = true
        while self.index < self.bytes.count {
            let byte = self.bytes[self.index]
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { break }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(byte - UInt8(ascii: "0")))
            if overflow || carry { isExact = false }
            value = sum
            self.index += 1
        }
        // RFC 8259 section 6: no zeros in front.
        if self.bytes[begin] == UInt8(ascii: "0"), self.index - begin > 1 { throw Self.noBatch }
        if self.index < self.bytes.count {
            switch self.bytes[self.index] {
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): isExact = false
            default: break
            }
        }
        guard isExact else {
            self.index = begin
            throw self.wrong(path)
        }
        return value
    }

    // MARK: - strings

    /// The place of the string's content once it is unescaped; nil for null.
    private mutating func string(_ path: @autoclosure () -> String) throws(PollProblem) -> Range<Int>? {
        guard try self.begins(UInt8(ascii: "\""), path()) else { return nil }
        self.index += 1
        let begin = self.index
        var end = begin
        while self.index < self.bytes.count {
            let byte = self.bytes[self.index]
            self.index += 1
            switch byte {
            case UInt8(ascii: "\""): return begin..<end
            case UInt8(ascii: "\\"): end = try self.unescape(to: end)
            case 0..<0x20: throw Self.noBatch
            default:
                self.bytes[end] = byte
                end += 1
            }
        }
        throw Self.noBatch
    }

    /// The index is behind a backslash.
    ///
    /// - Returns: where the next byte goes.
    private mutating func unescape(to end: Int) throws(PollProblem) -> Int {
        guard self.index < self.bytes.count else { throw Self.noBatch }
        let byte = self.bytes[self.index]
        self.index += 1
        let plain: UInt8
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): plain = byte
        case UInt8(ascii: "b"): plain = 0x08
        case UInt8(ascii: "f"): plain = 0x0C
        case UInt8(ascii: "n"): plain = 0x0A
        case UInt8(ascii: "r"): plain = 0x0D
        case UInt8(ascii: "t"): plain = 0x09
        case UInt8(ascii: "u"): return self.write(try self.scalar(), to: end)
        default: throw Self.noBatch
        }
        self.bytes[end] = plain
        return end + 1
    }

    /// Four hexadecimal digits, or two times four with `\u` between them, because a surrogate alone is not a character.
    private mutating func scalar() throws(PollProblem) -> UInt32 {
        let unit = try self.unit()
        guard unit & 0xF800 == 0xD800 else { return unit }
        guard unit < 0xDC00, self.bytes.count - self.index >= 6, self.bytes[self.index] == UInt8(ascii: "\\"),
            self.bytes[self.index + 1] == UInt8(ascii: "u")
        else { throw Self.noBatch }
        self.index += 2
        let low = try self.unit()
        guard low & 0xFC00 == 0xDC00 else { throw Self.noBatch }
        return 0x10000 + (unit & 0x3FF) << 10 + (low & 0x3FF)
    }

    private mutating func unit() throws(PollProblem) -> UInt32 {
        guard self.bytes.count - self.index >= 4 else { throw Self.noBatch }
        var unit: UInt32 = 0
        for _ in 0..<4 {
            let byte = self.bytes[self.index]
            let digit: UInt8 =
                switch byte {
                case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
                case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
                case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
                default: throw Self.noBatch
                }
            unit = unit << 4 | UInt32(digit)
            self.index += 1
        }
        return unit
    }

    /// As UTF-8, which is shorter than the escape.
    private mutating func write(_ scalar: UInt32, to end: Int) -> Int {
        func part(_ shift: UInt32) -> UInt8 { 0x80 | UInt8(truncatingIfNeeded: scalar >> shift & 0x3F) }
        switch scalar {
        case 0..<0x80:
            self.bytes[end] = UInt8(truncatingIfNeeded: scalar)
            return end + 1
        case 0..<0x800:
            self.bytes[end] = 0xC0 | UInt8(truncatingIfNeeded: scalar >> 6)
            self.bytes[end + 1] = part(0)
            return end + 2
        case 0..<0x10000:
            self.bytes[end] = 0xE0 | UInt8(truncatingIfNeeded: scalar >> 12)
            self.bytes[end + 1] = part(6)
            self.bytes[end + 2] = part(0)
            return end + 3
        default:
            self.bytes[end] = 0xF0 | UInt8(truncatingIfNeeded: scalar >> 18)
            self.bytes[end + 1] = part(12)
            self.bytes[end + 2] = part(6)
            self.bytes[end + 3] = part(0)
            return end + 4
        }
    }
}

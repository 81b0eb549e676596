/// Finds the end of one HTTP/1.1 request in a connection's bytes, so that a decoder is fed with one request at a time
/// and the bytes behind it wait as bytes.
///
/// It judges nothing: the decoder parses the same bytes and decides what they mean. Where a request is malformed the
/// two may disagree about its end. Then the decoder gets fewer bytes than it waits for, and the connection's deadline
/// ends the request.
package struct RequestDelimiter {
    /// How the end of a request's body is told (RFC 9112 6.3).
    package enum Framing: Equatable, Sendable {
        case none
        case length(Int)
        case chunked
    }

    private enum State {
        /// Empty lines in front of a request line belong to the request (RFC 9112 2.2).
        case beforeHead
        case headLine
        case headLineStart
        case headLineCR
        /// The empty line of the head was taken; ``bodyFollows(_:)`` or ``resumeHead()`` comes next.
        case headEnd
        case length(left: Int)
        case chunkSize(value: Int, digits: Int)
        case chunkExtension(size: Int)
        case chunkData(left: Int)
        case chunkDataEnd
        case trailerLine
        case trailerLineStart
        case trailerLineCR
        /// The framing makes no sense: the decoder gets everything, and refuses it.
        case broken
        case complete
    }

    private static let lf = UInt8(ascii: "\n")
    private static let cr = UInt8(ascii: "\r")
    /// More hexadecimal digits than a length of 60 bits has.
    private static let mostDigits = 15

    private var state = State.beforeHead
    /// The first line of the head, as far as it was taken.
    package private(set) var line = RequestLine()
    private var isInFirstLine = true

    package init() {}

    /// The whole request was taken.
    package var isComplete: Bool { if case .complete = self.state { true } else { false } }

    /// Bytes that look like a whole head were taken.
    package var isAtHeadEnd: Bool { if case .headEnd = self.state { true } else { false } }

    /// Not a byte of the next request was taken.
    package var isAtStart: Bool { if case .beforeHead = self.state { true } else { false } }

    /// The next byte belongs to a head, or to the empty lines in front of it.
    package var isInHead: Bool {
        switch self.state {
        case .beforeHead, .headLine, .headLineStart, .headLineCR: true
        default: false
        }
    }

    /// The decoder has the head, and the body is framed so.
    package mutating func bodyFollows(_ framing: Framing) {
        switch framing {
        case .none, .length(0): self.state = .complete
        case .length(let length): self.state = length > 0 ? .length(left: length) : .broken
        case .chunked: self.state = .chunkSize(value: 0, digits: 0)
        }
    }

    /// The decoder does not take what was given for a whole head.
    package mutating func resumeHead() { self.state = .headLineStart }

    /// The next byte is that of another request.
    package mutating func next() { self = RequestDelimiter() }

    /// How many bytes at the front of `bytes` belong to the request: up to the end of its head, or of its body, or as far
    /// as there is room for their parts.
    ///
    /// - Parameter room: parts that may still be taken: lines of a head or of trailers, and chunks. The decoder has
    ///   work for each of them, however few bytes it has.
    package mutating func take(_ bytes: UnsafeRawBufferPointer, room: inout Int) -> Int {
        var at = 0
        while at < bytes.count, room > 0 {
            switch self.state {
            case .headEnd, .complete: return at
            case .broken:
                // The decoder may find chunks in it.
                if Self.skipLine(bytes, &at) { room -= 1 }
            case .beforeHead:
                if bytes[at] == Self.lf || bytes[at] == Self.cr { at += 1 } else { self.state = .headLine }
            case .headLine:
                let start = at
                let isEnd = Self.skipLine(bytes, &at)
                if self.isInFirstLine {
                    self.line.take(UnsafeRawBufferPointer(rebasing: bytes[start..<at]))
                    self.isInFirstLine = !isEnd
                }
                if isEnd {
                    self.state = .headLineStart
                    room -= 1
                }
            case .headLineStart, .headLineCR:
                switch bytes[at] {
                case Self.lf: self.state = .headEnd
                case Self.cr: self.state = .headLineCR
                default: self.state = .headLine
                }
                at += 1
            case .length(let left):
                let count = min(left, bytes.count - at)
                at += count
                self.state = count == left ? .complete : .length(left: left - count)
            default:
                self.takeChunked(bytes, &at, &room)
            }
        }
        return at
    }

    /// RFC 9112 7.1.
    private mutating func takeChunked(_ bytes: UnsafeRawBufferPointer, _ at: inout Int, _ room: inout Int) {
        switch self.state {
        case .chunkSize(let value, let digits):
            if let digit = Self.hexadecimal(bytes[at]) {
                at += 1
                // Leading zeros do not count, however many there are.
                let length = value == 0 ? min(digits, 1) : digits
                self.state =
                    length < Self.mostDigits ? .chunkSize(value: value << 4 | digit, digits: length + 1) : .broken
            } else {
                self.state = digits > 0 ? .chunkExtension(size: value) : .broken
            }
        case .chunkExtension(let size):
            if Self.skipLine(bytes, &at) {
                self.state = size > 0 ? .chunkData(left: size) : .trailerLineStart
                room -= 1
            }
        case .chunkData(let left):
            let count = min(left, bytes.count - at)
            at += count
            self.state = count == left ? .chunkDataEnd : .chunkData(left: left - count)
        case .chunkDataEnd:
            switch bytes[at] {
            case Self.lf: self.state = .chunkSize(value: 0, digits: 0)
            case Self.cr: break
            default: self.state = .broken
            }
            at += 1
        case .trailerLine:
            if Self.skipLine(bytes, &at) {
                self.state = .trailerLineStart
                room -= 1
            }
        case .trailerLineStart, .trailerLineCR:
            switch bytes[at] {
            case Self.lf: self.state = .complete
            case Self.cr: self.state = .trailerLineCR
            default: self.state = .trailerLine
            }
            at += 1
        default:
            self.state = .broken
        }
    }

    /// Moves behind the next line feed, or to the end.
    ///
    /// - Returns: whether there was one.
    private static func skipLine(_ bytes: UnsafeRawBufferPointer, _ at: inout Int) -> Bool {
        guard let found = bytes[at...].firstIndex(of: self.lf) else {
            at = bytes.count
            return false
        }
        at = found + 1
        return true
    }

    private static func hexadecimal(_ byte: UInt8) -> Int? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): Int(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): Int(byte - UInt8(ascii: "a")) + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): Int(byte - UInt8(ascii: "A")) + 10
        default: nil
        }
    }
}

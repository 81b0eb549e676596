package import NIOCore

/// Reads a server's answer up to the end of its final head, and bounds how much of it is read.
///
/// A server may send interim answers (1xx, RFC 9110 15.2) before the final one, and nothing in HTTP says how many.
/// Culvert passes none of them on: the reader counts each and drops its bytes. It looks at each byte once, so that a
/// head that comes in single bytes costs no more than one that comes whole.
package struct UpstreamHeadReader: Sendable {
    /// Why the answer is read no further.
    package enum Fault: Error, Equatable, CustomStringConvertible {
        case notHTTP
        case headsTooLong
        case tooManyInterimAnswers

        package var description: String {
            switch self {
            case .notHTTP: "the answer is not HTTP/1"
            case .headsTooLong:
                "the header sections of the answer have more than \(UpstreamHeadReader.byteLimit / 1024) KiB"
            case .tooManyInterimAnswers:
                "more than \(UpstreamHeadReader.interimLimit) interim answers (1xx) came before the final one"
            }
        }
    }

    /// The final head, its empty line included.
    package enum Head: Equatable, Sendable {
        /// 101: the bytes behind it are another protocol's.
        case switching(ByteBuffer)
        case other(ByteBuffer)
    }

    /// Most interim answers. Servers usually send a 100 and some 103.
    package static let interimLimit = 8
    /// Most bytes of all heads of an answer together, interim ones included.
    package static let byteLimit = 64 * 1024

    private var held = ByteBuffer()
    /// Bytes of `held` that have been searched for the end of the head.
    private var searched = 0
    /// The offset in `held` of the line that is being searched.
    private var lineStart = 0
    /// Bytes of interim heads, which have been dropped.
    private var droppedBytes = 0
    private var interimAnswers = 0

    package init() {}

    /// Bytes that are kept: those of a head that has not come to its end.
    package var heldBytes: Int { self.held.readableBytes }

    /// The bytes behind the final head.
    package mutating func takeRest() -> ByteBuffer {
        let rest = self.held
        self.held = ByteBuffer()
        return rest
    }

    /// Not to be called again once it has returned a head or thrown.
    ///
    /// - Returns: nil when the final head has not come to its end.
    package mutating func read(_ bytes: ByteBuffer) throws(Fault) -> Head? {
        self.held.writeImmutableBuffer(bytes)
        while true {
            let length = self.nextHead()
            guard zip(self.held.readableBytesView, "HTTP/".utf8).allSatisfy(==) else { throw .notHTTP }
            guard self.droppedBytes + (length ?? self.held.readableBytes) <= Self.byteLimit else { throw .headsTooLong }
            let status = self.status
            guard let length, let head = self.held.readSlice(length: length) else {
                // The dropped bytes go back to the allocator.
                self.held.discardReadBytes()
                return nil
            }
            guard let status, (100..<200).contains(status) else { return .other(head) }
            if status == 101 { return .switching(head) }
            self.interimAnswers += 1
            guard self.interimAnswers <= Self.interimLimit else { throw .tooManyInterimAnswers }
            self.droppedBytes += length
            self.searched = 0
            self.lineStart = 0
        }
    }

    /// The length of the head that `held` begins with, the empty line included; nil when its end has not come. A lone
    /// LF ends a line too (RFC 9112 2.2).
    private mutating func nextHead() -> Int? {
        let bytes = self.held.readableBytesView
        let start = bytes.startIndex
        while let end = bytes[(start + self.searched)...].firstIndex(of: UInt8(ascii: "\n")) {
            let line = bytes[(start + self.lineStart)..<end]
            let isFirst = self.lineStart == 0
            self.searched = end + 1 - start
            self.lineStart = self.searched
            if !isFirst, line.isEmpty || line.elementsEqual([UInt8(ascii: "\r")]) { return self.searched }
        }
        self.searched = bytes.count
        return nil
    }

    /// The status of the status line; nil when its three digits do not follow a version of three characters.
    private var status: Int? {
        guard let code = self.held.getBytes(at: self.held.readerIndex + 9, length: 4),
            code[..<3].allSatisfy((UInt8(ascii: "0")...UInt8(ascii: "9")).contains),
            " \r\n".utf8.contains(code[3])
        else { return nil }
        return code[..<3].reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) }
    }
}

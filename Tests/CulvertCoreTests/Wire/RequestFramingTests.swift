import NIOCore
import Testing

@testable import CulvertCore

@Suite("Request framing")
struct RequestFramingTests {
    struct Head: CustomTestStringConvertible, Sendable {
        var codings: [String] = []
        var lengths: [String] = []
        var isHTTP11 = true
        var testDescription: String { "\(self.codings) \(self.lengths) \(self.isHTTP11 ? "1.1" : "1.0")" }
    }

    private static func framing(_ head: Head) -> Result<RequestDelimiter.Framing, FramingFault> {
        Result { () throws(FramingFault) in
            try RequestDelimiter.Framing(
                isHTTP11: head.isHTTP11, transferEncoding: head.codings, contentLength: head.lengths)
        }
    }

    @Test(
        "A body ends as RFC 9112 6.3 says",
        arguments: [
            (Head(), .none), (Head(isHTTP11: false), .none), (Head(lengths: ["0"]), .length(0)),
            (Head(lengths: ["17"], isHTTP11: false), .length(17)),
            (Head(lengths: ["9223372036854775808"]), .length(.max)),
            (Head(lengths: [String(repeating: "9", count: 400)]), .length(.max)),
            (Head(codings: ["chunked"]), .chunked), (Head(codings: ["Chunked"]), .chunked),
            (Head(codings: [" , chunked ,"]), .chunked), (Head(codings: ["", "chunked"]), .chunked),
        ] as [(Head, RequestDelimiter.Framing)])
    func framing(head: Head, framing: RequestDelimiter.Framing) {
        #expect(Self.framing(head) == .success(framing))
    }

    @Test(
        "A body whose end is not told for sure is refused",
        arguments: [
            (Head(codings: [""]), .notChunked), (Head(codings: ["identity"]), .notChunked),
            (Head(codings: ["gzip"]), .notChunked), (Head(codings: ["chunked, gzip"]), .notChunked),
            (Head(codings: ["chunked", "identity"]), .notChunked), (Head(codings: ["chunked, chunked"]), .notChunked),
            (Head(codings: ["chunked", "chunked"]), .notChunked), (Head(codings: ["chunked;q=1"]), .notChunked),
            (Head(codings: ["chunked;q=1, chunked"]), .notChunked), (Head(codings: ["\"chunked\""]), .notChunked),
            (Head(codings: ["xchunked"]), .notChunked), (Head(codings: ["chunked\u{b}"]), .notChunked),
            (Head(codings: ["gzip, chunked"]), .unknownCoding),
            (Head(codings: ["x;q=\",\"", "chunked"]), .unknownCoding),
            (Head(codings: ["identity, chunked"]), .unknownCoding),
            (Head(codings: ["chunked"], lengths: ["1"]), .codingAndLength),
            (Head(codings: [""], lengths: ["1"]), .codingAndLength),
            (Head(codings: ["chunked"], isHTTP11: false), .codingBeforeHTTP11),
            (Head(lengths: [""]), .badLength), (Head(lengths: ["1", "1"]), .badLength),
            (Head(lengths: ["1, 1"]), .badLength), (Head(lengths: ["+1"]), .badLength),
            (Head(lengths: ["-1"]), .badLength), (Head(lengths: ["0x1"]), .badLength),
            (Head(lengths: ["1 "]), .badLength), (Head(lengths: ["١"]), .badLength),
        ] as [(Head, FramingFault)])
    func fault(head: Head, fault: FramingFault) {
        #expect(Self.framing(head) == .failure(fault))
        #expect(fault.status == (fault == .unknownCoding ? 501 : 400))
    }

    /// Heads, and how the decoder gets them.
    private static let softened: [(String, String)] = [
        ("A: b\t\r\nC:\td\te \t \t\r\n\r\n", "A: b \r\nC:\td\te    \r\n\r\n"), ("A: b\t\n\n", "A: b \n\n"),
        ("A:\t\r\n\t\r\n \tb\r\n\r\n", "A: \r\n \r\n \tb\r\n\r\n"), ("A: \t b\t\tc\r\n", "A: \t b\t\tc\r\n"),
        ("GET / HTTP/1.1\t\r\n\r\n", "GET / HTTP/1.1 \r\n\r\n"), ("A: b\r\n", "A: b\r\n"), ("\t\r\n", " \r\n"),
        ("A: b  \t\t  \r\n\r\n", "A: b      \r\n\r\n"), ("A: b  \r\n\r\n", "A: b  \r\n\r\n"), ("", ""),
    ]

    @Test("Tabs at the ends of lines are spaces to the decoder, and tabs within a value stay", arguments: softened)
    func tabs(head: String, softened: String) {
        let before = "before\t\r\n"
        var bytes = ByteBuffer(string: before + head)
        bytes.moveReaderIndex(forwardBy: 9)
        HeadBlanks.soften(&bytes)
        #expect(String(buffer: bytes) == softened)
        bytes.moveReaderIndex(to: 0)
        #expect(String(buffer: bytes) == before + softened)
    }

    @Test("Tabs are softened wherever the parts of a head end", arguments: softened)
    func tabsInParts(head: String, softened: String) {
        let whole = ByteBuffer(string: head)
        for cut in 0...whole.readableBytes {
            var blanks = HeadBlanks()
            var rest = whole
            let first = rest.readSlice(length: cut) ?? ByteBuffer()
            let parts = [blanks.softened(first), blanks.softened(rest)].map { String(buffer: $0) }
            #expect(parts.joined() == softened)
            // The parts are the caller's.
            #expect(String(buffer: whole) == head)
        }
        for size in 1...4 {
            var blanks = HeadBlanks()
            var rest = whole
            var all = ""
            while let part = rest.readSlice(length: min(size, rest.readableBytes)), part.readableBytes > 0 {
                all += String(buffer: blanks.softened(part))
            }
            #expect(all == softened)
        }
    }

    @Test(
        "A request line tells its method and its target's length, in pieces of any size",
        arguments: [
            ("GET /abc HTTP/1.1\r\n", true, 4), ("BREW  /ab\r\n", true, 3), ("get / HTTP", true, 1), ("GE", true, 0),
            ("", false, 0), (" GET /", false, 0), ("GET\t/", false, 0), ("\u{16}\u{3}\u{1}", false, 0),
            ("(x) /", false, 0), ("GET /\(String(repeating: "x", count: 3000))   ", true, 3001), ("GET ", true, 0),
            ("GET é HTTP/1.1", true, 2),
        ] as [(String, Bool, Int)])
    func line(text: String, hasMethod: Bool, targetLength: Int) {
        for size in 1...12 {
            var line = RequestLine()
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                rest.prefix(size).withUnsafeBytes { line.take($0) }
                rest = rest.dropFirst(size)
            }
            #expect(line.hasMethod == hasMethod && line.targetLength == targetLength)
        }
    }
}

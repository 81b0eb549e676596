import Testing

@testable import CulvertCore

@Suite("Request delimiter")
struct RequestDelimiterTests {
    struct Request: CustomTestStringConvertible, Sendable {
        var head: String
        var framing = RequestDelimiter.Framing.none
        var body = ""
        var testDescription: String { String((self.head + self.body).prefix(60)) }
    }

    static let requests = [
        Request(head: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        Request(head: "\r\n\r\n\nGET / HTTP/1.1\r\n\r\n"),
        Request(head: "GET / HTTP/1.1\nHost: a\n\n"),
        Request(head: "GET / HTTP/1.1\r\nA: \rb\r\n\r\n"),
        Request(head: "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", framing: .length(0)),
        Request(head: "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\n", framing: .length(4), body: "\r\n\r\n"),
        Request(head: "POST / HTTP/1.1\r\n\r\n", framing: .chunked, body: "0\r\n\r\n"),
        Request(
            head: "POST / HTTP/1.1\r\n\r\n", framing: .chunked,
            body: "a;x=\"\r\r\"\r\n0\r\n\r\n0\r\n\r\n\r\n1\r\nb\r\n0;last\r\nX: y\r\nZ: 0\r\n\r\n"),
        Request(
            head: "POST / HTTP/1.1\r\n\r\n", framing: .chunked,
            body: "1F\r\n\(String(repeating: "\n", count: 31))\r\n000\r\n\r\n"),
    ]

    /// Feeds as a connection does, and says what was taken before the first byte of what follows.
    private static func taken(_ request: Request, before rest: String, by size: Int, room most: Int = .max) -> Int {
        let bytes = Array((request.head + request.body + rest).utf8)
        var delimiter = RequestDelimiter()
        var end = 0
        var at = 0
        while end < bytes.count || at < end {
            end = min(bytes.count, end + size)
            while at < end {
                var room = most
                let count = bytes[at..<end].withUnsafeBytes { delimiter.take($0, room: &room) }
                at += count
                if delimiter.isAtHeadEnd {
                    delimiter.bodyFollows(request.framing)
                } else if count == 0 {
                    return at
                }
            }
            if delimiter.isComplete, end == bytes.count { return at }
        }
        return at
    }

    @Test("A request ends where it ends, in pieces of any size, whatever follows", arguments: requests, 1...80)
    func everyChunking(request: Request, size: Int) {
        let length = (request.head + request.body).utf8.count
        for rest in ["", "GET / HTTP/1.1\r\n\r\n", "\r\n\r\n", "0\r\n\r\n"] {
            #expect(Self.taken(request, before: rest, by: size) == length)
            #expect(Self.taken(request, before: rest, by: size, room: 1) == length)
        }
    }

    struct Parts: CustomTestStringConvertible, Sendable {
        var what: String
        var text: String
        /// Nil for a head.
        var framing: RequestDelimiter.Framing?
        /// Bytes that are taken with room for three parts, and the room that is left.
        var taken: Int
        var left = 0
        var testDescription: String { self.what }
    }

    @Test(
        "Attack: no more lines and chunks are taken together than there is room for, however short they are",
        arguments: [
            Parts(what: "a short head", text: "GET / HTTP/1.1\r\nA: b\r\n\r\n", taken: 24, left: 1),
            Parts(what: "fields", text: "GET /\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", taken: 15),
            Parts(what: "a body with a length", text: "\n\n\n\n\n\n", framing: .length(6), taken: 6, left: 3),
            Parts(what: "one chunk", text: "6\r\n\n\n\n\n\n\n\r\n", framing: .chunked, taken: 11, left: 2),
            Parts(
                what: "chunks of a byte", text: "1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n1\r\nx\r\n", framing: .chunked, taken: 15
            ),
            Parts(what: "trailers", text: "0\r\na:\r\nb:\r\nc:\r\n\r\n", framing: .chunked, taken: 11),
            Parts(
                what: "zeros in front", text: "00000000000000000001\r\nx\r\n1\r\nx\r\n1\r\nx\r\n", framing: .chunked,
                taken: 34),
            Parts(what: "no framing at all", text: "x\r\n1\r\nx\r\n1\r\nx\r\n", framing: .chunked, taken: 9),
        ])
    func room(parts: Parts) {
        var delimiter = RequestDelimiter()
        if let framing = parts.framing { delimiter.bodyFollows(framing) }
        var room = 3
        let taken = Array(parts.text.utf8).withUnsafeBytes { delimiter.take($0, room: &room) }
        #expect(taken == parts.taken)
        #expect(room == parts.left)
    }

    @Test("Without room nothing is taken")
    func noRoom() {
        var delimiter = RequestDelimiter()
        var room = 0
        let taken = Array("GET / HTTP/1.1\r\n".utf8).withUnsafeBytes { delimiter.take($0, room: &room) }
        #expect(taken == 0)
        #expect(delimiter.isAtStart)
    }

    @Test(
        "A framing that makes no sense is the decoder's to refuse: it gets everything",
        arguments: [
            "x\r\n", "\r\n", ";a\r\n", "1\r\nab", "10000000000000000\r\n", "-1\r\n",
        ])
    func broken(body: String) {
        var delimiter = RequestDelimiter()
        delimiter.bodyFollows(.chunked)
        let bytes = Array((body + "GET / HTTP/1.1\r\n\r\n").utf8)
        var room = Int.max
        let taken = bytes.withUnsafeBytes { delimiter.take($0, room: &room) }
        #expect(taken == bytes.count)
        #expect(!delimiter.isComplete)
    }

    @Test("What the decoder does not take for a whole head goes on")
    func resumes() {
        var delimiter = RequestDelimiter()
        let bytes = Array("GET /\n\nmore: of it\r\n\r\n".utf8)
        var room = Int.max
        var at = bytes.withUnsafeBytes { delimiter.take($0, room: &room) }
        #expect(at == 7)
        delimiter.resumeHead()
        at += bytes[at...].withUnsafeBytes { delimiter.take($0, room: &room) }
        #expect(at == bytes.count)
        #expect(delimiter.isAtHeadEnd)
    }
}

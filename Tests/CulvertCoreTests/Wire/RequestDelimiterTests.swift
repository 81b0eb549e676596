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
    private static func taken(_ request: Request, before rest: String, by size: Int) -> Int {
        let bytes = Array((request.head + request.body + rest).utf8)
        var delimiter = RequestDelimiter()
        var end = 0
        var at = 0
        while end < bytes.count || at < end {
            end = min(bytes.count, end + size)
            while at < end {
                let count = bytes[at..<end].withUnsafeBytes { delimiter.take($0) }
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
        }
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
        #expect(bytes.withUnsafeBytes { delimiter.take($0) } == bytes.count)
        #expect(!delimiter.isComplete)
    }

    @Test("What the decoder does not take for a whole head goes on")
    func resumes() {
        var delimiter = RequestDelimiter()
        let bytes = Array("GET /\n\nmore: of it\r\n\r\n".utf8)
        var at = bytes.withUnsafeBytes { delimiter.take($0) }
        #expect(at == 7)
        delimiter.resumeHead()
        at += bytes[at...].withUnsafeBytes { delimiter.take($0) }
        #expect(at == bytes.count)
        #expect(delimiter.isAtHeadEnd)
    }
}

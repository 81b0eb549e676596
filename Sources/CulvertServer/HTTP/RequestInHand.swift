import CulvertCore
import NIOCore
import NIOHTTP1

/// How far the request that a connection is at has come.
struct RequestInHand {
    var framing = RequestDelimiter.Framing.none
    /// The decoder has seen its end.
    var isWhole = false
    /// It was told to go on.
    var isContinued = false
    /// What is kept of its content.
    private(set) var body = ByteBuffer()
    /// Most bytes of content that are taken; nil while nobody wants any.
    var limit: Int?
    /// Bytes of content, wherever they went.
    private(set) var bytes = 0
    private var credited = 0
    /// Bytes of the head that the decoder has had.
    private(set) var headBytes = 0
    /// Bytes behind the head that the decoder has had since it last brought content.
    private var silentBytes = 0
    private var bytesBefore = 0

    /// The head announces a byte of content at least.
    var hasBody: Bool { self.framing != .none && self.framing != .length(0) }

    var isTooLarge: Bool { self.limit.map { self.bytes > $0 } ?? false }

    /// Bytes of content that are to come; nil when only its end tells.
    var left: Int? {
        switch self.framing {
        case .none: 0
        case .length(let length): length - self.bytes
        case .chunked: self.isWhole ? 0 : nil
        }
    }

    mutating func add(_ part: ByteBuffer) {
        self.bytes += part.readableBytes
        if self.limit != nil, !self.isTooLarge { self.body.writeImmutableBuffer(part) }
    }

    /// The decoder has had `count` bytes, of the head or behind it.
    mutating func fed(_ count: Int, isHead: Bool) {
        if isHead {
            self.headBytes += count
        } else if self.bytes > self.bytesBefore {
            self.bytesBefore = self.bytes
            self.silentBytes = 0
        } else {
            self.silentBytes += count
        }
    }

    /// The decoder keeps more than it would by itself. It passes over blanks in a header section, and behind a
    /// request's target, without counting them, and keeps all bytes of the line meanwhile. The same is true of
    /// trailers.
    ///
    /// - Parameter limit: bytes of a header section, counted by names and values.
    func isOverlong(limit: Int) -> Bool {
        let most = 2 * limit + 1024
        return self.headBytes > most || self.silentBytes > most
    }

    /// Memory of a head beyond what any connection costs. A decoded field takes some four times its bytes.
    var headMemory: Int { max(0, 4 * (self.headBytes + self.silentBytes) - 16 * 1024) }

    /// Nothing of the content is kept, or will be.
    mutating func drop() {
        self.limit = nil
        self.body = ByteBuffer()
    }

    mutating func takeBody() -> ByteBuffer {
        defer { self.drop() }
        return self.body
    }

    /// Content that has come since this was asked last. What frames the content does not count: there is no end to it.
    mutating func takeNew() -> Int {
        defer { self.credited = self.bytes }
        return self.bytes - self.credited
    }
}

extension HTTPRequestHead {
    /// RFC 9110 10.1.1; HTTP/1.0 has no such thing.
    var expectsContinue: Bool {
        self.version == .http1_1 && self.headers["expect"].contains { $0.equalsIgnoringCase("100-continue") }
    }

    /// The decoder has seen that the framing makes sense: one length, or chunks (RFC 9112 6.1).
    var framing: RequestDelimiter.Framing {
        if self.method == .CONNECT { return .none }
        if self.headers.contains(name: "transfer-encoding") { return .chunked }
        guard let text = self.headers.first(name: "content-length") else { return .none }
        return .length(Int(String(decoding: text.utf8.filter(\.isDigit), as: UTF8.self)) ?? .max)
    }

    /// Behind a request for another protocol the decoder stops, whatever the answer.
    var stopsDecoder: Bool {
        self.method == .CONNECT
            || (self.headers.contains(name: "upgrade")
                && FieldValue.contains(self.headers["connection"], "upgrade"))
    }
}

extension HTTPResponseStatus {
    /// RFC 9110 6.4.1.
    var mayHaveResponseBody: Bool { self.code >= 200 && self.code != 204 && self.code != 304 }
}

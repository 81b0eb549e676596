import CulvertCore
import NIOCore
import NIOHTTP1

/// A request's head, as its exchange gets it.
struct ArrivedHead {
    var head: HTTPRequestHead
    /// The client wants to send another request on the connection.
    var isKeepAlive: Bool
    /// The answer that ends the connection, whatever the owner would say; nil for most heads.
    var refusal: HTTPAnswer?
}

/// How far the request that a connection is at has come.
struct RequestInHand {
    /// Until ``takeHead()``.
    private var arrived: HTTPRequestHead?
    private var hasHead = false
    /// Why no decoder takes it. The connection ends with it.
    private(set) var fault: HTTPAnswer?
    private(set) var framing = RequestDelimiter.Framing.none
    private var isEncoded = false
    private var expectsContinue = false
    /// The decoder has seen its end.
    private(set) var isWhole = false
    /// The decoder may take no request behind it.
    private(set) var mayStopDecoder = false
    /// It was told to go on.
    private var isContinued = false
    /// Behind the head, and what of it is kept.
    var content = RequestContent()
    private var intake = DecoderIntake()

    /// The head announces a byte of content at least.
    var hasBody: Bool { self.framing != .none && self.framing != .length(0) }

    /// Bytes of content that are to come; nil when only its end tells.
    var left: Int? {
        switch self.framing {
        case .none: 0
        case .length(let length): length - self.content.bytes
        case .chunked: self.isWhole ? 0 : nil
        }
    }

    // MARK: - from the decoder

    mutating func take(_ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head):
            if self.hasHead { self.refuse(.unframed(.ambiguous)) } else { self.arrived = head }
            self.hasHead = true
        case .body(let content):
            self.content.take(content)
        case .end(let trailers):
            self.isWhole = true
            // The decoder reads Connection in trailers too, where it means nothing (RFC 9110 6.5.1), and may stop.
            if trailers != nil { self.mayStopDecoder = true }
        }
    }

    /// The first reason counts.
    mutating func refuse(_ fault: HTTPAnswer) { self.fault = self.fault ?? fault }

    /// - Returns: the head, once it is whole; nil before that, and when it was taken.
    mutating func takeHead() -> ArrivedHead? {
        guard let decoded = self.arrived else { return nil }
        self.arrived = nil
        var arrived = ArrivedHead(head: decoded, isKeepAlive: decoded.isKeepAlive)
        arrived.head.headers.trimBlanks()
        arrived.isKeepAlive = arrived.isKeepAlive && arrived.head.isKeepAlive
        self.mayStopDecoder = self.mayStopDecoder || arrived.head.mayStopDecoder
        self.expectsContinue = arrived.head.expectsContinue
        self.isEncoded = arrived.head.hasContentEncoding
        do throws(FramingFault) {
            self.framing = try arrived.head.framing
            // To its client, the bytes behind a CONNECT are not HTTP.
            if arrived.head.method == .CONNECT {
                arrived.refusal = .unknownMethod
            } else if self.isWhole == self.hasBody {
                arrived.refusal = .unframed(.ambiguous)
            }
        } catch {
            arrived.refusal = .unframed(error)
        }
        return arrived
    }

    // MARK: - its body

    /// The answer to a body that is not taken, as far as the head tells; nil for one that may be.
    func refusal(limit: Int) -> HTTPAnswer? {
        if self.isEncoded { return .encodedContent }
        return self.left.map { $0 > limit } == true ? .tooLarge : nil
    }

    /// Whether the client waits for a 100; it gets one.
    ///
    /// - Parameter waiting: bytes that have come already.
    mutating func shouldContinue(waiting: Int) -> Bool {
        guard self.expectsContinue, waiting == 0 else { return false }
        self.isContinued = true
        return true
    }

    /// Whether another request may follow on the same connection: this one is whole, or its rest is discarded. A client
    /// that waits for 100 and gets something else may send the body or may not: then nothing tells where the next request
    /// begins.
    var mayBeFollowed: Bool {
        if self.isWhole { return true }
        if self.expectsContinue, !self.isContinued, self.content.bytes == 0 { return false }
        return self.left.map { $0 <= ConnectionCourse.mostDrained } ?? true
    }

    // MARK: - to the decoder

    /// The decoder has had `count` bytes, of the head or behind it. The request is at fault where the decoder keeps more
    /// than it would by itself.
    ///
    /// - Parameter headerLimit: bytes of a header section, counted by names and values.
    mutating func fed(_ count: Int, isHead: Bool, headerLimit: Int) {
        if isHead {
            self.intake.fedHead(count)
        } else {
            self.intake.fedRest(count, content: self.content.bytes)
        }
        if self.intake.isOverlong(limit: headerLimit) { self.refuse(.headersTooLarge) }
    }

    /// - Returns: the answer to a request that no decoder takes, and its head if that is whole and was not taken. The
    ///   head says more of the reason than the decoder does.
    mutating func takeFault() -> (answer: HTTPAnswer, head: HTTPRequestHead?)? {
        guard let fault = self.fault else { return nil }
        let arrived = self.takeHead()
        return (arrived?.refusal ?? fault, arrived?.head)
    }

    /// Memory of a head beyond what any connection costs.
    var headMemory: Int { self.intake.headMemory }
}

/// The content of a request: what of it is kept for the owner, and how much there was. Belongs to a ``RequestInHand``.
struct RequestContent {
    /// The content that is kept.
    private(set) var kept = ByteBuffer()
    /// The most bytes of content that are taken; nil while the content is not wanted.
    private var limit: Int?
    /// The bound of the connections that take such a body.
    private(set) var claim = BodyClaim.unbounded
    /// Bytes of content, wherever they went.
    private(set) var bytes = 0
    private var credited = 0

    var isTooLarge: Bool { self.limit.map { self.bytes > $0 } ?? false }

    /// The owner wants the content that comes from here on.
    mutating func keep(limit: Int, claim: BodyClaim) { (self.limit, self.claim) = (limit, claim) }

    mutating func take(_ content: ByteBuffer) {
        self.bytes += content.readableBytes
        if self.limit != nil, !self.isTooLarge { self.kept.writeImmutableBuffer(content) }
    }

    /// Drops the content that has come, and keeps no more.
    mutating func drop() {
        self.limit = nil
        self.kept = ByteBuffer()
    }

    mutating func takeKept() -> ByteBuffer {
        defer { self.drop() }
        return self.kept
    }

    /// Returns the bytes of content that have come since the last call. The framing of chunks does not count, because
    /// it has no bound.
    mutating func takeNew() -> Int {
        defer { self.credited = self.bytes }
        return self.bytes - self.credited
    }
}

/// The bytes that the decoder has had of a request. It passes over blanks in a header section, and behind a request's
/// target, without counting them, and keeps all bytes of the line meanwhile. The same is true of trailers. Belongs to a
/// ``RequestInHand``.
private struct DecoderIntake {
    /// Bytes of the head.
    private var headBytes = 0
    /// Bytes behind the head since the decoder last brought content.
    private var silentBytes = 0
    /// Bytes of content that it had brought before.
    private var contentBefore = 0

    mutating func fedHead(_ count: Int) { self.headBytes += count }

    /// - Parameter content: bytes of content that the decoder has brought.
    mutating func fedRest(_ count: Int, content: Int) {
        if content > self.contentBefore {
            self.contentBefore = content
            self.silentBytes = 0
        } else {
            self.silentBytes += count
        }
    }

    /// - Parameter limit: bytes of a header section, counted by names and values.
    func isOverlong(limit: Int) -> Bool {
        let most = 2 * limit + 1024
        return self.headBytes > most || self.silentBytes > most
    }

    /// A decoded field takes some four times its bytes.
    var headMemory: Int { max(0, 4 * (self.headBytes + self.silentBytes) - 16 * 1024) }
}

import NIOHTTP1

/// The answer that a connection is writing, and what it holds until the kernel has it. Belongs to a ``ClientConnection``.
struct AnswerInHand {
    /// Writes an answer whose body goes out in pieces; nil for any other.
    var writer: AnswerWriter?
    /// Bytes of the body that count as the connection's: 0 where a hold counts them.
    private(set) var bytes = 0
    private var hold: (any CountedAnswer)?

    /// It is the newest answer of a session.
    var isOfSession: Bool { self.hold?.isNewest ?? false }

    /// - Parameter length: bytes of the body that are written.
    mutating func begin(_ answer: HTTPAnswer, length: Int) {
        self.hold = answer.hold
        self.bytes = answer.hold == nil ? length : 0
    }

    /// The answer is written, or will not be.
    mutating func forget() {
        self.writer?.stop()
        self.hold?.release()
        self = AnswerInHand()
    }
}

/// Answers that a connection gives by itself.
extension HTTPAnswer {
    static let memoryFull = HTTPAnswer.problem(
        503, "memory_full", "This server is short of memory.", headers: ["Retry-After": "5"])
    static let tooLarge = HTTPAnswer.problem(
        413, "body_too_large", "The body is longer than this request allows.")
    static let tooSlow = HTTPAnswer.problem(408, "request_timeout", "The request took too long to arrive.")
}

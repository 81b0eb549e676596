/// Counts what an opening keeps of a server's answer in ``SessionMemory``, from its first bytes until the answer is
/// handed on or the connection is gone. Bound to the opening's loop.
final class AnswerMeter {
    /// The process holds as much as it may, or the answers to openings do.
    struct Full: Error, CustomStringConvertible {
        var description: String {
            "limits.memory, or the part of it that answers to handshakes may hold, is reached"
        }
    }

    /// An answer of so many bytes is not counted: an ordinary one costs nothing.
    private static let uncounted = 1024
    /// Less than this is never refused for what sessions hold.
    private static let alwaysHeld = 16 * 1024
    /// The part of the ceiling that the answers to all openings may hold together. Servers that do not end their
    /// answers would otherwise keep out every new session. The larger answers may hold half of that part, so that they
    /// leave the other half to smaller ones.
    private static let share = 4

    private let memory: SessionMemory
    private let ceiling: Int?
    private var hold: MemoryHold
    private var isOver = false

    /// - Parameter ceiling: bytes that the process may hold; nil for no ceiling.
    init(_ memory: SessionMemory, ceiling: Int?) {
        self.memory = memory
        self.ceiling = ceiling
        // No session is closed for an opening.
        self.hold = MemoryHold(memory, isRequest: true)
    }

    deinit { self.release() }

    /// Counts `bytes` of the answer in place of what was counted before. Each costs two: beside it NIO keeps the buffer
    /// of its read, the decoder its fields.
    func keep(_ bytes: Int) throws(Full) {
        guard !self.isOver else { return }
        let cost = bytes > Self.uncounted ? 2 * bytes : 0
        let answers = self.memory.addAnswers(cost - self.hold.bytes)
        guard let used = self.hold.set(cost), let ceiling = self.ceiling else { return }
        let isLarge = cost > Self.alwaysHeld
        let share = ceiling / (isLarge ? 2 * Self.share : Self.share)
        guard answers > share || (isLarge && used > ceiling) else { return }
        throw Full()
    }

    /// The answer is handed on, or dropped.
    func end() {
        self.isOver = true
        self.release()
    }

    private func release() {
        _ = self.memory.addAnswers(-self.hold.bytes)
        self.hold.release()
    }
}

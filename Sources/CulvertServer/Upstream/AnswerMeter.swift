/// Counts what an opening keeps of a server's answer in ``SessionMemory``, from its first bytes until the answer is
/// handed on or the connection is gone. Bound to the opening's loop.
final class AnswerMeter {
    /// The process holds as much as it may.
    struct Full: Error, CustomStringConvertible {
        var description: String { "limits.memory is reached, and the answer to the handshake is large" }
    }

    /// An answer of so many bytes is not counted: an ordinary one costs nothing.
    private static let uncounted = 1024
    /// Less than this is never refused for the process's memory.
    private static let alwaysHeld = 16 * 1024

    private let ceiling: Int?
    private var hold: MemoryHold
    private var isOver = false

    /// - Parameter ceiling: bytes that the process may hold; nil for no ceiling.
    init(_ memory: SessionMemory, ceiling: Int?) {
        self.ceiling = ceiling
        // No session is closed for an opening.
        self.hold = MemoryHold(memory, isRequest: true)
    }

    /// Counts `bytes` of the answer in place of what was counted before. Each costs two: beside it NIO keeps the buffer
    /// of its read, the decoder its fields.
    func keep(_ bytes: Int) throws(Full) {
        guard !self.isOver else { return }
        let cost = bytes > Self.uncounted ? 2 * bytes : 0
        guard let used = self.hold.set(cost), let ceiling = self.ceiling, used > ceiling, cost > Self.alwaysHeld else {
            return
        }
        throw Full()
    }

    /// The answer is handed on, or dropped.
    func end() {
        self.isOver = true
        self.hold.release()
    }
}

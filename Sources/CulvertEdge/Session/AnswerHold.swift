import NIOCore
import Synchronization

/// Counts one answer in ``SessionMemory``, from the moment a session hands it out until its connection has written it
/// or is gone.
///
/// The session's loop makes it, and cuts the answer when it is superseded. The connection's loop, which may be another,
/// says what the answer costs in its form, and releases it. Letting go of the last reference releases it as well, so
/// an answer whose connection is gone stops counting.
final class AnswerHold: CountedAnswer {
    private struct State {
        /// Zero once the answer is written or gone.
        var bytes: Int
        var isReleased = false
        var isCut = false
        /// Closes the connection that writes the answer; nil until it has begun, and when it is released.
        var close: (@Sendable () -> Void)?
    }

    private let memory: SessionMemory
    private let state: Mutex<State>
    /// When the session handed the answer out.
    let since: NIODeadline
    /// The caller that the answer goes to; nil in tests.
    let caller: Caller?

    init(bytes: Int, memory: SessionMemory, now: NIODeadline, caller: Caller? = nil) {
        self.caller = caller
        self.memory = memory
        self.since = now
        self.state = Mutex(State(bytes: bytes))
        _ = memory.add(bytes)
    }

    deinit { self.release() }

    // MARK: - the session's side

    /// Bytes that the answer holds; 0 once it is written or gone.
    var bytes: Int { self.state.withLock(\.bytes) }

    /// The answer is not wanted any more: its connection is closed unless the answer is written already. An answer
    /// that its connection has not begun is replaced there by 204.
    ///
    /// - Returns: bytes that it holds until then; 0 when it had been cut before.
    @discardableResult
    func cut() -> Int {
        let (close, bytes) = self.state.withLock { state in
            defer { (state.isCut, state.close) = (true, nil) }
            return (state.close, state.isCut ? 0 : state.bytes)
        }
        close?()
        return bytes
    }

    // MARK: - the connection's side

    /// The connection is about to write the answer.
    ///
    /// - Parameters:
    ///   - bytes: of the answer's body as it is written.
    ///   - close: closes the connection; called from any loop, at most once, and not after ``release()``. It must not
    ///     hold on to this object.
    /// - Returns: false when the answer was cut meanwhile and must not be written.
    func begin(bytes: Int, close: @escaping @Sendable () -> Void) -> Bool {
        let change: Int? = self.state.withLock { state in
            guard !state.isReleased, !state.isCut else { return nil }
            state.close = close
            defer { state.bytes = bytes }
            return bytes - state.bytes
        }
        guard let change else { return false }
        _ = self.memory.add(change)
        return true
    }

    /// Whether the answer is neither written nor gone.
    var isUnderWay: Bool { self.state.withLock { !$0.isReleased } }

    /// Whether the answer is under way, and the session has not cut it for a newer one.
    var isNewest: Bool { self.state.withLock { !$0.isReleased && !$0.isCut } }

    /// The answer is written, or its connection is gone. The first call counts.
    func release() {
        let bytes = self.state.withLock { state in
            state.isReleased = true
            state.close = nil
            defer { state.bytes = 0 }
            return state.bytes
        }
        if bytes != 0 { _ = self.memory.add(-bytes) }
    }
}

/// The larger answers that the sessions of one loop have handed out, for the relief of memory: an answer that its
/// client does not read may outlive its session.
struct AnswerLedger {
    /// Smaller answers go into the kernel's buffer, or count little.
    private static let least = 16 * 1024

    private struct Entry {
        weak var hold: AnswerHold?

        var isUnderWay: Bool { self.hold?.isUnderWay ?? false }
    }

    private var entries: [Entry] = []
    private var nextLook = 64

    mutating func add(_ hold: AnswerHold) {
        guard hold.bytes >= Self.least else { return }
        if self.entries.count >= self.nextLook {
            self.entries.removeAll { !$0.isUnderWay }
            self.nextLook = max(64, self.entries.count * 2)
        }
        self.entries.append(Entry(hold: hold))
    }

    /// Cuts the answers that were handed out before `deadline` and are not written yet. No session ends for that: a
    /// client whose answer was cut asks again.
    ///
    /// - Returns: bytes that the answers held.
    mutating func cut(before deadline: NIODeadline) -> Int {
        self.entries.removeAll { !$0.isUnderWay }
        var freed = 0
        for entry in self.entries {
            guard let hold = entry.hold, hold.since <= deadline else { continue }
            freed += hold.cut()
        }
        return freed
    }
}

import Synchronization

/// Counts the bytes that sessions and connections of all loops hold, and the sessions that were closed for memory. All
/// loops and the relief of memory use it.
final class SessionMemory: Sendable {
    private let bytes = Atomic<Int>(0)
    /// The part of ``bytes`` that connections hold which no session uses: in requests and answers, and in lanes that
    /// have only joined.
    private let requests = Atomic<Int>(0)
    private let leavingBytes = Atomic<Int>(0)
    /// The part of ``requests`` that openings keep of servers' answers.
    private let answers = Atomic<Int>(0)
    private let victims = Atomic<Int>(0)
    private let isRelieving = Atomic<Bool>(false)

    /// - Returns: the sum.
    func add(_ change: Int, isRequest: Bool = false) -> Int {
        if isRequest { self.requests.wrappingAdd(change, ordering: .relaxed) }
        return self.bytes.wrappingAdd(change, ordering: .relaxed).newValue
    }

    /// Bytes of sessions that were closed for memory, until their connections are gone: 500 ms, and with TLS 1 s more at
    /// most. No other session is closed for them.
    var leaving: Int { self.leavingBytes.load(ordering: .relaxed) }

    func addLeaving(_ change: Int) { self.leavingBytes.wrappingAdd(change, ordering: .relaxed) }

    /// Bytes above `ceiling` that are not about to go; negative below it.
    func excess(over ceiling: Int) -> Int { self.used - self.leaving - ceiling }

    /// The same of what sessions hold alone.
    func excessOfSessions(over ceiling: Int) -> Int { self.usedBySessions - self.leaving - ceiling }

    /// - Returns: what openings keep of servers' answers. The bytes are also added with ``add(_:isRequest:)``.
    func addAnswers(_ change: Int) -> Int { self.answers.wrappingAdd(change, ordering: .relaxed).newValue }

    /// So many bytes of a connection are a session's from now on.
    func handToSession(_ bytes: Int) { self.requests.wrappingSubtract(bytes, ordering: .relaxed) }

    var used: Int { self.bytes.load(ordering: .relaxed) }

    /// Bytes that sessions hold: all but those of connections that no session uses.
    var usedBySessions: Int { self.used - self.requests.load(ordering: .relaxed) }

    var closed: Int { self.victims.load(ordering: .relaxed) }

    func countClosed() { self.victims.wrappingAdd(1, ordering: .relaxed) }

    /// - Returns: false when somebody is at it already.
    func beginRelief() -> Bool { !self.isRelieving.exchange(true, ordering: .acquiringAndReleasing) }

    func endRelief() { self.isRelieving.store(false, ordering: .releasing) }
}

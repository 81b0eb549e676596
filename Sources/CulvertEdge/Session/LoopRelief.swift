import CulvertCore

/// What the relief of memory knows of the sessions of one event loop, and does to them. The sessions report what they
/// hold; the relief, which has all loops in view, asks and decides. Used on that loop alone.
final class LoopRelief {
    private let sessions: SessionTable
    /// The sessions by what they hold.
    var holders = HolderIndex()
    /// Answers that the sessions have handed out, and that clients may not be reading.
    var answers = AnswerLedger()
    /// Sessions that are not read until the relief has looked again.
    private var heldBack: [Session] = []

    init(_ sessions: SessionTable) { self.sessions = sessions }

    /// The session is not read until ``readOn()``. The caller pauses it.
    func holdBack(_ session: Session) {
        session.holding.isHeldBack = true
        self.heldBack.append(session)
    }

    /// Lets the sessions read on that were held back. A session that still grows while memory is short is held back
    /// again.
    func readOn() {
        let sessions = self.heldBack
        self.heldBack = []
        for session in sessions {
            session.holding.isHeldBack = false
            session.readOn()
        }
    }

    /// Closes sessions for memory, in the order of `keys`, until what all sessions hold is within `ceiling`.
    ///
    /// - Parameter keys: of ``SessionTable/all``.
    func close(_ keys: [ObjectIdentifier], _ memory: SessionMemory, ceiling: Int) -> [ReliefOfSession] {
        var closed: [ReliefOfSession] = []
        for key in keys where memory.excessOfSessions(over: ceiling) > 0 {
            let used = memory.used
            guard let session = self.sessions.all[key] else { continue }
            let bytes = SessionRelief(session: session).relieve()
            if bytes > 0 { closed.append(ReliefOfSession(id: session.id, bytes: bytes, used: used)) }
        }
        return closed
    }
}

/// A session that was closed for memory.
struct ReliefOfSession: Sendable {
    let id: SessionID
    /// Bytes that the session held.
    let bytes: Int
    /// Bytes that all sessions and requests held before.
    let used: Int
}

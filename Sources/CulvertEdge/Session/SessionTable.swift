import CulvertCore
import NIOCore

/// Owns the sessions of one event loop, and the tombstones of those that were forgotten lately. The loop's
/// ``LoopState`` enters and removes sessions; the loop's other parts look them up. Used on that loop alone.
final class SessionTable {
    /// By identity: each session until its connections are gone, and a polled one until it is buried, too.
    private(set) var all: [ObjectIdentifier: Session] = [:]
    /// Sessions that requests may reach.
    private var byID: [SessionID: Session] = [:]
    private var tombstones = Tombstones()
    /// The number of sessions whose close handshakes are not over. Counted, like ``present``, because both are asked
    /// for at the end of each session while the process stops.
    private(set) var unended = 0
    /// The number of sessions whose connections are not gone.
    private(set) var present = 0

    func add(_ session: Session) {
        self.all[ObjectIdentifier(session)] = session
        self.byID[session.id] = session
        self.unended += 1
        self.present += 1
    }

    /// Both close handshakes are over. A polled session stays reachable until ``bury(_:frame:until:now:)``.
    func ended(_ session: Session) {
        self.unended -= 1
        guard !session.isResumable else { return }
        self.byID[session.id] = nil
    }

    /// The session has ended, and its connections are gone. A polled one is kept until it is buried.
    func gone(_ session: Session) {
        self.present -= 1
        if self.byID[session.id] !== session { self.forget(session) }
    }

    /// Requests for the session find its tombstone from now on.
    ///
    /// - Parameters:
    ///   - frame: the Close with which the session ended.
    ///   - until: the time at which the tombstone may be forgotten.
    /// - Returns: false if the session was not reachable any more, and nothing was done.
    func bury(_ session: Session, frame: CloseFrame, until: NIODeadline, now: NIODeadline) -> Bool {
        guard self.byID.removeValue(forKey: session.id) != nil else { return false }
        if session.isGone { self.forget(session) }
        let tombstone = Tombstone(
            subject: session.subject, basePath: session.basePath, host: session.facts.host, frame: frame, until: until)
        self.tombstones.add(tombstone, for: session.id, now: now)
        return true
    }

    private func forget(_ session: Session) { self.all[ObjectIdentifier(session)] = nil }

    // MARK: - looking up

    func find(_ id: SessionID) -> Session? { self.byID[id] }

    func tombstone(_ id: SessionID, now: NIODeadline) -> Tombstone? { self.tombstones.find(id, now: now) }

    /// Whether there is such a session of the subject at the path, or was one lately.
    func knows(_ id: SessionID, subject: String?, basePath: String, now: NIODeadline) -> Bool {
        if let session = self.find(id) { return session.subject == subject && session.basePath == basePath }
        return self.tombstone(id, now: now).map { $0.subject == subject && $0.basePath == basePath } ?? false
    }

    /// The identifiers of sessions that requests may reach.
    var ids: [SessionID] { Array(self.byID.keys) }

    /// Sessions whose end has not begun.
    var open: [Session] { self.all.values.filter(\.isOpen) }

    /// The sessions that live by one of `tokens`, or have a caller with one.
    func sessions(with tokens: ChangedTokens) -> [Session] {
        self.all.values.filter { session in session.hasToken(where: tokens.contain) }
    }
}

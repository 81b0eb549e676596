package import CulvertCore
import NIOCore

/// The bound of the number of connections that take such a body.
package enum BodyClaim {
    /// Only the descriptors bound this wait.
    case unbounded
    /// A place among the sessions and the handshakes.
    case place
    /// The session that wants it.
    case session(SessionID)
}

/// A connection's wait for its own client: for a request, for the rest of one, until an answer is read, or for the end.
struct ClientWait {
    let since: NIODeadline
    /// Set while a body is on its way that this session wants.
    private(set) var session: SessionID?

    /// The wait for which a connection may be closed when other clients wait to be accepted. Nil while the owner counts the
    /// connection, while a session's answer is written, and while the edge has the next step.
    init?(of connection: ClientConnection) {
        guard !connection.owner.isCounted else { return nil }
        self.since = connection.clock.since
        if Self.isIdle(connection) { return }
        guard connection.course.phase == .body else { return nil }
        switch connection.request.content.claim {
        case .unbounded: break
        case .session(let id): self.session = id
        case .place: return nil
        }
    }

    /// Whether the connection waits for its client, and neither a body nor a session's answer is on its way.
    static func isIdle(_ connection: ClientConnection) -> Bool {
        switch connection.course.phase {
        case .idle, .head, .draining, .lingering: true
        case .answering: !connection.answer.isOfSession
        case .deciding, .body, .renewing, .upgraded, .closed: false
        }
    }
}

/// The state of a client's connection that speaks HTTP/1.1. A ``ConnectionCourse`` moves from one to the next.
package enum ConnectionPhase: Equatable, Sendable, CaseIterable {
    /// Not a byte of the next request has come.
    case idle
    /// A head is on its way.
    case head
    /// The owner has the head; nothing is read.
    case deciding
    /// The owner wants the body.
    case body
    /// An answer is on its way.
    case answering
    /// There is an answer, and the rest of the request is discarded until the next begins.
    case draining
    /// The decoder stands still, and another takes its place.
    case renewing
    /// The last answer is written, and our direction closed. Bytes that still come are discarded: closing a socket
    /// with unread bytes resets it, and the answer might be lost with it (RFC 9112 9.6).
    case lingering
    case upgraded
    case closed

    /// The decoder may have more.
    package var takesBytes: Bool {
        switch self {
        case .idle, .head, .body, .draining: true
        case .deciding, .answering, .renewing, .lingering, .upgraded, .closed: false
        }
    }
}

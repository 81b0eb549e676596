/// `limits.message`, or the same key of a route: most bytes of one message, by the side that sends it.
///
/// The messages of a native WebSocket pass in parts. Their size costs no memory, so they have no limit unless one is
/// set. A session of the session protocol keeps each message whole until its client has acknowledged it. Such messages
/// always have a bound.
package struct MessageLimits: Equatable, Sendable {
    /// Nil for no limit of messages that pass in parts.
    package var fromClient: Int?
    package var fromUpstream: Int?

    /// The bounds of messages that are kept whole, if no limit is set. A client may be an attacker. An upstream is the
    /// operator's own, and such services send tables and pictures.
    package static let keptFromClient = 1 << 20
    package static let keptFromUpstream = 16 << 20

    package init(fromClient: Int? = nil, fromUpstream: Int? = nil) {
        self.fromClient = fromClient
        self.fromUpstream = fromUpstream
    }

    /// The limit of `sender`'s messages that pass in parts.
    package func passing(from sender: Endpoint) -> Int {
        switch sender {
        case .client: self.fromClient ?? .max
        case .server: self.fromUpstream ?? .max
        }
    }

    /// The limit of `sender`'s messages that are kept whole.
    package func kept(from sender: Endpoint) -> Int {
        switch sender {
        case .client: self.fromClient ?? Self.keptFromClient
        case .server: self.fromUpstream ?? Self.keptFromUpstream
        }
    }
}

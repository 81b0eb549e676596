package import CulvertCore
package import NIOCore

/// `limits.session`: what a session may do once it is open. Nil is no limit.
package struct SessionLimits: Sendable, Equatable {
    package var fromClient: SessionRateLimit?
    package var toClient: SessionRateLimit?
    /// Frames of one message.
    package var fragments: Int?
    /// Longest time without a message in either direction.
    package var idle: TimeAmount?
    package var lifetime: TimeAmount?

    package init(
        fromClient: SessionRateLimit? = nil, toClient: SessionRateLimit? = nil, fragments: Int? = nil,
        idle: TimeAmount? = nil, lifetime: TimeAmount? = nil
    ) {
        self.fromClient = fromClient
        self.toClient = toClient
        self.fragments = fragments
        self.idle = idle
        self.lifetime = lifetime
    }
}

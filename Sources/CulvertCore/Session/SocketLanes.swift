/// The WebSockets that a resumable session has for lanes: the one in use, and one that has yet to say something.
///
/// A lane that has joined takes over with its first envelope, not before: until then nobody knows whether frames get
/// through on it.
package struct SocketLanes: Equatable, Sendable {
    package struct Lane: Equatable, Sendable {
        package let generation: UInt64
        /// Number of the last message that was sent on this lane.
        package var sent: UInt64 = 0
        /// Number of the client's last message that this lane has acknowledged.
        package var told: UInt64 = 0
        package var hasSentClose = false
        /// The client has sent an envelope.
        fileprivate(set) package var isConfirmed = false

        fileprivate init(generation: UInt64) { self.generation = generation }
    }

    package enum OnEnvelope: Equatable, Sendable {
        /// Of a lane that has been superseded.
        case ignore
        /// The lane's first: to be answered whatever it says.
        case first
        case next
    }

    package var active: Lane?
    package private(set) var joining: UInt64?
    private var generation: UInt64 = 0

    package init() {}

    /// The lane with which the session was opened: in use from the beginning.
    package mutating func open() -> UInt64 {
        self.generation &+= 1
        self.active = Lane(generation: self.generation)
        return self.generation
    }

    /// A lane that waits for its first envelope; it replaces another one that does.
    package mutating func join() -> UInt64 {
        self.generation &+= 1
        self.joining = self.generation
        return self.generation
    }

    /// The lane's first envelope makes it the one in use.
    package mutating func envelope(from generation: UInt64) -> OnEnvelope {
        if self.joining == generation {
            self.joining = nil
            self.active = Lane(generation: generation)
        }
        guard let active = self.active, active.generation == generation else { return .ignore }
        self.active?.isConfirmed = true
        return active.isConfirmed ? .next : .first
    }

    /// - Returns: whether the session has no such lane now, and had one.
    package mutating func lost(_ generation: UInt64) -> Bool {
        if self.joining == generation { self.joining = nil }
        guard self.active?.generation == generation else { return false }
        self.active = nil
        return true
    }
}

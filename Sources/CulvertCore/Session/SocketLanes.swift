package import DequeModule
package import NIOCore

/// The WebSockets that a resumable session has for lanes: the one in use, and one that has yet to say something.
///
/// A lane that has joined takes over with its first envelope, not before: until then it is unknown whether frames get
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
        /// When what the client has sent is acknowledged, with or without a message to go with it.
        package var acknowledgeAt: NIODeadline?
        package var isWritable = true
        /// A read's worth of envelopes of the client, which there was no room for yet.
        package var pending: Deque<PollBatch> = []
        /// The lane has brought something, and waits to be told that it may go on.
        package var waitsToRead = false
        /// The lane was asked for an answer, and none was sent yet.
        package var owesAnswer = false
        /// The lane has brought more envelopes than a turn takes, and the rest is taken in a later turn.
        package var isTakenLater = false
        /// The lane has been sent a turn's worth of messages, and is sent more in a later turn.
        package var isSentMoreLater = false

        package var pendingBytes: Int { self.pending.reduce(0) { $0 + $1.heldBytes } }

        fileprivate init(generation: UInt64) { self.generation = generation }
    }

    package enum OnEnvelope: Equatable, Sendable {
        /// The lane has been superseded.
        case ignore
        /// The lane's first: to be answered whatever it says.
        case first
        case next
    }

    package var active: Lane?
    package private(set) var joining: Lane?
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
        self.joining = Lane(generation: self.generation)
        return self.generation
    }

    /// The lane's first envelope makes it the one in use.
    package mutating func envelope(from generation: UInt64) -> OnEnvelope {
        if let joining = self.joining, joining.generation == generation {
            self.joining = nil
            self.active = joining
        }
        guard let active = self.active, active.generation == generation else { return .ignore }
        self.active?.isConfirmed = true
        return active.isConfirmed ? .next : .first
    }

    /// The lane of the generation has room for more, or has none.
    package mutating func lane(_ generation: UInt64, isWritable: Bool) {
        if self.joining?.generation == generation { self.joining?.isWritable = isWritable }
        if self.active?.generation == generation { self.active?.isWritable = isWritable }
    }

    /// - Returns: whether the session has no such lane now, and had one.
    package mutating func lost(_ generation: UInt64) -> Bool {
        if self.joining?.generation == generation { self.joining = nil }
        guard self.active?.generation == generation else { return false }
        self.active = nil
        return true
    }
}

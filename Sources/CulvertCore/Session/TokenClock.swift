package import NIOCore

/// The times at which the driver looks at a session's own token and at its callers' tokens again. A part of
/// ``SessionLife``.
package struct TokenClock: Equatable, Sendable {
    package enum Due: Equatable, Sendable {
        /// The session's own token.
        case own
        /// The tokens of the session's callers.
        case callers
    }

    /// The time at which the session's token dies by itself; nil if it does not.
    package private(set) var ownEnd: NIODeadline?
    /// The earliest time at which a caller's token dies by itself. Callers with the session's own token do not count.
    package private(set) var callersEnd: NIODeadline?
    /// Whether the session's token has died. No message passes from then on.
    package private(set) var hasDied = false

    package init() {}

    /// The session's token dies at `end`; nil if it does not die by itself.
    package mutating func own(endsAt end: NIODeadline?) { self.ownEnd = end }

    /// A caller's token dies at `end`.
    package mutating func caller(endsAt end: NIODeadline) { self.callersEnd = min(self.callersEnd ?? end, end) }

    /// Forgets the callers' tokens. The driver notes each caller again afterwards.
    package mutating func forgetCallers() { self.callersEnd = nil }

    /// The session's token has died.
    package mutating func die() {
        self.hasDied = true
        self.ownEnd = nil
    }

    /// Takes the tokens that are due. The driver looks at each of them, and notes the time of its next look.
    package mutating func take(now: NIODeadline) -> [Due] {
        var due: [Due] = []
        if let end = self.ownEnd, end <= now {
            self.ownEnd = nil
            due.append(.own)
        }
        if let end = self.callersEnd, end <= now {
            self.callersEnd = nil
            due.append(.callers)
        }
        return due
    }
}

/// The `GET` that waits for a slice of its session's loop. A session has one such `GET` at a time, so that a client
/// that asks on many connections at once makes the loop take one batch out of the window. A part of
/// ``ResumableClient``.
package struct PollTurn: Equatable, Sendable {
    private var ticket: UInt64?
    /// The client has ended its direction of the request's connection.
    private var isHalfClosed = false

    package init() {}

    /// Has the request wait. It replaces an earlier request, which is answered empty when its turn comes.
    package mutating func wait(_ ticket: UInt64) {
        self.ticket = ticket
        self.isHalfClosed = false
    }

    /// The client has ended its direction of a request's connection. The request is answered in its turn, and never
    /// parked.
    package mutating func endInput(_ ticket: UInt64) {
        if self.ticket == ticket { self.isHalfClosed = true }
    }

    /// The connection of a request is gone.
    package mutating func leave(_ ticket: UInt64) {
        if self.ticket == ticket { self.ticket = nil }
    }

    /// A later request has come, and is served at once.
    package mutating func supersede() { self.ticket = nil }

    /// The turn of a request has come.
    ///
    /// - Returns: whether the request may be parked; nil if a later request has replaced it or its connection is gone.
    package mutating func take(_ ticket: UInt64) -> Bool? {
        guard self.ticket == ticket else { return nil }
        self.ticket = nil
        return !self.isHalfClosed
    }
}

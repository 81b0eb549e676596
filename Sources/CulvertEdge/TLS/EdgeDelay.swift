import NIOCore

/// Tells whether the edge itself, and not the peer, keeps a connection from going on: it waits for its turns on the event
/// loop, or there is no memory for it. Owned by a ``TLSFeeder``.
struct EdgeDelay {
    /// Shorter waits in all keep no peer from answering.
    private static let least = TimeAmount.milliseconds(500)

    /// The time at which the connection began.
    private let start: NIODeadline
    /// The sum of the waits that are over.
    private var past = TimeAmount.zero
    /// The beginning of the wait that goes on; nil for none.
    private var since: NIODeadline?
    /// The connection was cut because `limits.memory` is reached.
    var isOutOfMemory = false

    init(start: NIODeadline) { self.start = start }

    /// The connection waits for a turn from `now` on.
    mutating func begin(_ now: NIODeadline) { self.since = now }

    /// The connection has its turn.
    mutating func end(_ now: NIODeadline) {
        self.past = self.total(now)
        self.since = nil
    }

    /// The sum of all waits.
    func total(_ now: NIODeadline) -> TimeAmount { self.past + (self.since.map { now - $0 } ?? .zero) }

    /// The reason for the log if there is no memory, or the connection has waited for half of its time or more, and long
    /// enough that a peer may have given it up. Nil if the peer has failed by itself.
    func shortage(_ now: NIODeadline) -> String? {
        if self.isOutOfMemory { return "limits.memory is reached" }
        let total = self.total(now)
        guard total >= Self.least, total * 2 >= now - self.start else { return nil }
        return "TLS waited for its turn: the event loop is busy"
    }
}

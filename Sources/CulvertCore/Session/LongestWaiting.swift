package import NIOCore

/// Chooses the connections to close when clients wait to be accepted: the connections that have waited longest for
/// their own client.
package struct LongestWaiting<Connection> {
    private struct Candidate {
        var since: NIODeadline
        var connection: Connection
    }

    private let most: Int
    /// The candidates so far. The longest wait comes first.
    private var chosen: [Candidate] = []
    /// For each session, the connection that last had a part of a body.
    private var bodies: [SessionID: Candidate] = [:]

    /// - Parameter most: the number of connections that are chosen at most.
    package init(most: Int) {
        self.most = max(1, most)
    }

    package var connections: [Connection] { self.chosen.map(\.connection) }

    /// - Parameter since: when the wait began.
    package mutating func consider(_ connection: Connection, since: NIODeadline) {
        self.consider(Candidate(since: since, connection: connection))
    }

    /// Considers a connection whose client is sending a body that a session wants. A session needs one such connection,
    /// and the last to bring something is spared.
    package mutating func consider(_ connection: Connection, since: NIODeadline, bodyFor session: SessionID) {
        let candidate = Candidate(since: since, connection: connection)
        guard let other = self.bodies[session] else {
            self.bodies[session] = candidate
            return
        }
        let isLater = since > other.since
        if isLater { self.bodies[session] = candidate }
        self.consider(isLater ? other : candidate)
    }

    private mutating func consider(_ candidate: Candidate) {
        if self.chosen.count == self.most {
            guard let last = self.chosen.last, candidate.since < last.since else { return }
            self.chosen.removeLast()
        }
        let place = self.chosen.firstIndex { candidate.since < $0.since } ?? self.chosen.endIndex
        self.chosen.insert(candidate, at: place)
    }
}

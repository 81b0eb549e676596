import NIOCore

/// What the loops close when clients wait for a descriptor.
extension LoopState {
    /// Connections that one call looks at. The next call finds others, since closed connections leave the table.
    private static let mostLookedAt = 4096
    /// Connections that one call closes.
    private static let mostClosed = 32

    /// Closes connections that have had an answer and have sent no whole request since, the longest idle first.
    ///
    /// - Returns: whether there were any.
    func closeIdleConnections() -> Bool {
        var idle: [(since: NIODeadline, connection: ClientConnection)] = []
        for connection in self.connections.values.prefix(Self.mostLookedAt) {
            guard let since = connection.idleSince else { continue }
            if idle.count == Self.mostClosed {
                guard let last = idle.last, since < last.since else { continue }
                idle.removeLast()
            }
            let place = idle.firstIndex { since < $0.since } ?? idle.endIndex
            idle.insert((since, connection), at: place)
        }
        for (_, connection) in idle { connection.cut() }
        return !idle.isEmpty
    }
}

extension EdgeContext {
    /// Makes room for clients that wait to be accepted. A client loses nothing: HTTP/1.1 lets a server close a
    /// connection that has no request on it (RFC 9112 9.5). Without this one client could hold all descriptors with
    /// connections that it does not use.
    func closeIdleConnections() {
        for state in self.loops {
            state.eventLoop.execute {
                guard state.value.closeIdleConnections() else { return }
                self.notices.warn("idle connections closed: file descriptors are short, and clients wait")
            }
        }
    }
}

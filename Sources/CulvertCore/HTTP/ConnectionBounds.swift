package import NIOCore

/// How long the parts of a client's connection may take, and how much one connection may ask. The connection's owner
/// makes it of the configuration in force; ``ConnectionCourse`` and ``ConnectionDeadlines`` go by it.
package struct ConnectionBounds: Equatable, Sendable {
    /// From its beginning, TLS included, until the first byte of a request.
    package var firstByte: TimeAmount
    /// A header section; the grace of a body; what is discarded behind an answer.
    package var head: TimeAmount
    /// Between two requests; until an answer is taken, beside what it takes at ``rate``.
    package var idle: TimeAmount
    /// Bytes each second that a body keeps, and the taking of an answer.
    package var rate: Int
    /// Requests of one connection.
    package var requests: Int

    package init(firstByte: TimeAmount, head: TimeAmount, idle: TimeAmount, rate: Int, requests: Int) {
        self.firstByte = firstByte
        self.head = head
        self.idle = idle
        self.rate = rate
        self.requests = requests
    }

    /// How long so many bytes may take.
    package func time(for bytes: Int) -> TimeAmount {
        let (product, overflow) = Int64(bytes).multipliedReportingOverflow(by: 1_000_000_000)
        return .nanoseconds((overflow ? .max : product) / Int64(max(1, self.rate)))
    }
}

package import NIOCore

/// The facts that a verb of ``ResumableClient`` needs of the moment of its call. The session's driver makes them for
/// each call.
package struct ClientMoment: Sendable {
    package var now: NIODeadline
    /// The number of messages that may pass now (``WorkUnits``).
    package var room: Int
    /// Whether the upstream's connection has room for more.
    package var isUpstreamWritable: Bool
    /// The time that the client's token has to wait before it sends more, zero if it may now; nil for a token without a
    /// rate.
    package var tokenWait: TimeAmount?
    /// The limit of the client's messages, from `limits.session` of the configuration; nil for no limit.
    package var rate: SessionRateLimit?
    /// The longest time that the close handshakes may take.
    package var closeTime: TimeAmount

    package init(
        now: NIODeadline, room: Int, isUpstreamWritable: Bool, tokenWait: TimeAmount?, rate: SessionRateLimit?,
        closeTime: TimeAmount
    ) {
        self.now = now
        self.room = room
        self.isUpstreamWritable = isUpstreamWritable
        self.tokenWait = tokenWait
        self.rate = rate
        self.closeTime = closeTime
    }
}

package import NIOCore

/// Frames that carry nothing of a message, by the reader of a peer's frames: pings, pongs and empty fragments.
package struct ControlCount: Equatable, Sendable {
    package var pings: UInt64 = 0
    /// Pongs that do not answer a ping of Culvert's.
    package var pongs: UInt64 = 0
    /// Pongs with the payload of ``KeepalivePing``.
    package var ownPongs: UInt64 = 0
    /// Data frames without payload that do not end their message. They are neither messages nor bytes of a message, so
    /// that no window and no other rate counts them.
    package var emptyFragments: UInt64 = 0
    /// Payload bytes of all of them.
    package var bytes: UInt64 = 0

    package init() {}

    /// Frames of all kinds.
    package var frames: UInt64 { self.charged &+ self.ownPongs }

    /// Frames that count as messages in the rates of sessions and tokens: all that the peer sends of its own accord.
    package var charged: UInt64 { self.pings &+ self.pongs &+ self.emptyFragments }

    package static func + (one: ControlCount, other: ControlCount) -> ControlCount {
        var sum = ControlCount()
        sum.pings = one.pings &+ other.pings
        sum.pongs = one.pongs &+ other.pongs
        sum.ownPongs = one.ownPongs &+ other.ownPongs
        sum.emptyFragments = one.emptyFragments &+ other.emptyFragments
        sum.bytes = one.bytes &+ other.bytes
        return sum
    }

    package static func - (later: ControlCount, earlier: ControlCount) -> ControlCount {
        var difference = ControlCount()
        difference.pings = later.pings &- earlier.pings
        difference.pongs = later.pongs &- earlier.pongs
        difference.ownPongs = later.ownPongs &- earlier.ownPongs
        difference.emptyFragments = later.emptyFragments &- earlier.emptyFragments
        difference.bytes = later.bytes &- earlier.bytes
        return difference
    }
}

/// The rule for the pings, pongs and empty fragments of one WebSocket peer, whatever the role of the connection.
///
/// Only the latest unanswered ping is kept (RFC 6455 5.5.3), and its pong is written when the connection takes bytes.
/// All these frames count against one bound, also those that are forwarded: a peer above ``rate`` is not read for a
/// while. Owned by the handler of the connection, on its event loop.
package struct PeerControl: Equatable, Sendable {
    /// Frames a second that a peer may send for any length of time.
    package static let rate = 1000
    /// Frames that a peer may send at once after a rest.
    package static let burst = 1000
    /// The longest time for which a peer is not read, however many frames one read has brought.
    package static let longestWait = TimeAmount.seconds(5)
    /// The shortest: with less there would be a timer for each frame.
    package static let shortestWait = TimeAmount.milliseconds(100)

    private var ping: ByteBuffer?
    /// When the bound is free of debt and full again.
    private var full = NIODeadline.uptimeNanoseconds(0)
    private var counted = ControlCount()
    private var hasExceeded = false

    package init() {}

    // MARK: - answers

    /// The peer has sent a ping with `payload`. An earlier one that has not been answered is forgotten.
    package mutating func received(ping payload: ByteBuffer) { self.ping = payload }

    package var owesPong: Bool { self.ping != nil }

    /// The answer to the latest ping, once.
    ///
    /// - Parameters:
    ///   - isWritable: whether the connection takes bytes. If it does not, the ping is kept.
    ///   - mask: nil towards a client.
    /// - Returns: a frame to write now; nil for none.
    package mutating func takePong(isWritable: Bool, mask: @autoclosure () -> UInt32?) -> ByteBuffer? {
        guard isWritable, let payload = self.ping else { return nil }
        self.ping = nil
        var pong = ByteBuffer()
        FrameWriter.write(.pong, payload: payload, mask: mask(), into: &pong)
        return pong
    }

    // MARK: - the bound

    /// Whether `count` has changed since it was looked at last. Asked after each read.
    package func isNew(_ count: ControlCount) -> Bool { self.counted != count }

    /// The number by which `count` has grown since the last call.
    package mutating func take(_ count: ControlCount) -> ControlCount {
        defer { self.counted = count }
        return count - self.counted
    }

    /// Charges `frames` that a read has brought.
    ///
    /// - Returns: how long the peer is not read; nil while it keeps the bound.
    package mutating func charge(_ frames: UInt64, now: NIODeadline) -> TimeAmount? {
        let interval = 1_000_000_000 / Int64(Self.rate)
        let depth = interval * Int64(Self.burst)
        // A debt beyond the longest wait is forgiven, so that a number from a peer cannot overflow.
        let most = UInt64(Self.burst) + UInt64(Self.longestWait.nanoseconds / interval)
        let cost = interval * Int64(min(frames, most))
        self.full = min(max(self.full, now) + .nanoseconds(cost), now + .nanoseconds(depth) + Self.longestWait)
        let debt = (self.full - now).nanoseconds - depth
        return debt > 0 ? max(.nanoseconds(debt), Self.shortestWait) : nil
    }

    /// True once, for the log: a peer that stays above the bound has one line.
    package mutating func isFirstExcess() -> Bool {
        defer { self.hasExceeded = true }
        return !self.hasExceeded
    }
}

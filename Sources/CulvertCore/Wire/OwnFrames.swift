package import NIOCore

/// Frames of Culvert's own for a peer, a ping or the Close. They stand only between the frames that the other side sends
/// to this peer, and wait for the end of one. Owned by the handler of the peer's connection, on its event loop.
package struct OwnFrames: Sendable {
    private var waiting = ByteBuffer()
    /// Whether there are any. A member of its own, because each read of the other side asks.
    package private(set) var areWaiting = false
    /// They wait for the end of a message. Once true, it stays.
    package private(set) var waitForMessageEnd = false
    /// Our direction ends behind them.
    private var areLast = false
    /// A Close is among what was said, and nothing may follow it (RFC 6455 5.5.1).
    package private(set) var haveSaidClose = false

    package init() {}

    /// - Parameters:
    ///   - other: of the bytes that go to this peer; nil if none do but our own.
    ///   - betweenMessages: between fragments is not good enough.
    /// - Returns: whether `frame` is written now. If not, it waits here.
    package mutating func passes(_ frame: ByteBuffer, behind other: FrameScanner?, betweenMessages: Bool) -> Bool {
        if betweenMessages { self.waitForMessageEnd = true }
        guard let other, !(self.waitForMessageEnd ? other.isBetweenMessages : other.isAtFrameBoundary) else {
            return true
        }
        self.waiting.writeImmutableBuffer(frame)
        self.areWaiting = self.waiting.readableBytes > 0
        return false
    }

    /// The frame that ``passes(_:behind:betweenMessages:)`` gets next is the Close.
    package mutating func sayClose() { self.haveSaidClose = true }

    /// The stream to this peer is at a boundary.
    ///
    /// - Returns: what is written there; nil for nothing.
    package mutating func take() -> ByteBuffer? {
        guard self.areWaiting else { return nil }
        defer { self.drop() }
        return self.waiting
    }

    /// Our direction is to end.
    ///
    /// - Returns: whether it ends behind what waits here. If not, it ends now.
    package mutating func beLast() -> Bool {
        self.areLast = self.areWaiting
        return self.areLast
    }

    /// - Returns: whether our direction ends behind what ``take()`` has given, once.
    package mutating func takeLast() -> Bool {
        defer { self.areLast = false }
        return self.areLast
    }

    /// What waits is not said any more.
    package mutating func drop() {
        self.waiting = ByteBuffer()
        self.areWaiting = false
    }
}

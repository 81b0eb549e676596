package import NIOCore

/// Decides how bytes for a peer that takes less than it is sent are kept, so that they cost what is counted.
///
/// A connection's own queue has an entry for each write, which holds the buffer that was written. Small writes to a
/// peer that reads nothing then cost many times their bytes: an entry, and perhaps 64 KiB of a read's buffer for two
/// bytes of it. So once the connection holds bytes back, small writes are copied together, and go to the connection
/// in chunks. While the connection holds nothing, nothing is copied.
///
/// The connection is asked what it holds once in ``look`` bytes, not for each message, since the question costs as much
/// as a message does. Each answer that nothing is held doubles that number up to ``longestLook``. Owned by the handler
/// of the connection, on its event loop.
package struct OutgoingQueue: Sendable {
    /// Cost of writes after which the connection is asked what it holds, at first and behind a backlog.
    package static let look = 32 * 1024
    /// The same, of a connection that has held nothing for a while.
    package static let longestLook = 128 * 1024
    /// The approximate cost of a write besides its buffer; with TLS a record has a buffer, too.
    package static let entry = 1024
    /// Bytes that are copied together at most.
    package static let chunk = 16 * 1024
    /// A write of so many bytes that fills its buffer goes to the connection as it is.
    private static let large = 4 * 1024

    /// Cost of the writes since the connection was asked last.
    private var unknown = 0
    /// Cost of writes after which the connection is asked next.
    private var interval = OutgoingQueue.look
    /// The connection held bytes when it was asked, and has not written all of these out yet.
    package private(set) var isBacklogged = false
    private var tail = ByteBuffer()

    package init() {}

    /// Bytes that wait here.
    package var tailBytes: Int { self.tail.readableBytes }

    /// Bytes for the peer.
    ///
    /// - Returns: whether they go to the connection as they are. If not, ``keep(_:)`` takes them.
    @inline(__always)
    package mutating func passes(_ bytes: ByteBuffer) -> Bool {
        if self.isBacklogged { return false }
        self.unknown &+= bytes.storageCapacity &+ Self.entry
        return true
    }

    /// Bytes that do not pass.
    ///
    /// - Returns: what goes to the connection now, in this order.
    package mutating func keep(_ bytes: ByteBuffer) -> (first: ByteBuffer?, second: ByteBuffer?) {
        let count = bytes.readableBytes
        if count >= Self.large, count >= bytes.storageCapacity / 2 { return (self.takeTail(), bytes) }
        var full: ByteBuffer?
        if count > Self.chunk - self.tail.readableBytes { full = self.takeTail() }
        self.tail.writeImmutableBuffer(bytes)
        return (full, self.tail.readableBytes >= Self.chunk ? self.takeTail() : nil)
    }

    /// After a flush: whether the caller asks the connection for the bytes that it holds.
    @inline(__always)
    package var wantsLook: Bool { !self.isBacklogged && self.unknown >= self.interval }

    /// Something was written since the connection was asked last.
    package var isUnknown: Bool { !self.isBacklogged && self.unknown > 0 }

    /// The connection held nothing when it was asked last, and nothing was written since.
    package var isEmpty: Bool { !self.isBacklogged && self.unknown == 0 }

    /// The connection holds `held` bytes.
    ///
    /// - Returns: whether the caller asks again once these bytes are out; the bytes that wait here are written then.
    package mutating func looked(held: Int) -> Bool {
        self.unknown = 0
        self.isBacklogged = held > 0
        self.interval = held > 0 ? Self.look : min(self.interval * 2, Self.longestLook)
        return self.isBacklogged
    }

    /// All that waits here: goes to the connection when that is empty, or ends.
    package mutating func takeTail() -> ByteBuffer? {
        guard self.tail.readableBytes > 0 else { return nil }
        defer { self.tail = ByteBuffer() }
        return self.tail
    }
}

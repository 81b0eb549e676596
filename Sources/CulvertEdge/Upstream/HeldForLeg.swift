import NIOCore

/// What a connection to a server brings behind the 101 until there is a leg: bytes and ends, and the read that is due
/// then. The read, and the end of the server's direction, also wait for a decoder that is still to get the rest of an
/// answer. The ``UpstreamHeadSplitter`` owns it, on the connection's event loop, and gives the leg what is here.
struct HeldForLeg {
    private var bytes = ByteBuffer()
    /// The server has ended its direction.
    var isInputClosed = false
    /// The connection has ended behind the 101.
    var isInactive = false
    /// A read was asked for, and was not made.
    var isReadDue = false

    /// The 101 has come, and these bytes behind it.
    mutating func begin(_ bytes: ByteBuffer) { self.bytes = bytes }

    /// More has come behind the 101.
    ///
    /// - Parameter limit: the most bytes that are held.
    /// - Returns: false if there are more. Then all are dropped.
    mutating func hold(_ bytes: ByteBuffer, limit: Int) -> Bool {
        self.bytes.writeImmutableBuffer(bytes)
        guard self.bytes.readableBytes > limit else { return true }
        self.dropBytes()
        return false
    }

    /// - Returns: the bytes, once; nil for none.
    mutating func takeBytes() -> ByteBuffer? {
        defer { self.dropBytes() }
        return self.bytes.readableBytes > 0 ? self.bytes : nil
    }

    mutating func dropBytes() { self.bytes = ByteBuffer() }

    /// - Returns: whether the read that was due is made now, once.
    mutating func takeRead() -> Bool {
        defer { self.isReadDue = false }
        return self.isReadDue
    }
}

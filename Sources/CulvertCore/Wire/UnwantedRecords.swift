package import NIOCore

/// Bounds the records of TLS that come although the channel was not asked to read. Owned by a handler that stands before
/// TLS, on its event loop.
///
/// At the end of its stream NIO reads a socket empty, wanted or not. A record of one byte costs as much as a large
/// record, so a full socket of such records behind a FIN would hold up the loop for many milliseconds.
package struct UnwantedRecords: Sendable {
    /// The most records; 4 MiB of ordinary ones.
    private static let most = 256
    /// Application data, and the version that all records carry (RFC 8446 5.1).
    private static let start: (UInt8, UInt8, UInt8) = (0x17, 0x03, 0x03)

    private var isWanted = false
    private var count = 0

    package init() {}

    /// A read is asked for, of a channel that reads once for each time it is asked.
    @inline(__always)
    package mutating func asked() { self.isWanted = true }

    /// Bytes have come from the socket.
    ///
    /// - Returns: false when the caller must cut the connection.
    @inline(__always)
    package mutating func arrived(_ bytes: ByteBuffer) -> Bool {
        if self.isWanted {
            self.isWanted = false
            self.count = 0
            return true
        }
        self.count += bytes.withUnsafeReadableBytes { Self.starts($0) }
        return self.count <= Self.most
    }

    /// How often the bytes look like the beginning of a record. Encrypted bytes seldom do by chance.
    private static func starts(_ bytes: UnsafeRawBufferPointer) -> Int {
        var count = 0
        var at = 0
        while at + 2 < bytes.count {
            if bytes[at] == self.start.0, bytes[at + 1] == self.start.1, bytes[at + 2] == self.start.2 {
                count += 1
                at += 3
            } else {
                at += 1
            }
        }
        return count
    }
}

package import NIOCore

/// Tells what the records of TLS cost that a client has begun and not ended: TLS keeps them out of sight.
///
/// Until plaintext comes, all bytes count: a handshake's message may be spread over records. After that the record
/// alone counts that has not come to its end.
package struct RecordMeter: Sendable {
    /// An ordinary handshake is not counted.
    private static let uncounted = 2 * 1024
    /// TLS takes no longer record, and no longer message of a handshake.
    private static let longest = 17 * 1024

    /// The number of bytes that have come since the last plaintext.
    private var unread = 0
    private var records = RecordFollower()

    /// Bytes of memory: TLS has them, and NIO the buffer of their read.
    package var memory: Int { self.unread > Self.uncounted ? 2 * min(self.unread, Self.longest) : 0 }

    package init() {}

    /// Bytes have come, and go to TLS.
    package mutating func arrived(_ bytes: ByteBuffer) {
        self.unread += bytes.readableBytes
        _ = bytes.withUnsafeReadableBytes { self.records.follow($0) }
    }

    /// TLS has given the content of all records that are whole.
    package mutating func plaintextCame() {
        guard !self.records.isLost else { return }
        self.unread = self.records.begun
    }
}

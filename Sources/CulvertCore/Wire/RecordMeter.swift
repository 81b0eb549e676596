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
    private static let headerLength = 5

    /// The number of bytes that have come since the last plaintext.
    private var unread = 0
    /// Bytes of the record that has not come to its end, and the length that its header tells.
    private var begun = 0
    private var length = 0

    /// Bytes of memory: TLS has them, and NIO the buffer of their read.
    package var memory: Int { self.unread > Self.uncounted ? 2 * min(self.unread, Self.longest) : 0 }

    package init() {}

    /// Bytes have come from the socket.
    package mutating func arrived(_ bytes: ByteBuffer) {
        self.unread += bytes.readableBytes
        bytes.withUnsafeReadableBytes { self.follow($0) }
    }

    /// TLS has given the content of all records that are whole.
    package mutating func plaintextCame() { self.unread = self.begun }

    private mutating func follow(_ bytes: UnsafeRawBufferPointer) {
        var at = 0
        while at < bytes.count {
            if self.begun < Self.headerLength {
                // A type, two bytes of a version, two of the length (RFC 8446 5.1).
                if self.begun >= 3 { self.length = self.length << 8 | Int(bytes[at]) }
                self.begun += 1
                at += 1
            } else {
                let count = min(Self.headerLength + self.length - self.begun, bytes.count - at)
                self.begun += count
                at += count
            }
            if self.begun >= Self.headerLength, self.begun == Self.headerLength + self.length {
                self.begun = 0
                self.length = 0
            }
        }
    }
}

/// The memory that a connection keeps until it is closed: NIO keeps a buffer as large as the largest read, and TLS one as
/// large as the most that was flushed at once. Small buffers belong to the cost of any connection. Owned by the handler of
/// the connection, on its event loop.
package struct KeptBuffers: Sendable {
    /// Buffers up to this size are not counted.
    private static let uncounted = 16 * 1024
    /// TLS adds to each record of 16 KiB; this is for all records of a flush.
    private static let overhead = 256
    /// The most bytes that are flushed into TLS at once: two records, whose buffer of 32 KiB also holds what TLS adds.
    package static let flush = 32 * 1024 - KeptBuffers.overhead

    /// Bytes of the buffers that count.
    package private(set) var bytes = 0
    private var largestRead = KeptBuffers.uncounted
    private var largestFlush = KeptBuffers.uncounted

    package init() {}

    /// - Returns: whether the connection keeps more than before.
    @inline(__always)
    package mutating func read(_ count: Int) -> Bool {
        guard count > self.largestRead else { return false }
        self.largestRead = Self.capacity(count)
        self.sum()
        return true
    }

    /// The same for bytes that were flushed at once into TLS.
    @inline(__always)
    package mutating func flushed(_ count: Int) -> Bool {
        guard count + Self.overhead > self.largestFlush else { return false }
        self.largestFlush = Self.capacity(count + Self.overhead)
        self.sum()
        return true
    }

    private mutating func sum() {
        self.bytes = [self.largestRead, self.largestFlush].reduce(0) { $0 + ($1 > Self.uncounted ? $1 : 0) }
    }

    /// The capacity of a buffer is a power of two.
    private static func capacity(_ count: Int) -> Int {
        1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
    }
}

/// Lines on their way to a descriptor that may take none for a while. Past its capacity new lines are dropped and
/// counted; what it holds keeps its order.
///
/// Lines are dropped only after those that it holds and before those that come once it is taken, so that a count
/// written behind a batch stands where the lines are missing.
package struct LogBuffer {
    /// Bytes that a pipe takes as a whole (POSIX `PIPE_BUF` on Linux): lines of two processes that share a pipe do not
    /// mix.
    package static let chunk = 4096

    package struct Batch {
        package var bytes: [UInt8]
        /// Lines that were dropped behind it.
        package var dropped: Int
    }

    private let capacity: Int
    private var bytes: [UInt8] = []
    private var dropped = 0

    /// - Parameter capacity: bytes.
    package init(capacity: Int) { self.capacity = capacity }

    package var isEmpty: Bool { self.bytes.isEmpty && self.dropped == 0 }

    /// - Parameter line: with its line feed.
    package mutating func append(_ line: some Collection<UInt8>) {
        // After the first loss all are lost until the batch is taken: a short line must not pass a long one's gap.
        guard self.dropped == 0, line.count <= self.capacity - self.bytes.count else {
            self.dropped += 1
            return
        }
        self.bytes.append(contentsOf: line)
    }

    /// Empties the buffer.
    package mutating func take() -> Batch {
        defer { (self.bytes, self.dropped) = ([], 0) }
        return Batch(bytes: self.bytes, dropped: self.dropped)
    }

    /// The length of what to write next: as many whole lines as fit a chunk, and one line at least.
    package static func chunkLength(of bytes: ArraySlice<UInt8>) -> Int {
        let lineFeed = UInt8(ascii: "\n")
        if bytes.count <= Self.chunk { return bytes.count }
        if let last = bytes.prefix(Self.chunk).lastIndex(of: lineFeed) { return last + 1 - bytes.startIndex }
        guard let first = bytes.firstIndex(of: lineFeed) else { return bytes.count }
        return first + 1 - bytes.startIndex
    }
}

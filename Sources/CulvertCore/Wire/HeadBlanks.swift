package import NIOCore

/// Replaces tabs at the ends of the lines of a head by spaces. Blanks there do not belong to a value (RFC 9110 5.5).
/// The decoder takes `Content-Length: 1` and `Transfer-Encoding: chunked` with spaces behind them, and refuses them
/// with tabs.
package struct HeadBlanks: Sendable {
    private static let tab = UInt8(ascii: "\t")

    /// The blanks at the end of the last part, from the first tab on. The next byte tells whether they end a line.
    private var held = ByteBuffer()

    package init() {}

    /// The next part of a head. Blanks at its end are kept for the part after it; a head ends with a line feed, behind
    /// which nothing is kept. The caller bounds how many there may be, by what it has given.
    package mutating func softened(_ part: ByteBuffer) -> ByteBuffer {
        if self.held.readableBytes == 0, !part.readableBytesView.contains(Self.tab) { return part }
        guard part.readableBytesView.contains(where: { !$0.isBlank }) else {
            // Appended in place, so that blanks that come one by one cost no more than others.
            self.held.writeImmutableBuffer(part)
            return ByteBuffer()
        }
        var all = self.held
        self.held = ByteBuffer()
        all.writeImmutableBuffer(part)
        let blanks = all.readableBytesView.reversed().prefix { $0.isBlank }
        if blanks.contains(Self.tab) {
            let kept = all.readableBytes - blanks.count
            self.held = ByteBuffer(bytes: all.readableBytesView.suffix(blanks.count))
            all.moveWriterIndex(to: all.readerIndex + kept)
        }
        Self.soften(&all)
        return all
    }

    /// The same of a whole head.
    package static func soften(_ head: inout ByteBuffer) {
        guard head.readableBytesView.contains(Self.tab) else { return }
        head.withUnsafeMutableReadableBytes { bytes in
            var isEnd = false
            for index in bytes.indices.reversed() {
                switch bytes[index] {
                case UInt8(ascii: "\r"), UInt8(ascii: "\n"): isEnd = true
                case Self.tab: if isEnd { bytes[index] = UInt8(ascii: " ") }
                case UInt8(ascii: " "): break
                default: isEnd = false
                }
            }
        }
    }
}

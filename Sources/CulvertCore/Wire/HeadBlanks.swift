package import NIOCore

/// Blanks at the ends of the lines of a head, which are no part of a value (RFC 9110 5.5).
package enum HeadBlanks {
    /// Makes spaces of the tabs there. The decoder takes `Content-Length: 1` and `Transfer-Encoding: chunked` with spaces
    /// behind them, and refuses them with tabs.
    ///
    /// - Parameter head: a head, or a part of one. Tabs in front of the end of a part stay: the value may go on.
    package static func soften(_ head: inout ByteBuffer) {
        guard head.readableBytesView.contains(UInt8(ascii: "\t")) else { return }
        head.withUnsafeMutableReadableBytes { bytes in
            var isEnd = false
            for index in bytes.indices.reversed() {
                switch bytes[index] {
                case UInt8(ascii: "\r"), UInt8(ascii: "\n"): isEnd = true
                case UInt8(ascii: "\t"): if isEnd { bytes[index] = UInt8(ascii: " ") }
                case UInt8(ascii: " "): break
                default: isEnd = false
                }
            }
        }
    }
}

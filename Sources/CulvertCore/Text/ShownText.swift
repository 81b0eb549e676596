/// Text that a peer chose, as logs and listings show it.
package enum ShownText {
    /// Most bytes that are shown of each.
    package static let longestPath = 512
    package static let longestOrigin = 256
    package static let longestHost = 256
    package static let longestAgent = 256

    /// `text` with `?` in place of each character that ends a line, drives a terminal or reorders text, and of each byte
    /// that is not UTF-8 (``OpaqueBytes``). A text of more than `limit` bytes is cut there, and ends with `…`.
    ///
    /// The result holds no part of a longer text.
    package static func clean(_ text: String, limit: Int) -> String {
        if text.utf8.count <= limit, text.utf8.allSatisfy({ 0x20 <= $0 && $0 < 0x7F }) { return text }
        var out = ""
        var bytes = 0
        for scalar in text.unicodeScalars {
            let isHidden = self.isHidden(scalar.value) || OpaqueBytes.byte(disguisedAs: scalar.value) != nil
            let length = isHidden ? 1 : UTF8.width(scalar)
            guard bytes + length <= limit else { return out + "…" }
            bytes += length
            out.unicodeScalars.append(isHidden ? "?" : scalar)
        }
        return out
    }

    /// Control characters (C0, DEL, C1), line and paragraph separators, and the marks that reorder bidirectional text.
    package static func isHidden(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0..<0x20, 0x7F...0x9F, 0x061C, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}

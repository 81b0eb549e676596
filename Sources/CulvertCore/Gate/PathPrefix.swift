/// Paths: prefixes on segment borders, and what may not come near them. By bytes: that is how upstreams read them.
package enum PathPrefix {
    /// Whether `prefix` covers `path`: `/chat` covers `/chat` and `/chat/a`, not `/chatter`. An unreserved character
    /// is the same encoded or not (RFC 3986 6.2.2).
    package static func covers(_ prefix: String, _ path: String) -> Bool {
        if prefix.contains(byte: UInt8(ascii: "%")) || path.contains(byte: UInt8(ascii: "%")) {
            return self.isPrefix(self.normalized(prefix), of: self.normalized(path))
        }
        return self.isPrefix(prefix, of: path)
    }

    private static func isPrefix(_ prefix: String, of path: String) -> Bool {
        prefix.withBytes { prefix in
            path.withBytes { path in
                guard prefix.first == UInt8(ascii: "/"), path.hasPrefix(prefix) else { return false }
                return prefix.last == UInt8(ascii: "/") || path.count == prefix.count
                    || path[prefix.count] == UInt8(ascii: "/")
            }
        }
    }

    /// False for a path that an upstream may read as another than the gate does: dot segments, however encoded
    /// (RFC 3986 5.2.4) and with or without parameters, empty segments, which many servers merge, encoded slashes,
    /// backslashes, fragments, controls.
    package static func isSafe(_ path: String) -> Bool {
        path.withBytes(self.isSafe)
    }

    private static func isSafe(_ path: UnsafeBufferPointer<UInt8>) -> Bool {
        guard path.first == UInt8(ascii: "/") else { return false }
        var segment = Segment()
        var index = 1
        while index < path.count {
            let byte = path[index]
            index += 1
            switch byte {
            case 0...0x20, 0x7F, UInt8(ascii: "\\"), UInt8(ascii: "#"): return false
            case UInt8(ascii: "/"):
                if segment.isEmpty || segment.isDots { return false }
                segment = Segment()
            case UInt8(ascii: "%"):
                guard let value = self.escaped(path, at: index - 1) else {
                    segment.append(byte)
                    continue
                }
                if value == 0 || value == UInt8(ascii: "/") || value == UInt8(ascii: "\\") { return false }
                index += 2
                // An encoded semicolon begins no parameters.
                segment.append(value == UInt8(ascii: ".") ? value : byte)
            default: segment.append(byte)
            }
        }
        return !segment.isDots
    }

    /// What matters of a segment that is read byte by byte.
    private struct Segment {
        private(set) var isEmpty = true
        private var dots = 0
        private var hasOthers = false
        private var isParameters = false

        /// One dot or two, and parameters, which Java's servers take off before they resolve.
        var isDots: Bool { !self.hasOthers && (self.dots == 1 || self.dots == 2) }

        mutating func append(_ byte: UInt8) {
            self.isEmpty = false
            if byte == UInt8(ascii: ";") { self.isParameters = true }
            if self.isParameters { return }
            if byte == UInt8(ascii: ".") { self.dots += 1 } else { self.hasOthers = true }
        }
    }

    /// RFC 3986 6.2.2.1 and 6.2.2.2; nothing else is decoded.
    private static func normalized(_ path: String) -> String {
        let bytes = Array(path.utf8)
        var out: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard let byte = bytes.withUnsafeBufferPointer({ self.escaped($0, at: index) }) else {
                out.append(bytes[index])
                index += 1
                continue
            }
            if byte.isUnreserved {
                out.append(byte)
            } else {
                out.append(bytes[index])
                out += bytes[index + 1...index + 2].map { $0 >= UInt8(ascii: "a") ? $0 - 0x20 : $0 }
            }
            index += 3
        }
        return String(decoding: out, as: UTF8.self)
    }

    /// The byte that the percent-encoded triplet at `index` stands for, if there is one.
    private static func escaped(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> UInt8? {
        guard bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
            let high = bytes[index + 1].hexValue, let low = bytes[index + 2].hexValue
        else { return nil }
        return high << 4 | low
    }
}

extension UInt8 {
    fileprivate var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    /// RFC 3986 2.3.
    fileprivate var isUnreserved: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "~"):
            true
        default: false
        }
    }
}

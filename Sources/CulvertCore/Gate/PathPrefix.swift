/// Paths: prefixes on segment borders, and what may not come near them. By bytes: that is how upstreams read them.
package enum PathPrefix {
    /// Whether `prefix` covers `path`: `/chat` covers `/chat` and `/chat/a`, not `/chatter`. An unreserved character
    /// is the same encoded or not (RFC 3986 6.2.2).
    package static func covers(_ prefix: String, _ path: String) -> Bool {
        let prefix = self.normalized(prefix)
        let path = self.normalized(path)
        guard prefix.utf8.first == UInt8(ascii: "/"), path.utf8.starts(with: prefix.utf8) else { return false }
        return prefix.utf8.last == UInt8(ascii: "/") || path.utf8.count == prefix.utf8.count
            || path.utf8.dropFirst(prefix.utf8.count).first == UInt8(ascii: "/")
    }

    /// False for a path that an upstream may read as another than the gate does: dot segments, however encoded
    /// (RFC 3986 5.2.4) and with or without parameters, empty segments, which many servers merge, encoded slashes,
    /// backslashes, fragments, controls.
    package static func isSafe(_ path: String) -> Bool {
        let bytes = Array(path.utf8)
        guard bytes.first == UInt8(ascii: "/") else { return false }
        for (index, byte) in bytes.enumerated() {
            if byte <= 0x20 || byte == 0x7F || byte == UInt8(ascii: "\\") || byte == UInt8(ascii: "#") { return false }
            switch self.escaped(bytes, at: index) {
            case 0x00, UInt8(ascii: "/"), UInt8(ascii: "\\"): return false
            default: break
            }
        }
        let segments = bytes.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return segments.dropLast().allSatisfy { !$0.isEmpty } && segments.allSatisfy { !self.isDotSegment($0) }
    }

    private static func isDotSegment(_ segment: ArraySlice<UInt8>) -> Bool {
        // Java's servers take parameters off before they resolve.
        let name = Array(segment.prefix { $0 != UInt8(ascii: ";") })
        var dots = 0
        var index = 0
        while index < name.count {
            if name[index] == UInt8(ascii: ".") {
                index += 1
            } else if self.escaped(name, at: index) == UInt8(ascii: ".") {
                index += 3
            } else {
                return false
            }
            dots += 1
        }
        return dots == 1 || dots == 2
    }

    /// RFC 3986 6.2.2.1 and 6.2.2.2; nothing else is decoded.
    private static func normalized(_ path: String) -> String {
        guard path.utf8.contains(UInt8(ascii: "%")) else { return path }
        let bytes = Array(path.utf8)
        var out: [UInt8] = []
        var index = 0
        while index < bytes.count {
            guard let byte = self.escaped(bytes, at: index) else {
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
    private static func escaped(_ bytes: [UInt8], at index: Int) -> UInt8? {
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

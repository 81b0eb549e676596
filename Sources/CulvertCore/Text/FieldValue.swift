/// The value of a header field, by the rules that many fields share (RFC 9110 5.6).
package enum FieldValue {
    /// The members of a comma-separated list that may come in several lines (RFC 9110 5.6.1), without empty ones.
    /// Quoted strings are kept whole.
    package static func list(_ lines: [String]) -> [String] {
        var members: [String] = []
        for line in lines {
            line.withBytes { bytes in
                var start = 0
                var isQuoted = false
                var isEscaped = false
                for index in 0...bytes.count {
                    let isEnd = index == bytes.count
                    if !isEnd, isQuoted || bytes[index] != UInt8(ascii: ",") {
                        let byte = bytes[index]
                        // RFC 9110 5.6.4: within a quoted string a backslash takes the meaning off what follows.
                        if byte == UInt8(ascii: "\""), !isEscaped { isQuoted.toggle() }
                        isEscaped = isQuoted && !isEscaped && byte == UInt8(ascii: "\\")
                        continue
                    }
                    let member = bytes.trimmed(start..<index)
                    if !member.isEmpty {
                        members.append(String(decoding: UnsafeBufferPointer(rebasing: bytes[member]), as: UTF8.self))
                    }
                    start = index + 1
                }
            }
        }
        return members
    }

    /// The part before the parameters: the type of `text/plain; charset=utf-8`, in lower case.
    package static func essence(_ value: some StringProtocol) -> String {
        let text = Substring(value)
        return (text.split(at: UInt8(ascii: ";"))?.before ?? text).trimmed.asciiLowercased
    }
}

/// The value of a `Host` field (RFC 9110 7.2): a name or an address, and perhaps a port.
package enum HostPort {
    /// Whether `text` is that, and can stand in another field without being quoted. Narrower than RFC 3986: neither
    /// percent signs nor sub-delims, which no name of a server has, and which lists, quotes and other readers take for
    /// delimiters.
    package static func isValid(_ text: some StringProtocol) -> Bool {
        let text = Substring(text)
        let host: Substring
        let port: Substring
        if text.utf8.first == UInt8(ascii: "[") {
            guard let (inside, behind) = text.dropping(1).split(at: UInt8(ascii: "]")), IPAddress(inside) != nil,
                inside.contains(byte: UInt8(ascii: ":")), behind.isEmpty || behind.utf8.first == UInt8(ascii: ":")
            else { return false }
            (host, port) = (inside, behind.dropping(1))
        } else {
            (host, port) = text.split(at: UInt8(ascii: ":")) ?? (text, "")
            guard host.utf8.allSatisfy(\.isHostByte) else { return false }
        }
        if host.isEmpty { return text.isEmpty }
        return port.isEmpty || port.decimal(as: UInt16.self) != nil && port.utf8.count <= 5
    }
}

extension UInt8 {
    /// RFC 3986 2.3: unreserved.
    fileprivate var isHostByte: Bool {
        self.isAlphanumeric || self == UInt8(ascii: "-") || self == UInt8(ascii: ".") || self == UInt8(ascii: "_")
            || self == UInt8(ascii: "~")
    }
}

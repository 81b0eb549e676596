/// The value of a header field, by the rules that many fields share (RFC 9110 5.6).
package enum FieldValue {
    /// The most members of a list whose members are kept. Fields of clients and upstreams have a handful.
    package static let listLimit = 64

    /// Calls `body` with each member of a comma-separated list that may come in several lines (RFC 9110 5.6.1), until
    /// it returns false. Empty members are left out, quoted strings are kept whole, and nothing is copied.
    package static func forEach(_ lines: [String], _ body: (UnsafeBufferPointer<UInt8>) -> Bool) {
        for line in lines {
            let goesOn = line.withBytes { bytes in
                var start = 0
                var isQuoted = false
                var isEscaped = false
                var index = 0
                while index <= bytes.count {
                    let isEnd = index == bytes.count
                    if !isEnd, isQuoted || bytes[index] != UInt8(ascii: ",") {
                        let byte = bytes[index]
                        // RFC 9110 5.6.4: within a quoted string a backslash takes the meaning off what follows.
                        if byte == UInt8(ascii: "\""), !isEscaped { isQuoted.toggle() }
                        isEscaped = isQuoted && !isEscaped && byte == UInt8(ascii: "\\")
                        index += 1
                        continue
                    }
                    let member = bytes.trimmed(start..<index)
                    if !member.isEmpty, !body(UnsafeBufferPointer(rebasing: bytes[member])) { return false }
                    index += 1
                    start = index
                }
                return true
            }
            if !goesOn { return }
        }
    }

    /// Gives the members as texts.
    ///
    /// - Parameter limit: the members behind the first so many are left out.
    package static func list(_ lines: [String], atMost limit: Int = .max) -> [String] {
        var members: [String] = []
        self.forEach(lines) { member in
            members.append(String(decoding: member, as: UTF8.self))
            return members.count < limit
        }
        return members
    }

    /// Whether the list has more members than ``listLimit``.
    package static func isLong(_ lines: [String]) -> Bool {
        var count = 0
        self.forEach(lines) { _ in
            count += 1
            return count <= self.listLimit
        }
        return count > self.listLimit
    }

    /// Whether a member of the list is `word`, in any case.
    package static func contains(_ lines: [String], _ word: String) -> Bool {
        var isFound = false
        self.forEach(lines) { member in
            isFound = member.equalsIgnoringCase(word)
            return !isFound
        }
        return isFound
    }

    /// Whether a member of the list is `word` in front of its parameters, in any case.
    package static func containsEssence(_ lines: [String], _ word: String) -> Bool {
        var isFound = false
        self.forEach(lines) { member in
            isFound = self.essence(of: member).equalsIgnoringCase(word)
            return !isFound
        }
        return isFound
    }

    /// The part before the parameters: the type of `text/plain; charset=utf-8`.
    package static func essence(of member: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8> {
        let end = member.offset(of: UInt8(ascii: ";")) ?? member.count
        return UnsafeBufferPointer(rebasing: member[member.trimmed(0..<end)])
    }

    /// Whether `word` stands in front of the parameters of `value`, in any case.
    package static func hasEssence(_ value: String, _ word: String) -> Bool {
        value.withBytes { self.essence(of: $0).equalsIgnoringCase(word) }
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
            guard host.utf8.allSatisfy(\.isHostByte), !self.hasEmptyLabel(host) else { return false }
        }
        if host.isEmpty { return text.isEmpty }
        return port.isEmpty || port.decimal(as: UInt16.self) != nil && port.utf8.count <= 5
    }

    /// Whether points stand where a name has none. The root's point at the end is not among them, but a second one is:
    /// routes and certificates know no such name, and a lenient server behind the edge may take it for the name without.
    private static func hasEmptyLabel(_ name: Substring) -> Bool {
        name.utf8.first == UInt8(ascii: ".") || name.contains(bytesOf: "..")
    }
}

extension UInt8 {
    /// RFC 3986 2.3: unreserved.
    fileprivate var isHostByte: Bool {
        self.isAlphanumeric || self == UInt8(ascii: "-") || self == UInt8(ascii: ".") || self == UInt8(ascii: "_")
            || self == UInt8(ascii: "~")
    }
}

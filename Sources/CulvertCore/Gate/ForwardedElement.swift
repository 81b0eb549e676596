/// An element of `Forwarded` (RFC 7239 section 4): `for=192.0.2.1;proto=https`.
enum ForwardedElement {
    /// Gives the value of `for`. It is nil when there is none, for `unknown` and made-up names (RFC 7239 section 6),
    /// and for an element that is malformed.
    static func client(_ element: Substring) -> String? {
        self.value(of: "for", in: element).flatMap(TrustedProxies.bareAddress)
    }

    /// The value of the only parameter of this name, in any case; nil when there is none, or more than one.
    static func value(of name: String, in element: Substring) -> Substring? {
        guard let pairs = self.pairs(element) else { return nil }
        let named = pairs.filter { $0.name.equalsIgnoringCase(name) }
        return named.count == 1 ? named.first?.value : nil
    }

    /// Nil when the element is not as RFC 7239 has it: a value is a token or a quoted string, whole. Blanks are passed
    /// over, and the colons and brackets of addresses that some proxies leave unquoted.
    private static func pairs(_ element: Substring) -> [(name: Substring, value: Substring)]? {
        var pairs: [(Substring, Substring)] = []
        var rest = element.trimmed
        while !rest.isEmpty {
            guard let (name, behind) = rest.split(at: UInt8(ascii: "=")) else { return nil }
            let value = behind.trimmed
            if value.utf8.first == UInt8(ascii: "\"") {
                // No node, protocol or name has a quoted pair in it.
                guard let (inside, after) = value.dropping(1).split(at: UInt8(ascii: "\"")),
                    !inside.contains(byte: UInt8(ascii: "\\"))
                else { return nil }
                pairs.append((name.trimmed, inside))
                rest = after.trimmed
                guard rest.isEmpty || rest.utf8.first == UInt8(ascii: ";") else { return nil }
                rest = rest.dropping(1)
            } else {
                let (text, after) = value.split(at: UInt8(ascii: ";")) ?? (value, "")
                guard !text.contains(byte: UInt8(ascii: "\"")) else { return nil }
                pairs.append((name.trimmed, text.trimmed))
                rest = after
            }
            rest = rest.trimmed
        }
        return pairs
    }
}

/// The members of a list that proxies extend at its end, from the right.
///
/// The proxies' own members stand there: a quotation mark that the client has left open, or escaped, swallows nothing of
/// what they appended.
struct MembersFromTheRight: Sequence, IteratorProtocol {
    private let lines: [String]
    private let mayQuote: Bool
    /// The index of the line that is read now.
    private var index: Int
    /// The bytes of that line that are not read yet; nil once its first member has been read.
    private var unread: Range<Int>?

    /// - Parameters:
    ///   - lines: all lines of the field.
    ///   - mayQuote: a comma within a quoted string (RFC 9110 5.6.4) parts no members.
    init(_ lines: [String], mayQuote: Bool) {
        self.lines = lines
        self.mayQuote = mayQuote
        self.index = lines.count
    }

    mutating func next() -> Substring? {
        if self.unread == nil, self.index > 0 {
            self.index -= 1
            self.unread = 0..<self.lines[self.index].utf8.count
        }
        guard let unread = self.unread else { return nil }
        let line = self.lines[self.index]
        let comma = line.withBytes { Self.lastComma(in: $0, unread, mayQuote: self.mayQuote) }
        self.unread = comma.map { unread.lowerBound..<$0 }
        return line.slice((comma.map { $0 + 1 } ?? unread.lowerBound)..<unread.upperBound)
    }

    /// The comma in front of the last member of `range`.
    private static func lastComma(
        in bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, mayQuote: Bool
    ) -> Int? {
        var isQuoted = false
        for index in range.reversed() {
            if mayQuote, bytes[index] == UInt8(ascii: "\"") {
                // Within a quoted string a quotation mark behind an odd number of backslashes is a part of it.
                let slashes = isQuoted ? bytes[range.lowerBound..<index].reversed().prefix { $0 == 0x5C }.count : 0
                if slashes % 2 == 0 { isQuoted.toggle() }
            } else if bytes[index] == UInt8(ascii: ","), !isQuoted {
                return index
            }
        }
        return nil
    }
}

import Glibc

// Text that a peer has sent is split, compared and searched by bytes. Swift's Characters are graphemes: a combining
// mark behind a delimiter, or U+0600 in front of it, makes another Character of it, while every other program still
// sees the delimiter. Comparing Strings has the same flaw: U+212A equals "K", and U+037E equals ";".
// `Tests/EndToEnd/test_bytewise.py` finds uses of Characters.

extension UInt8 {
    /// The lower-case form of an ASCII letter; every other byte as it is.
    package var lowercased: UInt8 { (0x41...0x5A).contains(self) ? self | 0x20 : self }

    package var isDigit: Bool { (0x30...0x39).contains(self) }

    package var isAlphabetic: Bool { (0x61...0x7A).contains(self.lowercased) }

    package var isAlphanumeric: Bool { self.isAlphabetic || self.isDigit }

    /// A space or a tab (OWS of RFC 9110 5.6.3).
    package var isBlank: Bool { self == 0x20 || self == 0x09 }

    /// May stand in a token (RFC 9110 5.6.2).
    package var isTokenByte: Bool {
        switch self {
        case UInt8(ascii: "!"), UInt8(ascii: "#"), UInt8(ascii: "$"), UInt8(ascii: "%"), UInt8(ascii: "&"),
            UInt8(ascii: "'"), UInt8(ascii: "*"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."),
            UInt8(ascii: "^"), UInt8(ascii: "_"), UInt8(ascii: "`"), UInt8(ascii: "|"), UInt8(ascii: "~"):
            true
        default: self.isAlphanumeric
        }
    }

    /// The value of a hexadecimal digit; nil for any other byte.
    package var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension StringProtocol where SubSequence == Substring, UTF8View.SubSequence == Substring.UTF8View {
    /// Strings of requests are contiguous, so that nothing is copied.
    package func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        self.utf8.withContiguousStorageIfAvailable(body) ?? Array(self.utf8).withUnsafeBufferPointer(body)
    }

    // MARK: - comparing

    /// Whether both have the same bytes.
    package func equals<Other: StringProtocol>(_ other: Other) -> Bool
    where Other.SubSequence == Substring, Other.UTF8View.SubSequence == Substring.UTF8View {
        self.withBytes { one in other.withBytes { one.count == $0.count && one.begins(with: $0) } }
    }

    /// Whether both have the same bytes once ASCII letters are in lower case.
    package func equalsIgnoringCase<Other: StringProtocol>(_ other: Other) -> Bool
    where Other.SubSequence == Substring, Other.UTF8View.SubSequence == Substring.UTF8View {
        self.withBytes { one in
            other.withBytes { other in
                guard one.count == other.count else { return false }
                for index in one.indices where one[index].lowercased != other[index].lowercased { return false }
                return true
            }
        }
    }

    package func begins(with prefix: String) -> Bool {
        self.withBytes { bytes in prefix.withBytes { bytes.begins(with: $0) } }
    }

    // MARK: - searching

    package func contains(byte: UInt8) -> Bool {
        self.withBytes { $0.offset(of: byte) != nil }
    }

    package func count(of byte: UInt8) -> Int {
        self.withBytes { bytes in
            var count = 0
            for other in bytes where other == byte { count += 1 }
            return count
        }
    }

    package func contains(bytesOf other: String) -> Bool {
        self.withBytes { bytes in
            other.withBytes { other in
                guard let first = other.first else { return true }
                var rest = bytes
                while let found = rest.offset(of: first) {
                    rest = UnsafeBufferPointer(rebasing: rest[found...])
                    if rest.begins(with: other) { return true }
                    rest = UnsafeBufferPointer(rebasing: rest.dropFirst())
                }
                return false
            }
        }
    }

    // MARK: - taking apart

    /// The bytes at these offsets. They need not be whole characters.
    package func slice(_ range: Range<Int>) -> Substring {
        let bytes = self.utf8
        let start = bytes.index(bytes.startIndex, offsetBy: range.lowerBound)
        return Substring(bytes[start..<bytes.index(start, offsetBy: range.count)])
    }

    /// Without so many bytes at the front.
    package func dropping(_ count: Int) -> Substring { Substring(self.utf8.dropFirst(count)) }

    /// The parts before and after the first `mark`; nil without such a mark.
    package func split(at mark: UInt8) -> (before: Substring, after: Substring)? {
        self.withBytes { $0.offset(of: mark) }.map(self.split)
    }

    /// The same, where either a space or a tab is a mark.
    var splitAtBlank: (before: Substring, after: Substring)? {
        self.withBytes { $0.firstIndex(where: \.isBlank) }.map(self.split)
    }

    private func split(offset: Int) -> (before: Substring, after: Substring) {
        // A part of the bytes: Swift would check whether a part of the text cuts a character.
        let bytes = self.utf8
        let index = bytes.index(bytes.startIndex, offsetBy: offset)
        return (Substring(bytes[..<index]), Substring(bytes[bytes.index(after: index)...]))
    }

    /// The parts between the marks, also empty ones; at least one part.
    package func parts(at mark: UInt8) -> [Substring] {
        var parts: [Substring] = []
        var rest = Substring(self.utf8[...])
        while let (before, after) = rest.split(at: mark) {
            parts.append(before)
            rest = after
        }
        return parts + [rest]
    }

    // MARK: - reading

    /// In lower case, ASCII letters alone.
    package var asciiLowercased: String {
        String(decoding: self.utf8.lazy.map(\.lowercased), as: UTF8.self)
    }

    /// A number of digits alone: no sign, no space, no other script's digits. Nil for anything else, and for what does
    /// not fit.
    package func decimal<Number: FixedWidthInteger>(as type: Number.Type = Number.self) -> Number? {
        self.withBytes { bytes in
            guard !bytes.isEmpty else { return nil }
            var number: Number = 0
            for byte in bytes {
                guard byte.isDigit else { return nil }
                let (tens, isTooLarge) = number.multipliedReportingOverflow(by: 10)
                let (sum, isLarger) = tens.addingReportingOverflow(Number(byte - UInt8(ascii: "0")))
                if isTooLarge || isLarger { return nil }
                number = sum
            }
            return number
        }
    }
}

extension Sequence<String> {
    /// Whether one of them has the same bytes as `text`.
    package func contains(bytesEqualTo text: some StringProtocol) -> Bool {
        let text = Substring(text)
        return self.contains { $0.equals(text) }
    }
}

extension UnsafeBufferPointer<UInt8> {
    package func equals(_ text: String) -> Bool {
        text.withBytes { self.count == $0.count && self.begins(with: $0) }
    }

    /// Whether both have the same bytes once ASCII letters are in lower case.
    package func equalsIgnoringCase(_ text: String) -> Bool {
        text.withBytes { other in
            guard self.count == other.count else { return false }
            for index in self.indices where self[index].lowercased != other[index].lowercased { return false }
            return true
        }
    }

    func begins(with prefix: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let start = prefix.baseAddress, prefix.count > 0 else { return true }
        guard let own = self.baseAddress, self.count >= prefix.count else { return false }
        return memcmp(own, start, prefix.count) == 0
    }

    package func offset(of byte: UInt8) -> Int? {
        guard let start = self.baseAddress, let found = memchr(start, Int32(byte), self.count) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(start)
    }

    /// The part of `range` without spaces and tabs at either end.
    func trimmed(_ range: Range<Int>) -> Range<Int> {
        var range = range
        while let first = range.first, self[first].isBlank { range = first + 1..<range.upperBound }
        while let last = range.last, self[last].isBlank { range = range.lowerBound..<last }
        return range
    }
}

extension Substring {
    /// Without spaces and tabs at either end.
    package var trimmed: Substring {
        let range = self.withBytes { $0.trimmed(0..<$0.count) }
        return range.count == self.utf8.count ? self : self.slice(range)
    }
}

import Glibc

// Text of HTTP, looked at by bytes: what matters in it is ASCII, and graphemes would cost more than all else of the
// gate.

extension UInt8 {
    /// As ASCII.
    var lowercased: UInt8 { (0x41...0x5A).contains(self) ? self | 0x20 : self }
}

extension StringProtocol where SubSequence == Substring, UTF8View.SubSequence == Substring.UTF8View {
    /// Strings of requests are contiguous, so that nothing is copied.
    func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        self.utf8.withContiguousStorageIfAvailable(body) ?? Array(self.utf8).withUnsafeBufferPointer(body)
    }

    func contains(byte: UInt8) -> Bool {
        self.withBytes { $0.offset(of: byte) != nil }
    }

    func contains(bytesOf other: String) -> Bool {
        self.withBytes { bytes in
            other.withBytes { other in
                guard let first = other.first else { return true }
                var at = 0
                while let found = UnsafeBufferPointer(rebasing: bytes[at...]).offset(of: first) {
                    if bytes[(at + found)...].starts(with: other) { return true }
                    at += found + 1
                }
                return false
            }
        }
    }

    /// Equal when upper and lower case of ASCII letters are one.
    func equalsIgnoringCase<Other: StringProtocol>(_ other: Other) -> Bool
    where Other.SubSequence == Substring, Other.UTF8View.SubSequence == Substring.UTF8View {
        self.withBytes { one in
            other.withBytes { other in
                guard one.count == other.count else { return false }
                for index in one.indices where one[index].lowercased != other[index].lowercased { return false }
                return true
            }
        }
    }

    /// What stands in front of the first `mark`, and what behind it; nil where there is no such mark.
    func split(at mark: UInt8) -> (before: Substring, after: Substring)? {
        self.withBytes { $0.offset(of: mark) }.map(self.split)
    }

    /// The same, where either a space or a tab is a mark.
    var splitAtBlank: (before: Substring, after: Substring)? {
        self.withBytes { $0.firstIndex { $0 == 0x20 || $0 == 0x09 } }.map(self.split)
    }

    private func split(offset: Int) -> (before: Substring, after: Substring) {
        // Of the bytes: a part of the text would be looked at for characters that it might cut.
        let bytes = self.utf8
        let index = bytes.index(bytes.startIndex, offsetBy: offset)
        return (Substring(bytes[..<index]), Substring(bytes[bytes.index(after: index)...]))
    }
}

extension UnsafeBufferPointer<UInt8> {
    func hasPrefix(_ prefix: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let start = prefix.baseAddress, prefix.count > 0 else { return true }
        guard let own = self.baseAddress, self.count >= prefix.count else { return false }
        return memcmp(own, start, prefix.count) == 0
    }

    fileprivate func offset(of byte: UInt8) -> Int? {
        guard let start = self.baseAddress, let found = memchr(start, Int32(byte), self.count) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(start)
    }
}

extension Substring {
    /// Without spaces and tabs at either end (OWS of RFC 9110 5.6.3).
    var trimmed: Substring {
        let (front, back) = self.withBytes { bytes in
            let front = bytes.prefix { $0 == 0x20 || $0 == 0x09 }.count
            return (front, bytes.dropFirst(front).reversed().prefix { $0 == 0x20 || $0 == 0x09 }.count)
        }
        return front == 0 && back == 0 ? self : Substring(self.utf8.dropFirst(front).dropLast(back))
    }
}

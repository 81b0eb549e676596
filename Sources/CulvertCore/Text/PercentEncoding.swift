/// Percent-encoded text (RFC 3986 2.1), read by bytes.
package enum PercentEncoding {
    /// The byte that the triplet at `index` stands for; nil if there is none.
    static func byte(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> UInt8? {
        guard bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = bytes[index + 1].hexValue,
            let low = bytes[index + 2].hexValue
        else { return nil }
        return high << 4 | low
    }

    /// - Parameter isForm: a plus stands for a space (application/x-www-form-urlencoded).
    /// - Returns: nil for a percent sign that begins no triplet, and for what is not UTF-8.
    package static func decode(_ text: some StringProtocol, isForm: Bool = false) -> String? {
        Substring(text).withBytes { bytes in
            var out: [UInt8] = []
            out.reserveCapacity(bytes.count)
            var index = 0
            while index < bytes.count {
                if bytes[index] == UInt8(ascii: "%") {
                    guard let byte = self.byte(bytes, at: index) else { return nil }
                    out.append(byte)
                    index += 3
                } else {
                    let isPlus = isForm && bytes[index] == UInt8(ascii: "+")
                    out.append(isPlus ? UInt8(ascii: " ") : bytes[index])
                    index += 1
                }
            }
            return String(validating: out, as: UTF8.self)
        }
    }

    /// Whether the bytes of `range`, decoded, are those of `name`.
    static func equals(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ name: UnsafeBufferPointer<UInt8>)
        -> Bool
    {
        // A name that is longer than all triplets could make it is told by its length.
        guard range.count >= name.count, range.count <= 3 * name.count else { return false }
        let encoded = UnsafeBufferPointer(rebasing: bytes[range])
        var index = 0
        for byte in name {
            guard index < encoded.count else { return false }
            let decoded = self.byte(encoded, at: index)
            guard (decoded ?? encoded[index]) == byte else { return false }
            index += decoded == nil ? 1 : 3
        }
        return index == encoded.count
    }
}

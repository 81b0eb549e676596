/// The cookies in which clients show tokens, on whichever route. No upstream sets one of them: a browser would send it on
/// every route of the host, where it contradicts the client's token or takes its place.
package struct TokenCookies: Equatable, Sendable {
    private let names: [String]

    package init(_ carriers: some Sequence<CarrierNames>) { self.names = AllCarriers(carriers).cookies }

    /// Whether a browser that takes `value` of a `Set-Cookie` field sends a cookie of one of the names from then on.
    ///
    /// A browser keeps a cookie without a name, and sends its value alone: of `=a=b` there comes `a=b` (RFC 6265bis 5.7).
    package func areSet(by value: String) -> Bool {
        guard !self.names.isEmpty else { return false }
        return value.withBytes { bytes in
            var start = 0
            while start < bytes.count, bytes[start] == UInt8(ascii: "=") || bytes[start].isCookieBlank { start += 1 }
            var end = start
            while end < bytes.count, bytes[end] != UInt8(ascii: "="), bytes[end] != UInt8(ascii: ";") { end += 1 }
            while end > start, bytes[end - 1].isCookieBlank { end -= 1 }
            let name = UnsafeBufferPointer(rebasing: bytes[start..<end])
            return self.names.contains { name.equals($0) }
        }
    }
}

extension UInt8 {
    fileprivate var isCookieBlank: Bool { self == UInt8(ascii: " ") || self == UInt8(ascii: "\t") }
}

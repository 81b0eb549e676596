import Glibc

/// An IPv4 or IPv6 address; an IPv4 one is the same as its mapped form (RFC 4291 2.5.5.2).
package struct IPAddress: Hashable, Sendable {
    let bytes: [UInt8]

    /// Nil for anything but an address alone: no port, no brackets, no zone.
    package init?(_ text: some StringProtocol) {
        let text = String(text)
        var bytes = [UInt8](repeating: 0, count: 16)
        if inet_pton(AF_INET, text, &bytes) == 1 {
            self.bytes = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + bytes[..<4]
        } else if inet_pton(AF_INET6, text, &bytes) == 1 {
            self.bytes = bytes
        } else {
            return nil
        }
    }

    /// What limits count it by.
    package var limitKey: AddressKey {
        func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        let isMapped = self.bytes[..<10].allSatisfy { $0 == 0 } && self.bytes[10] == 0xFF && self.bytes[11] == 0xFF
        return isMapped ? .v4(UInt32(truncatingIfNeeded: number(self.bytes[12...]))) : .v6(number(self.bytes[..<8]))
    }
}

/// Addresses that share their first bits: CIDR (RFC 4632), or one address.
package struct AddressBlock: Equatable, Sendable, CustomStringConvertible {
    package let description: String
    private let address: IPAddress
    /// Of 128.
    private let bits: Int

    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let address = IPAddress(parts[0]) else { return nil }
        let isIPv6 = parts[0].contains(":")
        var bits = isIPv6 ? 128 : 32
        if parts.count == 2 {
            guard let given = Int(parts[1]), (0...bits).contains(given) else { return nil }
            bits = given
        }
        self.description = text
        self.address = address
        self.bits = isIPv6 ? bits : bits + 96
    }

    package func contains(_ other: IPAddress) -> Bool {
        let whole = self.bits / 8
        guard self.address.bytes[..<whole] == other.bytes[..<whole] else { return false }
        let rest = self.bits % 8
        return rest == 0 || (self.address.bytes[whole] ^ other.bytes[whole]) >> (8 - rest) == 0
    }
}

/// The proxies in front whose word on the client's address is taken.
package struct TrustedProxies: Equatable, Sendable {
    private let blocks: [AddressBlock]
    /// Most hops that are looked at; nobody has more proxies in a row.
    private static let hopLimit = 32

    package init(_ blocks: [AddressBlock] = []) {
        self.blocks = blocks
    }

    /// A client and the proxies that it came through, the peer last.
    package struct Path: Equatable, Sendable {
        package var client: String
        package var hops: [String]

        package init(client: String, hops: [String]) {
            self.client = client
            self.hops = hops
        }
    }

    /// Counted from the right, as each proxy appends whom it saw: the first that is no trusted proxy is the client, and
    /// what stands to the left of it is its own claim. A word that is no address ends the count: then the last proxy
    /// that is known stands for the client.
    ///
    /// - Parameters:
    ///   - peer: address of the connection.
    ///   - forwardedFor: every `X-Forwarded-For` line.
    ///   - forwarded: every `Forwarded` line (RFC 7239), looked at when there is no other.
    package func path(peer: String, forwardedFor: [String], forwarded: [String]) -> Path {
        var path = Path(client: peer, hops: [])
        guard !self.blocks.isEmpty, self.trusts(peer) else { return path }
        let claims =
            forwardedFor.isEmpty
            ? forwarded.flatMap(Self.elements).map(Self.forwardedNode)
            : forwardedFor.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }.map(Self.bareAddress)
        for claim in claims.suffix(Self.hopLimit).reversed() {
            guard let claim else { break }
            path.hops.insert(path.client, at: 0)
            path.client = claim
            if !self.trusts(claim) { break }
        }
        return path
    }

    package func trusts(_ text: String) -> Bool {
        guard let address = IPAddress(text) else { return false }
        return self.blocks.contains { $0.contains(address) }
    }

    /// Without port and brackets; nil when it is no address.
    private static func bareAddress(_ text: Substring) -> String? {
        let text = text.trimmed
        if IPAddress(text) != nil { return String(text) }
        let bare: Substring
        if text.utf8.first == UInt8(ascii: "[") {
            guard let (inside, behind) = text.dropFirst().split(at: UInt8(ascii: "]")),
                behind.isEmpty || behind.utf8.first == UInt8(ascii: ":")
            else { return nil }
            bare = inside
        } else {
            guard let (before, _) = text.split(at: UInt8(ascii: ":")) else { return nil }
            bare = before
        }
        return IPAddress(bare) == nil ? nil : String(bare)
    }

    // MARK: - RFC 7239

    private static func elements(_ line: String) -> [Substring] { self.parts(line[...], UInt8(ascii: ",")) }

    /// What `for` says in an element; nil for none, `unknown` and made-up names (RFC 7239 section 6).
    private static func forwardedNode(_ element: Substring) -> String? {
        for parameter in self.parts(element, UInt8(ascii: ";")) {
            guard let (name, value) = parameter.split(at: UInt8(ascii: "=")),
                name.trimmed.equalsIgnoringCase("for")
            else { continue }
            var text = value.trimmed
            if text.utf8.first == UInt8(ascii: "\""), text.utf8.last == UInt8(ascii: "\""), text.utf8.count > 1 {
                text = text.dropFirst().dropLast()
            }
            return self.bareAddress(text)
        }
        return nil
    }

    /// Split at `mark`, but not within a quoted string.
    private static func parts(_ text: Substring, _ mark: UInt8) -> [Substring] {
        var parts: [Substring] = []
        var start = text.startIndex
        var isQuoted = false
        for index in text.utf8.indices {
            let byte = text.utf8[index]
            if byte == UInt8(ascii: "\"") { isQuoted.toggle() }
            guard byte == mark, !isQuoted else { continue }
            parts.append(Substring(text.utf8[start..<index]))
            start = text.utf8.index(after: index)
        }
        return parts + [Substring(text.utf8[start...])]
    }
}

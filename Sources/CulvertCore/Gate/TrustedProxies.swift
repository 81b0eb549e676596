/// Addresses that share their first bits: CIDR (RFC 4632), or one address.
package struct AddressBlock: Equatable, Sendable, CustomStringConvertible {
    package let description: String
    private let address: IPAddress
    /// The length of the prefix, of 128 bits.
    private let bits: Int

    package init?(_ text: String) {
        let parts = text.parts(at: UInt8(ascii: "/"))
        guard parts.count <= 2, let address = IPAddress(parts[0]) else { return nil }
        let isIPv6 = parts[0].contains(byte: UInt8(ascii: ":"))
        var bits = isIPv6 ? 128 : 32
        if parts.count == 2 {
            guard let given = parts[1].decimal(as: Int.self), (0...bits).contains(given) else { return nil }
            bits = given
        }
        self.description = text
        self.address = address
        self.bits = isIPv6 ? bits : bits + 96
    }

    /// Whether the block has more addresses than the largest private ones: 10.0.0.0/8 (RFC 1918) and fc00::/7 (RFC
    /// 4193).
    package var isLargerThanPrivate: Bool {
        self.bits >= 96 && self.address.isIPv4 ? self.bits < 96 + 8 : self.bits < 7
    }

    /// The block with only the bits of its network, where the text has more: `10.0.0.0/8` for `10.0.0.1/8`. Nil if the
    /// text has no more bits.
    package var network: String? {
        let network = IPAddress(number: self.address.number & self.mask)
        guard network != self.address else { return nil }
        return "\(network)/\(network.isIPv4 ? self.bits - 96 : self.bits)"
    }

    package func contains(_ other: IPAddress) -> Bool { (self.address.number ^ other.number) & self.mask == 0 }

    /// The first ``bits`` bits.
    private var mask: UInt128 { ~(UInt128.max >> UInt128(self.bits)) }
}

/// The proxies in front whose word on the client's address is taken.
package struct TrustedProxies: Equatable, Sendable {
    private let blocks: [AddressBlock]
    /// The most hops that are read. Real chains of proxies are shorter.
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

    /// The client that a request's fields name.
    ///
    /// A proxy may write one of the two fields and let the other through as the client sent it, and nothing tells
    /// which. So where both are there they have to name the same client. If they do not, the peer stands for it.
    ///
    /// - Parameters:
    ///   - peer: address of the connection.
    ///   - forwardedFor: every `X-Forwarded-For` line.
    ///   - forwarded: every `Forwarded` line (RFC 7239).
    package func path(peer: String, forwardedFor: [String], forwarded: [String]) -> Path {
        let peer = IPAddress.canonical(peer)
        if forwarded.isEmpty { return self.path(peer: peer, lines: forwardedFor, isForwarded: false) }
        let path = self.path(peer: peer, lines: forwarded, isForwarded: true)
        if forwardedFor.isEmpty { return path }
        let other = self.path(peer: peer, lines: forwardedFor, isForwarded: false)
        guard let client = IPAddress(path.client), client == IPAddress(other.client) else {
            return Path(client: peer, hops: [])
        }
        return other
    }

    /// The list is read from the right, because each proxy appends the address that it saw. The first address that is
    /// not a trusted proxy is the client; the text to the left of it is the client's own claim. A word that is not an
    /// address ends the reading, and the last proxy that is known is then taken for the client.
    ///
    /// - Parameter isForwarded: whether the lines are of `Forwarded`.
    private func path(peer: String, lines: [String], isForwarded: Bool) -> Path {
        var path = Path(client: peer, hops: [])
        guard !self.blocks.isEmpty, self.trusts(peer) else { return path }
        for element in MembersFromTheRight(lines, mayQuote: isForwarded).prefix(Self.hopLimit) {
            guard let claim = isForwarded ? ForwardedElement.client(element) : Self.bareAddress(element) else { break }
            path.hops.insert(path.client, at: 0)
            path.client = claim
            if !self.trusts(claim) { break }
        }
        return path
    }

    /// True if the configuration names no trusted proxy.
    package var isEmpty: Bool { self.blocks.isEmpty }

    package func trusts(_ text: String) -> Bool {
        guard !self.blocks.isEmpty, let address = IPAddress(text) else { return false }
        return self.blocks.contains { $0.contains(address) }
    }

    /// The address in its canonical form, without port and brackets; nil when the text is not an address. A port
    /// consists of digits.
    static func bareAddress(_ text: Substring) -> String? {
        let text = text.trimmed
        if let address = IPAddress(text) { return address.description }
        let bare: Substring
        let port: Substring
        if text.utf8.first == UInt8(ascii: "[") {
            guard let (inside, behind) = text.dropping(1).split(at: UInt8(ascii: "]")),
                behind.isEmpty || behind.utf8.first == UInt8(ascii: ":")
            else { return nil }
            (bare, port) = (inside, behind.isEmpty ? "0" : behind.dropping(1))
        } else {
            guard let (before, after) = text.split(at: UInt8(ascii: ":")) else { return nil }
            (bare, port) = (before, after)
        }
        guard port.decimal(as: UInt16.self) != nil else { return nil }
        return IPAddress(bare)?.description
    }
}

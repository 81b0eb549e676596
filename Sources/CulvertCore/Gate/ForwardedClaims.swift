/// All lines of the fields in which proxies tell of a request's client.
package struct ForwardingFields: Equatable, Sendable {
    /// `X-Forwarded-For`
    package var client: [String]
    /// `Forwarded` (RFC 7239)
    package var forwarded: [String]
    /// `X-Forwarded-Proto`
    package var scheme: [String]
    /// `X-Forwarded-Host`
    package var host: [String]
    /// `X-Forwarded-Port`
    package var port: [String]

    package init(
        client: [String] = [], forwarded: [String] = [], scheme: [String] = [], host: [String] = [],
        port: [String] = []
    ) {
        self.client = client
        self.forwarded = forwarded
        self.scheme = scheme
        self.host = host
        self.port = port
    }
}

/// The scheme, host and port of the client's request, as trusted proxies tell them. A member is nil when they do not tell
/// it, or when it cannot be believed.
package struct ForwardedClaims: Equatable, Sendable {
    /// The client's scheme was `https` or `wss`, rather than `http` or `ws`.
    package var isSecure: Bool?
    /// The host that the client asked for, with its port if it has one.
    package var host: String?
    package var port: UInt16?

    package init(isSecure: Bool? = nil, host: String? = nil, port: UInt16? = nil) {
        self.isSecure = isSecure
        self.host = host
        self.port = port
    }
}

extension TrustedProxies {
    /// Reads the fields of a request that came through a trusted proxy.
    ///
    /// The proxy that took the request from the client wrote the member that counts. Each proxy behind it has added one,
    /// so the member's place from the right is the number of proxies; members to the left of it are the client's own
    /// claims. Most proxies replace these fields, so a shorter list counts with its first member. If `Forwarded` and an
    /// `X-Forwarded-…` field differ, neither counts: a proxy that writes one may pass the other on as the client sent it.
    ///
    /// - Parameters:
    ///   - peer: address of the connection.
    ///   - path: that these fields gave, see ``path(peer:forwardedFor:forwarded:)``.
    package func claims(peer: String, path: Path, fields: ForwardingFields) -> ForwardedClaims {
        guard self.trusts(peer) else { return ForwardedClaims() }
        // The two lists do not name the same client: nothing tells which of them the proxy wrote.
        if path.hops.isEmpty, !fields.client.isEmpty, !fields.forwarded.isEmpty { return ForwardedClaims() }
        let proxies = max(path.hops.count, 1)
        let element = Self.member(of: fields.forwarded, proxies, mayQuote: true)
        func parameter(_ name: String) -> Substring? { element.flatMap { ForwardedElement.value(of: name, in: $0) } }
        func word(_ lines: [String]) -> Substring? { Self.member(of: lines, proxies, mayQuote: false)?.trimmed }
        let port = word(fields.port)?.decimal(as: UInt16.self)
        return ForwardedClaims(
            isSecure: Self.agreed(
                parameter("proto").flatMap(Self.isSecure), word(fields.scheme).flatMap(Self.isSecure), by: ==),
            host: Self.agreed(
                parameter("host").flatMap(Self.host), word(fields.host).flatMap(Self.host),
                by: { $0.equalsIgnoringCase($1) }),
            port: port == 0 ? nil : port)
    }

    /// The member that is so far from the right, or else the first.
    private static func member(of lines: [String], _ place: Int, mayQuote: Bool) -> Substring? {
        var member: Substring?
        for next in MembersFromTheRight(lines, mayQuote: mayQuote).prefix(place) { member = next }
        return member
    }

    private static func isSecure(_ scheme: Substring) -> Bool? {
        if scheme.equalsIgnoringCase("https") || scheme.equalsIgnoringCase("wss") { return true }
        return scheme.equalsIgnoringCase("http") || scheme.equalsIgnoringCase("ws") ? false : nil
    }

    private static func host(_ text: Substring) -> String? {
        !text.isEmpty && HostPort.isValid(text) ? String(text) : nil
    }

    private static func agreed<Value>(_ one: Value?, _ other: Value?, by same: (Value, Value) -> Bool) -> Value? {
        guard let one, let other else { return one ?? other }
        return same(one, other) ? one : nil
    }
}

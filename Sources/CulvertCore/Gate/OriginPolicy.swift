/// Whether requests without an `Origin` pass. No browser opens a session with such a request.
package enum MissingOrigin: String, Sendable, CaseIterable {
    case allow
    case reject
}

/// Which origins may use a route; the same answer for an upgrade and for CORS.
package struct OriginPolicy: Equatable, Sendable {
    package var allow: [OriginPattern]
    package var missing: MissingOrigin

    package init(allow: [OriginPattern], missing: MissingOrigin) {
        self.allow = allow
        self.missing = missing
    }

    /// - Parameter origins: every `Origin` line of the request. More than one is never allowed (RFC 6454 7.3).
    package func allows(origins: [String]) -> Bool {
        guard let origin = origins.first else { return self.missing == .allow }
        guard origins.count == 1 else { return false }
        // By index, so that no pattern is copied.
        for index in self.allow.indices where self.allow[index].matches(serialized: origin) { return true }
        guard let parsed = Origin(origin) else { return false }
        return self.allow.contains { $0.matches(parsed) }
    }
}

/// An origin as a browser sends it (RFC 6454 section 6.2), case and default port normalised. A view of the text it was
/// made from, since one is looked at in every request.
package enum Origin: Equatable, Sendable {
    case null
    case tuple(scheme: Substring, host: Substring, port: Int)

    package init?(_ text: String) {
        // Letters of other alphabets are none here, whatever they fold to.
        guard text.withBytes({ $0.allSatisfy { $0 < 0x80 } }) else { return nil }
        if text.equalsIgnoringCase("null") {
            self = .null
            return
        }
        guard let (scheme, rest) = text.split(at: UInt8(ascii: ":")), rest.utf8.starts(with: "//".utf8) else {
            return nil
        }
        let authority = rest[rest.utf8.index(rest.startIndex, offsetBy: 2)...]
        guard !scheme.isEmpty, scheme.withBytes({ $0.allSatisfy(\.isSchemeByte) }) else { return nil }
        var port = Self.defaultPort(scheme)
        // An IPv6 literal keeps its brackets, so that the colons in it are not a port.
        let hostEnd =
            authority.utf8.first == UInt8(ascii: "[")
            ? authority.utf8.firstIndex(of: UInt8(ascii: "]")).map(authority.utf8.index(after:)) ?? authority.endIndex
            : authority.utf8.firstIndex(of: UInt8(ascii: ":")) ?? authority.endIndex
        let host = authority[..<hostEnd]
        if hostEnd < authority.endIndex {
            let digits = authority[authority.utf8.index(after: hostEnd)...]
            guard authority.utf8[hostEnd] == UInt8(ascii: ":"), let number = digits.decimal(as: Int.self),
                (1...65535).contains(number)
            else { return nil }
            port = number
        }
        // Pages of files have no host: Chromium and what is built on it send `file://`.
        let isFile = authority.isEmpty && scheme.equalsIgnoringCase("file")
        guard isFile || Self.isName(host) || Self.isIPv6Literal(host) else { return nil }
        self = .tuple(scheme: scheme, host: host, port: port)
    }

    package static func == (one: Origin, other: Origin) -> Bool {
        switch (one, other) {
        case (.null, .null): true
        case (.tuple(let scheme, let host, let port), .tuple(let otherScheme, let otherHost, let otherPort)):
            port == otherPort && scheme.equalsIgnoringCase(otherScheme) && host.equalsIgnoringCase(otherHost)
        default: false
        }
    }

    /// 0 where none is known.
    private static func defaultPort(_ scheme: Substring) -> Int {
        if scheme.equalsIgnoringCase("https") || scheme.equalsIgnoringCase("wss") { return 443 }
        return scheme.equalsIgnoringCase("http") || scheme.equalsIgnoringCase("ws") ? 80 : 0
    }

    /// Whether the scheme's hosts are names that a browser or an application makes up, such as those of extensions,
    /// rather than names on the network. Every host of `https` would be every page, for which there is `*`.
    static func hasHostsOfItsOwn(_ scheme: Substring) -> Bool {
        self.defaultPort(scheme) == 0 && !scheme.equalsIgnoringCase("file")
    }

    /// - Parameter isWildcard: the host is what ends a name.
    func serialization(isWildcard: Bool) -> (front: String, back: String) {
        guard case .tuple(let scheme, let host, let port) = self else { return ("null", "") }
        let end = host.asciiLowercased + (port == Self.defaultPort(scheme) ? "" : ":\(port)")
        return isWildcard ? (scheme.asciiLowercased + "://", "." + end) : (scheme.asciiLowercased + "://" + end, "")
    }

    private static func isName(_ host: Substring) -> Bool {
        host.withBytes { self.areLabels($0[...]) }
    }

    /// Whole labels with points between them.
    static func areLabels(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        var isLabelEmpty = true
        for byte in bytes {
            if byte == UInt8(ascii: ".") {
                if isLabelEmpty { return false }
                isLabelEmpty = true
            } else if byte.isLabelByte {
                isLabelEmpty = false
            } else {
                return false
            }
        }
        return !isLabelEmpty
    }

    /// Whether an address stands between the brackets is the browser's business; that nothing else does is ours.
    private static func isIPv6Literal(_ host: Substring) -> Bool {
        host.utf8.count > 2 && host.utf8.first == UInt8(ascii: "[") && host.utf8.last == UInt8(ascii: "]")
            && host.utf8.dropFirst().dropLast().allSatisfy { $0.isAddressByte }
    }

    /// The host is an address, or there is none: no label can stand in front of it.
    var hasNoLabels: Bool {
        if case .tuple(_, let host, _) = self { host.isEmpty || host.utf8.first == UInt8(ascii: "[") } else { false }
    }
}

extension UInt8 {
    fileprivate var isSchemeByte: Bool {
        self.isAlphanumeric || self == UInt8(ascii: "+") || self == UInt8(ascii: "-") || self == UInt8(ascii: ".")
    }

    fileprivate var isLabelByte: Bool {
        self.isAlphanumeric || self == UInt8(ascii: "-") || self == UInt8(ascii: "_")
    }

    fileprivate var isAddressByte: Bool {
        self.hexValue != nil || self == UInt8(ascii: ":")
            || self == UInt8(ascii: ".")
    }
}

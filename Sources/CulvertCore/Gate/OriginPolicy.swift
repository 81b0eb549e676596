import Foundation

/// Whether requests without an `Origin`, which no browser sends cross-origin, pass.
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
        guard let parsed = Origin(origin) else { return false }
        return self.allow.contains { $0.matches(parsed) }
    }
}

/// An origin as a browser sends it (RFC 6454 section 6.2), case and default port normalised.
package enum Origin: Equatable, Sendable {
    case null
    case tuple(scheme: String, host: String, port: Int)

    package init?(_ text: some StringProtocol) {
        // Before case folding, which makes letters of some that are none.
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { return nil }
        let text = text.lowercased()
        if text == "null" {
            self = .null
            return
        }
        guard let colon = text.range(of: "://") else { return nil }
        let scheme = String(text[..<colon.lowerBound])
        let authority = text[colon.upperBound...]
        let defaults = ["https": 443, "http": 80, "wss": 443, "ws": 80]
        guard !scheme.isEmpty, scheme.utf8.allSatisfy({ $0.isSchemeByte }) else { return nil }
        var port = defaults[scheme]
        // An IPv6 literal keeps its brackets, so that the colons in it are not a port.
        let hostEnd =
            authority.first == "["
            ? authority.firstIndex(of: "]").map { authority.index(after: $0) } ?? authority.endIndex
            : authority.firstIndex(of: ":") ?? authority.endIndex
        let host = authority[..<hostEnd]
        if hostEnd < authority.endIndex {
            let digits = authority[hostEnd...].dropFirst()
            guard authority[hostEnd] == ":", digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(digits), (1...65535).contains(number)
            else { return nil }
            port = number
        }
        guard Self.isName(host) || Self.isIPv6Literal(host) else { return nil }
        self = .tuple(scheme: scheme, host: String(host), port: port ?? 0)
    }

    private static func isName(_ host: Substring) -> Bool {
        host.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.allSatisfy { $0.isLabelByte }
        }
    }

    /// Whether an address stands between the brackets is the browser's business; that nothing else does is ours.
    private static func isIPv6Literal(_ host: Substring) -> Bool {
        host.utf8.count > 2 && host.first == "[" && host.last == "]"
            && host.utf8.dropFirst().dropLast().allSatisfy { $0.isAddressByte }
    }

    fileprivate var isAddress: Bool {
        if case .tuple(_, let host, _) = self { host.first == "[" } else { false }
    }
}

/// One entry of `origins.allow`: an exact origin, `null`, or a wildcard for one or more whole labels on the left.
package struct OriginPattern: Equatable, Sendable, CustomStringConvertible {
    package let description: String
    private let origin: Origin
    private let isWildcard: Bool

    /// Nil when it is no origin: a path, a bare host, a `*` elsewhere than as the first label.
    package init?(_ text: String) {
        self.description = text
        self.isWildcard = text.contains("://*.")
        let bare = self.isWildcard ? text.replacing("://*.", with: "://", maxReplacements: 1) : text
        guard let origin = Origin(bare), !(self.isWildcard && origin.isAddress) else { return nil }
        self.origin = origin
    }

    /// However they were written.
    package static func == (one: OriginPattern, other: OriginPattern) -> Bool {
        one.origin == other.origin && one.isWildcard == other.isWildcard
    }

    package func matches(_ other: Origin) -> Bool {
        switch (self.origin, other) {
        case (.null, .null): true
        case (.tuple(let scheme, let host, let port), .tuple(let otherScheme, let otherHost, let otherPort)):
            scheme == otherScheme && port == otherPort
                && (self.isWildcard ? otherHost.hasSuffix("." + host) && otherHost.first != "." : host == otherHost)
        default: false
        }
    }
}

extension UInt8 {
    fileprivate var isAlphanumeric: Bool {
        (0x61...0x7A).contains(self) || (0x30...0x39).contains(self)
    }

    fileprivate var isSchemeByte: Bool {
        self.isAlphanumeric || self == UInt8(ascii: "+") || self == UInt8(ascii: "-") || self == UInt8(ascii: ".")
    }

    fileprivate var isLabelByte: Bool {
        self.isAlphanumeric || self == UInt8(ascii: "-") || self == UInt8(ascii: "_")
    }

    fileprivate var isAddressByte: Bool {
        (0x61...0x66).contains(self) || (0x30...0x39).contains(self) || self == UInt8(ascii: ":")
            || self == UInt8(ascii: ".")
    }
}

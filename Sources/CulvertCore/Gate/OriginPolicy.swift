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
        let host: Substring
        var port = defaults[scheme]
        // An IPv6 literal keeps its brackets, so that the colons in it are not a port.
        let hostEnd =
            authority.first == "["
            ? authority.firstIndex(of: "]").map { authority.index(after: $0) } ?? authority.endIndex
            : authority.firstIndex(of: ":") ?? authority.endIndex
        host = authority[..<hostEnd]
        if hostEnd < authority.endIndex {
            let digits = authority[hostEnd...].dropFirst()
            guard authority[hostEnd] == ":", digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let number = Int(digits), (1...65535).contains(number)
            else { return nil }
            port = number
        }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0.isHostByte }) else { return nil }
        self = .tuple(scheme: scheme, host: String(host), port: port ?? 0)
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
        guard let origin = Origin(bare) else { return nil }
        self.origin = origin
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

    fileprivate var isHostByte: Bool {
        self.isAlphanumeric || [UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_")].contains(self)
            || [UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: ":")].contains(self)
    }
}

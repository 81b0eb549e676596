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

    /// - Parameter isWildcard: the host is what ends a name.
    fileprivate func serialization(isWildcard: Bool) -> (front: String, back: String) {
        guard case .tuple(let scheme, let host, let port) = self else { return ("null", "") }
        let end = host.asciiLowercased + (port == Self.defaultPort(scheme) ? "" : ":\(port)")
        return isWildcard ? (scheme.asciiLowercased + "://", "." + end) : (scheme.asciiLowercased + "://" + end, "")
    }

    private static func isName(_ host: Substring) -> Bool {
        host.withBytes { self.areLabels($0[...]) }
    }

    /// Whole labels with points between them.
    fileprivate static func areLabels(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
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
    fileprivate var hasNoLabels: Bool {
        if case .tuple(_, let host, _) = self { host.isEmpty || host.utf8.first == UInt8(ascii: "[") } else { false }
    }
}

/// One entry of `origins.allow`: an exact origin, `null`, or a wildcard for one or more whole labels on the left.
package struct OriginPattern: Equatable, Sendable, CustomStringConvertible {
    /// One reference to count, where the gate looks at pattern after pattern.
    private let form: Form

    private final class Form: Sendable {
        let text: String
        let origin: Origin
        let isWildcard: Bool
        /// As a browser writes it (RFC 6454 6.2): for a wildcard what stands in front of the labels and what behind.
        let front: String
        let back: String

        init(text: String, origin: Origin, isWildcard: Bool) {
            self.text = text
            self.origin = origin
            self.isWildcard = isWildcard
            (self.front, self.back) = origin.serialization(isWildcard: isWildcard)
        }
    }

    /// Nil when it is no origin: a path, a bare host, a `*` elsewhere than as the first label.
    package init?(_ text: String) {
        let mark = text.split(at: UInt8(ascii: ":"))
        let isWildcard = mark?.after.begins(with: "//*.") ?? false
        let bare = isWildcard ? mark.map { String($0.before) + "://" + String($0.after.dropping(4)) } ?? text : text
        guard let origin = Origin(bare), !(isWildcard && origin.hasNoLabels) else { return nil }
        self.form = Form(text: text, origin: origin, isWildcard: isWildcard)
    }

    package var description: String { self.form.text }

    /// However they were written.
    package static func == (one: OriginPattern, other: OriginPattern) -> Bool {
        one.form.origin == other.form.origin && one.form.isWildcard == other.form.isWildcard
    }

    /// Whether `text` is what browsers send for such an origin. What does not match may be one that is written
    /// otherwise.
    func matches(serialized text: String) -> Bool {
        text.withBytes { text in
            self.form.front.withBytes { front in
                guard self.form.isWildcard else { return text.count == front.count && text.begins(with: front) }
                return self.form.back.withBytes { back in
                    let labels = text.count - front.count - back.count
                    guard labels > 0, text.begins(with: front) else { return false }
                    let end = UnsafeBufferPointer(rebasing: text[(front.count + labels)...])
                    return end.begins(with: back) && Origin.areLabels(text[front.count..<front.count + labels])
                }
            }
        }
    }

    package func matches(_ other: Origin) -> Bool {
        guard self.form.isWildcard, case .tuple(let scheme, let host, let port) = self.form.origin,
            case .tuple(let otherScheme, let otherHost, let otherPort) = other
        else { return self.form.origin == other }
        // One more label at least, which is never empty in an origin.
        let more = otherHost.utf8.count - host.utf8.count
        return more > 1 && port == otherPort && scheme.equalsIgnoringCase(otherScheme)
            && otherHost.utf8.dropFirst(more - 1).first == UInt8(ascii: ".")
            && Substring(otherHost.utf8.suffix(host.utf8.count)).equalsIgnoringCase(host)
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

/// The target of a request (RFC 9112 3.2), taken apart at the bytes that delimit it.
package struct RequestTarget: Equatable, Sendable {
    /// The path as it came; `*` for a request about the server itself. The gate refuses a target without a path.
    package var path: String
    package var query: String?
    /// The host of a target in absolute form, which counts instead of `Host` (RFC 9112 3.2.2).
    package var authority: String?

    package init(_ text: String, method: String = "GET") {
        var rest = text[...]
        if text.utf8.first != UInt8(ascii: "/"), let (authority, behind) = Self.absolute(rest) {
            self.authority = String(authority)
            rest = behind
        }
        if let (path, query) = rest.split(at: UInt8(ascii: "?")) {
            (self.path, self.query) = (String(path), String(query))
        } else {
            self.path = String(rest)
        }
        guard self.authority != nil, self.path.utf8.first != UInt8(ascii: "/") else { return }
        // RFC 9112 3.2.4: OPTIONS of a URL without path and query asks about the server.
        let isOfServer = rest.isEmpty && method.equals("OPTIONS")
        // In front of a fragment, too, which the gate then refuses as one.
        self.path = isOfServer ? "*" : "/" + self.path
    }

    /// The target is the server itself (RFC 9112 3.2.4).
    package var isServer: Bool { self.path.equals("*") }

    /// In origin form, as an upstream gets it.
    package var originForm: String { self.query.map { self.path + "?" + $0 } ?? self.path }

    private static let schemes = ["http", "https", "ws", "wss"]

    private static func absolute(_ text: Substring) -> (authority: Substring, rest: Substring)? {
        guard let (scheme, behind) = text.split(at: UInt8(ascii: ":")), behind.begins(with: "//"),
            self.schemes.contains(where: scheme.equalsIgnoringCase)
        else { return nil }
        let rest = behind.dropping(2)
        let end = rest.withBytes { bytes in
            bytes.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") || $0 == UInt8(ascii: "#") }
                ?? bytes.count
        }
        return (rest.slice(0..<end), rest.dropping(end))
    }
}

import Foundation

/// Names under which tokens travel, from `authentication:`.
package struct CarrierNames: Equatable, Sendable {
    package var queryParameter: String
    package var cookie: String

    package init(queryParameter: String, cookie: String) {
        self.queryParameter = queryParameter
        self.cookie = cookie
    }

    /// Offered beside the application's own subprotocols by browsers, which can set no header on a WebSocket.
    package static let authProtocol = "culvert.auth"
    package static let bearerPrefix = "bearer."

    /// Rather than the application's.
    package static func isOurs(subprotocol name: String) -> Bool {
        name == self.authProtocol || name.hasPrefix(self.bearerPrefix)
    }
}

/// A request's tokens taken out of it, and what is left to go upstream. What has none is left as it is, not copied.
struct TokenCarriers {
    /// The first that was found; nil when there is none.
    private(set) var token: Substring?
    /// There are others, and they are not the same.
    private(set) var hasConflict = false
    private(set) var query: String?
    private(set) var cookies: [String]
    private(set) var protocols: [String]
    private(set) var offersAuthProtocol = false
    var authorization: String?

    init(_ request: GateRequest, names: CarrierNames) {
        self.query = request.query
        self.cookies = request.cookies
        self.protocols = request.protocols
        for value in request.authorization {
            if let token = Self.bearer(value) { self.add(token) } else { self.authorization = value }
        }
        // Most requests have none there, and cost one search.
        let name = names.queryParameter
        if let query = request.query, query.contains(bytesOf: name) || query.contains(byte: UInt8(ascii: "%")),
            Self.parameters(query).contains(where: { $0.isNamed(name) })
        {
            self.takeQuery(query, name: name)
        }
        if request.cookies.contains(where: { $0.contains(bytesOf: names.cookie) }) {
            self.takeCookies(name: names.cookie)
        }
        if request.protocols.contains(where: CarrierNames.isOurs) { self.takeProtocols() }
        if let form = request.form { self.takeForm(form) }
    }

    /// The token in an `Authorization` line; nil for one of another scheme than Bearer.
    static func bearer(_ value: String) -> Substring? {
        let parts = value.splitAtBlank
        // Schemes are case-insensitive (RFC 9110 11.1).
        guard (parts?.before ?? value[...]).equalsIgnoringCase("bearer") else { return nil }
        return parts?.after.trimmed ?? ""
    }

    private mutating func add(_ token: Substring) {
        guard let first = self.token else {
            self.token = token
            return
        }
        if first != token { self.hasConflict = true }
    }

    // MARK: - query

    private static func parameters(_ query: String) -> PairSequence {
        PairSequence(query, separator: UInt8(ascii: "&"))
    }

    /// The other parameters stay byte for byte.
    private mutating func takeQuery(_ query: String, name: String) {
        var kept: [Substring] = []
        for pair in Self.parameters(query) {
            if pair.isNamed(name) {
                // A plus stands for itself, as in a token of RFC 6750 2.1.
                let isEncoded = pair.value.contains(byte: UInt8(ascii: "%"))
                self.add(isEncoded ? Substring(pair.value.removingPercentEncoding ?? "") : pair.value)
            } else {
                kept.append(pair.text)
            }
        }
        self.query = kept.isEmpty ? nil : kept.joined(separator: "&")
    }

    /// RFC 6750 2.2: the parameter's name is not for the operator to choose.
    private mutating func takeForm(_ form: String) {
        for pair in Self.parameters(form) where pair.isNamed("access_token") {
            let text = pair.value.replacing("+", with: " ")
            self.add(Substring(text.removingPercentEncoding ?? ""))
        }
    }

    // MARK: - cookies

    private static func pairs(_ line: String) -> PairSequence { PairSequence(line, separator: UInt8(ascii: ";")) }

    /// A line without a token stays byte for byte.
    private mutating func takeCookies(name: String) {
        var lines: [String] = []
        for line in self.cookies {
            guard Self.pairs(line).contains(where: { $0.isCookie(name) }) else {
                lines.append(line)
                continue
            }
            var kept: [Substring] = []
            for pair in Self.pairs(line) {
                if pair.isCookie(name) {
                    self.add(pair.value.trimmed.unquoted)
                } else if !pair.text.trimmed.isEmpty {
                    kept.append(pair.text.trimmed)
                }
            }
            if !kept.isEmpty { lines.append(kept.joined(separator: "; ")) }
        }
        self.cookies = lines
    }

    // MARK: - subprotocols

    private mutating func takeProtocols() {
        for name in self.protocols {
            if name == CarrierNames.authProtocol {
                self.offersAuthProtocol = true
            } else if name.hasPrefix(CarrierNames.bearerPrefix) {
                self.add(name.dropFirst(CarrierNames.bearerPrefix.count))
            }
        }
        self.protocols.removeAll(where: CarrierNames.isOurs)
    }
}

/// `name=value`, as in a query and in a cookie.
private struct Pair {
    let text: Substring
    private let name: Substring
    let value: Substring

    init(_ text: Substring) {
        self.text = text
        (self.name, self.value) = text.split(at: UInt8(ascii: "=")) ?? (text, text[text.endIndex...])
    }

    /// An encoded name is the same name to whoever reads it behind us, and must not carry the token there.
    func isNamed(_ name: String) -> Bool {
        self.name.contains(byte: UInt8(ascii: "%")) ? self.name.removingPercentEncoding == name : self.name == name
    }

    func isCookie(_ name: String) -> Bool { self.name.trimmed == name }
}

/// The pairs of a text, one after the other.
private struct PairSequence: Sequence, IteratorProtocol {
    private var rest: Substring?
    private let separator: UInt8

    init(_ text: String, separator: UInt8) {
        self.rest = text[...]
        self.separator = separator
    }

    mutating func next() -> Pair? {
        guard let rest = self.rest else { return nil }
        let parts = rest.split(at: self.separator)
        self.rest = parts?.after
        return Pair(parts?.before ?? rest)
    }
}

extension Substring {
    /// RFC 6265 4.1.1 lets a cookie's value stand in quotation marks.
    fileprivate var unquoted: Substring {
        var text = self
        while text.utf8.first == UInt8(ascii: "\"") { text = text.dropFirst() }
        while text.utf8.last == UInt8(ascii: "\"") { text = text.dropLast() }
        return text
    }
}

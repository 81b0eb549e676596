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
        name.equals(self.authProtocol) || name.begins(with: self.bearerPrefix)
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
        self.takeQuery(name: names.queryParameter)
        // Most requests have none there, and cost one search.
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
        if !first.equals(token) { self.hasConflict = true }
    }

    // MARK: - query

    /// The other parameters stay byte for byte. An encoded name is the same name to what reads it behind the edge, and
    /// must not carry the token there.
    private mutating func takeQuery(name: String) {
        // Most queries have none, and cost one search without a list of their parts.
        guard let query = self.query, Query.rawValue(of: name, in: query) != nil else { return }
        var values: [Range<Int>] = []
        var kept: [Range<Int>] = []
        query.withBytes { bytes in
            name.withBytes { name in
                for pair in Query.pairs(bytes) {
                    if PercentEncoding.equals(bytes, pair.name, name) {
                        values.append(pair.value)
                    } else if let last = kept.last, last.upperBound + 1 == pair.text.lowerBound {
                        // Neighbours stay together.
                        kept[kept.count - 1] = last.lowerBound..<pair.text.upperBound
                    } else {
                        kept.append(pair.text)
                    }
                }
            }
        }
        guard !values.isEmpty else { return }
        for range in values {
            // A plus stands for itself, as in a token of RFC 6750 2.1.
            let value = query.slice(range)
            let isEncoded = value.contains(byte: UInt8(ascii: "%"))
            self.add(isEncoded ? Substring(PercentEncoding.decode(value) ?? "") : value)
        }
        self.query = kept.isEmpty ? nil : kept.map { query.slice($0) }.joined(separator: "&")
    }

    /// RFC 6750 2.2: the parameter's name is not for the operator to choose.
    private mutating func takeForm(_ form: String) {
        let values: [Range<Int>] = form.withBytes { bytes in
            "access_token".withBytes { name in
                Query.pairs(bytes).filter { PercentEncoding.equals(bytes, $0.name, name) }.map(\.value)
            }
        }
        for range in values { self.add(Substring(PercentEncoding.decode(form.slice(range), isForm: true) ?? "")) }
    }

    // MARK: - cookies

    /// A line without a token stays byte for byte.
    private mutating func takeCookies(name: String) {
        var lines: [String] = []
        for line in self.cookies {
            var values: [Range<Int>] = []
            var kept: [Range<Int>] = []
            line.withBytes { bytes in
                name.withBytes { name in
                    for pair in Pairs(bytes, separator: UInt8(ascii: ";")) {
                        let own = bytes.trimmed(pair.name)
                        if own.count == name.count, UnsafeBufferPointer(rebasing: bytes[own]).begins(with: name) {
                            values.append(bytes.unquoted(bytes.trimmed(pair.value)))
                        } else {
                            let text = bytes.trimmed(pair.text)
                            if !text.isEmpty { kept.append(text) }
                        }
                    }
                }
            }
            guard !values.isEmpty else {
                lines.append(line)
                continue
            }
            for range in values { self.add(line.slice(range)) }
            if !kept.isEmpty { lines.append(kept.map { line.slice($0) }.joined(separator: "; ")) }
        }
        self.cookies = lines
    }

    // MARK: - subprotocols

    private mutating func takeProtocols() {
        for name in self.protocols {
            if name.equals(CarrierNames.authProtocol) {
                self.offersAuthProtocol = true
            } else if name.begins(with: CarrierNames.bearerPrefix) {
                self.add(name.dropping(CarrierNames.bearerPrefix.utf8.count))
            }
        }
        self.protocols.removeAll(where: CarrierNames.isOurs)
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// RFC 6265 4.1.1 lets a cookie's value stand in quotation marks.
    fileprivate func unquoted(_ range: Range<Int>) -> Range<Int> {
        var range = range
        while let first = range.first, self[first] == UInt8(ascii: "\"") { range = first + 1..<range.upperBound }
        while let last = range.last, self[last] == UInt8(ascii: "\"") { range = range.lowerBound..<last }
        return range
    }
}

/// The tokens of a request, and the rest of the request, which goes upstream. A part without a token is not copied.
///
/// A carrier that Culvert reads holds tokens only, and all of its values are taken out. A carrier that Culvert does not
/// read, because the route asks for no token or the carrier is off, belongs to the application: there the values that are
/// tokens of Culvert's are taken out, and no other values.
struct TokenCarriers {
    /// The first that was found; nil when there is none.
    private(set) var token: Substring?
    /// There are others, and they are not the same.
    private(set) var hasConflict = false
    private(set) var query: String?
    private(set) var cookies: [String]
    private(set) var protocols: [String]
    private(set) var offersAuthProtocol = false
    private(set) var authorization: String?
    /// Values that were compared with Culvert's own tokens, each of which costs a digest.
    private var comparisons = 0

    /// The limit is more than applications send. Values beyond it are taken out without a comparison.
    private static let comparisonLimit = 16

    /// - Parameters:
    ///   - names: the carriers of the route.
    ///   - all: the carriers of all routes: a browser sends the cookies of the others here, too.
    ///   - isAsked: the route asks for a token.
    ///   - isOwn: tells Culvert's own tokens.
    init(
        _ request: GateRequest, names: CarrierNames, all: AllCarriers, isAsked: Bool, isOwn: CarrierNames.Recognition
    ) {
        self.query = request.query
        self.cookies = request.cookies
        self.protocols = request.protocols
        self.takeAuthorization(request.authorization, reads: isAsked && names.authorization, isOwn)
        if request.query != nil {
            for name in all.queryParameters {
                self.takeQuery(name: name, reads: isAsked && names.queryParameter?.equals(name) ?? false, isOwn)
            }
        }
        if !request.cookies.isEmpty {
            for name in all.cookies {
                self.takeCookies(name: name, reads: isAsked && names.cookie?.equals(name) ?? false, isOwn)
            }
        }
        if request.protocols.contains(where: CarrierNames.mayBeOurs) {
            self.takeProtocols(reads: isAsked && names.subprotocol, isOwn)
        }
        if let form = request.form { self.takeForm(form) }
    }

    /// The token in an `Authorization` line; nil for one of another scheme than Bearer.
    private static func bearer(_ value: String) -> Substring? {
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

    /// - Returns: whether the value goes no further.
    private mutating func take(
        _ value: Substring, in place: CarrierNames.Place, reads: Bool, _ isOwn: CarrierNames.Recognition
    ) -> Bool {
        if reads {
            self.add(value)
            return true
        }
        guard self.comparisons < Self.comparisonLimit else { return true }
        self.comparisons += 1
        return isOwn(value, place)
    }

    private static func decoded(_ value: Substring) -> Substring? {
        guard value.contains(byte: UInt8(ascii: "%")) else { return value }
        return PercentEncoding.decode(value).map { Substring($0) }
    }

    // MARK: - Authorization

    /// Passes lines of other schemes on, and Bearer tokens that Culvert does not read. If a line has a token of Culvert's,
    /// no Bearer token is passed on.
    private mutating func takeAuthorization(_ lines: [String], reads: Bool, _ isOwn: CarrierNames.Recognition) {
        var isTaken = reads
        for line in lines {
            guard let token = Self.bearer(line) else {
                self.authorization = line
                continue
            }
            if self.take(token, in: .authorization, reads: reads, isOwn) { isTaken = true }
        }
        if !isTaken { self.authorization = lines.first }
    }

    // MARK: - query

    /// The other parameters stay byte for byte. An encoded name is the same name to what reads it behind the edge, and
    /// must not carry the token there.
    private mutating func takeQuery(name: String, reads: Bool, _ isOwn: CarrierNames.Recognition) {
        // Most queries have none, and cost one search without a list of their parts.
        guard let query = self.query, Query.rawValue(of: name, in: query) != nil else { return }
        var isTaken = false
        var kept: [Range<Int>] = []
        query.withBytes { bytes in
            name.withBytes { name in
                for pair in Query.pairs(bytes) {
                    // A plus stands for itself, as in a token of RFC 6750 2.1.
                    if PercentEncoding.equals(bytes, pair.name, name),
                        self.take(
                            Self.decoded(query.slice(pair.value)) ?? "", in: .queryParameter, reads: reads, isOwn)
                    {
                        isTaken = true
                    } else if let last = kept.last, last.upperBound + 1 == pair.text.lowerBound {
                        // Neighbours stay together.
                        kept[kept.count - 1] = last.lowerBound..<pair.text.upperBound
                    } else {
                        kept.append(pair.text)
                    }
                }
            }
        }
        guard isTaken else { return }
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

    /// A line without a token stays byte for byte. A value may be percent-encoded, as scripts and frameworks write it.
    private mutating func takeCookies(name: String, reads: Bool, _ isOwn: CarrierNames.Recognition) {
        // Most requests have none there, and cost one search.
        guard self.cookies.contains(where: { $0.contains(bytesOf: name) }) else { return }
        var lines: [String] = []
        for line in self.cookies {
            var isTaken = false
            var kept: [Range<Int>] = []
            line.withBytes { bytes in
                name.withBytes { name in
                    for pair in Pairs(bytes, separator: UInt8(ascii: ";")) {
                        let own = bytes.trimmed(pair.name)
                        let isNamed =
                            own.count == name.count
                            && UnsafeBufferPointer(rebasing: bytes[own]).begins(with: name)
                        if isNamed {
                            let value = line.slice(bytes.unquoted(bytes.trimmed(pair.value)))
                            if self.take(Self.decoded(value) ?? value, in: .cookie, reads: reads, isOwn) {
                                isTaken = true
                                continue
                            }
                        }
                        let text = bytes.trimmed(pair.text)
                        if !text.isEmpty { kept.append(text) }
                    }
                }
            }
            guard isTaken else {
                lines.append(line)
                continue
            }
            if !kept.isEmpty { lines.append(kept.map { line.slice($0) }.joined(separator: "; ")) }
        }
        self.cookies = lines
    }

    // MARK: - subprotocols

    /// `culvert.auth` is Culvert's wherever it is offered.
    private mutating func takeProtocols(reads: Bool, _ isOwn: CarrierNames.Recognition) {
        self.offersAuthProtocol = self.protocols.contains(bytesEqualTo: CarrierNames.authProtocol)
        var kept: [String] = []
        for name in self.protocols where !name.equals(CarrierNames.authProtocol) {
            if let token = CarrierNames.token(inSubprotocol: name),
                self.take(token, in: .subprotocol(isMarked: self.offersAuthProtocol), reads: reads, isOwn)
            {
                continue
            }
            kept.append(name)
        }
        self.protocols = kept
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

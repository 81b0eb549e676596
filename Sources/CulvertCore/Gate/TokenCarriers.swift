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
}

/// A request's tokens taken out of it, and what is left to go upstream.
struct TokenCarriers {
    var tokens: [String] = []
    /// Those of `tokens` that came in `Authorization`.
    var bearerTokens: [String] = []
    var query: String?
    var cookies: [String] = []
    var protocols: [String] = []
    var offersAuthProtocol = false
    var authorization: String?

    init(_ request: GateRequest, names: CarrierNames) {
        for value in request.authorization {
            // Schemes are case-insensitive (RFC 9110 11.1).
            let parts = value.split(maxSplits: 1) { $0 == " " || $0 == "\t" }
            if parts.first?.lowercased() == "bearer" {
                self.bearerTokens.append(parts.count == 2 ? parts[1].trimmingCharacters(in: .whitespaces) : "")
            } else {
                self.authorization = value
            }
        }
        self.tokens = self.bearerTokens
        self.takeQuery(request.query, name: names.queryParameter)
        self.takeCookies(request.cookies, name: names.cookie)
        for name in request.protocols {
            if name == CarrierNames.authProtocol {
                self.offersAuthProtocol = true
            } else if name.hasPrefix(CarrierNames.bearerPrefix) {
                self.tokens.append(String(name.dropFirst(CarrierNames.bearerPrefix.count)))
            } else {
                self.protocols.append(name)
            }
        }
    }

    /// The other parameters stay byte for byte.
    private mutating func takeQuery(_ query: String?, name: String) {
        guard let query else { return }
        var kept: [Substring] = []
        for pair in query.split(separator: "&", omittingEmptySubsequences: false) {
            let key = pair.prefix { $0 != "=" }
            // An encoded name is the same name to whoever reads it behind us, and must not carry the token there.
            guard key.removingPercentEncoding == name else {
                kept.append(pair)
                continue
            }
            // A plus stands for itself, as in a token of RFC 6750 2.1.
            self.tokens.append(pair.dropFirst(key.count + 1).removingPercentEncoding ?? "")
        }
        self.query = kept.isEmpty ? nil : kept.joined(separator: "&")
    }

    /// A line without a token stays byte for byte.
    private mutating func takeCookies(_ headers: [String], name: String) {
        for header in headers {
            var kept: [Substring] = []
            var found = false
            for pair in header.split(separator: ";") {
                let key = pair.prefix { $0 != "=" }
                guard key.trimmingCharacters(in: .whitespaces) == name else {
                    kept.append(pair)
                    continue
                }
                found = true
                let value = pair.dropFirst(key.count + 1)
                self.tokens.append(value.trimmingCharacters(in: CharacterSet(charactersIn: "\" \t")))
            }
            let line = kept.map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
            if !found {
                self.cookies.append(header)
            } else if !line.isEmpty {
                self.cookies.append(line.joined(separator: "; "))
            }
        }
    }
}

/// The carriers of tokens in a request, from `authentication:` or from `carriers:` of a route. The application owns
/// each carrier that is off.
package struct CarrierNames: Equatable, Sendable {
    /// `Authorization: Bearer`
    package var authorization: Bool
    /// Nil when it is off.
    package var queryParameter: String?
    /// Nil when it is off.
    package var cookie: String?
    /// Members of `Sec-WebSocket-Protocol`
    package var subprotocol: Bool

    package init(
        authorization: Bool = true, queryParameter: String?, cookie: String?, subprotocol: Bool = true
    ) {
        self.authorization = authorization
        self.queryParameter = queryParameter
        self.cookie = cookie
        self.subprotocol = subprotocol
    }

    /// Whether every carrier is off.
    package var isEmpty: Bool {
        !self.authorization && self.queryParameter == nil && self.cookie == nil && !self.subprotocol
    }

    /// Offered beside the application's own subprotocols by browsers, which can set no header on a WebSocket.
    package static let authProtocol = "culvert.auth"
    package static let bearerPrefix = "bearer."

    /// The part of the request in which a value stood.
    package enum Place: Sendable {
        case authorization
        case queryParameter
        case cookie
        /// - Parameter isMarked: `culvert.auth` stands beside it, by which a client says that the token is for Culvert.
        case subprotocol(isMarked: Bool)
    }

    /// Tells a token of Culvert's own from an application's value in the same place.
    package typealias Recognition = (Substring, Place) -> Bool

    /// Whether an offered subprotocol may be Culvert's: the name that asks for it, or a token.
    package static func mayBeOurs(subprotocol name: String) -> Bool {
        name.equals(self.authProtocol) || name.begins(with: self.bearerPrefix)
    }

    /// The token in a subprotocol; nil for every other name.
    static func token(inSubprotocol name: String) -> Substring? {
        name.begins(with: self.bearerPrefix) ? name.dropping(self.bearerPrefix.utf8.count) : nil
    }
}

/// The parts of a request that the gate reads, on every transport.
package struct GateRequest: Sendable {
    package var method: String
    /// The path of the WebSocket URL, without `/_poll` and the rest behind it.
    package var path: String
    package var query: String?
    package var host: String?
    /// Every `Origin` line.
    package var origins: [String] = []
    /// The request has no `Origin` and names a session, whose origin may count for it: see ``SessionOrigin``.
    package var mayHaveSessionsOrigin = false
    /// Every `Authorization` line.
    package var authorization: [String] = []
    /// Every `Cookie` line.
    package var cookies: [String] = []
    /// Members of `Sec-WebSocket-Protocol`, in order.
    package var protocols: [String] = []
    /// A body of pairs (`application/x-www-form-urlencoded`) that may hold the token: that of a beacon.
    package var form: String?
    package var wantsUpgrade = false
    /// The path was that of a request of the session protocol.
    package var isPoll = false
    /// It gives a session, of whatever transport, a newer token.
    package var isRefresh = false
    /// `Access-Control-Request-Method`: the request is a CORS preflight.
    package var preflightMethod: String?
    /// Why the JWT that it carries does not count, once that was looked into.
    package var jwtRefusal: JWTRefusal?

    /// Whether the session's origin counts in place of one that `route` insists on.
    func hasSessionsOrigin(on route: Route) -> Bool { self.mayHaveSessionsOrigin && route.origins.missing == .reject }

    package init(method: String, path: String, query: String? = nil, host: String? = nil) {
        self.method = method
        self.path = path
        self.query = query
        self.host = host
    }
}

package enum JWTRefusal: Error, Equatable, Sendable {
    case invalid
    /// Its key may be one of a set that could not be read yet.
    case keysUnavailable
    /// The limit of verifications at a time is reached.
    case busy
}

/// A request that passed the gate, and the parts of it that go upstream.
package struct Admission: Sendable {
    package var route: Route
    /// Nil where the route asks for none.
    package var credential: Credential?
    /// The request's own origin, for the CORS headers of the answer.
    package var allowedOrigin: String?
    /// The route insists on an origin, and the request has none of its own: the session judges it by the session's.
    package var hasSessionsOrigin = false
    package var forwardQuery: String?
    package var forwardCookies: [String]
    package var forwardProtocols: [String]
    /// The client offered `culvert.auth`: it is the answer when the upstream chooses nothing.
    package var answersAuthProtocol: Bool
    /// The application's own credentials: of another scheme than Bearer, or a Bearer token that Culvert does not read.
    package var forwardAuthorization: String?
    /// Subprotocols carry tokens on the route.
    package var readsSubprotocols = true

    package var token: Token? { self.credential?.token }
}

/// A CORS preflight that passed; it carries no token by design.
package struct Preflight: Equatable, Sendable {
    package var allowedOrigin: String
}

/// The answer to a request that did not pass. `detail` is for people and holds nothing secret.
package struct Rejection: Error, Equatable, Sendable {
    package var status: Int
    package var code: String
    package var detail: String
    package var headers: [Header] = []
    package var allowedOrigin: String?
    /// Why the token of a request has died. The client may know only when the session that the request names is one of
    /// ``subject``; otherwise it gets ``Gate/invalidToken``.
    package var fault: TokenFault?
    /// The subject of the token that has died.
    package var subject: String?
    /// Why a JWT whose signature is good is refused: for the operator's log and not for the client.
    package var jwtFault: JWTFault?

    package struct Header: Equatable, Sendable {
        package var name: String
        package var value: String
    }

    package init(_ status: Int, _ code: String, _ detail: String, headers: [(String, String)] = []) {
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers.map { Header(name: $0.0, value: $0.1) }
    }
}

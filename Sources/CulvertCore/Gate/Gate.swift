/// Decides on a request before any upstream is dialled; the same for every transport.
///
/// The order is path, route, transport, origin, token, then whether the server stops. The first check that fails
/// refuses the request, so a client without a valid token learns only which paths are served to its origin. An opening
/// that passes then meets the limits, which take a place for it.
package struct Gate: Sendable {
    package struct Load: Equatable, Sendable {
        package var isDraining: Bool
        /// Sessions hold as much memory as they may.
        package var isMemoryFull: Bool

        package init(isDraining: Bool, isMemoryFull: Bool = false) {
            self.isMemoryFull = isMemoryFull
            self.isDraining = isDraining
        }
    }

    package enum Decision: Sendable {
        case admit(Admission)
        case preflight(Preflight)
        case reject(Rejection)
        /// The token may be a JWT: have its signature verified, then decide again.
        case verify(jwt: String)
    }

    private let routes: RouteTable
    private let carriers: CarrierNames
    private let allCarriers: AllCarriers
    private let jwtRules: JWTClaimRules?

    /// - Parameters:
    ///   - carriers: of the routes that have none of their own.
    ///   - jwtRules: what JWTs must claim; nil where none is taken.
    package init(routes: RouteTable, carriers: CarrierNames, jwtRules: JWTClaimRules? = nil) {
        self.routes = routes
        self.carriers = carriers
        self.allCarriers = AllCarriers([carriers] + routes.carriers)
        self.jwtRules = jwtRules
    }

    /// - Parameters:
    ///   - keyring: that of the event loop; it learns which JWTs were used.
    ///   - now: Unix seconds.
    ///   - load: nil for a request of a session that is open already, which no limit refuses.
    package func decide(_ request: GateRequest, keyring: inout TokenKeyring, now: Int64, load: Load?) -> Decision {
        let path: RequestPath
        let route: Route
        do throws(Rejection) {
            (path, route) = try self.route(host: request.host, path: request.path)
        } catch {
            return .reject(error)
        }
        guard request.protocols.count <= Self.protocolLimit else {
            return .reject(
                Rejection(400, "too_many_protocols", "At most \(Self.protocolLimit) subprotocols may be offered."))
        }
        if let rejection = self.checkTransport(request, route) { return .reject(rejection) }
        let hasSessionsOrigin = request.hasSessionsOrigin(on: route)
        do throws(Rejection) {
            // The session judges the others, by the route's origins and the token's.
            if !hasSessionsOrigin { try Self.checkOrigins(request.origins, route) }
        } catch {
            return .reject(error)
        }
        let origin = request.origins.first
        if request.preflightMethod != nil, request.method == "OPTIONS", let origin {
            return .preflight(Preflight(allowedOrigin: origin))
        }
        let names = route.carriers ?? self.carriers
        let carriers = TokenCarriers(
            request, names: names, all: self.allCarriers, isAsked: route.authenticationRequired
        ) { self.isOwn($0, in: $1, keyring: &keyring, now: now) }
        do throws(Rejection) {
            var credential: Credential?
            if route.authenticationRequired {
                let secret = try self.secret(carriers)
                credential = keyring.credential(for: secret)
                if credential == nil, request.jwtRefusal == nil, keyring.mayBeJWT(secret) {
                    return .verify(jwt: String(secret))
                }
                try self.check(credential, keyring, request, path, route, now: now, isOpening: load != nil)
            }
            if let load { try self.checkLoad(load) }
            return .admit(
                Admission(
                    route: route, credential: credential, allowedOrigin: origin, hasSessionsOrigin: hasSessionsOrigin,
                    forwardQuery: carriers.query, forwardCookies: carriers.cookies,
                    forwardProtocols: carriers.protocols,
                    answersAuthProtocol: carriers.offersAuthProtocol, forwardAuthorization: carriers.authorization,
                    readsSubprotocols: route.authenticationRequired && names.subprotocol))
        } catch {
            var rejection = error
            // A script of an allowed origin may read why it was refused.
            rejection.allowedOrigin = origin
            return .reject(rejection)
        }
    }

    /// Subprotocols that one client may offer.
    package static let protocolLimit = 64

    private func route(host: String?, path text: String) throws(Rejection) -> (RequestPath, Route) {
        let path: RequestPath
        do throws(PathFault) {
            path = try RequestPath(text)
        } catch {
            throw Rejection(400, "bad_path", error.detail)
        }
        switch self.routes.find(host: host, path: path) {
        case .route(let route): return (path, route)
        case .none: throw Rejection(404, "no_route", "Nothing is served here.")
        case .ambiguous: throw Rejection(400, "ambiguous_path", PathFault.ambiguous.detail)
        }
    }

    /// Whether `value` is a token of Culvert's own, which goes no further where no token is read.
    ///
    /// - Parameter place: where it stood in the request.
    package func isOwn(
        _ value: Substring, in place: CarrierNames.Place, keyring: inout TokenKeyring, now: Int64
    ) -> Bool {
        if keyring.isOwn(value, now: now) { return true }
        guard keyring.mayBeJWT(value) else { return false }
        if case .subprotocol(isMarked: true) = place { return true }
        return self.allCarriers.have(place) && self.jwtRules?.mayTake(value) ?? false
    }

    /// The name of the route that a request for `path` on `host` has.
    package func routeName(host: String?, path: String) -> String? { (try? self.route(host: host, path: path))?.1.name }

    /// Whether a session that is open could be opened as it was, by all but its token's times.
    package func stillAdmits(
        host: String?, path: String, origins: [String], transport: Transport, token: Token?
    ) -> Route? {
        try? self.recheck(host: host, path: path, origins: origins, transport: transport, token: token)
    }

    /// Decides again on what was let in, by all but the token's times.
    ///
    /// - Parameter transport: nil for a request that the route's transports do not matter to.
    /// - Returns: the route that a request like it has now.
    /// - Throws: the answer that a request like it gets now.
    package func recheck(
        host: String?, path: String, origins: [String], transport: Transport?, token: Token?
    ) throws(Rejection) -> Route {
        let (path, route) = try self.route(host: host, path: path)
        if let transport, !route.transports.contains(transport) {
            throw Rejection(404, "no_route", "Nothing is served here.")
        }
        try Self.checkOrigins(origins, route)
        guard route.authenticationRequired else { return route }
        guard let token else { throw Self.missingToken }
        try Self.checkScope(of: token, path, route, origins: origins)
        return route
    }

    private static func checkOrigins(_ origins: [String], _ route: Route) throws(Rejection) {
        guard route.origins.allows(origins: origins) else {
            throw Rejection(403, "origin_not_allowed", "This origin may not connect here.")
        }
    }

    /// - Parameter origins: nil for a request whose origin the session knows, and judges.
    private static func checkScope(
        of token: Token, _ path: RequestPath, _ route: Route, origins: [String]?
    ) throws(Rejection) {
        guard token.routes.contains(where: { PathPrefix.covers($0, path) }) else {
            throw Rejection(
                403, "insufficient_scope", "The token does not open this path.",
                headers: [("WWW-Authenticate", #"Bearer realm="culvert", error="insufficient_scope""#)])
        }
        if let allowed = token.origins, let origins,
            !OriginPolicy(allow: allowed, missing: route.origins.missing).allows(origins: origins)
        {
            throw Rejection(403, "origin_not_allowed", "This origin may not use this token.")
        }
    }

    private func checkTransport(_ request: GateRequest, _ route: Route) -> Rejection? {
        if request.isRefresh { return nil }
        if request.isPoll {
            return route.transports.contains(request.wantsUpgrade ? .webSocket : .longPoll)
                ? nil : Rejection(404, "no_route", "Nothing is served here.")
        }
        guard route.transports.contains(.webSocket) else {
            return Rejection(404, "no_route", "Nothing is served here.")
        }
        if request.wantsUpgrade { return nil }
        if request.method == "GET" || request.method == "HEAD" {
            return Rejection(
                426, "upgrade_required", "This is a WebSocket URL.",
                headers: [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")])
        }
        return Rejection(405, "method_not_allowed", "This is a WebSocket URL.", headers: [("Allow", "GET")])
    }

    /// The one token that the request carries.
    private func secret(_ carriers: TokenCarriers) throws(Rejection) -> Substring {
        guard let token = carriers.token else { throw Self.missingToken }
        if carriers.hasConflict {
            throw Rejection(
                400, "conflicting_tokens", "The request carries two different tokens.",
                headers: [("WWW-Authenticate", #"Bearer realm="culvert", error="invalid_request""#)])
        }
        return token
    }

    private func check(
        _ credential: Credential?, _ keyring: TokenKeyring, _ request: GateRequest, _ path: RequestPath,
        _ route: Route, now: Int64, isOpening: Bool
    ) throws(Rejection) {
        if credential == nil, request.jwtRefusal == .keysUnavailable {
            throw Rejection(
                503, "jwt_keys_unavailable", "The keys to verify tokens are not available now.",
                headers: [("Retry-After", "5")])
        }
        if credential == nil, request.jwtRefusal == .busy {
            throw Rejection(
                503, "verification_busy", "Too many tokens wait for verification.", headers: [("Retry-After", "1")])
        }
        let fault = credential.map { keyring.fault(of: $0, now: now, isOpening: isOpening) } ?? .unknown
        if let fault {
            // Every opening gets the same answer, so that trying an old token tells nothing. A client that has a
            // session is told why it ends.
            var rejection = isOpening || fault == .unknown ? Self.invalidToken : Self.unauthorized(fault)
            if !isOpening { rejection.subject = credential?.token.subject }
            if credential?.token.source == .jwt { rejection.jwtFault = JWTFault(fault) }
            throw rejection
        }
        guard let token = credential?.token else { return }
        let origins = request.hasSessionsOrigin(on: route) ? nil : request.origins
        try Self.checkScope(of: token, path, route, origins: origins)
    }

    /// No error attribute when there were no credentials (RFC 6750 3.1), but the realm.
    private static let missingToken = Gate.unauthorized("token_missing", "A token is required.", error: nil)

    /// The same for a token that never was and for one that has died, unless the request's session proves that the
    /// client knew it alive.
    package static let invalidToken = Gate.unauthorized(
        "invalid_token", "The token is not valid.", error: "invalid_token")

    /// ``invalidToken`` for a credential that was good when its request came.
    ///
    /// - Parameter fault: nil if the credential was judged by rules that do not hold any more.
    package static func lateRefusal(of credential: Credential, _ fault: TokenFault?) -> Rejection {
        var rejection = self.invalidToken
        if credential.token.source == .jwt { rejection.jwtFault = fault.map { JWTFault($0) } ?? .otherRules }
        return rejection
    }

    /// The refusal of a request to a session whose token is no longer valid.
    package static func unauthorized(_ fault: TokenFault) -> Rejection {
        var rejection = self.unauthorized(
            "token_\(fault.rawValue)", "The session's token is not valid any more: \(fault.reason).",
            error: "invalid_token")
        rejection.fault = fault
        return rejection
    }

    private static func unauthorized(_ code: String, _ detail: String, error: String?) -> Rejection {
        let attribute = error.map { ", error=\"\($0)\"" } ?? ""
        return Rejection(401, code, detail, headers: [("WWW-Authenticate", "Bearer realm=\"culvert\"" + attribute)])
    }

    private func checkLoad(_ load: Load) throws(Rejection) {
        if load.isDraining {
            throw Rejection(503, "draining", "This server is stopping.", headers: [("Retry-After", "1")])
        }
        if load.isMemoryFull {
            throw Rejection(503, "memory_full", "This server is short of memory.", headers: [("Retry-After", "5")])
        }
    }
}

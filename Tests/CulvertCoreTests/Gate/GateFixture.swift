import CulvertCore

/// The gate the tables ask, and requests for it.
enum GateFixture {
    static let now: Int64 = 1_800_000_000
    static let origin = "https://app.example.com"
    static let idle = Gate.Load(isDraining: false)
    static let draining = Gate.Load(isDraining: true)
    static let memoryFull = Gate.Load(isDraining: false, isMemoryFull: true)

    static let good = "good-token"
    static let expired = "expired-token"
    static let narrow = "narrow-token"
    static let useless = "useless-token"
    static let unknown = "unknown-token"
    static let secrets = [good, expired, narrow, useless, unknown]

    static let carriers = CarrierNames(queryParameter: "access_token", cookie: "culvert_token")

    static let keyring = TokenKeyring([
        token("good", good, routes: ["/"], expires: now + 1),
        token("expired", expired, routes: ["/"], expires: now),
        token("narrow", narrow, routes: ["/chat/a"]),
        token("useless", useless, routes: []),
    ])

    static let gate = KeyedGate(
        routes: RouteTable([
            route("/chat"),
            route("/strict", missing: .reject),
            route("/ws", transports: [.webSocket]),
            route("/poll", transports: [.longPoll]),
            route("/open", authenticationRequired: false),
        ]), keyring: keyring, carriers: carriers)

    static func token(_ id: String, _ secret: String, routes: [String], expires: Int64? = nil) -> TokenEntry {
        TokenEntry(
            token: Token(id: id, source: .config, subject: id + "-subject", routes: routes, expires: expires),
            secrets: [TokenSecret(digest: TokenDigest(of: secret), generation: 1)])
    }

    static func route(
        _ path: String, host: String? = nil, upstream: String = "echo", missing: MissingOrigin = .allow,
        authenticationRequired: Bool = true, transports: Set<Transport> = [.webSocket, .longPoll]
    ) -> Route {
        let patterns = ["https://app.example.com", "https://*.wild.example"].compactMap(OriginPattern.init)
        return Route(
            path: path, host: host, upstream: upstream, origins: OriginPolicy(allow: patterns, missing: missing),
            authenticationRequired: authenticationRequired, transports: transports, validateText: false)
    }

    static func request(_ transport: Transport, _ path: String = "/chat", origins: [String] = [origin]) -> GateRequest {
        var request = GateRequest(method: transport == .webSocket ? "GET" : "POST", path: path, host: "edge.example")
        request.wantsUpgrade = transport == .webSocket
        request.isPoll = transport == .longPoll
        request.origins = origins
        return request
    }
}

/// A gate and the tokens it knows, the same for every request.
struct KeyedGate {
    let gate: Gate
    let keyring: TokenKeyring

    init(routes: RouteTable, keyring: TokenKeyring, carriers: CarrierNames) {
        self.gate = Gate(routes: routes, carriers: carriers)
        self.keyring = keyring
    }

    func decide(_ request: GateRequest, now: Int64, load: Gate.Load?) -> Gate.Decision {
        var keyring = self.keyring
        return self.gate.decide(request, keyring: &keyring, now: now, load: load)
    }
}

/// The ways a token travels.
enum Carrier: String, CaseIterable, Sendable {
    case authorization, query, cookie, subprotocol, form

    func put(_ secret: String, into request: inout GateRequest) {
        switch self {
        case .authorization: request.authorization.append("Bearer " + secret)
        case .query: request.query = (request.query.map { $0 + "&" } ?? "") + "access_token=" + secret
        case .cookie: request.cookies.append("culvert_token=" + secret)
        case .form: request.form = (request.form.map { $0 + "&" } ?? "") + "access_token=" + secret
        case .subprotocol: request.protocols += ["culvert.auth", "bearer." + secret]
        }
    }
}

extension Gate.Decision {
    var admission: Admission? {
        if case .admit(let admission) = self { admission } else { nil }
    }

    var rejection: Rejection? {
        if case .reject(let rejection) = self { rejection } else { nil }
    }

    var preflight: Preflight? {
        if case .preflight(let preflight) = self { preflight } else { nil }
    }
}

extension Rejection {
    func header(_ name: String) -> String? {
        self.headers.first { $0.name == name }?.value
    }
}

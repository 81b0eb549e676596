import CulvertConfig
import CulvertCore
import Logging
import NIOCore

/// What the configuration says, ready for use; never changed. A reload makes another and gives it to every loop.
final class EdgeRules: Sendable {
    let config: ProxyConfig
    let gate: Gate
    let trustedProxies: TrustedProxies
    let settings: SessionSettings
    /// Of all routes: a browser sends the cookie of one on the others, too.
    let tokenCookies: TokenCookies
    let connectors: [String: UpstreamConnector]
    /// Whether reads are to be charged at all.
    let hasSessionRates: Bool
    /// Nil when no JWT is taken.
    let verifyJWT: JWTVerification?
    /// Nil when the browser client is not served.
    let clientFiles: ClientFiles?

    /// - Throws: what keeps an upstream's TLS from being set up, or the browser client from being served.
    /// - Parameter previous: whose servers go on with what is known of them.
    init(config: ProxyConfig, verifyJWT: JWTVerification?, previous: EdgeRules?, logger: Logger) throws {
        self.config = config
        self.trustedProxies = TrustedProxies(config.trustedProxies)
        self.gate = Gate(
            routes: RouteTable(config.routes), carriers: config.authentication.carriers,
            jwtRules: config.authentication.jwtRules)
        self.tokenCookies = TokenCookies(
            [config.authentication.carriers] + config.routes.compactMap(\.carriers))
        self.settings = SessionSettings(
            hold: config.session.hold, resume: config.session.resume, ping: config.session.ping,
            buffer: config.session.buffer, maxBatch: config.session.buffer)
        self.connectors = try config.upstreams.mapValues {
            try UpstreamConnector(config: $0, previous: previous?.connectors[$0.name]?.pool, logger: logger)
        }
        self.hasSessionRates = config.limits.session.fromClient != nil || config.limits.session.toClient != nil
        self.verifyJWT = verifyJWT
        self.clientFiles = try config.client.map { ClientFiles(try .current, at: $0) }
    }

    /// What goes on by itself begins.
    func start(on group: any EventLoopGroup) {
        for connector in self.connectors.values { connector.start(on: group) }
    }

    func stopChecks() {
        for connector in self.connectors.values { connector.stopChecks() }
    }

    /// It ends. Sessions stay, and who waits for a server is let go to try again.
    func stop() {
        for connector in self.connectors.values { connector.stop() }
    }

    /// Seconds.
    var expiryGrace: Int64 { self.config.authentication.expiryGrace.nanoseconds / 1_000_000_000 }

    var closeTimeout: TimeAmount { self.config.limits.handshake }

    /// The longest that sessions of the route may be without a message: nil for no limit.
    func idleLimit(of route: Route) -> TimeAmount? {
        let idle = self.config.limits.session.idle
        guard let own = self.config.upstreams[route.upstream]?.idleTimeout, let idle else {
            return self.config.upstreams[route.upstream]?.idleTimeout ?? idle
        }
        return min(own, idle)
    }

    /// Most bytes of the body of a batch: a whole window or one message, and what JSON and base64 make of it.
    func bodyLimit(_ limits: MessageLimits) -> Int {
        max(self.settings.maxBatch, limits.kept(from: .client)) * 4 / 3 + 4096
    }
}

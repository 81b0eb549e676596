package import CulvertCore
import Logging
import NIOCore
import NIOHTTP1
import Synchronization

/// A page that the edge answers itself, for the demo: HTML for a path, nil for every other.
package typealias StaticPages = @Sendable (_ path: String) -> String?

/// Verifies the signature and the claims of a JWT.
package typealias JWTVerification = @Sendable (_ jwt: String) async -> Result<Credential, JWTRefusal>

/// What every connection of one edge shares: made from the configuration, and never changed but for two counters.
final class EdgeContext: Sendable {
    let config: ProxyConfig
    let gate: Gate
    let trustedProxies: TrustedProxies
    let settings: SessionSettings
    let connectors: [String: UpstreamConnector]
    let loops: [NIOLoopBound<LoopState>]
    let pages: StaticPages?
    /// Nil when no JWT is taken.
    let verifyJWT: JWTVerification?
    let logger: Logger
    let log: SessionLog
    /// Tells this process from its peers in session identifiers.
    let node: UInt16
    private let open = Atomic<Int>(0)
    private let draining = Atomic<Bool>(false)

    /// - Throws: what keeps an upstream's TLS from being set up.
    init(
        config: ProxyConfig, loops: [NIOLoopBound<LoopState>], pages: StaticPages?, verifyJWT: JWTVerification?,
        logger: Logger
    ) throws {
        self.config = config
        self.trustedProxies = TrustedProxies(config.trustedProxies)
        self.gate = Gate(
            routes: RouteTable(config.routes),
            carriers: CarrierNames(
                queryParameter: config.authentication.queryParameter, cookie: config.authentication.cookie))
        self.settings = SessionSettings(
            hold: config.session.hold, resume: config.session.resume, ping: config.session.ping,
            buffer: config.session.buffer, maxBatch: config.session.buffer)
        self.connectors = try config.upstreams.mapValues {
            try UpstreamConnector(config: $0, handshakeTimeout: config.limits.handshake, logger: logger)
        }
        self.loops = loops
        self.pages = pages
        self.verifyJWT = verifyJWT
        self.logger = logger
        self.log = SessionLog(logger: logger)
        self.node = .random(in: .min ... .max)
    }

    var closeTimeout: TimeAmount { self.config.limits.handshake }

    /// Most bytes of a request's body: a whole window or one message, and what JSON and base64 make of it.
    var bodyLimit: Int { max(self.settings.maxBatch, self.config.limits.message) * 4 / 3 + 4096 }

    var load: Gate.Load {
        Gate.Load(
            open: self.open.load(ordering: .relaxed), limit: self.config.limits.connections,
            isDraining: self.isDraining)
    }

    var isDraining: Bool { self.draining.load(ordering: .relaxed) }

    func drain() { self.draining.store(true, ordering: .relaxed) }

    func sessionOpened(_ credential: Credential?) {
        self.open.wrappingAdd(1, ordering: .relaxed)
        credential?.entry.use.sessionOpened()
    }

    func sessionClosed(_ credential: Credential?) {
        self.open.wrappingSubtract(1, ordering: .relaxed)
        credential?.entry.use.sessionClosed()
    }
}

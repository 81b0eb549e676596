package import CulvertCore
package import CulvertSystem
package import Logging
package import NIOCore

/// The whole configuration, validated: what `proxy.yaml` says with every default filled in.
package struct ProxyConfig: Sendable, Equatable {
    package var listen: [ListenConfig]
    package var routes: [Route]
    package var authentication: AuthenticationConfig
    package var upstreams: [String: UpstreamConfig]
    package var session: SessionConfig
    package var limits: LimitsConfig
    /// Nil when switched off.
    package var admin: AdminConfig?
    /// Path of the database; nil when nothing is kept, and then ``admin`` is nil too.
    package var state: String?
    package var log: LogConfig
    /// In front of the edge, each of which says whom it saw.
    package var trustedProxies: [AddressBlock]
    package var reload = ReloadConfig()
    package var drain = DrainPlan()
    /// Path of the Unix socket over which another process takes the listeners; nil for none.
    package var takeover: String?
    /// Where the browser client's script is served; nil for nowhere.
    package var client: ClientPaths?
    package var places = ConfigPlaces()

    package init(
        listen: [ListenConfig], routes: [Route], authentication: AuthenticationConfig,
        upstreams: [String: UpstreamConfig], session: SessionConfig, limits: LimitsConfig,
        admin: AdminConfig?, state: String?, log: LogConfig, trustedProxies: [AddressBlock] = []
    ) {
        self.trustedProxies = trustedProxies
        self.state = state
        self.listen = listen
        self.routes = routes
        self.authentication = authentication
        self.upstreams = upstreams
        self.session = session
        self.limits = limits
        self.admin = admin
        self.log = log
    }
}

package struct ListenConfig: Sendable, Equatable {
    package var host: String
    /// 0 lets the system choose.
    package var port: Int
    package var tls: TLSConfig?
    /// Each connection begins with a header of the PROXY protocol, and comes from one of `trustedProxies`.
    package var proxyProtocol: Bool

    /// As it is written in the configuration.
    package var address: String { (self.host.contains(":") ? "[\(self.host)]" : self.host) + ":\(self.port)" }

    package init(
        host: String, port: Int, tls: TLSConfig?, proxyProtocol: Bool = false
    ) {
        self.proxyProtocol = proxyProtocol
        self.host = host
        self.port = port
        self.tls = tls
    }
}

package struct TLSConfig: Sendable, Equatable {
    package enum Version: String, Sendable, CaseIterable {
        case v1_2 = "1.2"
        case v1_3 = "1.3"
    }

    /// Chosen by SNI; the first answers clients without it. Never empty.
    package var certificates: [CertificatePair]
    package var minimumVersion: Version
    /// The policy that answers tell browsers; nil for none.
    package var hsts: StrictTransport?

    package init(
        certificates: [CertificatePair], minimumVersion: Version, hsts: StrictTransport? = nil
    ) {
        self.hsts = hsts
        self.certificates = certificates
        self.minimumVersion = minimumVersion
    }
}

/// Paths of PEM files, resolved against the folder of the configuration.
package struct CertificatePair: Sendable, Equatable {
    package var certificate: String
    package var key: String

    package init(
        certificate: String, key: String
    ) {
        self.certificate = certificate
        self.key = key
    }
}

package struct AuthenticationConfig: Sendable, Equatable {
    package var tokens: [ConfigToken]
    package var carriers: CarrierNames
    package var identityHeader: String
    /// What a client is told when its token has died.
    package var closeCode: CloseCode
    /// How long a session outlives its token's expiry.
    package var expiryGrace: TimeAmount
    /// Nil when no JWT is taken.
    package var jwt: JWTConfig?

    package init(
        tokens: [ConfigToken], queryParameter: String?, cookie: String?, identityHeader: String,
        closeCode: CloseCode = CloseCode(rawValue: 4401), expiryGrace: TimeAmount = .zero, jwt: JWTConfig? = nil
    ) {
        self.jwt = jwt
        self.closeCode = closeCode
        self.expiryGrace = expiryGrace
        self.tokens = tokens
        self.carriers = CarrierNames(queryParameter: queryParameter, cookie: cookie)
        self.identityHeader = identityHeader
    }
}

extension AuthenticationConfig {
    package var queryParameter: String? { self.carriers.queryParameter }
    package var cookie: String? { self.carriers.cookie }
}

/// A token listed in the file, known by the SHA-256 of its secret.
package struct ConfigToken: Sendable, Equatable {
    package var token: Token
    package var digest: TokenDigest
    /// The place of the digest in the file; nil for a token that is in no file.
    package var place: ConfigPlace?
    /// The place of the id in the file; nil for a token that is in no file.
    package var idPlace: ConfigPlace?
    /// The place of the expiry in the file; nil for a token without one.
    package var expiresPlace: ConfigPlace?

    package init(
        token: Token, digest: TokenDigest, place: ConfigPlace? = nil, idPlace: ConfigPlace? = nil,
        expiresPlace: ConfigPlace? = nil
    ) {
        self.token = token
        self.digest = digest
        self.place = place
        self.idPlace = idPlace
        self.expiresPlace = expiresPlace
    }

    /// A token that has moved within the file is the same.
    package static func == (one: ConfigToken, other: ConfigToken) -> Bool {
        one.token == other.token && one.digest == other.digest
    }

    package var entry: TokenEntry {
        TokenEntry(token: self.token, secrets: [TokenSecret(digest: self.digest, generation: 1)])
    }
}

package struct UpstreamConfig: Sendable, Equatable {
    package var name: String
    /// Never empty.
    package var servers: [UpstreamServer]
    package var connectTimeout: TimeAmount
    /// PEM file of the authorities that vouch for `wss` servers; nil for the system's.
    package var ca: String?
    package var balance: BalancePolicy
    /// How many servers more are tried when one cannot be reached.
    package var retries: Int
    package var ejection: EjectionPolicy
    /// Longest time that its sessions may be without a message; nil for what ``SessionLimits/idle`` says.
    package var idleTimeout: TimeAmount?
    /// The header that connections to its servers begin with; nil for none.
    package var proxyProtocol: ProxyHeader.Version?
    /// From the first dial to the answer.
    package var handshakeTimeout: TimeAmount
    /// Asked for by SNI, and what the certificates of `wss` servers must be for; nil for the name in the URL.
    package var serverName: String?
    /// What Culvert shows to `wss` servers.
    package var clientCertificate: CertificatePair?
    /// Nil to check nothing.
    package var health: HealthConfig?
    /// Nil to let nobody wait.
    package var queue: QueueConfig?

    package init(
        name: String, servers: [UpstreamServer], connectTimeout: TimeAmount, ca: String?,
        balance: BalancePolicy = .leastSessions, retries: Int = 2, ejection: EjectionPolicy = EjectionPolicy(),
        idleTimeout: TimeAmount? = nil, proxyProtocol: ProxyHeader.Version? = nil,
        handshakeTimeout: TimeAmount = .seconds(10), serverName: String? = nil,
        clientCertificate: CertificatePair? = nil, health: HealthConfig? = nil, queue: QueueConfig? = nil
    ) {
        self.idleTimeout = idleTimeout
        self.proxyProtocol = proxyProtocol
        self.handshakeTimeout = handshakeTimeout
        self.serverName = serverName
        self.clientCertificate = clientCertificate
        self.health = health
        self.queue = queue
        self.balance = balance
        self.retries = retries
        self.ejection = ejection
        self.name = name
        self.servers = servers
        self.connectTimeout = connectTimeout
        self.ca = ca
    }
}

package struct UpstreamServer: Sendable, Equatable {
    package var isSecure: Bool
    package var host: String
    package var port: Int
    /// Put before the client's path; empty for none, else begins with a slash and does not end with one.
    package var pathPrefix: String
    /// 1 to 1000.
    package var weight: Int
    /// Most sessions, open or being opened; nil for no limit.
    package var maxSessions: Int?

    /// Host and port, as `Host` has them.
    package var authority: String {
        (self.host.contains(":") ? "[\(self.host)]" : self.host) + ":\(self.port)"
    }

    /// As it is written, the port always there.
    package var url: String { "\(self.isSecure ? "wss" : "ws")://\(self.authority)\(self.pathPrefix)" }

    package init(
        isSecure: Bool, host: String, port: Int, pathPrefix: String, weight: Int = 1, maxSessions: Int? = nil
    ) {
        self.weight = weight
        self.maxSessions = maxSessions
        self.isSecure = isSecure
        self.host = host
        self.port = port
        self.pathPrefix = pathPrefix
    }
}

package struct SessionConfig: Sendable, Equatable {
    package var hold: TimeAmount
    package var resume: TimeAmount
    package var ping: TimeAmount
    /// Bytes.
    package var buffer: Int
    /// How long a side may take nothing; nil for any time.
    package var stall: TimeAmount?

    package init(
        hold: TimeAmount, resume: TimeAmount, ping: TimeAmount, buffer: Int, stall: TimeAmount? = .seconds(60)
    ) {
        self.stall = stall
        self.hold = hold
        self.resume = resume
        self.ping = ping
        self.buffer = buffer
    }
}

package struct LimitsConfig: Sendable, Equatable {
    /// Sessions of the process, open or being opened.
    package var connections: Int
    /// The limits of messages, for sessions of routes that have none of their own.
    package var message: MessageLimits
    /// For everything that must happen before a session exists, and for a close handshake.
    package var handshake: TimeAmount
    /// Bytes of a request's header section.
    package var header: Int
    /// Of all openings together; has no limit of sessions, which is ``connections``.
    package var process: AdmissionLimits
    /// Of each client address, an IPv6 one by its first 64 bits.
    package var address = AdmissionLimits()
    /// Of each token, beside its own.
    package var token = AdmissionLimits()
    /// Of each route that does not say otherwise.
    package var route = AdmissionLimits()
    package var http: HTTPLimits
    package var session: SessionLimits
    /// Bytes that all sessions may hold together; nil for no limit.
    package var memory: Int?

    package init(
        connections: Int, message: MessageLimits = MessageLimits(), handshake: TimeAmount, header: Int,
        session: SessionLimits = SessionLimits(), memory: Int? = nil
    ) {
        // However few sessions there may be, clients of HTTP open several connections to see.
        self.process = AdmissionLimits(handshakes: max(connections, 100))
        self.http = HTTPLimits(firstByte: handshake)
        self.session = session
        self.memory = memory
        self.connections = connections
        self.message = message
        self.handshake = handshake
        self.header = header
    }
}

/// `reload:`.
package struct ReloadConfig: Sendable, Equatable {
    /// What a session is closed with that the new configuration has no place for.
    package var closeCode = CloseCode.serviceRestart
    /// How often the files of certificates are looked at; nil for never.
    package var watch: TimeAmount? = .seconds(10)
}

/// How the server goes: `drain:`, or what a request to drain says.
package struct DrainPlan: Sendable, Equatable {
    /// How long new sessions are still taken after `/readyz` has begun to fail.
    package var delay = TimeAmount.zero
    /// Over how long the sessions are closed.
    package var spread = TimeAmount.zero
    /// From the end of `delay` on; what is there then is cut.
    package var deadline = TimeAmount.seconds(30)
    package var code = CloseCode.goingAway
}

package struct HTTPLimits: Sendable, Equatable {
    /// From a connection's beginning, TLS included, until the first byte of a request.
    package var firstByte: TimeAmount
    /// Bytes of a body for each second that it takes, once it takes longer than ``LimitsConfig/handshake``.
    package var bodyRate = 1024
    /// Of one connection.
    package var requests = 10_000
    /// Between two requests of a connection.
    package var idle = TimeAmount.seconds(60)
    /// Polls of the process that wait for messages; nil for no limit.
    package var parked: Int?

    package init(firstByte: TimeAmount) {
        self.firstByte = firstByte
    }
}

package struct AdminConfig: Sendable, Equatable {
    package var host: String
    package var port: Int
    /// Path of a Unix socket, in place of ``host`` and ``port``.
    package var socket: String?
    package var tls: TLSConfig?
    /// PEM file of the authorities whose client certificates are taken; nil to ask for none.
    package var clientCA: String?
    /// Names that requests may call the listener beside its own address and the loopback ones.
    package var hosts: [String]
    /// Made at the first start when it is not there.
    package var tokenFile: String

    package init(
        host: String, port: Int, socket: String? = nil, tls: TLSConfig? = nil, clientCA: String? = nil,
        hosts: [String] = [], tokenFile: String
    ) {
        self.host = host
        self.port = port
        self.socket = socket
        self.tls = tls
        self.clientCA = clientCA
        self.hosts = hosts
        self.tokenFile = tokenFile
    }

    /// As it is written in the configuration.
    package var address: String {
        self.socket.map { "unix:" + $0 } ?? ((self.host.contains(":") ? "[\(self.host)]" : self.host) + ":\(self.port)")
    }
}

package struct LogConfig: Sendable, Equatable {
    package var format: LogFormat
    package var level: Logger.Level

    package init(
        format: LogFormat, level: Logger.Level
    ) {
        self.format = format
        self.level = level
    }
}

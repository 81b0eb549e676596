import CulvertCore
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// An upstream that Culvert could not bring to an answer; becomes a 502 or 504 for the client.
struct UpstreamFailure: Error {
    var isTimeout: Bool
    /// No server takes a session, for its limit or by the operator's word: 503.
    var isFull = false
    /// For the log; the client is told no more than that it failed.
    var reason: String
}

/// Dials an upstream on the loop of the client that wants it.
final class UpstreamConnector: Sendable {
    /// A connection whose handshake succeeded, before its leg is added.
    struct Connection: Sendable {
        var channel: any Channel
        var headers: HTTPHeaders
        /// The session's place at the server, which ends with the session.
        var lease: ServerLease
    }

    enum Outcome: Sendable {
        case connected(Connection)
        case refused(HTTPResponseHead, ByteBuffer)
    }

    private struct Names {
        static let encoder = "culvert.upstream.encoder"
        static let decoder = "culvert.upstream.decoder"
        static let handshake = "culvert.upstream.handshake"
    }

    let pool: ServerPool
    let config: UpstreamConfig
    private let handshakeTimeout: TimeAmount
    private let tls: NIOSSLContext?
    private let logger: Logger

    /// - Parameter previous: the pool of before a reload.
    init(config: UpstreamConfig, handshakeTimeout: TimeAmount, previous: ServerPool?, logger: Logger) throws {
        self.config = config
        self.pool = ServerPool(config, previous: previous)
        self.logger = logger
        self.handshakeTimeout = handshakeTimeout
        if config.servers.contains(where: \.isSecure) {
            var tls = TLSConfiguration.makeClientConfiguration()
            if let ca = config.ca { tls.trustRoots = .file(ca) }
            tls.applicationProtocols = ["http/1.1"]
            tls.shutdownTimeout = TLSContexts.shutdownTimeout
            self.tls = try NIOSSLContext(configuration: tls)
        } else {
            self.tls = nil
        }
    }

    /// What consistent hashing goes by for this request; 0 when nothing is hashed. A request without it counts as one
    /// with an empty value.
    ///
    /// - Parameter request: as it goes upstream.
    func key(of request: HTTPRequestHead, subject: String?, address: String) -> UInt64 {
        guard case .consistentHash(let key) = self.config.balance else { return 0 }
        switch key {
        case .subject: return Balancer.hash(subject ?? "")
        case .address: return Balancer.hash(address)
        case .header(let name): return Balancer.hash(request.headers.first(name: name) ?? "")
        case .query(let name):
            let query = request.uri.split(separator: "?", maxSplits: 1).dropFirst().first ?? ""
            let pair = query.split(separator: "&").first { $0.prefix { $0 != "=" } == name }
            return Balancer.hash(String(pair?.dropFirst(name.count + 1) ?? ""))
        }
    }

    /// Tries servers until one accepts a connection, as many as `retries` says and `limits.handshake` leaves time for.
    /// An answer, even a refusal, is final: to send the same request twice is not ours to decide.
    ///
    /// Fails with ``UpstreamFailure`` only.
    ///
    /// - Parameter key: from ``key(of:subject:address:)``.
    func connect(
        _ request: HTTPRequestHead, key: UInt64, client: ClientFacts, on loop: any EventLoop
    ) -> EventLoopFuture<Outcome> {
        self.connect(
            request, key: key, client: client, tried: [], until: .now() + self.handshakeTimeout, on: loop)
    }

    private func connect(
        _ request: HTTPRequestHead, key: UInt64, client: ClientFacts, tried: Set<Int>, until deadline: NIODeadline,
        on loop: any EventLoop
    ) -> EventLoopFuture<Outcome> {
        guard let lease = self.pool.lease(key: key, tried: tried, now: .now()) else {
            return loop.makeFailedFuture(
                UpstreamFailure(isTimeout: false, isFull: true, reason: "no server takes a session"))
        }
        let server = lease.server.config
        let answer = loop.makePromise(of: UpstreamAnswer.self)
        var prefixed = request
        prefixed.uri = server.pathPrefix + request.uri
        if request.headers["host"].isEmpty {
            prefixed.headers.add(name: "Host", value: "\(server.host):\(server.port)")
        }
        let outgoing = prefixed
        let tls = server.isSecure ? self.tls : nil
        let proxyProtocol = self.config.proxyProtocol
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(self.config.connectTimeout)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.allowRemoteHalfClosure, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let proxyProtocol {
                        try pipeline.addHandler(ProxyHeaderSender(client.proxyHeader, proxyProtocol))
                    }
                    if let tls {
                        let name = server.host.isIPAddress ? nil : server.host
                        try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: name))
                    }
                    try pipeline.addHandler(UpstreamHeadSplitter())
                    try pipeline.addHandler(HTTPRequestEncoder(), name: Names.encoder)
                    try pipeline.addHandler(
                        ByteToMessageHandler(HTTPResponseDecoder()),
                        name: Names.decoder)
                    try pipeline.addHandler(
                        UpstreamHandshakeHandler(request: outgoing, answer: answer), name: Names.handshake)
                }
            }
        let connecting = bootstrap.connect(host: server.host, port: server.port)
        return connecting.map { Result<any Channel, any Error>.success($0) }
            .recover { .failure($0) }
            .flatMap { result in
                switch result {
                case .success(let channel):
                    return self.await(answer.futureResult, channel: channel, lease: lease, on: loop)
                case .failure(let error):
                    answer.fail(error)
                    self.giveUp(lease, error)
                    let tried = tried.union([lease.index])
                    if tried.count <= min(self.config.retries, self.config.servers.count - 1), .now() < deadline {
                        return self.connect(
                            request, key: key, client: client, tried: tried, until: deadline, on: loop)
                    }
                    let isTimeout = if case .connectTimeout = error as? ChannelError { true } else { false }
                    return loop.makeFailedFuture(UpstreamFailure(isTimeout: isTimeout, reason: "\(error)"))
                }
            }
    }

    private func giveUp(_ lease: ServerLease, _ error: any Error) {
        lease.release()
        guard let time = lease.server.failed(now: .now()) else { return }
        self.logger.warning(
            "server ejected",
            metadata: [
                "upstream": "\(self.config.name)", "server": "\(lease.server.config.url)",
                "seconds": .stringConvertible(Double(time.nanoseconds / 1_000_000) / 1000), "reason": "\(error)",
            ])
    }

    private func await(
        _ answer: EventLoopFuture<UpstreamAnswer>, channel: any Channel, lease: ServerLease, on loop: any EventLoop
    ) -> EventLoopFuture<Outcome> {
        let outcome = loop.makePromise(of: Outcome.self)
        let deadline = loop.scheduleTask(in: self.handshakeTimeout) {
            outcome.fail(UpstreamFailure(isTimeout: true, reason: "no answer to the handshake"))
            channel.close(promise: nil)
        }
        answer.assumeIsolated().whenComplete { result in
            deadline.cancel()
            switch result {
            case .success(.switched(let headers)):
                lease.server.succeeded()
                outcome.succeed(.connected(Connection(channel: channel, headers: headers, lease: lease)))
            case .success(.refused(let head, let body)):
                lease.server.succeeded()
                lease.release()
                channel.close(promise: nil)
                outcome.succeed(.refused(head, body))
            case .failure(let error):
                // After the deadline too: the connection was closed, and brings no answer any more.
                channel.close(promise: nil)
                self.giveUp(lease, error)
                outcome.fail(UpstreamFailure(isTimeout: false, reason: "\(error)"))
            }
        }
        return outcome.futureResult
    }

    /// Puts `leg` where the HTTP handlers were, with what came behind the 101.
    static func install(_ leg: WebSocketLeg, on channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        let splitter = try pipeline.handler(type: UpstreamHeadSplitter.self)
        try pipeline.addHandler(leg, position: .after(splitter))
        for name in [Names.handshake, Names.encoder, Names.decoder] { pipeline.removeHandler(name: name, promise: nil) }
        splitter.release()
    }
}

extension String {
    /// SNI may not carry an address (RFC 6066 section 3).
    fileprivate var isIPAddress: Bool {
        (try? SocketAddress(ipAddress: self, port: 0)) != nil
    }
}

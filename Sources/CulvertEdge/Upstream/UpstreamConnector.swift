import CulvertConfig
import CulvertCore
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix

/// An upstream that Culvert could not bring to an answer; becomes a 502 or 504 for the client.
struct UpstreamFailure: Error {
    var isTimeout: Bool
    /// No server takes a session, for its limit or by the operator's word: 503.
    var isFull = false
    var isSuperseded = false
    /// The edge itself lacks what it takes to reach a server: a descriptor, a port, a thread. 503.
    var isShortage = false
    /// Its client is gone, or has ended its direction of the connection.
    var isClientGone = false
    /// The URL of the server that was tried last, for the log; nil if none was tried.
    var server: String?
    /// The reason for the log. The client learns only that the opening failed.
    var reason: String

    /// The opening waited in line under a configuration that has been replaced.
    static let superseded = UpstreamFailure(isTimeout: false, isFull: true, isSuperseded: true, reason: "stopping")

    static let clientGone = UpstreamFailure(isTimeout: false, isClientGone: true, reason: "client gone")

    /// The gate would not let the opening in any more.
    static let notWelcome = UpstreamFailure(isTimeout: false, isFull: true, reason: "not let in any more")
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
    private let tls: UpstreamTLS?
    private let checker: HealthChecker?
    let rebalancer: Rebalancer
    private let logger: Logger
    private let resolver: NameResolver
    private let closing = ClosingConnections()

    /// - Parameter previous: the pool of before a reload.
    init(config: UpstreamConfig, previous: ServerPool?, resolver: NameResolver = .system, logger: Logger) throws {
        let tls = try UpstreamTLS(config)
        let pool = ServerPool(config, previous: previous)
        self.config = config
        self.pool = pool
        self.logger = logger
        self.tls = tls
        self.resolver = resolver
        self.checker = config.health.map { health in
            HealthChecker(config, config: health, pool: pool, tls: tls, resolver: resolver, logger: logger)
        }
        self.rebalancer = Rebalancer(config, pool: pool, logger: logger)
    }

    /// Begins to check the servers, if that is asked for.
    func start(on group: any EventLoopGroup) {
        self.pool.start()
        self.checker?.start(on: group)
    }

    func stopChecks() { self.checker?.stop() }

    /// Ends what goes on beside the sessions, which stay: checks, a rebalance, and the wait of who stands in line.
    func stop() {
        self.stopChecks()
        _ = self.rebalancer.stop()
        self.pool.stop()
    }

    /// The key of consistent hashing for this request; 0 without consistent hashing. A request without the hashed value
    /// counts as one with an empty value.
    ///
    /// - Parameter request: as it goes upstream.
    func key(of request: HTTPRequestHead, subject: String?, address: String) -> UInt64 {
        guard case .consistentHash(let key) = self.config.balance else { return 0 }
        switch key {
        case .subject: return Balancer.hash(subject ?? "")
        case .address: return Balancer.hash(address)
        case .header(let name): return Balancer.hash(request.headers.first(name: name) ?? "")
        case .query(let name):
            let query = RequestTarget(request.uri).query
            return Balancer.hash(query.flatMap { Query.rawValue(of: name, in: $0) }.map(String.init) ?? "")
        }
    }

    /// Tries servers until one accepts a connection, as many as `retries` says and `handshake_timeout` leaves time for,
    /// in which the answer must have come, too. An answer, even a refusal, is final: to send the same request twice is
    /// not ours to decide.
    ///
    /// Fails with ``UpstreamFailure`` only.
    ///
    /// - Parameters:
    ///   - key: from ``key(of:subject:address:)``.
    ///   - line: tells that the client has gone, which ends the opening.
    ///   - memory: counts what the opening keeps of its answer.
    ///   - ceiling: bytes that the process may hold; nil for no ceiling.
    ///   - turns: of the loop, for TLS.
    ///   - slices: of the loop; a long answer is decoded in them.
    func connect(
        _ request: HTTPRequestHead, key: UInt64, client: ClientFacts, line: PlaceInLine, memory: SessionMemory,
        ceiling: Int?, turns: TLSTurns, slices: LoopSlices, on loop: any EventLoop
    ) -> EventLoopFuture<Outcome> {
        let attempt = Attempt(
            request: request, key: key, client: client, line: line, memory: memory, ceiling: ceiling, turns: turns,
            slices: slices,
            time: self.config.handshakeTimeout)
        return self.connect(attempt, on: loop)
    }

    /// An opening on its way from server to server. Bound to its loop.
    private struct Attempt {
        var request: HTTPRequestHead
        var key: UInt64
        var client: ClientFacts
        var line: PlaceInLine
        var memory: SessionMemory
        var ceiling: Int?
        var turns: TLSTurns
        var slices: LoopSlices
        var tried: Set<Int> = []
        /// The time that is left, without the time spent in line.
        var time: TimeAmount
    }

    /// What a connection is given before it is dialled. Its members belong to its loop.
    private struct Prepared: Sendable {
        let answer: EventLoopFuture<UpstreamAnswer>
        /// Stands before TLS; nil for a server without TLS.
        let feeder: NIOLoopBound<TLSFeeder>?

        /// Why the edge itself has kept the server's answer waiting; nil when it has not.
        var shortage: String? { self.feeder?.value.shortage }
    }

    private func connect(_ attempt: Attempt, on loop: any EventLoop) -> EventLoopFuture<Outcome> {
        self.pool.place(key: attempt.key, tried: attempt.tried, for: attempt.line, on: loop)
            .assumeIsolated()
            .flatMap { lease in
                guard !attempt.line.isGone else {
                    lease.release()
                    return loop.makeFailedFuture(UpstreamFailure.clientGone)
                }
                guard attempt.line.mayDial() else {
                    lease.release()
                    return loop.makeFailedFuture(UpstreamFailure.notWelcome)
                }
                return self.dial(attempt, lease: lease, on: loop)
            }
            .nonisolated()
    }

    private func dial(_ attempt: Attempt, lease: ServerLease, on loop: any EventLoop) -> EventLoopFuture<Outcome> {
        let server = lease.server.config
        var request = attempt.request
        request.uri = server.pathPrefix + attempt.request.uri
        if attempt.request.headers["host"].isEmpty { request.headers.add(name: "Host", value: server.authority) }
        let client = AddressKey(attempt.client.address)
        let dial = ServerDial<Prepared>(server, resolver: self.resolver, on: loop) { channel in
            if let version = self.config.proxyProtocol {
                try channel.pipeline.syncOperations.addHandler(ProxyHeaderSender(attempt.client.proxyHeader, version))
            }
            let answer = loop.makePromise(of: UpstreamAnswer.self)
            let meter = AnswerMeter(attempt.memory, ceiling: attempt.ceiling)
            let handshake = UpstreamHandshakeHandler(request: request, answer: answer, meter: meter)
            do {
                let feeder =
                    server.isSecure
                    ? TLSFeeder(
                        attempt.turns, line: .openings, memory: attempt.memory, client: client, observer: nil) : nil
                try Self.configure(
                    channel, tls: self.tls, server: server, feeder: feeder, meter: meter,
                    turns: (attempt.slices, client),
                    last: handshake)
                return Prepared(
                    answer: answer.futureResult, feeder: feeder.map { NIOLoopBound($0, eventLoop: channel.eventLoop) })
            } catch {
                answer.fail(error)
                throw error
            }
        }
        let deadline = NIODeadline.now() + attempt.time
        attempt.line.stand { dial.cancel() }
        return dial.start(within: min(self.config.connectTimeout, attempt.time))
            .map { Result<ServerDial<Prepared>.Connected, any Error>.success($0) }
            .recover { .failure($0) }
            .assumeIsolated()
            .flatMap { result in
                attempt.line.stand(nil)
                switch result {
                case .success(let connected):
                    return self.await(
                        connected.made, channel: connected.channel, lease: lease, until: deadline,
                        client: client, line: attempt.line, on: loop)
                case .failure(let error):
                    return self.next(after: attempt, error, lease: lease, until: deadline, on: loop)
                }
            }
            .nonisolated()
    }

    /// A server was not reached: another one is tried, if there may be one.
    private func next(
        after attempt: Attempt, _ error: any Error, lease: ServerLease, until deadline: NIODeadline,
        on loop: any EventLoop
    ) -> EventLoopFuture<Outcome> {
        let cause = (error as? DialFailure)?.cause ?? .server
        switch cause {
        case .server, .timeout: self.giveUp(lease, .unreachable, error)
        case .edge, .cancelled: lease.release()
        }
        guard cause != .cancelled else { return loop.makeFailedFuture(UpstreamFailure.clientGone) }
        var next = attempt
        next.tried.insert(lease.index)
        next.time = deadline - .now()
        if next.tried.count <= min(self.config.retries, self.config.servers.count - 1), next.time > .zero {
            return self.connect(next, on: loop)
        }
        return loop.makeFailedFuture(
            UpstreamFailure(
                isTimeout: cause == .timeout, isShortage: cause == .edge, server: lease.server.config.url,
                reason: ConnectionFault.words(error)))
    }

    private func giveUp(_ lease: ServerLease, _ fault: ServerFault, _ error: any Error) {
        lease.release()
        guard let time = lease.server.failed(fault, now: .now()) else { return }
        self.logger.warning(
            "server ejected",
            metadata: [
                "upstream": "\(self.config.name)", "server": "\(lease.server.config.url)",
                "seconds": .stringConvertible(Double(time.nanoseconds / 1_000_000) / 1000),
                "reason": "\(ConnectionFault.words(error))",
            ])
    }

    /// - Parameters:
    ///   - client: whose opening it is.
    ///   - line: in which the client may go meanwhile. The connection is closed then, and the server has not failed.
    private func await(
        _ prepared: Prepared, channel: any Channel, lease: ServerLease, until end: NIODeadline,
        client: AddressKey, line: PlaceInLine, on loop: any EventLoop
    ) -> EventLoopFuture<Outcome> {
        let outcome = loop.makePromise(of: Outcome.self)
        let deadline = loop.scheduleTask(deadline: end) {
            let shortage = prepared.shortage
            outcome.fail(
                UpstreamFailure(
                    isTimeout: shortage == nil, isShortage: shortage != nil, server: lease.server.config.url,
                    reason: shortage ?? "no answer to the handshake"))
            self.closing.close(channel)
        }
        line.stand {
            outcome.fail(UpstreamFailure.clientGone)
            self.closing.close(channel)
        }
        prepared.answer.assumeIsolated().whenComplete { result in
            deadline.cancel()
            line.stand(nil)
            switch result {
            case .success(.switched(let headers)):
                lease.server.succeeded()
                outcome.succeed(.connected(Connection(channel: channel, headers: headers, lease: lease)))
            case .success(.refused(let head, let body)):
                lease.server.succeeded()
                lease.release()
                self.closing.close(channel)
                outcome.succeed(.refused(head, body))
            case .failure(let error):
                // The edge's own shortage tells nothing of the server.
                let shortage = prepared.shortage
                let isShortage = error is AnswerMeter.Full || shortage != nil
                // After the deadline too: the connection was closed, and brings no answer any more.
                self.closing.close(channel)
                if line.isGone || isShortage {
                    lease.release()
                } else {
                    self.giveUp(lease, self.fault(error, client: client), error)
                }
                outcome.fail(
                    UpstreamFailure(
                        isTimeout: false, isShortage: isShortage, server: lease.server.config.url,
                        reason: shortage ?? ConnectionFault.words(error)))
            }
        }
        return outcome.futureResult
    }

    /// - Parameter error: why there is no answer on a connection that the server had accepted.
    private func fault(_ error: any Error, client: AddressKey) -> ServerFault {
        // A PROXY header goes out in front of TLS, and a server may refuse the client that it names.
        self.config.proxyProtocol == nil && TLSFault.isBeforeRequest(error)
            ? .unreachable : .unanswered(client: client)
    }

    /// Adds the handlers that an upgrade request passes until ``install(_:on:)``.
    static func configure(
        _ channel: any Channel, tls: UpstreamTLS?, server: UpstreamServer, request: HTTPRequestHead,
        answer: EventLoopPromise<UpstreamAnswer>
    ) throws {
        try self.configure(
            channel, tls: tls, server: server, last: UpstreamHandshakeHandler(request: request, answer: answer))
    }

    /// - Parameters:
    ///   - feeder: stands before TLS, if the server speaks it; nil for a check.
    ///   - meter: counts what is kept of the answer; nil where nothing is counted.
    ///   - turns: the slices of the channel's loop, and the client whose turns the answer takes; nil where an answer is decoded
    ///     at once.
    ///   - last: what speaks HTTP/1 with the server.
    static func configure(
        _ channel: any Channel, tls: UpstreamTLS?, server: UpstreamServer, feeder: TLSFeeder? = nil,
        meter: AnswerMeter? = nil, turns: (LoopSlices, AddressKey)? = nil, last: any ChannelHandler
    ) throws {
        let pipeline = channel.pipeline.syncOperations
        if let tls, server.isSecure { try tls.addHandlers(for: server, feeder: feeder, to: pipeline) }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = UpstreamHeadReader.byteLimit
        limits.maxHeaderFieldSize = UpstreamHeadReader.byteLimit
        try pipeline.addHandler(UpstreamHeadSplitter(meter: meter, turns: turns))
        try pipeline.addHandler(HTTPRequestEncoder(), name: Names.encoder)
        try pipeline.addHandler(
            ByteToMessageHandler(HTTPResponseDecoder(limitConfiguration: limits)), name: Names.decoder)
        try pipeline.addHandler(last, name: Names.handshake)
    }

    /// Puts `leg` where the HTTP handlers were, with what came behind the 101.
    static func install(_ leg: any ChannelHandler, on channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        let splitter = try pipeline.handler(type: UpstreamHeadSplitter.self)
        try pipeline.addHandler(leg, position: .after(splitter))
        for name in [Names.handshake, Names.encoder, Names.decoder] { pipeline.removeHandler(name: name, promise: nil) }
        if let feeder = try? pipeline.handler(type: TLSFeeder.self) { feeder.leave() }
        splitter.release()
    }
}

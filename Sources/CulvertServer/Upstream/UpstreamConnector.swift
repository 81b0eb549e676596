import CulvertCore
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// An upstream that Culvert could not bring to an answer; becomes a 502 or 504 for the client.
struct UpstreamFailure: Error {
    var isTimeout: Bool
    /// For the log; the client is told no more than that it failed.
    var reason: String
}

/// Dials an upstream on the loop of the client that wants it.
final class UpstreamConnector: Sendable {
    /// A connection whose handshake succeeded, before its leg is added.
    struct Connection: Sendable {
        var channel: any Channel
        var headers: HTTPHeaders
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

    private let config: UpstreamConfig
    private let handshakeTimeout: TimeAmount
    private let tls: NIOSSLContext?

    init(config: UpstreamConfig, handshakeTimeout: TimeAmount) throws {
        self.config = config
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

    /// Tries the servers in order until one accepts a connection. An answer, even a refusal, is final: to send the same
    /// request twice is not ours to decide.
    ///
    /// Fails with ``UpstreamFailure`` only.
    func connect(_ request: HTTPRequestHead, on loop: any EventLoop) -> EventLoopFuture<Outcome> {
        self.connect(request, server: 0, on: loop)
    }

    private func connect(_ request: HTTPRequestHead, server index: Int, on loop: any EventLoop) -> EventLoopFuture<
        Outcome
    > {
        let server = self.config.servers[index]
        let answer = loop.makePromise(of: UpstreamAnswer.self)
        var prefixed = request
        prefixed.uri = server.pathPrefix + request.uri
        if request.headers["host"].isEmpty {
            prefixed.headers.add(name: "Host", value: "\(server.host):\(server.port)")
        }
        let outgoing = prefixed
        let tls = server.isSecure ? self.tls : nil
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(self.config.connectTimeout)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelOption(.allowRemoteHalfClosure, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
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
                    return self.await(answer.futureResult, channel: channel, on: loop)
                case .failure(let error):
                    answer.fail(error)
                    if index + 1 < self.config.servers.count {
                        return self.connect(request, server: index + 1, on: loop)
                    }
                    let isTimeout = if case .connectTimeout = error as? ChannelError { true } else { false }
                    return loop.makeFailedFuture(UpstreamFailure(isTimeout: isTimeout, reason: "\(error)"))
                }
            }
    }

    private func await(
        _ answer: EventLoopFuture<UpstreamAnswer>, channel: any Channel, on loop: any EventLoop
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
                outcome.succeed(.connected(Connection(channel: channel, headers: headers)))
            case .success(.refused(let head, let body)):
                channel.close(promise: nil)
                outcome.succeed(.refused(head, body))
            case .failure(let error):
                channel.close(promise: nil)
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

import CulvertConfig
import CulvertCore
import CulvertSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOTLS

/// Why a server did not pass a check; for the operator's eyes.
struct CheckFailure: Error {
    var reason: String
}

/// The result of a check of a server.
enum CheckResult: Equatable, Sendable {
    case passed
    case failed(String)
    /// The edge lacked what a check takes: it tells nothing of the server.
    case notMade(String)
}

/// A check of a server, over a connection of its own.
struct HealthProbe: Sendable {
    /// How long a server may take over the close handshake when it has passed.
    static let closeTime = TimeAmount.seconds(1)

    let config: HealthConfig
    let tls: UpstreamTLS?
    /// The version of the PROXY header with which the server's connections begin; nil for none.
    let proxyProtocol: ProxyHeader.Version?
    let resolver: NameResolver

    /// At the latest after the check's timeout.
    func run(_ server: UpstreamServer, on loop: any EventLoop) async -> CheckResult {
        do {
            try await loop.flatSubmit { self.check(server, on: loop) }.get()
            return .passed
        } catch let failure as DialFailure where failure.cause == .edge {
            return .notMade(failure.description)
        } catch {
            return .failed(Self.reason(error))
        }
    }

    /// On `loop`.
    private func check(_ server: UpstreamServer, on loop: any EventLoop) -> EventLoopFuture<Void> {
        let end = NIODeadline.now() + self.config.timeout
        let dial = ServerDial<EventLoopFuture<Void>>(server, resolver: self.resolver, on: loop) { channel in
            let verdict = loop.makePromise(of: Void.self)
            channel.closeFuture.whenComplete { _ in verdict.fail(UpstreamHandshakeHandler.ConnectionLost()) }
            try self.configure(channel, server: server, verdict: verdict)
            return verdict.futureResult
        }
        return dial.start(within: self.config.timeout).assumeIsolated().flatMap { connected in
            let verdict = loop.makePromise(of: Void.self)
            let deadline = loop.scheduleTask(deadline: end) {
                verdict.fail(CheckFailure(reason: "no answer within \(ConfigUnits.text(self.config.timeout))"))
            }
            if self.config.kind == .tcp, !server.isSecure { verdict.succeed() }
            connected.made.cascade(to: verdict)
            verdict.futureResult.whenComplete { result in
                deadline.cancel()
                self.close(connected.channel, after: result)
            }
            return verdict.futureResult
        }
        .nonisolated()
    }

    private func close(_ channel: any Channel, after result: Result<Void, any Error>) {
        // For TLS's own close handshake, or for the WebSocket's, which is under way and which the server's answer ends.
        let deadline = channel.eventLoop.scheduleTask(in: Self.closeTime) { channel.cut() }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
        guard self.config.kind == .webSocket, case .success = result else {
            channel.close(promise: nil)
            return
        }
    }

    private func configure(_ channel: any Channel, server: UpstreamServer, verdict: EventLoopPromise<Void>) throws {
        let pipeline = channel.pipeline.syncOperations
        // The header says that the connection is the proxy's own, without a client.
        if let proxyProtocol = self.proxyProtocol {
            try pipeline.addHandler(ProxyHeaderSender(.local, proxyProtocol))
        }
        switch self.config.kind {
        case .tcp:
            if let tls, server.isSecure { try tls.addHandlers(for: server, to: pipeline) }
            try pipeline.addHandler(TLSCheckHandler(verdict: verdict))
        case .http:
            let request = HTTPRequestHead(
                version: .http1_1, method: .GET, uri: server.pathPrefix + self.config.path,
                headers: self.headers(server, connection: "close"))
            try UpstreamConnector.configure(
                channel, tls: self.tls, server: server,
                last: HTTPCheckHandler(request: request, status: self.config.status, verdict: verdict))
        case .webSocket:
            try self.configureWebSocket(channel, server: server, verdict: verdict)
        }
    }

    private func configureWebSocket(
        _ channel: any Channel, server: UpstreamServer, verdict: EventLoopPromise<Void>
    ) throws {
        var generator = SystemRandomNumberGenerator()
        let key = Handshake.key(from: (generator.next(), generator.next()))
        var headers = self.headers(server, connection: "Upgrade")
        headers.add(name: "Upgrade", value: "websocket")
        headers.add(name: "Sec-WebSocket-Version", value: "13")
        headers.add(name: "Sec-WebSocket-Key", value: key)
        let request = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: server.pathPrefix + self.config.path, headers: headers)
        let answer = channel.eventLoop.makePromise(of: UpstreamAnswer.self)
        // A connection that is not accepted brings no answer.
        verdict.futureResult.whenFailure { answer.fail($0) }
        try UpstreamConnector.configure(channel, tls: self.tls, server: server, request: request, answer: answer)
        answer.futureResult.assumeIsolated().whenComplete { result in
            do {
                guard case .switched(let headers) = try result.get() else {
                    if case .success(.refused(let head, _)) = result {
                        throw CheckFailure(reason: "status \(head.status.code)")
                    }
                    return
                }
                let fault = Handshake.checkResponse(
                    connection: headers["connection"], upgrade: headers["upgrade"],
                    accept: headers["sec-websocket-accept"], protocols: headers["sec-websocket-protocol"],
                    extensions: headers["sec-websocket-extensions"], key: key, offeredProtocols: [],
                    offeredExtensions: [])
                if let fault { throw CheckFailure(reason: fault) }
                let handler = WebSocketCheckHandler(pings: self.config.ping, verdict: verdict)
                try UpstreamConnector.install(handler, on: channel)
            } catch {
                verdict.fail(error)
            }
        }
    }

    private func headers(_ server: UpstreamServer, connection: String) -> HTTPHeaders {
        [
            "Host": self.config.host ?? server.authority, "Connection": connection,
            "User-Agent": "culvert-health/\(Version.text)",
            // A server that is the edge itself does not pass.
            "CDN-Loop": LoopMark.ofProcess.member,
        ]
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let failure as CheckFailure: return failure.reason
        default: return ConnectionFault.words(error)
        }
    }
}

/// Passes when TLS has been agreed on.
private final class TLSCheckHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let verdict: EventLoopPromise<Void>

    init(verdict: EventLoopPromise<Void>) { self.verdict = verdict }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .handshakeCompleted? = event as? TLSUserEvent { self.verdict.succeed() }
        context.fireUserInboundEventTriggered(event)
    }

    /// The probe needs nothing that a server sends unasked. TLS would go on to decode such bytes until the connection
    /// is closed.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.channel.readNoMore() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.verdict.fail(error) }

    func channelInactive(context: ChannelHandlerContext) {
        self.verdict.fail(UpstreamHandshakeHandler.ConnectionLost())
        context.fireChannelInactive()
    }
}

/// Passes when a response has the status that is wanted; its body does not matter.
private final class HTTPCheckHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    private let request: HTTPRequestHead
    private let status: Int?
    private let verdict: EventLoopPromise<Void>

    init(request: HTTPRequestHead, status: Int?, verdict: EventLoopPromise<Void>) {
        self.request = request
        self.status = status
        self.verdict = verdict
    }

    func channelActive(context: ChannelHandlerContext) {
        context.write(self.wrapOutboundOut(.head(self.request)), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .head(let head) = self.unwrapInboundIn(data) else { return }
        let code = Int(head.status.code)
        if self.status.map({ $0 == code }) ?? (200..<400).contains(code) {
            self.verdict.succeed()
        } else {
            self.verdict.fail(CheckFailure(reason: "status \(code)"))
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.verdict.fail(error) }

    func channelInactive(context: ChannelHandlerContext) {
        self.verdict.fail(UpstreamHandshakeHandler.ConnectionLost())
        context.fireChannelInactive()
    }
}

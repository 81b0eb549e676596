package import NIOCore
import NIOHTTP1
package import NIOPosix

/// The admin listener. So far it tells only whether the process is well.
package struct AdminServer: Sendable {
    package struct Health: Sendable {
        package var sessions: Int
        package var isDraining: Bool

        package init(sessions: Int, isDraining: Bool) {
            self.sessions = sessions
            self.isDraining = isDraining
        }
    }

    package let address: SocketAddress?
    private let channel: any Channel

    package static func start(
        _ config: AdminConfig, group: MultiThreadedEventLoopGroup, health: @escaping @Sendable () -> Health
    ) async throws -> AdminServer {
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(
                        IdleStateHandler(allTimeout: .seconds(30)))
                    try channel.pipeline.syncOperations.addHandler(AdminHandler(health: health))
                }
            }
            .bind(host: config.host, port: config.port).get()
        return AdminServer(address: channel.localAddress, channel: channel)
    }

    package func shutdown() async {
        try? await self.channel.close().get()
    }
}

private final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let health: @Sendable () -> AdminServer.Health
    private var head: HTTPRequestHead?

    init(health: @escaping @Sendable () -> AdminServer.Health) {
        self.health = health
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head = self.head else { return }
            let answer = self.answer(head)
            let headers: HTTPHeaders = [
                "Content-Type": "application/json", "Content-Length": "\(answer.body.utf8.count)",
                "Cache-Control": "no-store", "Connection": "close",
            ]
            let response = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
            context.write(self.wrapOutboundOut(.head(response)), promise: nil)
            if head.method != .HEAD {
                context.write(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: answer.body)))), promise: nil)
            }
            let channel = context.channel
            context.writeAndFlush(self.wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
        }
    }

    private func answer(_ head: HTTPRequestHead) -> (status: HTTPResponseStatus, body: String) {
        guard head.uri == "/healthz" else { return (.notFound, "{\"status\":404}\n") }
        guard head.method == .GET || head.method == .HEAD else { return (.methodNotAllowed, "{\"status\":405}\n") }
        let health = self.health()
        let status: HTTPResponseStatus = health.isDraining ? .serviceUnavailable : .ok
        let word = health.isDraining ? "draining" : "ok"
        return (status, "{\"status\":\"\(word)\",\"sessions\":\(health.sessions)}\n")
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}

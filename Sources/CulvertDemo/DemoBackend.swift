package import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// The WebSocket server behind the demo's edge: an echo and a chat room, on the loopback interface only.
///
/// `/chat` sends every text to everybody in the room as `{"from":…,"text":…}`; the name is what the edge says in
/// `X-Forwarded-User`. `/echo` and all other paths return what they get. All connections live on one event loop, so
/// their shared state needs no lock.
package final class DemoBackend: Sendable {
    /// Bytes of the largest message accepted; a larger one is answered with close code 1009.
    package static let messageLimit = 1 << 20

    /// The port the backend listens on, on 127.0.0.1.
    package let port: Int

    private let channel: any Channel
    private let room: NIOLoopBound<DemoRoom>

    private init(channel: any Channel, port: Int, room: NIOLoopBound<DemoRoom>) {
        self.channel = channel
        self.port = port
        self.room = room
    }

    /// Starts a backend on a free port, on one event loop of `group`.
    ///
    /// - Throws: `IOError` when no port can be bound.
    package static func start(group: any EventLoopGroup) async throws -> DemoBackend {
        let loop = group.next()
        let room = try await loop.submit { NIOLoopBound(DemoRoom(), eventLoop: loop) }.get()
        let channel = try await ServerBootstrap(group: loop, childGroup: loop)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 1 << 20, high: 4 << 20))
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    try configure(child, room: room)
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        guard let port = channel.localAddress?.port else {
            try await channel.close()
            throw ChannelError.unknownLocalAddress
        }
        return DemoBackend(channel: channel, port: port, room: room)
    }

    /// Stops listening, says 1001 to every client and closes its connection.
    ///
    /// - Throws: `ChannelError.alreadyClosed` when the backend was stopped before.
    package func stop() async throws {
        try await channel.close().get()
        let room = self.room
        try await channel.eventLoop.flatSubmit { room.value.leaveAll(on: room.eventLoop) }.get()
    }

    private static func configure(_ channel: any Channel, room: NIOLoopBound<DemoRoom>) throws {
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: messageLimit,
            automaticErrorHandling: false,
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
            upgradePipelineHandler: { channel, head in
                channel.eventLoop.makeCompletedFuture {
                    let path = head.uri.prefix { $0 != "?" }
                    let user = head.headers.first(name: "X-Forwarded-User") ?? ""
                    let handler = DemoConnection(
                        room: room.value,
                        isChat: path == "/chat",
                        user: user.isEmpty ? "someone" : user
                    )
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        )
        let plain = UpgradeRequired()
        let pipeline = channel.pipeline.syncOperations
        try pipeline.configureHTTPServerPipeline(
            withServerUpgrade: (
                upgraders: [upgrader],
                completionHandler: { context in
                    context.pipeline.syncOperations.removeHandler(plain, promise: nil)
                }
            )
        )
        try pipeline.addHandler(plain)
    }
}

/// Answers 426 to every request that is no WebSocket handshake (RFC 9110, 15.5.22).
private final class UpgradeRequired: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let body = "This is a WebSocket server.\n"
        let headers: HTTPHeaders = [
            "Upgrade": "websocket",
            "Connection": "upgrade, close",
            "Sec-WebSocket-Version": "13",
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": String(body.utf8.count),
        ]
        let head = HTTPResponseHead(version: .http1_1, status: .upgradeRequired, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
        let channel = context.channel
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A handshake with a bad key or version is reported here and then goes on as a plain request, to our 426.
        if error is NIOWebSocketUpgradeError { return }
        context.close(promise: nil)
    }
}

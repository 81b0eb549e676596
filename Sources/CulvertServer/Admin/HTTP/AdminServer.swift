package import NIOCore
import NIOHTTP1
package import NIOPosix
import NIOSSL

/// The admin listener: TCP or a Unix socket, with or without TLS.
package struct AdminServer: Sendable {
    /// Most bytes of a request's body, and of its header section.
    private static let bodyLimit = 64 * 1024
    private static let headerLimit = 16 * 1024
    private static let idleTime = TimeAmount.seconds(30)

    package let address: SocketAddress?
    private let channel: any Channel
    private let socket: String?

    package static func start(
        _ config: AdminConfig, group: MultiThreadedEventLoopGroup, api: AdminAPI
    ) async throws -> AdminServer {
        let tls = try config.tls.map { try TLSContexts.make($0, clientCA: config.clientCA) }
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = Self.headerLimit
        limits.maxHeaderFieldSize = Self.headerLimit
        let limited = limits
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.addHandler(IdleStateHandler(allTimeout: Self.idleTime))
                    try pipeline.addHandler(HTTPResponseEncoder())
                    try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(limitConfiguration: limited)))
                    try pipeline.addHandler(HTTPServerPipelineHandler())
                    try pipeline.addHandler(
                        AdminHandler(api: api, bodyLimit: Self.bodyLimit, isLocalSocket: config.socket != nil))
                }
            }
        guard let socket = config.socket else {
            let channel = try await bootstrap.bind(host: config.host, port: config.port).get()
            return AdminServer(address: channel.localAddress, channel: channel, socket: nil)
        }
        let channel = try await UnixSocket.bind(socket) { try await bootstrap.bind(unixDomainSocketPath: socket).get() }
        return AdminServer(address: channel.localAddress, channel: channel, socket: socket)
    }

    package func shutdown() async {
        try? await self.channel.close().get()
        if let socket = self.socket { UnixSocket.remove(socket) }
    }
}

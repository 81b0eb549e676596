package import NIOCore
import NIOHTTP1
package import NIOPosix
import NIOSSL
import Synchronization

/// The admin listener: TCP or a Unix socket, with or without TLS.
package struct AdminServer: Sendable {
    /// Most bytes of a request's body, and of its header section.
    private static let bodyLimit = 64 * 1024
    private static let headerLimit = 16 * 1024
    private static let idleTime = TimeAmount.seconds(30)

    package let address: SocketAddress?
    private let channel: any Channel
    private let socket: String?
    private let tls: CurrentTLS
    /// Valid until ``shutdown()``.
    package let descriptor: CInt

    /// What the next connection is spoken to with; nil for plain.
    private final class CurrentTLS: Sendable {
        let context: Mutex<NIOSSLContext?>

        init(_ context: NIOSSLContext?) { self.context = Mutex(context) }
    }

    /// - Parameter inherited: a listening socket, in place of a new one.
    package static func start(
        _ config: AdminConfig, inherited: CInt?, group: MultiThreadedEventLoopGroup, api: AdminAPI
    ) async throws -> AdminServer {
        let tls = CurrentTLS(try config.tls.map { try TLSContexts.make($0, clientCA: config.clientCA) })
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderListSize = Self.headerLimit
        limits.maxHeaderFieldSize = Self.headerLimit
        let limited = limits
        let bootstrap = ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let context = tls.context.withLock(\.self) {
                        try pipeline.addHandler(NIOSSLServerHandler(context: context))
                    }
                    try pipeline.addHandler(IdleStateHandler(allTimeout: Self.idleTime))
                    try pipeline.addHandler(HTTPResponseEncoder())
                    try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder(limitConfiguration: limited)))
                    try pipeline.addHandler(HTTPServerPipelineHandler())
                    try pipeline.addHandler(
                        AdminHandler(api: api, bodyLimit: Self.bodyLimit, isLocalSocket: config.socket != nil))
                }
            }
        let descriptor: CInt
        if let inherited {
            descriptor = try ListeningSocket.adopt([inherited])[0]
        } else if let socket = config.socket {
            descriptor = try UnixSocket.listen(socket)
        } else {
            let address = try SocketAddress.makeAddressResolvingHost(config.host, port: config.port)
            descriptor = try ListeningSocket.open(address, count: 1, isOurs: false)[0]
        }
        let channel = try await bootstrap.withBoundSocket(descriptor).get()
        return AdminServer(
            address: channel.localAddress, channel: channel, socket: config.socket, tls: tls, descriptor: descriptor)
    }

    /// Its certificates, for who watches their files; nil when it has none.
    func watched(_ config: AdminConfig) -> WatchedTLS? {
        config.tls.map { files in
            WatchedTLS(listener: config.address, config: files, clientCA: config.clientCA) { context in
                self.tls.context.withLock { $0 = context }
            }
        }
    }

    /// - Parameter isHandedOver: another process listens there now.
    package func shutdown(isHandedOver: Bool) async {
        try? await self.channel.close().get()
        if let socket = self.socket, !isHandedOver { UnixSocket.remove(socket) }
    }
}

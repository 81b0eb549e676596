package import CulvertConfig
package import CulvertEdge
import CulvertTokens
package import Logging
package import NIOCore
package import NIOPosix
import Synchronization

/// The admin listener: TCP or a Unix socket, with or without TLS.
package struct AdminServer: Sendable {
    /// For answers that are being made when the server stops.
    private static let lastAnswers = TimeAmount.seconds(2)

    package let address: SocketAddress?
    private let channel: any Channel
    private let door: AdminDoor
    private let requests: RequestCount

    package static func start(
        _ door: AdminDoor, group: MultiThreadedEventLoopGroup, edge: EdgeServer, api: AdminAPI
    ) async throws -> AdminServer {
        let tls = door.tls
        let requests = RequestCount()
        let isLocalSocket = door.config.socket != nil
        let bootstrap = edge.controlBootstrap(group: group) {
            tls.context.withLock(\.self)
        } makeFront: { entry in
            AdminFront(api: api, requests: requests, isLocalSocket: isLocalSocket, entry: entry)
        }
        let channel = try await bootstrap.withBoundSocket(door.descriptor).get()
        return AdminServer(address: channel.localAddress, channel: channel, door: door, requests: requests)
    }

    /// Valid until ``shutdown(isHandedOver:)``.
    var descriptor: CInt { self.door.descriptor }

    /// Its certificates, for who watches their files; nil when it has none.
    func watched(_ config: AdminConfig) -> WatchedTLS? {
        config.tls.map { files in
            WatchedTLS(listener: config.address, config: files, clientCA: config.clientCA) { context in
                self.door.tls.context.withLock { $0 = context }
            }
        }
    }

    /// Requests that are being answered get their answer: one of them may be what stops us.
    ///
    /// - Parameter isHandedOver: another process listens there now.
    package func shutdown(isHandedOver: Bool) async {
        self.requests.retire()
        try? await self.channel.close().get()
        let end = NIODeadline.now() + Self.lastAnswers
        while self.requests.count > 0, .now() < end { try? await Task.sleep(for: .milliseconds(5)) }
        if let socket = self.door.config.socket, !isHandedOver { UnixSocket.remove(socket) }
    }
}

/// Requests of the admin API that are not answered yet.
final class RequestCount: Sendable {
    private let value = Atomic<Int>(0)
    private let retired = Atomic<Bool>(false)

    var count: Int { self.value.load(ordering: .relaxed) }
    func begin() { self.value.wrappingAdd(1, ordering: .relaxed) }
    /// Whether requests that still come, on connections that were kept, are another process's.
    var isRetired: Bool { self.retired.load(ordering: .relaxed) }
    func retire() { self.retired.store(true, ordering: .relaxed) }
    func end() { self.value.wrappingSubtract(1, ordering: .relaxed) }
}

/// All that may fail about the admin listener, done: its token, its certificates, its socket, in which connections wait
/// until there is a server.
package struct AdminDoor: Sendable {
    package let config: AdminConfig
    let token: AdminToken
    let tls: CurrentTLS
    let descriptor: CInt

    /// What the next connection is spoken to with; nil for plain.
    final class CurrentTLS: Sendable {
        let context: Mutex<ServerTLS?>

        init(_ context: ServerTLS?) { self.context = Mutex(context) }
    }

    /// - Parameters:
    ///   - adminToken: in place of the one in the file.
    ///   - inherited: a socket that listens already, and the address that it has in the configuration that it is from.
    package static func open(
        _ config: AdminConfig, adminToken: String?, inherited: InheritedSockets.Socket?, logger: Logger? = nil
    ) throws -> AdminDoor {
        let token = try AdminToken.load(file: config.tokenFile, environment: adminToken, logger: logger)
        let tls = CurrentTLS(try config.tls.map { try TLSContexts.make($0, clientCA: config.clientCA) })
        let descriptor: CInt
        let address =
            try config.socket.map { try SocketAddress(unixDomainSocketPath: $0) }
            ?? .makeAddressResolvingHost(config.host, port: config.port)
        if let inherited, inherited.name == config.address {
            try ListeningSocket.check(inherited.descriptor, listensAt: address)
            descriptor = try ListeningSocket.adopt([inherited.descriptor])[0]
        } else if let socket = config.socket {
            descriptor = try UnixSocket.listen(socket)
        } else {
            descriptor = try ListeningSocket.open(address, count: 1, isOurs: false)[0]
        }
        return AdminDoor(config: config, token: token, tls: tls, descriptor: descriptor)
    }
}

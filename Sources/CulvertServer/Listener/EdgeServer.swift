package import CulvertCore
import Glibc
package import Logging
package import NIOCore
package import NIOPosix
import NIOSSL

/// The running edge: its listeners, one socket per event loop each, and everything behind them.
package final class EdgeServer: Sendable {
    /// Where a listener ended up: the port is the system's choice when 0 was asked for.
    package let addresses: [SocketAddress]

    private let edge: EdgeContext
    private let listeners: [any Channel]

    private init(edge: EdgeContext, listeners: [any Channel], addresses: [SocketAddress]) {
        self.edge = edge
        self.listeners = listeners
        self.addresses = addresses
    }

    /// Binds every listener of `config`.
    ///
    /// - Parameters:
    ///   - tokens: those in force at the start; ``apply(_:)`` changes them.
    ///   - changes: what else holds from the start, such as the keys and revocations of JWTs.
    /// - Throws: an unusable certificate, an address that cannot be bound.
    package static func start(
        config: ProxyConfig, tokens: [TokenEntry], changes: [TokenChange] = [], verifyJWT: JWTVerification? = nil,
        group: MultiThreadedEventLoopGroup, pages: StaticPages? = nil, logger: Logger
    ) async throws -> EdgeServer {
        let needed = FileDescriptors.needed(sessions: config.limits.connections)
        if let limit = FileDescriptors.raiseLimit(), limit < needed {
            logger.warning(
                "too few file descriptors for limits.connections",
                metadata: ["limit": .stringConvertible(limit), "needed": .stringConvertible(needed)])
        }
        let rules = try EdgeRules(config: config, verifyJWT: verifyJWT, logger: logger)
        let loops = Array(group.makeIterator())
        var states: [NIOLoopBound<LoopState>] = []
        for (index, loop) in loops.enumerated() {
            states.append(
                try await loop.submit {
                    // Each makes its own: a table that loops share would be copied at the first change.
                    var keyring = TokenKeyring(
                        tokens, expiryGrace: config.authentication.expiryGrace.nanoseconds / 1_000_000_000)
                    for change in changes { keyring.apply(change) }
                    let state = LoopState(
                        loop: loop, index: UInt8(truncatingIfNeeded: index), rules: rules, keyring: keyring)
                    return NIOLoopBound(state, eventLoop: loop)
                }.get())
        }
        let edge = EdgeContext(rules: rules, loops: states, pages: pages, logger: logger)
        var listeners: [any Channel] = []
        var addresses: [SocketAddress] = []
        do {
            for listen in config.listen {
                let tls = try listen.tls.map { try TLSContexts.make($0) }
                try Self.probe(listen)
                var port = listen.port
                for (index, state) in states.enumerated() {
                    let channel = try await Self.bind(host: listen.host, port: port, tls: tls, edge: edge, state: state)
                    listeners.append(channel)
                    guard let address = channel.localAddress else { continue }
                    // The other loops' sockets share the port that the first was given.
                    port = address.port ?? port
                    if index == 0 {
                        addresses.append(address)
                        logger.info(
                            "listening",
                            metadata: ["address": "\(listen.host):\(port)", "tls": .stringConvertible(tls != nil)])
                    }
                }
            }
        } catch {
            for channel in listeners { channel.close(promise: nil) }
            throw error
        }
        for connector in rules.connectors.values { connector.start(on: group) }
        return EdgeServer(edge: edge, listeners: listeners, addresses: addresses)
    }

    /// A listener that could not be opened; names it.
    struct Unusable: Error, CustomStringConvertible {
        var description: String
    }

    private static func probe(_ listen: ListenConfig) throws {
        do {
            try PortProbe.check(SocketAddress.makeAddressResolvingHost(listen.host, port: listen.port))
        } catch {
            let reason = (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
            throw Unusable(description: "listener \(listen.host):\(listen.port): \(reason)")
        }
    }

    /// One listening socket on one loop; the kernel spreads connections over those of the same port.
    private static func bind(
        host: String, port: Int, tls: NIOSSLContext?, edge: EdgeContext, state: NIOLoopBound<LoopState>
    ) async throws -> any Channel {
        let high = max(64 * 1024, min(edge.rules.settings.buffer, 512 * 1024))
        return try await ServerBootstrap(group: state.eventLoop, childGroup: state.eventLoop)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: high / 4, high: high))
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 2048, maximum: 65536)
            )
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try ClientPipeline.configure(channel, tls: tls, edge: edge, state: state.value)
                }
            }
            .bind(host: host, port: port).get()
    }

    /// Hands `changes` to every event loop, in the order of the calls; what is returned waits until they hold there,
    /// for every session there is.
    package func apply(_ changes: [TokenChange]) -> @Sendable () async -> Void {
        let done = self.edge.loops.map { state in
            state.eventLoop.submit { state.value.apply(changes) }
        }
        // Fails only when the loop is shut down, and with it every session.
        return { for future in done { try? await future.get() } }
    }

    package var sessions: EdgeSessions { EdgeSessions(edge: self.edge) }

    package var upstreams: EdgeUpstreams { EdgeUpstreams(edge: self.edge) }

    /// Sessions open or being opened.
    package var openSessions: Int { self.edge.openSessions }

    package var isDraining: Bool { self.edge.isDraining }

    /// Stops accepting, tells every session 1001 on both legs, and returns when the last is gone or at the deadline
    /// for close handshakes, which each session keeps by itself.
    package func shutdown() async {
        self.edge.drain()
        for connector in self.edge.rules.connectors.values { connector.stop() }
        for listener in self.listeners { try? await listener.close().get() }
        let frame = CloseFrame(code: .goingAway, reason: "server going away")
        let done = self.edge.loops.map { state in
            state.eventLoop.flatSubmit { state.value.shutdown(frame) }
        }
        for future in done { try? await future.get() }
    }
}

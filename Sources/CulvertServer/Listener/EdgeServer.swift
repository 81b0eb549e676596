package import CulvertCore
import Glibc
package import Logging
package import NIOCore
package import NIOPosix
import NIOSSL
import Synchronization

/// The running edge: its listeners, one socket per event loop each, and everything behind them.
package final class EdgeServer: Sendable {
    let edge: EdgeContext
    let listeners: Mutex<[EdgeListener]>
    let certificates: CertificateWatch
    let progress = Mutex(DrainProgress())

    private init(edge: EdgeContext, listeners: [EdgeListener], certificates: CertificateWatch) {
        self.edge = edge
        self.listeners = Mutex(listeners)
        self.certificates = certificates
    }

    /// Where listeners ended up: the port is the system's choice when 0 was asked for.
    package var addresses: [SocketAddress] { self.listeners.withLock { $0.map(\.address) } }

    /// Opens every listener of `config`.
    ///
    /// - Parameters:
    ///   - tokens: those in force at the start; ``apply(_:)`` changes them.
    ///   - changes: what else holds from the start, such as the keys and revocations of JWTs.
    ///   - pages: what is served beside the configuration, by path.
    ///   - inherited: sockets that are open already; those that no listener has a use for are closed.
    ///   - beforeAccepting: called when nothing is left to do but that.
    /// - Throws: an unusable certificate, an address that cannot be bound.
    package static func start(
        config: ProxyConfig, tokens: [TokenEntry], changes: [TokenChange] = [], verifyJWT: JWTVerification? = nil,
        group: MultiThreadedEventLoopGroup, pages: [String: StaticFile] = [:],
        inherited: InheritedSockets = InheritedSockets(),
        beforeAccepting: @Sendable () async throws -> Void = {}, logger: Logger
    ) async throws -> EdgeServer {
        let needed = FileDescriptors.needed(sessions: config.limits.connections)
        if let limit = FileDescriptors.raiseLimit(), limit < needed {
            logger.warning(
                "too few file descriptors for limits.connections",
                metadata: ["limit": .stringConvertible(limit), "needed": .stringConvertible(needed)])
        }
        DescriptorBudget.process.update()
        let rules = try EdgeRules(config: config, verifyJWT: verifyJWT, previous: nil, logger: logger)
        let modes = try Self.modes(config.listen.enumerated().map { (id: $0, config: $1) })
        let loops = Array(group.makeIterator())
        var states: [NIOLoopBound<LoopState>] = []
        for (index, loop) in loops.enumerated() {
            states.append(
                try await loop.submit {
                    // Each makes its own: a table that loops share would be copied at the first change.
                    var keyring = TokenKeyring(tokens, expiryGrace: rules.expiryGrace)
                    for change in changes { keyring.apply(change) }
                    let state = LoopState(
                        loop: loop, index: UInt8(truncatingIfNeeded: index), rules: rules, keyring: keyring)
                    state.listeners = modes
                    return NIOLoopBound(state, eventLoop: loop)
                }.get())
        }
        let edge = EdgeContext(rules: rules, group: group, loops: states, pages: pages, logger: logger)
        let listeners = try await self.open(
            config, inherited: inherited, edge: edge, beforeAccepting: beforeAccepting)
        let server = EdgeServer(edge: edge, listeners: listeners, certificates: CertificateWatch(logger: logger))
        await server.watchCertificates()
        rules.start(on: group)
        return server
    }

    /// By the ids of listeners.
    static func modes(_ listeners: [(id: Int, config: ListenConfig)]) throws -> [Int: ListenerMode] {
        var modes: [Int: ListenerMode] = [:]
        for listener in listeners {
            modes[listener.id] = ListenerMode(
                tls: try listener.config.tls.map { try TLSContexts.make($0) },
                proxyProtocol: listener.config.proxyProtocol)
        }
        return modes
    }

    func watchCertificates() async {
        let loops = self.edge.loops
        let watched = self.listeners.withLock(\.self).compactMap { listener in
            listener.config.tls.map { tls in
                let id = listener.id
                return WatchedTLS(listener: listener.config.address, config: tls) { context in
                    for state in loops { state.eventLoop.execute { state.value.listeners[id]?.tls = context } }
                }
            }
        }
        await self.certificates.begin(watched, period: self.edge.rules.config.reload.watch)
    }

    private static func open(
        _ config: ProxyConfig, inherited: InheritedSockets, edge: EdgeContext,
        beforeAccepting: @Sendable () async throws -> Void
    ) async throws -> [EdgeListener] {
        var inherited = inherited
        var sockets: [[CInt]] = []
        var listeners: [EdgeListener] = []
        var given = 0
        do {
            for index in config.listen.indices {
                sockets.append(
                    try EdgeListener.open(
                        index, of: config, loops: edge.loops.count, ports: [], inherited: &inherited))
            }
            try await beforeAccepting()
            for (id, listen) in config.listen.enumerated() {
                given += 1
                listeners.append(try await EdgeListener.accept(listen, id: id, on: sockets[id], edge: edge))
            }
        } catch {
            for listener in listeners { await listener.close() }
            for descriptor in sockets.dropFirst(given).joined() { close(descriptor) }
            throw error
        }
        for listener in listeners { self.log(listener, edge.logger) }
        for name in inherited.closeRest() {
            edge.logger.warning("no listener for a socket that was handed over", metadata: ["address": "\(name)"])
        }
        return listeners
    }

    static func log(_ listener: EdgeListener, _ logger: Logger) {
        let address = "\(listener.config.host):\(listener.address.port ?? listener.config.port)"
        logger.info(
            "listening", metadata: ["address": "\(address)", "tls": .stringConvertible(listener.config.tls != nil)])
    }

    /// Copies of the listening sockets' descriptors, for another process; the caller closes them. A listener may be
    /// closed meanwhile, and its descriptors be something else's.
    ///
    /// - Throws: an `IOError` when there are too few descriptors for all of them: half of them would be half a
    ///   listener.
    package func copySockets() throws -> [(name: String, descriptors: [CInt])] {
        try self.listeners.withLock { listeners in
            var copies: [(name: String, descriptors: [CInt])] = []
            do {
                for listener in listeners {
                    copies.append((name: listener.config.address, descriptors: []))
                    for descriptor in listener.descriptors {
                        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
                        guard copy >= 0 else { throw IOError(errnoCode: errno, reason: "fcntl F_DUPFD_CLOEXEC") }
                        copies[copies.count - 1].descriptors.append(copy)
                    }
                }
            } catch {
                for copy in copies.flatMap(\.descriptors) { close(copy) }
                throw error
            }
            return copies
        }
    }

    /// Hands `changes` to every event loop, in the order of the calls; what is returned waits until they hold there,
    /// for every session there is.
    package func apply(_ changes: [TokenChange]) -> @Sendable () async -> Void {
        let done = self.edge.loops.map { state in
            state.eventLoop.flatSubmit { state.value.apply(changes) }
        }
        // Fails only when the loop is shut down, and with it every session.
        return { for future in done { try? await future.get() } }
    }

    var logger: Logger { self.edge.logger }

    /// Those in effect.
    var rules: EdgeRules { self.edge.rules }

    package var sessions: EdgeSessions { EdgeSessions(edge: self.edge) }

    package var limits: EdgeLimits { EdgeLimits(edge: self.edge) }

    package var upstreams: EdgeUpstreams { EdgeUpstreams(edge: self.edge) }

    package var memory: MemoryInfo { self.edge.memoryInfo }

    /// Sessions open or being opened.
    package var openSessions: Int { self.edge.openSessions }

    /// Whether it still takes new sessions and will go on to.
    package var isReady: Bool { self.edge.isReady }
}

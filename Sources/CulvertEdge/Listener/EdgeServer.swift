package import CulvertConfig
package import CulvertCore
package import CulvertSystem
package import Logging
package import NIOCore
package import NIOPosix

/// The running edge: its listeners and everything behind them. Any task uses it: the process, the admin API, a reload.
package final class EdgeServer: Sendable {
    let edge: EdgeContext
    let listeners: OpenListeners
    package let certificates: CertificateWatch
    private let draining: EdgeDrain

    private init(edge: EdgeContext, listeners: OpenListeners) {
        self.edge = edge
        self.listeners = listeners
        self.certificates = CertificateWatch(logger: edge.logger)
        self.draining = EdgeDrain(edge: edge, listeners: listeners, certificates: self.certificates)
    }

    /// The addresses that are bound. With port 0 in the configuration the system has chosen the port.
    package var addresses: [SocketAddress] { self.listeners.addresses }

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
        let modes = try ListenerPlan.modes(config.listen.enumerated().map { (id: $0, config: $1) })
        let loops = Array(group.makeIterator())
        var states: [NIOLoopBound<LoopState>] = []
        for (index, loop) in loops.enumerated() {
            states.append(
                try await loop.submit {
                    // Each makes its own: a table that loops share would be copied at the first change.
                    var keyring = TokenKeyring(tokens, expiryGrace: rules.expiryGrace)
                    for change in changes { keyring.apply(change) }
                    let state = LoopState(
                        loop: loop, index: UInt8(truncatingIfNeeded: index), loops: loops.count, rules: rules,
                        keyring: keyring)
                    state.listeners = modes
                    return NIOLoopBound(state, eventLoop: loop)
                }.get())
        }
        for state in states { try await state.eventLoop.flatSubmit { state.value.slices.openSignal() }.get() }
        let edge = EdgeContext(rules: rules, group: group, loops: states, pages: pages, logger: logger)
        let listeners = try await OpenListeners.open(
            config, inherited: inherited, edge: edge, beforeAccepting: beforeAccepting)
        let server = EdgeServer(edge: edge, listeners: listeners)
        await server.watchCertificates()
        rules.start(on: group)
        return server
    }

    /// Watches the certificates of the listeners that are open now.
    package func watchCertificates() async {
        await self.certificates.begin(self.listeners.watched, period: self.edge.rules.config.reload.watch)
    }

    /// See ``OpenListeners/copySockets()``.
    package func copySockets() throws -> [(name: String, descriptors: [CInt])] { try self.listeners.copySockets() }

    /// Hands `changes` to every event loop, in the order of the calls; what is returned waits until they hold there,
    /// for every session there is.
    package func apply(_ changes: [TokenChange]) -> @Sendable () async -> Void {
        let done = self.edge.loops.map { state in
            state.eventLoop.flatSubmit { state.value.apply(changes) }
        }
        // Fails only when the loop is shut down, and with it every session.
        return { for future in done { try? await future.get() } }
    }

    /// Returns when every event loop has had a turn.
    package func visitLoops() async {
        await self.edge.onLoops(until: .distantFuture) { $0.loop.makeSucceededVoidFuture() }
    }

    // MARK: - drain

    /// The plan of the configuration in force.
    package var drainPlan: DrainPlan { self.edge.rules.config.drain }

    package var drainProgress: DrainProgress { self.draining.progress }

    /// Closes all sessions by `plan`. Returns after the last one has ended, or at the deadline.
    ///
    /// - Parameter handedOver: set if another process accepts at the listeners; called when this one accepts no more.
    package func drain(_ plan: DrainPlan, handedOver: (@Sendable () -> Void)? = nil) async {
        await self.draining.run(plan, handedOver: handedOver)
    }

    // MARK: - what it is made of

    var logger: Logger { self.edge.logger }

    /// Bounds the lines of the log that come again and again.
    package var notices: Notices { self.edge.notices }

    /// The configuration in force.
    package var config: ProxyConfig { self.edge.rules.config }

    package var sessions: EdgeSessions { EdgeSessions(edge: self.edge) }

    package var limits: EdgeLimits { EdgeLimits(edge: self.edge) }

    package var upstreams: EdgeUpstreams { EdgeUpstreams(edge: self.edge) }

    package var memory: MemoryInfo { self.edge.memoryInfo }

    /// Sessions open or being opened.
    package var openSessions: Int { self.edge.openSessions }

    /// Whether it still takes new sessions and will go on to.
    package var isReady: Bool { self.edge.isReady }
}

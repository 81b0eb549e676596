import CulvertConfig
import CulvertCore
import Glibc
import Logging
import NIOCore
import Synchronization

/// The open listeners of the edge, one socket per event loop each: opens them, replaces them at a reload, hands out
/// copies of their sockets, and closes them. The ``EdgeServer`` owns it; any task uses it, and one at a time changes it.
final class OpenListeners: Sendable {
    private let edge: EdgeContext
    private let listeners: Mutex<[EdgeListener]>

    private init(_ listeners: [EdgeListener], edge: EdgeContext) {
        self.edge = edge
        self.listeners = Mutex(listeners)
    }

    var addresses: [SocketAddress] { self.listeners.withLock { $0.map(\.address) } }

    /// What is watched of the listeners with TLS. All loops get their new certificates.
    var watched: [WatchedTLS] {
        let loops = self.edge.loops
        return self.listeners.withLock(\.self).compactMap { listener in
            listener.config.tls.map { tls in
                let id = listener.id
                return WatchedTLS(listener: listener.config.address, config: tls) { context in
                    for state in loops { state.eventLoop.execute { state.value.listeners[id]?.tls = context } }
                }
            }
        }
    }

    /// Opens every listener of `config`.
    ///
    /// - Parameters:
    ///   - inherited: sockets that are open already; those that no listener has a use for are closed.
    ///   - beforeAccepting: called when nothing is left to do but that.
    /// - Throws: an address that cannot be bound.
    static func open(
        _ config: ProxyConfig, inherited: InheritedSockets, edge: EdgeContext,
        beforeAccepting: @Sendable () async throws -> Void
    ) async throws -> OpenListeners {
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
            for descriptor in sockets.dropFirst(given).joined() { Glibc.close(descriptor) }
            throw error
        }
        for listener in listeners { self.log(listener, edge.logger) }
        for name in inherited.closeRest() {
            edge.logger.warning("no listener for a socket that was handed over", metadata: ["address": "\(name)"])
        }
        return OpenListeners(listeners, edge: edge)
    }

    private static func log(_ listener: EdgeListener, _ logger: Logger) {
        let address = "\(listener.config.host):\(listener.address.port ?? listener.config.port)"
        logger.info(
            "listening", metadata: ["address": "\(address)", "tls": .stringConvertible(listener.config.tls != nil)])
    }

    /// Copies of the listening sockets' descriptors, for another process; the caller closes them. A listener may be
    /// closed meanwhile, and its descriptors be something else's.
    ///
    /// - Throws: an `IOError` when there are too few descriptors for all of them: half of them would be half a
    ///   listener.
    func copySockets() throws -> [(name: String, descriptors: [CInt])] {
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
                for copy in copies.flatMap(\.descriptors) { Glibc.close(copy) }
                throw error
            }
            return copies
        }
    }

    /// Closes them all; a connection that is accepted goes on.
    func close() async {
        let listeners = self.listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        for listener in listeners { await listener.close() }
    }

    // MARK: - reload

    /// Opens what the listeners of `config` need that are not open yet. Nobody can notice it.
    ///
    /// - Throws: an unusable certificate, an address that cannot be bound.
    func plan(_ config: ProxyConfig) throws -> ListenerPlan {
        let open = self.listeners.withLock(\.self)
        var nextID = (open.map(\.id).max() ?? -1) + 1
        var rest = open
        let ports = Set(open.compactMap(\.address.port))
        let ids: [Int?] = config.listen.map { listen in
            guard let index = rest.firstIndex(where: { $0.config.address == listen.address }) else { return nil }
            return rest.remove(at: index).id
        }
        let named = zip(ids, config.listen).map { id, listen -> (id: Int, config: ListenConfig, isNew: Bool) in
            if let id { return (id, listen, false) }
            nextID += 1
            return (nextID - 1, listen, true)
        }
        // Before the sockets: it leaves nothing behind.
        let modes = try ListenerPlan.modes(named.map { (id: $0.id, config: $0.config) })
        var listeners: [(id: Int, config: ListenConfig, sockets: [CInt])] = []
        var none = InheritedSockets()
        do {
            for (index, entry) in named.enumerated() {
                let sockets =
                    entry.isNew
                    ? try EdgeListener.open(
                        index, of: config, loops: self.edge.loops.count, ports: ports, inherited: &none) : []
                listeners.append((entry.id, entry.config, sockets))
            }
        } catch {
            for descriptor in listeners.flatMap(\.sockets) { Glibc.close(descriptor) }
            throw error
        }
        return ListenerPlan(modes: modes, listeners: listeners)
    }

    /// The addresses of the listeners that ``change(by:)`` would open, and close.
    func changes(by plan: ListenerPlan) -> (added: [String], closed: [String]) {
        let ids = Set(plan.listeners.map(\.id))
        let added = plan.listeners.filter { !$0.sockets.isEmpty }.map(\.config.address)
        let closed = self.listeners.withLock(\.self).filter { !ids.contains($0.id) }.map(\.config.address)
        return (added, closed)
    }

    /// Accepts at the new listeners, and closes those that the plan does not have.
    func change(by plan: ListenerPlan) async {
        let open = Dictionary(self.listeners.withLock(\.self).map { ($0.id, $0) }) { first, _ in first }
        var listeners: [EdgeListener] = []
        for entry in plan.listeners {
            if var listener = open[entry.id] {
                listener.config = entry.config
                listeners.append(listener)
                continue
            }
            do {
                let listener = try await EdgeListener.accept(
                    entry.config, id: entry.id, on: entry.sockets, edge: self.edge)
                Self.log(listener, self.edge.logger)
                listeners.append(listener)
            } catch {
                // The socket is bound and listens: only a process that can do nothing any more comes here.
                self.edge.logger.error(
                    "listener failed",
                    metadata: ["address": "\(entry.config.address)", "reason": "\(BindFault.words(error))"])
            }
        }
        let ids = Set(listeners.map(\.id))
        self.listeners.withLock { $0 = listeners }
        for listener in open.values where !ids.contains(listener.id) {
            await listener.close()
            self.edge.logger.info("no longer listening", metadata: ["address": "\(listener.config.address)"])
        }
    }
}

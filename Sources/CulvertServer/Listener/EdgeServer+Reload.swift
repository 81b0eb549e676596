package import CulvertCore
import Glibc
import NIOCore
import Logging
import Synchronization

/// What a reload came to.
package struct ReloadOutcome: Sendable, Equatable {
    /// Sessions that go on, and those that the new configuration or token tables have no place for.
    package var kept = 0
    package var closed = 0
    package var listenersAdded: [String] = []
    package var listenersClosed: [String] = []
}

/// One configuration after another, for everybody or for nobody.
extension EdgeServer {
    /// Everything that may fail has been done: sockets are open, certificates loaded, upstreams set up.
    package struct Prepared: Sendable {
        let rules: EdgeRules
        let modes: [Int: ListenerMode]
        /// Each with its id and, when it is new, its sockets.
        let listeners: [(id: Int, config: ListenConfig, sockets: [CInt])]
    }

    /// Changes nothing that anybody could notice.
    ///
    /// - Throws: an unusable certificate, an address that cannot be bound.
    package func prepare(_ config: ProxyConfig, verifyJWT: JWTVerification?) throws -> Prepared {
        let rules = try EdgeRules(
            config: config, verifyJWT: verifyJWT, previous: self.edge.rules, logger: self.edge.logger)
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
        let modes = try Self.modes(named.map { (id: $0.id, config: $0.config) })
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
            for descriptor in listeners.flatMap(\.sockets) { close(descriptor) }
            throw error
        }
        return Prepared(rules: rules, modes: modes, listeners: listeners)
    }

    package func abandon(_ prepared: Prepared) {
        for descriptor in prepared.listeners.flatMap(\.sockets) { close(descriptor) }
    }

    /// What ``commit(_:changes:)`` would answer now.
    package func forecast(_ prepared: Prepared, changes: [TokenChange]) async -> ReloadOutcome {
        var outcome = self.listenerChanges(prepared)
        for state in self.edge.loops {
            let counts = try? await state.eventLoop.flatSubmit {
                state.value.forecast(rules: prepared.rules, changes: changes)
            }.get()
            outcome.kept += counts?.kept ?? 0
            outcome.closed += counts?.closed ?? 0
        }
        return outcome
    }

    private func listenerChanges(_ prepared: Prepared) -> ReloadOutcome {
        let ids = Set(prepared.listeners.map(\.id))
        var outcome = ReloadOutcome()
        outcome.listenersAdded = prepared.listeners.filter { !$0.sockets.isEmpty }.map(\.config.address)
        outcome.listenersClosed = self.listeners.withLock(\.self).filter { !ids.contains($0.id) }.map(\.config.address)
        return outcome
    }

    /// Every loop changes over in one turn: there is no request that sees half of it. The sessions that are open are
    /// judged in the turns behind that.
    ///
    /// - Parameter changes: of the tokens in the file.
    package func commit(_ prepared: Prepared, changes: [TokenChange]) async -> ReloadOutcome {
        var outcome = self.listenerChanges(prepared)
        let previous = self.edge.replace(prepared.rules)
        let done = self.edge.loops.map { state in
            state.eventLoop.flatSubmit {
                state.value.listeners = prepared.modes
                return state.value.apply(rules: prepared.rules, changes: changes)
            }
        }
        for future in done {
            let counts = try? await future.get()
            outcome.kept += counts?.kept ?? 0
            outcome.closed += counts?.closed ?? 0
        }
        // Checks first: a verdict of before must not come behind those that are made from now on.
        previous.stopChecks()
        prepared.rules.start(on: self.edge.group)
        previous.stop()
        self.edge.relieveMemory()
        await self.changeListeners(prepared)
        await self.watchCertificates()
        return outcome
    }

    private func changeListeners(_ prepared: Prepared) async {
        let open = Dictionary(self.listeners.withLock(\.self).map { ($0.id, $0) }) { first, _ in first }
        var listeners: [EdgeListener] = []
        for entry in prepared.listeners {
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

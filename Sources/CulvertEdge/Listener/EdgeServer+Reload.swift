package import CulvertConfig
package import CulvertCore
import NIOCore

/// The result of a reload.
package struct ReloadOutcome: Sendable, Equatable {
    /// Sessions that go on, and those that the new configuration or token tables have no place for.
    package var kept = 0
    package var closed = 0
    package var listenersAdded: [String] = []
    package var listenersClosed: [String] = []

    package init() {}
}

/// Replaces the configuration: all of it takes effect, or nothing.
extension EdgeServer {
    /// Everything that may fail has been done: sockets are open, certificates loaded, upstreams set up.
    package struct Prepared: Sendable {
        let rules: EdgeRules
        let listeners: ListenerPlan
    }

    /// Prepares a reload without any change that a client or an operator could notice.
    ///
    /// - Throws: an unusable certificate, an address that cannot be bound.
    package func prepare(_ config: ProxyConfig, verifyJWT: JWTVerification?) throws -> Prepared {
        let rules = try EdgeRules(
            config: config, verifyJWT: verifyJWT, previous: self.edge.rules, logger: self.edge.logger)
        return Prepared(rules: rules, listeners: try self.listeners.plan(config))
    }

    package func abandon(_ prepared: Prepared) { prepared.listeners.abandon() }

    /// The result that ``commit(_:changes:)`` would have now.
    package func forecast(_ prepared: Prepared, changes: [TokenChange]) async -> ReloadOutcome {
        var outcome = ReloadOutcome()
        (outcome.listenersAdded, outcome.listenersClosed) = self.listeners.changes(by: prepared.listeners)
        for state in self.edge.loops {
            let counts = try? await state.eventLoop.flatSubmit {
                state.value.forecast(rules: prepared.rules, changes: changes)
            }.get()
            outcome.kept += counts?.kept ?? 0
            outcome.closed += counts?.closed ?? 0
        }
        return outcome
    }

    /// Each loop takes the configuration in one turn, so no request sees half of it. Open sessions are judged in later
    /// turns. The caller calls ``watchCertificates()`` next.
    ///
    /// - Parameter changes: of the tokens in the file.
    package func commit(_ prepared: Prepared, changes: [TokenChange]) async -> ReloadOutcome {
        var outcome = ReloadOutcome()
        (outcome.listenersAdded, outcome.listenersClosed) = self.listeners.changes(by: prepared.listeners)
        let previous = self.edge.replace(prepared.rules)
        let done = self.edge.loops.map { state in
            state.eventLoop.flatSubmit {
                state.value.listeners = prepared.listeners.modes
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
        await self.listeners.change(by: prepared.listeners)
        return outcome
    }
}

import CulvertCore
import Logging
import NIOCore

/// How many sessions of a loop a change of the configuration leaves.
struct Judgement: Sendable {
    var kept = 0
    var closed = 0
}

/// An open session under a configuration that it was not opened with.
extension Session {
    /// Whether nothing has begun to end it.
    var isOpen: Bool { !self.isEnded && self.machine.closing.ending == nil }

    /// The route that it has under `rules`; nil when there is no place for it: route, origin, transport or token would
    /// not open it now, or it leads to a server that is no more.
    func route(under rules: EdgeRules, keyring: TokenKeyring, haveJWTRulesChanged: Bool) -> Route? {
        let token = self.credential.flatMap { keyring.current($0)?.token }
        // Its claims were looked at once, under other rules, and are not here any more.
        if haveJWTRulesChanged, token?.source == .jwt { return nil }
        guard
            let route = rules.gate.stillAdmits(
                host: self.facts.host, path: self.facts.basePath, origins: self.facts.origins,
                transport: self.transport, token: token),
            route.succeeds(self.facts.route, isAnonymous: self.credential == nil)
        else { return nil }
        let servers = rules.connectors[route.upstream]?.pool.servers ?? []
        return servers.contains { $0.config.url == self.lease.server.config.url } ? route : nil
    }

    func adopt(_ rules: EdgeRules, haveJWTRulesChanged: Bool) {
        self.reviewCredential()
        guard self.isOpen else { return }
        guard
            let route = self.route(
                under: rules, keyring: self.state.keyring, haveJWTRulesChanged: haveJWTRulesChanged)
        else {
            let reason = "configuration changed"
            self.dismiss(CloseFrame(code: rules.config.reload.closeCode, reason: reason), upstreamReason: reason)
            return
        }
        self.facts.route = route
        self.machine.adopt(rules.settings)
        guard self.isPolled else { return }
        // Its window may be full by the new measure, or no longer.
        if self.machine.isSendWindowFull {
            self.upstreamLeg.pause(.windowFull)
            self.noteWindow()
        } else {
            self.resumeUpstream()
            self.deliverReady()
        }
    }
}

extension LoopState {
    /// The tables, and what tokens entitle to, change in one turn of the loop. The sessions are judged by the routes in
    /// slices, because each costs the length of its path. A session that has not been judged yet goes on as before.
    ///
    /// - Parameter changes: of the tokens that stand in the configuration, and of keys.
    func apply(rules: EdgeRules, changes: [TokenChange]) -> EventLoopFuture<Judgement> {
        let haveJWTRulesChanged = Self.haveJWTRulesChanged(self.rules, rules)
        self.setRules(rules)
        self.keyring.expiryGrace = rules.expiryGrace
        if haveJWTRulesChanged { self.keyring.forgetVerified() }
        var judgement = Judgement()
        func judge(_ session: Session, _ review: () -> Void) {
            guard session.isOpen else { return }
            review()
            if !session.isOpen { judgement.closed += 1 }
        }
        // The sessions of a token that was taken away go first, the first of them now. There may be thousands.
        let changed = self.take(changes)
        for session in changed.prefix(Self.obeyAtOnce) { judge(session) { session.reviewCredential() } }
        let reviewed = self.inSlices(Array(changed.dropFirst(Self.obeyAtOnce))) { session in
            if let session { judge(session) { session.reviewCredential() } }
        }
        return reviewed.assumeIsolated().flatMap {
            self.inSlices(Array(self.sessions.values)) { session in
                if let session {
                    judge(session) {
                        session.adopt(rules, haveJWTRulesChanged: haveJWTRulesChanged)
                        if session.isOpen { judgement.kept += 1 }
                    }
                    session.reviewCallers(.rules(haveJWTRulesChanged: haveJWTRulesChanged))
                }
                return judgement
            }
        }
        .nonisolated()
    }

    /// What ``apply(rules:changes:)`` would come to.
    func forecast(rules: EdgeRules, changes: [TokenChange]) -> EventLoopFuture<Judgement> {
        let haveJWTRulesChanged = Self.haveJWTRulesChanged(self.rules, rules)
        var keyring = self.keyring
        keyring.expiryGrace = rules.expiryGrace
        for change in changes { keyring.apply(change) }
        let now = Clock.unixSeconds()
        var judgement = Judgement()
        return self.inSlices(Array(self.sessions.values)) { session in
            guard let session, session.isOpen else { return judgement }
            let fault = session.credential.flatMap { keyring.fault(of: $0, now: now, isOpening: false) }
            if fault == nil,
                session.route(under: rules, keyring: keyring, haveJWTRulesChanged: haveJWTRulesChanged) != nil
            {
                judgement.kept += 1
            } else {
                judgement.closed += 1
            }
            return judgement
        }
    }

    static func haveJWTRulesChanged(_ old: EdgeRules, _ new: EdgeRules) -> Bool {
        let (old, new) = (old.config.authentication.jwt, new.config.authentication.jwt)
        return old != nil && old?.rules != new?.rules
    }
}

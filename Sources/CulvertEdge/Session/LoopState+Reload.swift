import CulvertCore
import CulvertSystem
import NIOCore

/// What changes of tokens and of the configuration do to the sessions of a loop.
extension LoopState {
    /// Changes the tables, and has the sessions obey. The first sessions obey in this turn of the loop. A token may
    /// have thousands of sessions, so the others obey in slices.
    ///
    /// - Returns: done when all sessions have obeyed.
    @discardableResult
    func apply(_ changes: [TokenChange]) -> EventLoopFuture<Void> {
        var sessions = self.take(changes)
        for _ in 0..<min(LoopSlices.visitsAtOnce, sessions.count) { sessions.removeLast().reviewEntitlement() }
        guard !sessions.isEmpty else { return self.loop.makeSucceededVoidFuture() }
        return self.slices.visit(sessions) { session in if let session { session.reviewEntitlement() } }
    }

    /// Changes the tables alone.
    ///
    /// - Returns: the sessions whose tokens the changes are about, or those of their callers.
    private func take(_ changes: [TokenChange]) -> [Session] {
        self.sessions.sessions(with: ChangedTokens(changes, to: &self.keyring))
    }

    /// The tables, and what tokens entitle to, change in one turn of the loop. The sessions are judged by the routes in
    /// slices, because each costs the length of its path. A session that has not been judged yet goes on as before.
    ///
    /// - Parameter changes: of the tokens that stand in the configuration, and of keys.
    func apply(rules: EdgeRules, changes: [TokenChange]) -> EventLoopFuture<Judgement> {
        let haveJWTRulesChanged = rules.haveJWTRulesChanged(since: self.rules)
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
        for session in changed.prefix(LoopSlices.visitsAtOnce) { judge(session) { session.reviewCredential() } }
        let reviewed = self.slices.visit(Array(changed.dropFirst(LoopSlices.visitsAtOnce))) { session in
            if let session { judge(session) { session.reviewCredential() } }
        }
        return reviewed.assumeIsolated().flatMap {
            self.slices.visit(Array(self.sessions.all.values)) { session in
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
        let haveJWTRulesChanged = rules.haveJWTRulesChanged(since: self.rules)
        var keyring = self.keyring
        keyring.expiryGrace = rules.expiryGrace
        for change in changes { keyring.apply(change) }
        let now = Clock.unixSeconds()
        var judgement = Judgement()
        return self.slices.visit(Array(self.sessions.all.values)) { session in
            guard let session, session.isOpen else { return judgement }
            let fault = session.credential.flatMap { keyring.fault(of: $0, now: now, isOpening: false) }
            if fault == nil,
                rules.route(of: session, keyring: keyring, haveJWTRulesChanged: haveJWTRulesChanged) != nil
            {
                judgement.kept += 1
            } else {
                judgement.closed += 1
            }
            return judgement
        }
    }
}

/// The numbers of a loop's sessions that a change of the configuration keeps and closes.
struct Judgement: Sendable {
    var kept = 0
    var closed = 0
}

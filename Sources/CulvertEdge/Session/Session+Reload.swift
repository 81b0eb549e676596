import CulvertConfig
import CulvertCore

extension EdgeRules {
    /// The route of a session under these rules. Nil when route, origin, transport or token would not open the session
    /// now, or when the route's upstream has no such server any more.
    func route(of session: Session, keyring: TokenKeyring, haveJWTRulesChanged: Bool) -> Route? {
        let token = session.credential.flatMap { keyring.current($0)?.token }
        // The token's claims were checked once, under other rules, and are not kept.
        if haveJWTRulesChanged, token?.source == .jwt { return nil }
        guard
            let route = self.gate.stillAdmits(
                host: session.facts.host, path: session.facts.basePath, origins: session.facts.origins,
                transport: session.transport, token: token),
            route.succeeds(session.facts.route, isAnonymous: session.credential == nil)
        else { return nil }
        let servers = self.connectors[route.upstream]?.pool.servers ?? []
        return servers.contains { $0.config.url == session.lease.server.config.url } ? route : nil
    }

    /// Whether JWTs were judged by other rules than these, under `old`.
    func haveJWTRulesChanged(since old: EdgeRules) -> Bool {
        let (old, new) = (old.config.authentication.jwtRules, self.config.authentication.jwtRules)
        return old != nil && old != new
    }
}

extension Session {
    /// Applies a configuration that the session was not opened with. The session goes on under it, or ends.
    final func adopt(_ rules: EdgeRules, haveJWTRulesChanged: Bool) {
        self.reviewCredential()
        guard self.isOpen else { return }
        guard
            let route = rules.route(
                of: self, keyring: self.state.keyring, haveJWTRulesChanged: haveJWTRulesChanged)
        else {
            let reason = "configuration changed"
            self.dismiss(CloseFrame(code: rules.config.reload.closeCode, reason: reason), upstreamReason: reason)
            return
        }
        self.facts.route = route
        self.adopt(rules.settings)
    }
}

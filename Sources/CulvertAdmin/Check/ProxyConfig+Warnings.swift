package import CulvertConfig
import CulvertCore
import CulvertEdge
import CulvertSystem
import CulvertTokens
package import Logging

extension ProxyConfig {
    /// The places of a valid configuration that are probably mistakes. `culvert check` prints them, and a start and a
    /// reload log them. Reads the files of certificates.
    ///
    /// - Parameter now: Unix seconds.
    package func warnings(now: Int64) -> [ConfigError] {
        var warnings = ConfigWarnings(places: self.places, now: now)
        let prefixes = self.routes.compactMap { try? PathPrefix($0.path) }
        for (index, token) in self.authentication.tokens.enumerated() {
            warnings.add(token)
            warnings.addRoutes(of: token.token, "authentication.tokens[\(index)].routes", among: prefixes)
        }
        if let jwt = self.authentication.jwt { warnings.add(jwt, "authentication.jwt") }
        var served: [CertificateLook] = []
        for (index, listen) in self.listen.enumerated() {
            served += warnings.add(listen.tls?.certificates ?? [], "listen[\(index)].tls")
        }
        _ = warnings.add(self.admin?.tls?.certificates ?? [], "admin.tls")
        if let ca = self.admin?.clientCA { warnings.addAuthorities(ca, "admin.client_ca") }
        if let admin = self.admin { warnings.add(admin) }
        for (name, upstream) in self.upstreams {
            warnings.add(upstream, "upstreams.\(name)", beside: self.listen)
        }
        for (index, route) in self.routes.enumerated() {
            warnings.add(route, "routes[\(index)]", served: served, carriers: self.authentication.carriers)
        }
        if let closed = self.routeWithoutTokens {
            warnings.warn(
                "routes[\(closed)]",
                "nobody can open this route: it asks for a token, and there are none (no authentication.tokens, no "
                    + "authentication.jwt, and no state for minted tokens); configure tokens, or write "
                    + "\"authentication: none\"")
        }
        let used = Set(self.routes.map(\.upstream))
        for name in self.upstreams.keys where !used.contains(name) {
            warnings.warn("upstreams.\(name)", "no route uses this upstream; name it in a route, or take it out")
        }
        for (index, block) in self.trustedProxies.enumerated() {
            warnings.add(block, "trusted_proxies[\(index)]")
        }
        return warnings.found.inOrder
    }

    /// The index of the first route that asks for a token, where there can be no token. Only a database may hold minted
    /// tokens, and keys of JWTs that operators have added.
    private var routeWithoutTokens: Int? {
        let jwt = self.authentication.jwt
        let hasKeys = jwt.map { !$0.keys.isEmpty || !$0.sets.isEmpty } ?? false
        guard self.state == nil, self.authentication.tokens.isEmpty, !hasKeys else { return nil }
        return self.routes.firstIndex(where: \.authenticationRequired)
    }

    /// Logs a line for each of ``warnings(now:)``.
    package func logWarnings(to logger: Logger) {
        for warning in self.warnings(now: Clock.unixSeconds()) {
            logger.warning(
                "configuration warning",
                metadata: [
                    "place": "\(warning.file):\(warning.line):\(warning.column)", "key": "\(warning.keyPath)",
                    "reason": "\(warning.message)",
                ])
        }
    }
}

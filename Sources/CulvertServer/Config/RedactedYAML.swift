import CulvertCore
import Foundation
import Logging
import NIOCore

extension ProxyConfig {
    /// The configuration in effect, defaults filled in. Digests are left out: who has one may try tokens against it
    /// without asking us.
    package func redactedYAML() -> String {
        var out = "listen:\n"
        for listen in self.listen {
            let host = listen.host.contains(":") ? "[\(listen.host)]" : listen.host
            out += "  - address: \(quote("\(host):\(listen.port)"))\n"
            if let tls = listen.tls { out += self.yaml(tls, indent: "    ") }
            out += "    proxy_protocol: \(listen.proxyProtocol)\n"
        }
        out += "routes:\n"
        for route in self.routes {
            out += "  - path: \(quote(route.path))\n"
            if let host = route.host { out += "    host: \(quote(host))\n" }
            out += "    upstream: \(quote(route.upstream))\n    origins:\n"
            out += "      allow: [\(route.origins.allow.map { quote($0.description) }.joined(separator: ", "))]\n"
            out += "      missing: \(route.origins.missing.rawValue)\n"
            out += "    authentication: \(route.authenticationRequired ? "required" : "none")\n"
            if let carriers = route.carriers {
                out += "    carriers: { \(self.yaml(carriers).joined(separator: ", ")) }\n"
            }
            let transports = Transport.allCases.filter(route.transports.contains).map(\.rawValue)
            out += "    transports: [\(transports.joined(separator: ", "))]\n"
            out += "    validate_text: \(route.validateText)\n"
            out += self.yaml(limitsOf: route)
        }
        out += self.redactedAuthentication()
        out += "upstreams:\n"
        for (name, upstream) in self.upstreams.sorted(by: { $0.key < $1.key }) {
            out += "  \(quote(name)):\n    servers:\n"
            for server in upstream.servers {
                out += "      - { url: \(quote(server.url)), weight: \(server.weight)"
                out += server.maxSessions.map { ", max_sessions: \($0)" } ?? ""
                out += " }\n"
            }
            out += self.yaml(upstream.balance)
            out += "    retries: \(upstream.retries)\n"
            let eject = upstream.ejection
            out += "    eject: { failures: \(eject.failures ?? 0), time: \(ConfigUnits.text(eject.time))"
            out += ", longest: \(ConfigUnits.text(eject.longest))"
            out += ", slow_start: \(ConfigUnits.text(eject.slowStart)) }\n"
            out += "    connect_timeout: \(ConfigUnits.text(upstream.connectTimeout))\n"
            if let idle = upstream.idleTimeout { out += "    idle_timeout: \(ConfigUnits.text(idle))\n" }
            if let ca = upstream.ca { out += "    ca: \(quote(ca))\n" }
            if let version = upstream.proxyProtocol { out += "    proxy_protocol: \(version.rawValue)\n" }
            out += self.options(upstream)
        }
        out += "session:\n  hold: \(ConfigUnits.text(self.session.hold))\n"
        out += "  resume: \(ConfigUnits.text(self.session.resume))\n  ping: \(ConfigUnits.text(self.session.ping))\n"
        out += "  buffer: \(ConfigUnits.text(size: self.session.buffer))\n"
        out += "  stall: \(self.session.stall.map(ConfigUnits.text) ?? "none")\n"
        out += self.redactedLimits()
        out += self.redactedAdmin()
        out += "state: \(quote(self.state ?? "none"))\n"
        out += "trusted_proxies: [\(self.trustedProxies.map { quote($0.description) }.joined(separator: ", "))]\n"
        out += "reload: { close_code: \(self.reload.closeCode.rawValue)"
        out += ", watch: \(ConfigUnits.text(self.reload.watch ?? .zero)) }\n"
        out += "drain: { delay: \(ConfigUnits.text(self.drain.delay)), spread: \(ConfigUnits.text(self.drain.spread))"
        out += ", deadline: \(ConfigUnits.text(self.drain.deadline)), code: \(self.drain.code.rawValue) }\n"
        if let takeover = self.takeover { out += "takeover: \(quote(takeover))\n" }
        if let client = self.client { out += "client: \(quote(client.module))\n" }
        out += "log:\n  format: \(self.log.format.rawValue)\n  level: \(self.log.level.rawValue)\n"
        return out
    }

    private func redactedLimits() -> String {
        var out = "limits:\n  connections: \(self.limits.connections)\n"
        out += "  message: \(self.limits.message.yaml)\n"
        out += "  handshake: \(ConfigUnits.text(self.limits.handshake))\n"
        out += "  header: \(ConfigUnits.text(size: self.limits.header))\n"
        let scopes = [
            ("process", self.limits.process), ("address", self.limits.address), ("token", self.limits.token),
            ("route", self.limits.route),
        ]
        for (name, limits) in scopes where !limits.isEmpty { out += "  \(name): \(self.yaml(limits))\n" }
        let http = self.limits.http
        out += "  http:\n    first_byte: \(ConfigUnits.text(http.firstByte))\n"
        out += "    body_rate: \(ConfigUnits.text(size: http.bodyRate))\n    requests: \(http.requests)\n"
        out += "    idle: \(ConfigUnits.text(http.idle))\n"
        if let parked = http.parked { out += "    parked: \(parked)\n" }
        if let memory = self.limits.memory { out += "  memory: \(ConfigUnits.text(size: memory))\n" }
        return out + self.limits.session.yaml
    }

    private func yaml(_ carriers: CarrierNames) -> [String] {
        [
            "authorization: \(carriers.authorization)",
            "query_parameter: \(quote(carriers.queryParameter ?? "none"))",
            "cookie: \(quote(carriers.cookie ?? "none"))", "subprotocol: \(carriers.subprotocol)",
        ]
    }

    private func yaml(limitsOf route: Route) -> String {
        var members = self.members(route.limits)
        if route.message != self.limits.message { members.append("message: \(route.message.yaml)") }
        return members.isEmpty ? "" : "    limits: { \(members.joined(separator: ", ")) }\n"
    }

    private func yaml(_ limits: AdmissionLimits) -> String {
        "{ " + self.members(limits).joined(separator: ", ") + " }"
    }

    private func members(_ limits: AdmissionLimits) -> [String] {
        var members = limits.sessions.map { ["sessions: \($0)"] } ?? []
        if let rate = limits.rate { members += ["rate: \(rate.rate)", "burst: \(rate.burst)"] }
        if let handshakes = limits.handshakes { members.append("handshakes: \(handshakes)") }
        return members
    }

    private func options(_ upstream: UpstreamConfig) -> String {
        var out = "    handshake_timeout: \(ConfigUnits.text(upstream.handshakeTimeout))\n"
        if let name = upstream.serverName { out += "    sni: \(quote(name))\n" }
        if let pair = upstream.clientCertificate {
            out += "    client_certificate: "
            out += "{ certificate: \(quote(pair.certificate)), key: \(quote(pair.key)) }\n"
        }
        if let queue = upstream.queue {
            out += "    queue: { size: \(queue.size), timeout: \(ConfigUnits.text(queue.timeout)) }\n"
        }
        guard let health = upstream.health else { return out }
        var members = ["type: \(health.kind.rawValue)"]
        if health.kind != .tcp {
            members.append("path: \(quote(health.path))")
            if let host = health.host { members.append("host: \(quote(host))") }
        }
        members += ["interval: \(ConfigUnits.text(health.interval))", "timeout: \(ConfigUnits.text(health.timeout))"]
        members += ["rise: \(health.rise)", "fall: \(health.fall)"]
        if health.kind == .webSocket { members.append("ping: \(health.ping)") }
        if let status = health.status { members.append("status: \(status)") }
        return out + "    health: { \(members.joined(separator: ", ")) }\n"
    }

    private func yaml(_ balance: BalancePolicy) -> String {
        switch balance {
        case .leastSessions: return "    balance: least_sessions\n"
        case .roundRobin: return "    balance: round_robin\n"
        case .consistentHash(let key):
            let text =
                switch key {
                case .subject: "subject"
                case .address: "address"
                case .header(let name): "header:\(name)"
                case .query(let name): "query:\(name)"
                }
            return "    balance: consistent_hash\n    hash_by: \(quote(text))\n"
        }
    }

    private func yaml(_ tls: TLSConfig, indent: String) -> String {
        var out = "\(indent)tls:\n\(indent)  certificates:\n"
        for pair in tls.certificates {
            out += "\(indent)    - { certificate: \(quote(pair.certificate)), key: \(quote(pair.key)) }\n"
        }
        out += "\(indent)  minimum_version: \(quote(tls.minimumVersion.rawValue))\n"
        guard let hsts = tls.hsts else { return out }
        return out + "\(indent)  hsts: { max_age: \(ConfigUnits.text(hsts.maxAge)), "
            + "include_subdomains: \(hsts.includeSubdomains), preload: \(hsts.preload) }\n"
    }

    private func redactedAdmin() -> String {
        guard let admin = self.admin else { return "admin:\n  address: none\n" }
        var out = "admin:\n  address: \(quote(admin.address))\n"
        if let tls = admin.tls { out += self.yaml(tls, indent: "  ") }
        if let ca = admin.clientCA { out += "  client_ca: \(quote(ca))\n" }
        out += "  hosts: [\(admin.hosts.map(quote).joined(separator: ", "))]\n"
        return out + "  token_file: \(quote(admin.tokenFile))\n"
    }

    private func redactedAuthentication() -> String {
        var out = "authentication:\n  tokens:\(self.authentication.tokens.isEmpty ? " []" : "")\n"
        for token in self.authentication.tokens.map(\.token) {
            out += "    - { id: \(quote(token.id)), sha256: \"(redacted)\", subject: \(quote(token.subject))"
            out += ", routes: [\(token.routes.map(quote).joined(separator: ", "))]"
            if let expires = token.expires {
                out += ", expires: \(UnixTime.text(expires))"
            }
            out += " }\n"
        }
        for member in self.yaml(self.authentication.carriers) { out += "  \(member)\n" }
        out += "  identity_header: \(quote(self.authentication.identityHeader))\n"
        out += "  close_code: \(self.authentication.closeCode.rawValue)\n"
        out += "  expiry_grace: \(ConfigUnits.text(self.authentication.expiryGrace))\n"
        return out + (self.authentication.jwt.map(self.redacted) ?? "")
    }

    private func redacted(_ jwt: JWTConfig) -> String {
        func list(_ texts: [String]) -> String { "[" + texts.map(quote).joined(separator: ", ") + "]" }
        var out = "  jwt:\n"
        if !jwt.rules.issuers.isEmpty { out += "    issuer: \(list(jwt.rules.issuers))\n" }
        if !jwt.rules.audiences.isEmpty { out += "    audience: \(list(jwt.rules.audiences))\n" }
        out += "    leeway: \(jwt.rules.leeway)s\n    keys:\(jwt.keys.isEmpty ? " []" : "")\n"
        for key in jwt.keys { out += "      - { \(self.redacted(key)) }\n" }
        out += "    jwks:\(jwt.sets.isEmpty ? " []" : "")\n"
        for set in jwt.sets {
            switch set.place {
            case .file(let path): out += "      - file: \(quote(path))\n"
            case .url(let url, let ca):
                out += "      - url: \(quote(set.name + (url.contains("?") ? "?(redacted)" : "")))\n"
                if let ca { out += "        ca: \(quote(ca))\n" }
            }
            out += "        refresh: \(ConfigUnits.text(set.refresh))\n"
            out += "        cooldown: \(ConfigUnits.text(set.cooldown))\n"
            out += "        timeout: \(ConfigUnits.text(set.timeout))\n"
        }
        out += "    claims: { routes: \(quote(jwt.rules.routesClaim)), origins: \(quote(jwt.rules.originsClaim)) }\n"
        return out + "    routes: \(list(jwt.rules.defaultRoutes))\n"
    }

    private func redacted(_ key: ConfiguredJWTKey) -> String {
        var members: [String] = []
        func add(_ id: String?, _ algorithm: SignatureAlgorithm?) {
            if let id { members.append("id: \(quote(id))") }
            if let algorithm { members.append("algorithm: \(algorithm.rawValue)") }
        }
        switch key.place {
        case .inline(let description):
            add(description.id, description.algorithm)
            // A public key is its JWK; JSON's objects are YAML's flow mappings.
            members.append(description.material.publicJWK.map { "jwk: \($0)" } ?? "secret: \"(redacted)\"")
        case .file(let path, let id, let algorithm):
            add(id, algorithm)
            members.append("file: \(quote(path))")
        }
        if let until = key.until { members.append("until: \(UnixTime.text(until))") }
        return members.joined(separator: ", ")
    }
}

/// JSON's strings are YAML's double-quoted ones; a literal `${` is written so that it stays one.
private func quote(_ text: String) -> String {
    Problem.quote(text.replacing("${", with: "$${"))
}

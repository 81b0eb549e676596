/// A configuration that has every key of the table, each with another value than its default. A path names a value, such
/// as `routes[0].path`; a test can leave a value out or put another one in its place.
struct WholeConfig {
    private(set) var values: [(path: String, text: String)] = Self.all

    /// Leaves out the value, or the section with all that is in it.
    func without(_ path: String) -> WholeConfig {
        var copy = self
        copy.values.removeAll { $0.path == path || $0.path.hasPrefix(path + ".") || $0.path.hasPrefix(path + "[") }
        return copy
    }

    func with(_ path: String, _ text: String) -> WholeConfig {
        var copy = self.without(path)
        copy.values.append((path, text))
        return copy
    }

    /// As a flow mapping of YAML.
    var yaml: String {
        let root = Tree()
        for (path, text) in self.values { root.add(path.replacing("[", with: ".[").split(separator: ".")[...], text) }
        return root.yaml
    }

    /// The paths of all values and sections, as the table of keys writes them.
    var paths: Set<String> {
        Set(
            self.values.flatMap { value in
                let parts = value.path.split(separator: ".")
                return parts.indices.map { parts[...$0].joined(separator: ".") }
            }.map(Self.general)
        ).subtracting(Self.names)
    }

    /// Paths of the operator's own names, which are no keys.
    static let names: Set<String> = ["upstreams.NAME"]

    /// The first place of a key of the table, such as `routes[0].path` for `routes[].path`.
    func place(of path: String) -> String? {
        for value in self.values {
            let parts = value.path.split(separator: ".")
            for end in parts.indices where Self.general(parts[...end].joined(separator: ".")) == path {
                return parts[...end].joined(separator: ".").replacing(#/\[[0-9]+\]$/#, with: "")
            }
        }
        return nil
    }

    /// `routes[].path` for `routes[0].path`. The last index is left out.
    static func general(_ path: String) -> String {
        let open = path.replacing(#/\[[0-9]+\]/#, with: "[]")
            .replacing(#/^upstreams\.(app|web)/#, with: "upstreams.NAME")
        return open.hasSuffix("[]") ? String(open.dropLast(2)) : open
    }

    private final class Tree {
        var text: String?
        var children: [(name: Substring, tree: Tree)] = []

        func add(_ path: ArraySlice<Substring>, _ text: String) {
            guard let name = path.first else {
                self.text = text
                return
            }
            if !self.children.contains(where: { $0.name == name }) { self.children.append((name, Tree())) }
            self.children.first { $0.name == name }?.tree.add(path.dropFirst(), text)
        }

        var yaml: String {
            if let text = self.text { return text }
            if self.children.first?.name.hasPrefix("[") ?? false {
                return "[" + self.children.map(\.tree.yaml).joined(separator: ", ") + "]"
            }
            return "{" + self.children.map { "\"\($0.name)\": \($0.tree.yaml)" }.joined(separator: ", ") + "}"
        }
    }

    /// Secrets of the configuration, none of which is ever shown.
    static let secrets = [
        String(repeating: "0123456789abcdef", count: 4), "a-secret-of-at-least-thirty-two-bytes",
    ]

    private static let pem =
        #""-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"#
        + #"-----END PUBLIC KEY-----\n""#
    private static let jwk =
        #"{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#

    private static let all: [(path: String, text: String)] = [
        ("listen[0].address", "\"127.0.0.1:8443\""), ("listen[0].tls.certificates[0].certificate", "a.pem"),
        ("listen[0].tls.certificates[0].key", "a.key"), ("listen[0].tls.minimum_version", "\"1.3\""),
        ("listen[0].tls.hsts.max_age", "8760h"), ("listen[0].tls.hsts.include_subdomains", "true"),
        ("listen[0].tls.hsts.preload", "true"), ("listen[0].proxy_protocol", "true"),
        ("routes[0].path", "/chat"), ("routes[0].host", "a.example"), ("routes[0].upstream", "app"),
        ("routes[0].origins.allow", "[\"https://a.example\"]"), ("routes[0].origins.missing", "reject"),
        ("routes[0].authentication", "none"), ("routes[0].carriers.authorization", "true"),
        ("routes[0].carriers.query_parameter", "q"), ("routes[0].carriers.cookie", "c"),
        ("routes[0].carriers.subprotocol", "true"), ("routes[0].transports", "[websocket]"),
        ("routes[0].validate_text", "true"), ("routes[0].limits.sessions", "1"), ("routes[0].limits.rate", "2"),
        ("routes[0].limits.burst", "3"), ("routes[0].limits.handshakes", "4"),
        ("routes[0].limits.message.from_client", "5MiB"), ("routes[0].limits.message.from_upstream", "6MiB"),
        ("routes[1].path", "/web"), ("routes[1].upstream", "web"), ("routes[1].carriers.cookie", "d"),
        ("authentication.tokens[0].id", "alice"), ("authentication.tokens[0].sha256", "\"\(Self.secrets[0])\""),
        ("authentication.tokens[0].subject", "al"), ("authentication.tokens[0].routes", "[/chat]"),
        ("authentication.tokens[0].expires", "2027-01-01T00:00:00Z"), ("authentication.authorization", "false"),
        ("authentication.query_parameter", "qq"), ("authentication.cookie", "cc"),
        ("authentication.subprotocol", "false"), ("authentication.identity_header", "X-Who"),
        ("authentication.close_code", "4444"), ("authentication.expiry_grace", "1m"),
        ("authentication.jwt.issuer", "me"), ("authentication.jwt.audience", "[you]"),
        ("authentication.jwt.leeway", "6s"),
        ("authentication.jwt.keys[0].id", "file"), ("authentication.jwt.keys[0].algorithm", "ES256"),
        ("authentication.jwt.keys[0].file", "k.pem"), ("authentication.jwt.keys[0].until", "2027-02-01T00:00:00Z"),
        ("authentication.jwt.keys[1].id", "pem"), ("authentication.jwt.keys[1].algorithm", "EdDSA"),
        ("authentication.jwt.keys[1].pem", Self.pem), ("authentication.jwt.keys[2].id", "jwk"),
        ("authentication.jwt.keys[2].jwk", Self.jwk), ("authentication.jwt.keys[3].id", "secret"),
        ("authentication.jwt.keys[3].algorithm", "HS256"), ("authentication.jwt.keys[3].secret", Self.secrets[1]),
        ("authentication.jwt.jwks[0].file", "set.json"), ("authentication.jwt.jwks[0].refresh", "6m"),
        ("authentication.jwt.jwks[0].cooldown", "11s"), ("authentication.jwt.jwks[0].timeout", "6s"),
        ("authentication.jwt.jwks[1].url", "\"https://id.example/set\""), ("authentication.jwt.jwks[1].ca", "ca.pem"),
        ("authentication.jwt.claims.routes", "r"), ("authentication.jwt.claims.origins", "o"),
        ("authentication.jwt.routes", "[/chat]"),
        ("upstreams.app.servers[0].url", "\"wss://app:9000\""), ("upstreams.app.servers[0].weight", "2"),
        ("upstreams.app.servers[0].max_sessions", "3"), ("upstreams.app.balance", "consistent_hash"),
        ("upstreams.app.hash_by", "\"query:room\""), ("upstreams.app.connect_timeout", "6s"),
        ("upstreams.app.handshake_timeout", "7s"), ("upstreams.app.retries", "3"),
        ("upstreams.app.idle_timeout", "1h"), ("upstreams.app.eject.failures", "4"),
        ("upstreams.app.eject.time", "11s"), ("upstreams.app.eject.longest", "6m"),
        ("upstreams.app.eject.slow_start", "31s"), ("upstreams.app.ca", "u.pem"),
        ("upstreams.app.proxy_protocol", "v2"), ("upstreams.app.sni", "name.example"),
        ("upstreams.app.client_certificate.certificate", "c.pem"), ("upstreams.app.client_certificate.key", "c.key"),
        ("upstreams.app.health.type", "websocket"), ("upstreams.app.health.path", "/live"),
        ("upstreams.app.health.host", "h.example"), ("upstreams.app.health.ping", "true"),
        ("upstreams.app.health.interval", "11s"), ("upstreams.app.health.timeout", "3s"),
        ("upstreams.app.health.rise", "3"), ("upstreams.app.health.fall", "4"), ("upstreams.app.queue.size", "5"),
        ("upstreams.app.queue.timeout", "3s"), ("upstreams.web.servers[0].url", "\"ws://web:80\""),
        ("upstreams.web.health.type", "http"), ("upstreams.web.health.status", "204"),
        ("session.hold", "26s"), ("session.resume", "61s"), ("session.ping", "27s"), ("session.buffer", "2MiB"),
        ("session.stall", "62s"),
        ("limits.connections", "1000"), ("limits.message.from_client", "3MiB"),
        ("limits.message.from_upstream", "4MiB"), ("limits.handshake", "11s"), ("limits.header", "17KiB"),
        ("limits.process.rate", "11"), ("limits.process.burst", "12"), ("limits.process.handshakes", "13"),
        ("limits.address.sessions", "21"), ("limits.address.rate", "22"), ("limits.address.burst", "23"),
        ("limits.address.handshakes", "24"), ("limits.token.sessions", "31"), ("limits.token.rate", "32"),
        ("limits.token.burst", "33"), ("limits.token.handshakes", "34"), ("limits.route.sessions", "41"),
        ("limits.route.rate", "42"), ("limits.route.burst", "43"), ("limits.route.handshakes", "44"),
        ("limits.http.first_byte", "12s"), ("limits.http.body_rate", "2KiB"), ("limits.http.requests", "51"),
        ("limits.http.idle", "52s"), ("limits.http.parked", "53"), ("limits.session.from_client.messages", "61"),
        ("limits.session.from_client.message_burst", "62"), ("limits.session.from_client.bytes", "63KiB"),
        ("limits.session.from_client.byte_burst", "64KiB"), ("limits.session.from_client.excess", "close"),
        ("limits.session.to_client.messages", "71"), ("limits.session.to_client.message_burst", "72"),
        ("limits.session.to_client.bytes", "73KiB"), ("limits.session.to_client.byte_burst", "74KiB"),
        ("limits.session.to_client.excess", "close"), ("limits.session.fragments", "75"),
        ("limits.session.idle", "76s"), ("limits.session.lifetime", "77s"), ("limits.memory", "78MiB"),
        ("admin.address", "\"127.0.0.1:9902\""), ("admin.tls.certificates[0].certificate", "b.pem"),
        ("admin.tls.certificates[0].key", "b.key"), ("admin.tls.minimum_version", "\"1.3\""),
        ("admin.tls.hsts.max_age", "8760h"), ("admin.tls.hsts.include_subdomains", "true"),
        ("admin.tls.hsts.preload", "true"), ("admin.client_ca", "clients.pem"), ("admin.hosts", "[admin.example]"),
        ("admin.token_file", "token"), ("state", "other.db"), ("log.format", "json"), ("log.level", "debug"),
        ("trusted_proxies", "[10.0.0.0/8]"), ("reload.close_code", "4321"), ("reload.watch", "11s"),
        ("drain.delay", "1s"), ("drain.spread", "40s"), ("drain.deadline", "41s"), ("drain.code", "4322"),
        ("takeover", "t.sock"), ("client", "/c.js"),
    ]
}

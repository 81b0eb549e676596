import CulvertCore
import NIOCore

/// The words of `balance` in an upstream.
enum BalanceName: String, CaseIterable {
    case leastSessions = "least_sessions"
    case roundRobin = "round_robin"
    case consistentHash = "consistent_hash"
}

/// `upstreams.NAME`.
package enum UpstreamSection: String, ConfigSection {
    case servers, balance
    case hashBy = "hash_by"
    case connectTimeout = "connect_timeout"
    case handshakeTimeout = "handshake_timeout"
    case retries
    case idleTimeout = "idle_timeout"
    case eject, ca
    case proxyProtocol = "proxy_protocol"
    case sni
    case clientCertificate = "client_certificate"
    case health, queue

    package var entry: ConfigKey {
        switch self {
        case .servers:
            ConfigKey(
                .list(.section(UpstreamServerSection.self), atLeast: 1), .required,
                "The servers that share the upstream's sessions. No two have the same URL.")
        case .balance:
            ConfigKey(
                .oneOf(BalanceName.self), .value("least_sessions"), "Which server gets the next session.",
                note: "See below.")
        case .hashBy:
            ConfigKey(
                .text(.hashKey), .value("subject"),
                "The key of `consistent_hash`: the token's subject, the client's address, a field or a query "
                    + "parameter.")
        case .connectTimeout:
            ConfigKey(.duration(), .value("5s"), "The longest time for a connection to one server.")
        case .handshakeTimeout:
            ConfigKey(
                .duration(), .words("`limits.handshake`"),
                "The longest time from the first dial to the answer, over all servers that are tried.")
        case .retries:
            ConfigKey(
                .integer(0...10), .value("2"),
                "How many further servers are tried when a server does not accept the connection.")
        case .idleTimeout:
            ConfigKey(
                .duration(), .words("no limit"),
                "As `limits.session.idle`, for sessions of this upstream. The shorter of the two holds.")
        case .eject:
            ConfigKey(
                .section(EjectSection.self), .defaults,
                "When a failing server is ejected, and for how long.")
        case .ca:
            ConfigKey(
                .text(.file), .words("the system's"),
                "PEM file of the authorities that vouch for `wss` servers.")
        case .proxyProtocol:
            ConfigKey(
                .oneOf(ProxyHeader.Version.self), .words("no header"),
                "The version of the PROXY header with which connections to the servers begin.",
                note: "See below.")
        case .sni:
            ConfigKey(
                .text(.serverName), .words("the URL's host"),
                "The name that `wss` servers are asked for by SNI, and that their certificates must be for.")
        case .clientCertificate:
            ConfigKey(
                .section(CertificateSection.self), .words("none"),
                "The certificate that Culvert shows to `wss` servers that ask for it.")
        case .health:
            ConfigKey(
                .section(HealthSection.self), .words("not checked"), "How servers are checked.",
                note: "See [below](#health).")
        case .queue:
            ConfigKey(
                .section(QueueSection.self), .words("no opening waits"),
                "Where openings wait when no server has room; `{}` for the defaults.",
                note: "See [below](#queue).")
        }
    }

    package static var rules: SchemaJSON {
        [
            "if": ["required": ["hash_by"]],
            "then": [
                "required": ["balance"],
                "properties": [
                    "balance": ["anyOf": [["const": "consistent_hash"], ["$ref": "#/$defs/variable"]]]
                ],
            ],
        ]
    }
}

extension UpstreamSection {
    /// Reads `upstreams`.
    struct Reader {
        let folder: ConfigFolder
        /// `limits.handshake`, for upstreams that say no time of their own.
        let handshake: TimeAmount

        func read(_ node: ConfigNode) -> [String: UpstreamConfig]? {
            guard let members = node.members() else { return nil }
            if members.isEmpty { node.fail("expected at least one upstream") }
            var upstreams: [String: UpstreamConfig] = [:]
            for (name, entry) in members { upstreams[name] = self.upstream(name, entry) }
            return upstreams
        }

        private func upstream(_ name: String, _ node: ConfigNode) -> UpstreamConfig? {
            node.keepPlace()
            guard let keys = node.section(UpstreamSection.self), let servers = self.servers(keys[.servers]) else {
                return nil
            }
            return UpstreamConfig(
                name: name, servers: servers, connectTimeout: keys.time(.connectTimeout),
                ca: keys[.ca].flatMap(self.folder.file), balance: self.balance(keys), retries: keys.integer(.retries),
                ejection: EjectSection.Reader().read(keys[.eject]), idleTimeout: keys[.idleTimeout]?.time(),
                proxyProtocol: keys[.proxyProtocol]?.choice(ProxyHeader.Version.self),
                handshakeTimeout: keys[.handshakeTimeout]?.time() ?? self.handshake,
                serverName: keys[.sni].flatMap(self.serverName),
                clientCertificate: keys[.clientCertificate].flatMap(
                    CertificateSection.Reader(folder: self.folder).read),
                health: keys[.health].flatMap(HealthSection.Reader().read),
                queue: keys[.queue].flatMap(QueueSection.Reader().read))
        }

        private func servers(_ node: ConfigNode?) -> [UpstreamServer]? {
            guard let node, let list = node.list(form: "[ \(UpstreamServerSection.Reader.form) ]") else { return nil }
            if list.isEmpty { node.fail("expected at least one server") }
            var seen: [String: ConfigPlace] = [:]
            return list.compactMap { entry in
                guard let server = UpstreamServerSection.Reader().read(entry) else { return nil }
                if let other = seen[server.url] {
                    entry.fail("another server has the same URL (\(other.name)); take one of the two out")
                } else {
                    seen[server.url] = entry.place
                }
                return server
            }
        }

        private func balance(_ keys: ConfigMembers<UpstreamSection>) -> BalancePolicy {
            let balance = keys.choice(.balance, BalanceName.self)
            guard balance == .consistentHash else {
                keys[.hashBy]?.fail("of no use unless balance is consistent_hash")
                return balance == .roundRobin ? .roundRobin : .leastSessions
            }
            let parts = keys.string(.hashBy).split(separator: ":", maxSplits: 1).map(String.init)
            switch (parts.first, parts.count) {
            case ("subject", 1): return .consistentHash(by: .subject)
            case ("address", 1): return .consistentHash(by: .address)
            case ("header", 2): return .consistentHash(by: .header(parts[1]))
            case ("query", 2): return .consistentHash(by: .query(parts[1]))
            default:
                keys[.hashBy]?.fail("expected subject, address, header:NAME or query:NAME")
                return .leastSessions
            }
        }

        /// SNI carries names, not addresses (RFC 6066 section 3).
        private func serverName(_ node: ConfigNode) -> String? {
            guard let text = node.string() else { return nil }
            node.keepPlace()
            let isName =
                (1...253).contains(text.utf8.count) && !text.isIPAddress
                && text.utf8.allSatisfy { $0.isAlphanumeric || "-._".utf8.contains($0) }
            if !isName { node.fail("expected a DNS name") }
            return isName ? text : nil
        }
    }
}

extension UpstreamConfig {
    var effective: EffectiveValue {
        .section(UpstreamSection.self) { key in
            switch key {
            case .servers: .list(self.servers.map(\.effective))
            case .balance: .word(self.balance.name.rawValue)
            case .hashBy: self.balance.hashKey.map(EffectiveValue.text)
            case .connectTimeout: .time(self.connectTimeout)
            case .handshakeTimeout: .time(self.handshakeTimeout)
            case .retries: .number(self.retries)
            case .idleTimeout: self.idleTimeout.map(EffectiveValue.time)
            case .eject: self.ejection.effective
            case .ca: self.ca.map(EffectiveValue.text)
            case .proxyProtocol: self.proxyProtocol.map { .word($0.rawValue) }
            case .sni: self.serverName.map(EffectiveValue.text)
            case .clientCertificate: self.clientCertificate?.effective
            case .health: self.health?.effective
            case .queue: self.queue?.effective
            }
        }
    }
}

extension BalancePolicy {
    fileprivate var name: BalanceName {
        switch self {
        case .leastSessions: .leastSessions
        case .roundRobin: .roundRobin
        case .consistentHash: .consistentHash
        }
    }

    fileprivate var hashKey: String? {
        guard case .consistentHash(let key) = self else { return nil }
        return switch key {
        case .subject: "subject"
        case .address: "address"
        case .header(let name): "header:\(name)"
        case .query(let name): "query:\(name)"
        }
    }
}

import CulvertCore
import Foundation
import NIOCore

extension ConfigReader {
    /// - Parameter handshake: for upstreams that say no time of their own.
    func upstreams(_ node: ConfigNode, handshake: TimeAmount) -> [String: UpstreamConfig]? {
        guard let members = node.members() else { return nil }
        if members.isEmpty { node.fail("expected at least one upstream") }
        var upstreams: [String: UpstreamConfig] = [:]
        for (name, entry) in members { upstreams[name] = self.upstream(name, entry, handshake) }
        return upstreams
    }

    private static let upstreamKeys = [
        "servers", "connect_timeout", "handshake_timeout", "idle_timeout", "ca", "sni", "client_certificate", "balance",
        "hash_by", "retries", "eject", "health", "queue", "proxy_protocol",
    ]

    private func upstream(_ name: String, _ node: ConfigNode, _ handshake: TimeAmount) -> UpstreamConfig? {
        let known = Self.upstreamKeys
        node.keepPlace()
        guard let keys = node.section(known, required: ["servers"]), let list = keys["servers"]?.list() else {
            return nil
        }
        if list.isEmpty { keys["servers"]?.fail("expected at least one server") }
        var seen: Set<String> = []
        let servers = list.compactMap { entry -> UpstreamServer? in
            guard let keys = entry.section(["url", "weight", "max_sessions"], required: ["url"]),
                var server = keys["url"].flatMap(self.server)
            else { return nil }
            server.weight = keys["weight"]?.integer(1...1000) ?? server.weight
            server.maxSessions = keys["max_sessions"]?.integer(1...10_000_000)
            if !seen.insert(server.url).inserted { entry.fail("another server has the same URL") }
            return server
        }
        return UpstreamConfig(
            name: name, servers: servers, connectTimeout: keys["connect_timeout"]?.time() ?? .seconds(5),
            ca: keys["ca"].flatMap(self.file), balance: self.balance(keys),
            retries: keys["retries"]?.integer(0...10) ?? 2, ejection: self.ejection(keys["eject"]),
            idleTimeout: keys["idle_timeout"]?.time(),
            proxyProtocol: keys["proxy_protocol"]?.choice(ProxyHeader.Version.self),
            handshakeTimeout: keys["handshake_timeout"]?.time() ?? handshake,
            serverName: keys["sni"].flatMap(self.serverName),
            clientCertificate: keys["client_certificate"].flatMap(self.certificatePair),
            health: keys["health"].flatMap(self.health), queue: keys["queue"].flatMap(self.queue))
    }

    private enum Balance: String, CaseIterable {
        case leastSessions = "least_sessions"
        case roundRobin = "round_robin"
        case consistentHash = "consistent_hash"
    }

    private func balance(_ keys: [String: ConfigNode]) -> BalancePolicy {
        let balance = keys["balance"]?.choice(Balance.self) ?? .leastSessions
        guard balance == .consistentHash else {
            keys["hash_by"]?.fail("of no use unless balance is consistent_hash")
            return balance == .roundRobin ? .roundRobin : .leastSessions
        }
        guard let node = keys["hash_by"] else { return .consistentHash(by: .subject) }
        let parts = (node.string() ?? "").split(separator: ":", maxSplits: 1).map(String.init)
        switch (parts.first, parts.count) {
        case ("subject", 1): return .consistentHash(by: .subject)
        case ("address", 1): return .consistentHash(by: .address)
        case ("header", 2): return .consistentHash(by: .header(parts[1]))
        case ("query", 2): return .consistentHash(by: .query(parts[1]))
        default:
            node.fail("expected subject, address, header:NAME or query:NAME")
            return .leastSessions
        }
    }

    private func ejection(_ node: ConfigNode?) -> EjectionPolicy {
        var policy = EjectionPolicy()
        guard let keys = node?.section(["failures", "time", "longest", "slow_start"]) else { return policy }
        if let failures = keys["failures"]?.integer(0...1000) { policy.failures = failures == 0 ? nil : failures }
        policy.time = keys["time"]?.time() ?? policy.time
        policy.longest = keys["longest"]?.time() ?? max(policy.longest, policy.time)
        policy.slowStart = keys["slow_start"]?.time(.zero ... .hours(24)) ?? policy.slowStart
        return policy
    }

    private func server(_ node: ConfigNode) -> UpstreamServer? {
        guard let text = node.string() else { return nil }
        guard let url = URLComponents(string: text), let scheme = url.scheme?.lowercased(),
            ["ws", "wss"].contains(scheme),
            let host = url.host, !host.isEmpty, url.user == nil, url.password == nil, url.query == nil,
            url.fragment == nil
        else {
            // The text is not repeated: it may hold a password.
            node.fail("expected ws://host:port or wss://host:port, with at most a path behind it")
            return nil
        }
        let isSecure = scheme == "wss"
        let port = url.port ?? (isSecure ? 443 : 80)
        guard (1...65535).contains(port) else {
            node.fail("expected a port from 1 to 65535")
            return nil
        }
        var prefix = url.percentEncodedPath
        while prefix.hasSuffix("/") { prefix.removeLast() }
        guard prefix.isEmpty || PathPrefix.isSafe(prefix) else {
            node.fail("expected a path without dot segments, empty segments and parts that servers read differently")
            return nil
        }
        let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
        return UpstreamServer(isSecure: isSecure, host: bare, port: port, pathPrefix: prefix)
    }
}

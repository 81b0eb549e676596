import CulvertCore
import NIOCore

/// What an upstream may have beside its servers.
extension ConfigReader {
    func health(_ node: ConfigNode) -> HealthConfig? {
        let known = ["type", "path", "interval", "timeout", "rise", "fall", "ping", "status", "host"]
        guard let keys = node.section(known, required: ["type"]),
            let kind = keys["type"]?.choice(HealthConfig.Kind.self)
        else { return nil }
        let uses: [(String, Set<HealthConfig.Kind>)] = [
            ("path", [.http, .webSocket]), ("host", [.http, .webSocket]), ("status", [.http]), ("ping", [.webSocket]),
        ]
        for (key, kinds) in uses where !kinds.contains(kind) {
            let names = HealthConfig.Kind.allCases.filter(kinds.contains).map(\.rawValue).joined(separator: " or ")
            keys[key]?.fail("of no use unless type is \(names)")
        }
        var config = HealthConfig(kind: kind)
        config.path = keys["path"].flatMap(self.target) ?? config.path
        config.interval = keys["interval"]?.time(.milliseconds(10) ... .hours(24)) ?? config.interval
        config.timeout = keys["timeout"]?.time(.milliseconds(1) ... .minutes(10)) ?? config.timeout
        config.rise = keys["rise"]?.integer(1...1000) ?? config.rise
        config.fall = keys["fall"]?.integer(1...1000) ?? config.fall
        config.ping = keys["ping"]?.bool() ?? config.ping
        config.status = keys["status"]?.integer(200...599)
        config.host = keys["host"].flatMap(self.hostHeader)
        return config
    }

    func queue(_ node: ConfigNode) -> QueueConfig? {
        guard let keys = node.section(["size", "timeout"]) else { return nil }
        var config = QueueConfig()
        config.size = keys["size"]?.integer(1...1_000_000) ?? config.size
        config.timeout = keys["timeout"]?.time(.milliseconds(1) ... .minutes(10)) ?? config.timeout
        return config
    }

    func certificatePair(_ node: ConfigNode) -> CertificatePair? {
        guard let keys = node.section(["certificate", "key"], required: ["certificate", "key"]),
            let certificate = keys["certificate"].flatMap(self.file), let key = keys["key"].flatMap(self.file)
        else { return nil }
        return CertificatePair(certificate: certificate, key: key)
    }

    /// SNI carries names, not addresses (RFC 6066 section 3).
    func serverName(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        let isName =
            (1...253).contains(text.utf8.count) && !text.isIPAddress
            && text.utf8.allSatisfy { Self.isAlphanumeric($0) || "-._".utf8.contains($0) }
        if !isName { node.fail("expected a DNS name") }
        return isName ? text : nil
    }

    private func hostHeader(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        let isHost =
            !text.isEmpty && text.utf8.allSatisfy { Self.isAlphanumeric($0) || "-._:[]".utf8.contains($0) }
        if !isHost { node.fail("expected a name, with at most a port behind it") }
        return isHost ? text : nil
    }

    /// A path and perhaps a query, as they stand in a request.
    private func target(_ node: ConfigNode) -> String? {
        guard let text = node.string() else { return nil }
        let isTarget =
            text.utf8.first == UInt8(ascii: "/")
            && text.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }
        if !isTarget { node.fail("expected a path that begins with a slash, percent-encoded") }
        return isTarget ? text : nil
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }
}

extension String {
    var isIPAddress: Bool { (try? SocketAddress(ipAddress: self, port: 0)) != nil }
}

import CulvertCore
import NIOCore

/// `upstreams.NAME.health`.
package enum HealthSection: String, ConfigSection {
    case type, path, host, status, ping, interval, timeout, rise, fall

    package var entry: ConfigKey {
        switch self {
        case .type:
            ConfigKey(
                .oneOf(HealthConfig.Kind.self), .required,
                "What a check does: `tcp` connects, `http` asks for a page, `websocket` makes an opening "
                    + "handshake.",
                note: "For `wss` servers `tcp` makes the TLS handshake too. `websocket` checks "
                    + "`Sec-WebSocket-Accept` as well, and closes with 1000.",
                example: "tcp")
        case .path:
            ConfigKey(
                .text(.target), .value("/"),
                "What is asked for, behind the path of the server's URL (`http`, `websocket`).")
        case .host:
            ConfigKey(.text(.hostHeader), .words("the server's"), "The `Host` field (`http`, `websocket`).")
        case .status:
            ConfigKey(
                .integer(200...599), .words("any 2xx or 3xx"), "The status that passes (`http`).",
                note: "Redirects are not followed. A WebSocket server without a page for it answers 426.")
        case .ping:
            ConfigKey(
                .boolean, .value("false"), "Whether a pong must answer a ping too (`websocket`).")
        case .interval:
            ConfigKey(
                .duration(.milliseconds(10) ... .hours(24)), .value("10s"), "The time from one check to the next.",
                note: "It varies by a tenth, so that the checks of several servers do not come together.")
        case .timeout:
            ConfigKey(
                .duration(.milliseconds(1) ... .minutes(10)), .value("2s"), "The longest time for a whole check.")
        case .rise:
            ConfigKey(
                .integer(1...1000), .value("2"),
                "Checks in a row that pass before a server counts as healthy again.")
        case .fall:
            ConfigKey(
                .integer(1...1000), .value("3"),
                "Checks in a row that fail before a server counts as unhealthy.")
        }
    }

    package static var rules: SchemaJSON {
        func without(_ keys: SchemaJSON, type: SchemaJSON) -> SchemaJSON {
            [
                "if": ["required": ["type"], "properties": ["type": ["const": type]]],
                "then": ["properties": keys],
            ]
        }
        return [
            "allOf": [
                without(["path": false, "host": false, "status": false, "ping": false], type: "tcp"),
                without(["ping": false], type: "http"), without(["status": false], type: "websocket"),
            ]
        ]
    }
}

extension HealthSection {
    /// Reads `health` of an upstream.
    struct Reader {
        /// The kinds of checks that have a key.
        private static let uses: [(HealthSection, Set<HealthConfig.Kind>)] = [
            (.path, [.http, .webSocket]), (.host, [.http, .webSocket]), (.status, [.http]), (.ping, [.webSocket]),
        ]

        func read(_ node: ConfigNode) -> HealthConfig? {
            guard let keys = node.section(HealthSection.self),
                let kind = keys[.type]?.choice(HealthConfig.Kind.self)
            else { return nil }
            for (key, kinds) in Self.uses where !kinds.contains(kind) {
                let names = HealthConfig.Kind.allCases.filter(kinds.contains).map(\.rawValue)
                keys[key]?.fail("of no use unless type is \(names.joined(separator: " or "))")
            }
            return HealthConfig(
                kind: kind, path: keys[.path].flatMap(self.target) ?? keys.defaultText(.path),
                interval: keys.time(.interval), timeout: keys.time(.timeout), rise: keys.integer(.rise),
                fall: keys.integer(.fall), ping: keys.bool(.ping), status: keys[.status]?.integer(),
                host: keys[.host].flatMap(self.host))
        }

        private func host(_ node: ConfigNode) -> String? {
            guard let text = node.string() else { return nil }
            let isHost =
                !text.isEmpty && text.utf8.allSatisfy { $0.isAlphanumeric || "-._:[]".utf8.contains($0) }
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
    }
}

extension HealthConfig {
    var effective: EffectiveValue {
        .section(HealthSection.self) { key in
            switch key {
            case .type: .word(self.kind.rawValue)
            case .path: self.kind == .tcp ? nil : .text(self.path)
            case .host: self.host.map(EffectiveValue.text)
            case .status: self.status.map(EffectiveValue.number)
            case .ping: self.kind == .webSocket ? .flag(self.ping) : nil
            case .interval: .time(self.interval)
            case .timeout: .time(self.timeout)
            case .rise: .number(self.rise)
            case .fall: .number(self.fall)
            }
        }
    }
}

import CulvertCore
import Foundation

/// `upstreams.NAME.servers[]`.
package enum UpstreamServerSection: String, ConfigSection {
    case url, weight
    case maxSessions = "max_sessions"

    package var entry: ConfigKey {
        switch self {
        case .url:
            ConfigKey(
                .text(.serverURL), .required,
                "`ws://host:port` or `wss://host:port`, with an optional path that is put before the client's.",
                note: "Without a port it is 80, with `wss` 443. The name is looked up for each session, within "
                    + "`connect_timeout`. Sessions that are opened while a look-up runs share it, and a name that "
                    + "does not answer holds up no other.",
                example: "ws://127.0.0.1:9000")
        case .weight: ConfigKey(.integer(1...1000), .value("1"), "The share of the server beside the others'.")
        case .maxSessions:
            ConfigKey(
                .count, .words("no limit"), "The most sessions of the server, open or being opened.",
                note: "When no server takes another session, the answer is 503 (`upstream_full`) with "
                    + "`Retry-After`, at once or after a wait in the `queue`.")
        }
    }
}

extension UpstreamServerSection {
    /// Reads an entry of `servers` of an upstream.
    struct Reader {
        /// How an entry is written. A message does not repeat an URL, which may hold a password.
        static let form = "{ url: \"ws://host:port\" }"

        func read(_ node: ConfigNode) -> UpstreamServer? {
            guard let keys = node.section(UpstreamServerSection.self, form: Self.form),
                var server = keys[.url].flatMap(self.server)
            else { return nil }
            server.weight = keys.integer(.weight)
            server.maxSessions = keys[.maxSessions]?.integer()
            return server
        }

        private func server(_ node: ConfigNode) -> UpstreamServer? {
            guard let text = node.string() else { return nil }
            node.keepPlace()
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
                node.fail(
                    "expected a path without dot segments, empty segments and parts that servers read differently")
                return nil
            }
            let bare = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
            return UpstreamServer(isSecure: isSecure, host: bare, port: port, pathPrefix: prefix)
        }
    }
}

extension UpstreamServer {
    var effective: EffectiveValue {
        .section(UpstreamServerSection.self) { key in
            switch key {
            case .url: .text(self.url)
            case .weight: .number(self.weight)
            case .maxSessions: self.maxSessions.map(EffectiveValue.number)
            }
        }
    }
}

package import CulvertConfig
import CulvertTokens
import Foundation

/// A configuration that is right, and ways to make it wrong.
package enum ConfigFixture {
    package static let digest = String(repeating: "0123456789abcdef", count: 4)

    package static let good = """
        listen:
          - address: 127.0.0.1:8443
        routes:
          - path: /
            upstream: echo
        authentication:
          tokens:
            - { id: a, sha256: "\(digest)", subject: s, routes: ["/"] }
        upstreams:
          echo: { servers: [ { url: "ws://127.0.0.1:9000" } ] }
        session:
          hold: 25s
        limits:
          message: 1MiB
        """

    package static func load(
        _ yaml: String, _ environment: [String: String] = [:]
    ) throws(ConfigErrors) -> ProxyConfig {
        try ConfigLoader.parse(
            yaml, file: "f.yaml", directory: "/etc/culvert", keys: .ofTokens, environment: environment)
    }

    /// What is wrong with `good` when `old` is `new` in it, as it is printed.
    package static func errors(_ old: String, _ new: String, _ environment: [String: String] = [:]) -> [String] {
        self.errors(self.good.replacing(old, with: new), environment)
    }

    package static func errors(_ yaml: String, _ environment: [String: String] = [:]) -> [String] {
        do throws(ConfigErrors) {
            _ = try self.load(yaml, environment)
            return []
        } catch {
            return error.errors.map(\.description)
        }
    }
}

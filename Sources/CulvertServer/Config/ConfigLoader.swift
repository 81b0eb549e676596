// PLACEHOLDER by the lead so that the CLI builds; helper C replaces this file.
package struct ConfigError: Error, CustomStringConvertible { package var description: String }
package struct ConfigErrors: Error { package var errors: [ConfigError] }
package enum ConfigLoader {
    package static func load(path: String, environment: [String: String]) throws(ConfigErrors) -> ProxyConfig { throw ConfigErrors(errors: []) }
}
extension ProxyConfig {
    package func checkFiles() -> [ConfigError] { [] }
    package func redactedYAML() -> String { "" }
}

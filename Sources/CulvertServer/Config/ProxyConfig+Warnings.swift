import CulvertCore
package import Logging

extension ProxyConfig {
    /// The secret of the token in the sample `proxy.yaml`. Everybody can read it there.
    private static let sampleDigest = TokenDigest(of: "change-me")

    /// The places of a valid configuration that are probably mistakes. `culvert check` prints them, and a start and a
    /// reload log them.
    ///
    /// - Parameter now: Unix seconds.
    package func warnings(now: Int64) -> [ConfigError] {
        var warnings: [ConfigError] = []
        for token in self.authentication.tokens {
            let id = token.token.id
            if token.digest == Self.sampleDigest, let place = token.place {
                warnings.append(
                    place.error(
                        "the token \"\(id)\" has the secret of the sample, which is public; give the SHA-256 of a "
                            + "secret of your own, or take the token out"))
            }
            if let expires = token.token.expires, expires <= now, let place = token.expiresPlace {
                warnings.append(
                    place.error(
                        "the token \"\(id)\" expired at \(UnixTime.text(expires)) and opens no session; give a later "
                            + "moment, or take the token out"))
            }
        }
        return warnings
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

    /// The lines that `culvert check` prints for ``warnings(now:)``.
    package var warningLines: [String] {
        self.warnings(now: Clock.unixSeconds()).map { "warning: \($0.description)" }
    }
}

package import NIOCore

/// `authentication.jwt`.
package struct JWTConfig: Sendable, Equatable {
    package var rules: JWTClaimRules
    package var keys: [ConfiguredJWTKey]
    package var sets: [KeySetConfig]

    package init(rules: JWTClaimRules, keys: [ConfiguredJWTKey] = [], sets: [KeySetConfig] = []) {
        self.rules = rules
        self.keys = keys
        self.sets = sets
    }
}

/// One entry of `authentication.jwt.keys`.
package struct ConfiguredJWTKey: Sendable, Equatable {
    package enum Place: Sendable, Equatable {
        case inline(JWTKeyDescription)
        case file(String, id: String?, algorithm: SignatureAlgorithm?)
    }

    package var place: Place
    /// Unix seconds; nil for never.
    package var until: Int64?

    package init(place: Place, until: Int64? = nil) {
        self.place = place
        self.until = until
    }
}

/// One entry of `authentication.jwt.jwks`.
package struct KeySetConfig: Sendable, Equatable {
    package enum Place: Sendable, Equatable {
        case file(String)
        /// `ca`: PEM file of the authorities that vouch for the server; nil for the system's.
        case url(String, ca: String?)
    }

    package var place: Place
    package var refresh: TimeAmount
    package var cooldown: TimeAmount
    package var timeout: TimeAmount

    package init(
        place: Place, refresh: TimeAmount = .minutes(5), cooldown: TimeAmount = .seconds(10),
        timeout: TimeAmount = .seconds(5)
    ) {
        self.place = place
        self.refresh = refresh
        self.cooldown = cooldown
        self.timeout = timeout
    }

    /// For logs: a URL without its query, which may be a secret.
    package var name: String {
        switch self.place {
        case .file(let path): path
        case .url(let url, _): String(url.prefix { $0 != "?" })
        }
    }
}

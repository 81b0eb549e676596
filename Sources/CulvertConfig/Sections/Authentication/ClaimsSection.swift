import CulvertCore

/// `authentication.jwt.claims`.
package enum ClaimsSection: String, ConfigSection {
    case routes, origins

    package var entry: ConfigKey {
        switch self {
        case .routes:
            ConfigKey(
                .text(.text), .value("routes"), "The claim with the path prefixes that the token opens.",
                note: "Its value is a list of strings, or one string with spaces between. The name is none of "
                    + "`iss`, `sub`, `aud`, `exp`, `nbf`, `iat`, `jti`, and not that of `origins`.")
        case .origins:
            ConfigKey(
                .text(.text), .value("origins"), "The claim with the origins that may use the token.",
                note: "They narrow the route's. The value is written like that of `routes`.")
        }
    }
}

extension ClaimsSection {
    /// Reads `authentication.jwt.claims`.
    struct Reader {
        /// Claims that mean something else already (RFC 7519 4.1).
        private static let registered = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"]

        func read(_ node: ConfigNode?) -> (routes: String, origins: String) {
            let keys = node?.section(ClaimsSection.self) ?? ConfigMembers()
            let (routes, origins) = (self.name(keys, .routes), self.name(keys, .origins))
            if routes == origins {
                (keys[.origins] ?? keys[.routes])?.fail("routes and origins cannot be the same claim")
            }
            return (routes, origins)
        }

        private func name(_ keys: ConfigMembers<ClaimsSection>, _ key: ClaimsSection) -> String {
            let name = keys.string(key)
            if name.isEmpty || Self.registered.contains(name) {
                keys[key]?.fail("expected the name of a claim, other than \(Self.registered.joined(separator: ", "))")
            }
            return name
        }
    }
}

extension JWTClaimRules {
    var effectiveClaims: EffectiveValue {
        .section(ClaimsSection.self) { key in
            switch key {
            case .routes: .text(self.routesClaim)
            case .origins: .text(self.originsClaim)
            }
        }
    }
}

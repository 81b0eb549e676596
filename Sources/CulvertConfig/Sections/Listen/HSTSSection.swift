import NIOCore

/// `tls.hsts`.
package enum HSTSSection: String, ConfigSection {
    case maxAge = "max_age"
    case includeSubdomains = "include_subdomains"
    case preload

    package var entry: ConfigKey {
        switch self {
        case .maxAge:
            ConfigKey(
                .duration(.zero ... .hours(24 * 365 * 10)), .required,
                "How long browsers keep to TLS. `0s` makes them forget it.", example: "8760h")
        case .includeSubdomains:
            ConfigKey(.boolean, .value("false"), "Whether the rule holds for all names below the host as well.")
        case .preload:
            ConfigKey(
                .boolean, .value("false"),
                "Whether the host may be put on the lists that browsers are built with. It needs "
                    + "`include_subdomains` and a `max_age` of at least `8760h`.")
        }
    }
}

extension HSTSSection {
    /// Reads `hsts` of a section `tls`.
    struct Reader {
        func read(_ node: ConfigNode) -> StrictTransport? {
            guard let keys = node.section(HSTSSection.self), let maxAge = keys[.maxAge]?.time() else { return nil }
            let hsts = StrictTransport(
                maxAge: maxAge, includeSubdomains: keys.bool(.includeSubdomains), preload: keys.bool(.preload))
            // The browsers' preload lists demand this (hstspreload.org).
            if hsts.preload, !hsts.includeSubdomains || maxAge < .hours(24 * 365) {
                keys[.preload]?.fail(
                    "the preload lists want \"include_subdomains: true\" and a \"max_age\" of 8760h or more")
            }
            return hsts
        }
    }
}

extension StrictTransport {
    var effective: EffectiveValue {
        .section(HSTSSection.self) { key in
            switch key {
            case .maxAge: .time(self.maxAge)
            case .includeSubdomains: .flag(self.includeSubdomains)
            case .preload: .flag(self.preload)
            }
        }
    }
}

import CulvertCore

/// `routes[].origins`.
package enum OriginsSection: String, ConfigSection {
    case allow, missing

    package var entry: ConfigKey {
        switch self {
        case .allow:
            ConfigKey(.list(.text(.origin)), .value("[]"), "The origins that are allowed.", note: "See below.")
        case .missing:
            ConfigKey(
                .oneOf(MissingOrigin.self), .value("allow"),
                "What happens to clients that send no `Origin`, which browsers always send to open a session.")
        }
    }
}

extension OriginsSection {
    /// Reads `origins` of a route.
    struct Reader {
        /// Without the section no browser's origin passes, and clients that send none do.
        func read(_ node: ConfigNode?) -> OriginPolicy {
            let keys =
                node?.section(OriginsSection.self, form: "{ allow: [\"https://a.example\"] }") ?? ConfigMembers()
            keys[.allow]?.keepPlace()
            let allow = keys[.allow]?.list()?.compactMap { entry -> OriginPattern? in
                guard let text = entry.string() else { return nil }
                guard let pattern = OriginPattern(text) else {
                    entry.fail(OriginFault.message(text))
                    return nil
                }
                return pattern
            }
            return OriginPolicy(allow: allow ?? [], missing: keys.choice(.missing))
        }
    }
}

extension OriginPolicy {
    var effective: EffectiveValue {
        .section(OriginsSection.self) { key in
            switch key {
            case .allow: .texts(self.allow.map(\.description))
            case .missing: .word(self.missing.rawValue)
            }
        }
    }
}

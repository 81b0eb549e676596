import CulvertCore

/// `routes[].limits`.
package enum RouteLimitsSection: String, ConfigSection {
    case sessions, rate, burst, handshakes, message

    package var entry: ConfigKey {
        switch self {
        case .sessions: Self.own(.sessions, "`limits.route.sessions`")
        case .rate: Self.own(.rate, "`limits.route.rate`")
        case .burst: Self.own(.burst, "the route's own `rate`, or else `limits.route.burst`")
        case .handshakes: Self.own(.handshakes, "`limits.route.handshakes`")
        case .message:
            ConfigKey(
                LimitsSection.message.entry.kind, .words("that of `limits.message`, direction by direction"),
                "The largest message of this route's sessions, in place of `limits.message`.")
        }
    }

    /// A key of `limits.route` for one route.
    private static func own(_ key: AdmissionSection, _ absence: String) -> ConfigKey {
        ConfigKey(key.entry.kind, .words(absence), key.entry.summary)
    }
}

extension RouteLimitsSection {
    /// Reads `limits` of a route.
    struct Reader {
        /// What holds for keys that are not there.
        let base: LimitsConfig

        func read(_ node: ConfigNode?) -> (opening: AdmissionLimits, message: MessageLimits) {
            guard let keys = node?.section(RouteLimitsSection.self) else { return (self.base.route, self.base.message) }
            let opening = AdmissionSection.Reader(base: self.base.route).read(
                sessions: keys[.sessions], rate: keys[.rate], burst: keys[.burst], handshakes: keys[.handshakes])
            return (opening, MessageLimitsSection.Reader(base: self.base.message).read(keys[.message]))
        }
    }
}

extension Route {
    /// - Parameter limits: those of the process, of which the route shows its own alone.
    func effectiveLimits(_ limits: LimitsConfig) -> EffectiveValue {
        .section(RouteLimitsSection.self) { key in
            switch key {
            case .sessions: self.limits.value(of: .sessions)
            case .rate: self.limits.value(of: .rate)
            case .burst: self.limits.value(of: .burst)
            case .handshakes: self.limits.value(of: .handshakes)
            case .message: self.message == limits.message ? nil : self.message.effective
            }
        }
    }
}

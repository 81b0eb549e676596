import CulvertCore

/// `limits.session`.
package enum SessionLimitsSection: String, ConfigSection {
    case fromClient = "from_client"
    case toClient = "to_client"
    case fragments, idle, lifetime

    package var entry: ConfigKey {
        switch self {
        case .fromClient: ConfigKey(.section(ThroughputSection.self), .words("no limit"), "How fast a client may send.")
        case .toClient:
            ConfigKey(
                .section(ThroughputSection.self), .words("no limit"), "How fast an upstream may send to a client.")
        case .fragments: ConfigKey(.count, .words("no limit"), "Frames of one message. Past it close code 1008.")
        case .idle:
            ConfigKey(
                .duration(), .words("no limit"),
                "The longest time without a message in either direction. Then close code 1001 (`idle`).")
        case .lifetime:
            ConfigKey(
                .duration(), .words("no limit"),
                "The longest time that a session lasts. Then close code 1001 (`lifetime over`).")
        }
    }
}

extension SessionLimitsSection {
    /// Reads `limits.session`.
    struct Reader {
        func read(_ node: ConfigNode) -> SessionLimits {
            guard let keys = node.section(SessionLimitsSection.self) else { return SessionLimits() }
            let rate = ThroughputSection.Reader()
            return SessionLimits(
                fromClient: keys[.fromClient].flatMap(rate.read), toClient: keys[.toClient].flatMap(rate.read),
                fragments: keys[.fragments]?.integer(), idle: keys[.idle]?.time(), lifetime: keys[.lifetime]?.time())
        }
    }
}

extension SessionLimits {
    var effective: EffectiveValue {
        .section(SessionLimitsSection.self) { key in
            switch key {
            case .fromClient: self.fromClient?.effective
            case .toClient: self.toClient?.effective
            case .fragments: self.fragments.map(EffectiveValue.number)
            case .idle: self.idle.map(EffectiveValue.time)
            case .lifetime: self.lifetime.map(EffectiveValue.time)
            }
        }
    }
}

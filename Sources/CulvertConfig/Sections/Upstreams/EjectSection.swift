import CulvertCore
import NIOCore

/// `upstreams.NAME.eject`.
package enum EjectSection: String, ConfigSection {
    case failures, time, longest
    case slowStart = "slow_start"

    package var entry: ConfigKey {
        switch self {
        case .failures:
            ConfigKey(
                .integer(0...1000), .value("3"),
                "Failures in a row after which a server is ejected; 0 to eject none.",
                note: "Failures of one client alone eject no server, see below.")
        case .time:
            ConfigKey(
                .duration(), .value("10s"), "How long a server gets no session the first time.",
                note: "It is twice as long each time that the server fails again as it comes back.")
        case .longest:
            ConfigKey(
                .duration(), .value("5m"), "The longest time that an ejection becomes.",
                note: "It is `time` where that is longer.")
        case .slowStart:
            ConfigKey(
                .duration(.zero ... .hours(24)), .value("30s"),
                "For how long the weight of a server grows, from a tenth, when it has come back "
                    + "(`least_sessions`).")
        }
    }
}

extension EjectSection {
    /// Reads `eject` of an upstream.
    struct Reader {
        func read(_ node: ConfigNode?) -> EjectionPolicy {
            let keys = node?.section(EjectSection.self) ?? ConfigMembers()
            let (failures, time) = (keys.integer(.failures), keys.time(.time))
            return EjectionPolicy(
                failures: failures == 0 ? nil : failures, time: time,
                longest: keys[.longest]?.time() ?? max(keys.time(.longest), time), slowStart: keys.time(.slowStart))
        }
    }
}

extension EjectionPolicy {
    var effective: EffectiveValue {
        .section(EjectSection.self) { key in
            switch key {
            case .failures: .number(self.failures ?? 0)
            case .time: .time(self.time)
            case .longest: .time(self.longest)
            case .slowStart: .time(self.slowStart)
            }
        }
    }
}

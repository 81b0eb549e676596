import CulvertCore
package import NIOCore

/// `drain`.
package enum DrainSection: String, ConfigSection {
    case delay, spread, deadline, code

    /// The range of each of the times.
    package static let times: ClosedRange<TimeAmount> = .zero ... .hours(24)

    package var entry: ConfigKey {
        switch self {
        case .delay:
            ConfigKey(
                .duration(Self.times), .value("0s"),
                "How long new sessions are still taken after `/readyz` has begun to fail.",
                note: "In this time balancers choose other servers.")
        case .spread:
            ConfigKey(
                .duration(Self.times), .value("0s"),
                "The time over which the sessions are closed, no longer than `deadline`; `0s` for at once.",
                note: "They are closed evenly and at random. Meanwhile new ones are answered 503 (`draining`), "
                    + "and open ones go on. `0s` closes the listeners at once, too.")
        case .deadline:
            ConfigKey(
                .duration(Self.times), .value("30s"),
                "How long after the end of `delay` the sessions that are left are cut. With a `spread` the default "
                    + "is 30 s more than the `spread`.")
        case .code:
            ConfigKey(
                .text(.closeCode), .value("1001"), "The close code of the sessions.",
                note: "1000, 1001, 1008, 1012, 1013 or 3000 to 4999.")
        }
    }
}

extension DrainSection {
    /// Reads `drain`.
    struct Reader {
        func read(_ node: ConfigNode?) -> DrainPlan {
            let keys = node?.section(DrainSection.self) ?? ConfigMembers()
            var plan = DrainPlan(
                delay: keys.time(.delay), spread: keys.time(.spread), deadline: keys.time(.deadline),
                code: keys.closeCode(.code))
            if keys[.deadline] == nil { plan.deadline = plan.leastDeadline }
            if plan.spread > plan.deadline { keys[.spread]?.fail("longer than \"deadline\"") }
            return plan
        }
    }
}

extension DrainPlan {
    /// Who spreads over so long does not mean the last to be cut at once.
    package var leastDeadline: TimeAmount { min(self.spread + DrainPlan().deadline, DrainSection.times.upperBound) }

    var effective: EffectiveValue {
        .section(DrainSection.self) { key in
            switch key {
            case .delay: .time(self.delay)
            case .spread: .time(self.spread)
            case .deadline: .time(self.deadline)
            case .code: .number(Int(self.code.rawValue))
            }
        }
    }
}

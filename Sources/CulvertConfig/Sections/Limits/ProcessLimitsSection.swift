import CulvertCore

/// `limits.process`.
package enum ProcessLimitsSection: String, ConfigSection {
    case rate, burst, handshakes

    package var entry: ConfigKey {
        switch self {
        case .rate: AdmissionSection.rate.entry
        case .burst: AdmissionSection.burst.entry
        case .handshakes:
            ConfigKey(
                .count, .words("`limits.connections`, and at least 100"),
                "Openings and connections in flight, until they are answered.")
        }
    }
}

extension ProcessLimitsSection {
    /// Reads `limits.process`.
    struct Reader {
        /// What holds for keys that are not there.
        let base: AdmissionLimits

        func read(_ node: ConfigNode?) -> AdmissionLimits {
            guard let keys = node?.section(ProcessLimitsSection.self) else { return self.base }
            return AdmissionSection.Reader(base: self.base).read(
                rate: keys[.rate], burst: keys[.burst], handshakes: keys[.handshakes])
        }
    }
}

extension AdmissionLimits {
    /// Nil if there is no limit.
    var effectiveOfProcess: EffectiveValue? {
        EffectiveValue.section(ProcessLimitsSection.self) { key in
            switch key {
            case .rate: self.value(of: .rate)
            case .burst: self.value(of: .burst)
            case .handshakes: self.value(of: .handshakes)
            }
        }.unlessEmpty
    }
}

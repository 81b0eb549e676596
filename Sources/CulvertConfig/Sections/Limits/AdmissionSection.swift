import CulvertCore

/// `limits.address`, `limits.token` and `limits.route`.
package enum AdmissionSection: String, ConfigSection {
    case sessions, rate, burst, handshakes

    package static var definition: String? { "admission" }

    package var entry: ConfigKey {
        switch self {
        case .sessions:
            ConfigKey(
                .count, .words("no limit"), "Sessions, open or being opened.",
                note: "A polled session counts until it is fetched to its end or forgotten.")
        case .rate:
            ConfigKey(
                .rate, .words("no limit"), "Sessions opened a second.",
                note: "WebSocket handshakes and `POST {path}/_poll` open sessions.")
        case .burst:
            ConfigKey(.rate, .words("`rate`"), "How many sessions may be opened at once after a rest.")
        case .handshakes:
            ConfigKey(
                .count, .words("no limit"), "Openings in flight, until the upstream has answered.")
        }
    }
}

extension AdmissionSection {
    /// Reads a section that limits what may be opened.
    struct Reader {
        /// What holds for keys that are not there.
        let base: AdmissionLimits

        func read(_ node: ConfigNode?) -> AdmissionLimits {
            guard let keys = node?.section(AdmissionSection.self) else { return self.base }
            return self.read(
                sessions: keys[.sessions], rate: keys[.rate], burst: keys[.burst], handshakes: keys[.handshakes])
        }

        /// Reads the same keys of another section.
        func read(
            sessions: ConfigNode? = nil, rate: ConfigNode?, burst: ConfigNode?, handshakes: ConfigNode?
        ) -> AdmissionLimits {
            var limits = self.base
            limits.sessions = sessions?.integer() ?? limits.sessions
            limits.handshakes = handshakes?.integer() ?? limits.handshakes
            let (ownRate, ownBurst) = (rate?.integer(), burst?.integer())
            if rate == nil, limits.rate == nil { burst?.fail("of no use without \"rate\"") }
            if let rate = ownRate ?? limits.rate?.rate, rate != limits.rate?.rate || ownBurst != nil {
                limits.rate = BucketRate(rate: rate, burst: ownBurst ?? rate)
            }
            return limits
        }
    }
}

extension AdmissionLimits {
    /// Nil if there is no limit.
    var effective: EffectiveValue? { EffectiveValue.section(AdmissionSection.self, self.value).unlessEmpty }

    func value(of key: AdmissionSection) -> EffectiveValue? {
        switch key {
        case .sessions: self.sessions.map(EffectiveValue.number)
        case .rate: (self.rate?.rate).map(EffectiveValue.number)
        case .burst: (self.rate?.burst).map(EffectiveValue.number)
        case .handshakes: self.handshakes.map(EffectiveValue.number)
        }
    }
}

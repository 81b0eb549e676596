/// `limits.http`.
package enum HTTPLimitsSection: String, ConfigSection {
    case firstByte = "first_byte"
    case bodyRate = "body_rate"
    case requests, idle, parked

    package var entry: ConfigKey {
        switch self {
        case .firstByte:
            ConfigKey(
                .duration(), .words("`limits.handshake`"),
                "The longest time from accept to the first byte of a request, the TLS handshake included. Then "
                    + "the connection is closed.")
        case .bodyRate:
            ConfigKey(
                .size(1...1 << 30), .value("1KiB"),
                "The least bytes a second at which a client sends a body. A body that is behind by more than "
                    + "`limits.handshake` gets 408.",
                note: "A client takes an answer at this rate, too. The connection of a client that is behind by more "
                    + "than `idle` is closed.")
        case .requests:
            ConfigKey(
                .count, .value("10000"), "Requests of one connection, which is closed after the last.",
                note: "The answer to the last says `Connection: close`.")
        case .idle:
            ConfigKey(
                .duration(), .value("60s"),
                "The longest time between two requests of a connection. Then it is closed.")
        case .parked:
            ConfigKey(
                .count, .words("no limit"), "Parked polls of the process. Past it 503.",
                note: "A poll that would be parked gets 503 (`too_many_polls`) with `Retry-After`.")
        }
    }
}

extension HTTPLimitsSection {
    /// Reads `limits.http`.
    struct Reader {
        /// What holds for keys without a default.
        let base: HTTPLimits

        func read(_ node: ConfigNode?) -> HTTPLimits {
            var limits = self.base
            let keys = node?.section(HTTPLimitsSection.self) ?? ConfigMembers()
            limits.firstByte = keys[.firstByte]?.time() ?? limits.firstByte
            limits.bodyRate = keys.size(.bodyRate)
            limits.requests = keys.integer(.requests)
            limits.idle = keys.time(.idle)
            limits.parked = keys[.parked]?.integer()
            return limits
        }
    }
}

extension HTTPLimits {
    var effective: EffectiveValue {
        .section(HTTPLimitsSection.self) { key in
            switch key {
            case .firstByte: .time(self.firstByte)
            case .bodyRate: .size(self.bodyRate)
            case .requests: .number(self.requests)
            case .idle: .time(self.idle)
            case .parked: self.parked.map(EffectiveValue.number)
            }
        }
    }
}

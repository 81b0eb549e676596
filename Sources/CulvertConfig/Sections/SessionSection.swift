import NIOCore

/// `session`.
package enum SessionSection: String, ConfigSection {
    case hold, resume, ping, buffer, stall

    package var entry: ConfigKey {
        switch self {
        case .hold:
            ConfigKey(
                .duration(), .value("25s"), "The longest time that a poll is parked before it is answered 204.")
        case .resume:
            ConfigKey(
                .duration(), .value("60s"), "How long a polled session outlives its last request.",
                note: "For as long after its end, its requests get 410; later they get 404.")
        case .ping:
            ConfigKey(
                .duration(), .value("25s"),
                "The keepalive period: a leg that was silent for one period is pinged, and after another one it "
                    + "is lost.")
        case .buffer:
            ConfigKey(
                .size(1024...ConfigUnits.largestMessage), .value("1MiB"),
                "The most unacknowledged bytes that a polled session holds towards its client.",
                note: "It is also the most bytes of messages in one batch. One message more may be held, because "
                    + "it has been read already.")
        case .stall:
            ConfigKey(
                .duration(.zero ... .hours(24 * 365), orNone: true), .value("60s"),
                "How long a side may take nothing before the session ends (1013); `none` or `0s` for any time.")
        }
    }
}

extension SessionSection {
    /// Reads `session`.
    struct Reader {
        func read(_ node: ConfigNode?) -> SessionConfig {
            let keys = node?.section(SessionSection.self) ?? ConfigMembers()
            let stall = keys.timeOrNone(.stall)
            return SessionConfig(
                hold: keys.time(.hold), resume: keys.time(.resume), ping: keys.time(.ping),
                buffer: keys.size(.buffer), stall: stall == .zero ? nil : stall)
        }
    }
}

extension SessionConfig {
    var effective: EffectiveValue {
        .section(SessionSection.self) { key in
            switch key {
            case .hold: .time(self.hold)
            case .resume: .time(self.resume)
            case .ping: .time(self.ping)
            case .buffer: .size(self.buffer)
            case .stall: self.stall.map(EffectiveValue.time) ?? .word("none")
            }
        }
    }
}

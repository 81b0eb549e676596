import NIOCore

/// `upstreams.NAME.queue`.
package enum QueueSection: String, ConfigSection {
    case size, timeout

    package var entry: ConfigKey {
        switch self {
        case .size:
            ConfigKey(
                .integer(1...1_000_000), .value("100"),
                "The most openings that wait. A further opening is answered 503 at once.")
        case .timeout:
            ConfigKey(
                .duration(.milliseconds(1) ... .minutes(10)), .value("2s"),
                "The longest time that an opening waits. Then it is answered 503.")
        }
    }
}

extension QueueSection {
    /// Reads `queue` of an upstream.
    struct Reader {
        func read(_ node: ConfigNode) -> QueueConfig? {
            guard let keys = node.section(QueueSection.self) else { return nil }
            return QueueConfig(size: keys.integer(.size), timeout: keys.time(.timeout))
        }
    }
}

extension QueueConfig {
    var effective: EffectiveValue {
        .section(QueueSection.self) { key in
            switch key {
            case .size: .number(self.size)
            case .timeout: .time(self.timeout)
            }
        }
    }
}

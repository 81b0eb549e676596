import CulvertSystem
import Logging

/// `log`.
package enum LogSection: String, ConfigSection {
    case format, level

    package var entry: ConfigKey {
        switch self {
        case .format: ConfigKey(.oneOf(LogFormat.self), .value("text"), "The form of each line.")
        case .level: ConfigKey(.oneOf(Logger.Level.self), .value("info"), "The least level that is logged.")
        }
    }
}

extension LogSection {
    /// Reads `log`.
    struct Reader {
        func read(_ node: ConfigNode?) -> LogConfig {
            let keys = node?.section(LogSection.self) ?? ConfigMembers()
            return LogConfig(format: keys.choice(.format), level: keys.choice(.level))
        }
    }
}

extension LogConfig {
    var effective: EffectiveValue {
        .section(LogSection.self) { key in
            switch key {
            case .format: .word(self.format.rawValue)
            case .level: .word(self.level.rawValue)
            }
        }
    }
}

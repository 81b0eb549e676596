import CulvertCore
import NIOCore

/// `reload`.
package enum ReloadSection: String, ConfigSection {
    case closeCode = "close_code"
    case watch

    package var entry: ConfigKey {
        switch self {
        case .closeCode:
            ConfigKey(
                .text(.closeCode), .value("1012"),
                "The close code of a session for which the new configuration has no place.",
                note: "1000, 1001, 1008, 1012, 1013 or 3000 to 4999. A session whose token is replaced or gone "
                    + "gets `authentication.close_code`.")
        case .watch:
            ConfigKey(
                .duration(.zero ... .hours(24)), .value("10s"),
                "How often Culvert looks at the files of certificates by itself; `0s` for never.")
        }
    }
}

extension ReloadSection {
    /// Reads `reload`.
    struct Reader {
        func read(_ node: ConfigNode?) -> ReloadConfig {
            let keys = node?.section(ReloadSection.self) ?? ConfigMembers()
            let watch = keys.time(.watch)
            return ReloadConfig(closeCode: keys.closeCode(.closeCode), watch: watch > .zero ? watch : nil)
        }
    }
}

extension ReloadConfig {
    var effective: EffectiveValue {
        .section(ReloadSection.self) { key in
            switch key {
            case .closeCode: .number(Int(self.closeCode.rawValue))
            case .watch: .time(self.watch ?? .zero)
            }
        }
    }
}

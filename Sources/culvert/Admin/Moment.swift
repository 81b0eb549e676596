import CulvertConfig
import Foundation
import NIOCore

/// A moment as an option gives it: a date and time, or a duration from now on.
enum Moment {
    static let help = "such as 2027-01-01T00:00:00Z, or a time from now on, such as 24h or 720h"

    /// Gives the moment as the admin API takes it.
    ///
    /// The API counts in whole seconds. Rounding up keeps a moment that is less than a second away in the future.
    ///
    /// - Throws: ``CommandFailure`` for a text that is neither.
    static func text(_ value: String?, _ option: String) throws -> String? {
        guard let value else { return nil }
        guard let time = ConfigUnits.time(value) else {
            guard UnixTime.parse(value) == nil else { return value }
            let replacement = ConfigUnits.replacement(for: value).map { ": write \($0)" } ?? ""
            throw CommandFailure(
                description: "\(option): expected a date and time, such as 2027-01-01T00:00:00Z, or a duration from "
                    + "now on, such as 720h, with one number and one of the units ms, s, m and h\(replacement)")
        }
        let seconds = Date().timeIntervalSince1970 + Double(time.nanoseconds) / 1_000_000_000
        return UnixTime.text(Int64(seconds.rounded(.up)))
    }
}

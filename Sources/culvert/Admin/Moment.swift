import CulvertServer
import Foundation
import NIOCore

/// A moment as an option gives it: a date and time, or a duration from now on.
enum Moment {
    static let help = "such as 2027-01-01T00:00:00Z, or a time from now on, such as 24h"

    /// Gives the moment as the admin API takes it. The API refuses a text that is neither.
    ///
    /// The API counts in whole seconds. Rounding up keeps a moment that is less than a second away in the future.
    static func text(_ value: String?) -> String? {
        guard let value, let time = ConfigUnits.time(value) else { return value }
        let seconds = Date().timeIntervalSince1970 + Double(time.nanoseconds) / 1_000_000_000
        return UnixTime.text(Int64(seconds.rounded(.up)))
    }
}

import Foundation
import NIOCore

enum Clock {
    /// Wall time, for what expires on a date.
    static func unixSeconds() -> Int64 { Int64(Date().timeIntervalSince1970.rounded(.down)) }

    /// Negative when `unixSeconds` has passed.
    static func time(until unixSeconds: Int64) -> TimeAmount {
        // A year is further than any deadline need be known.
        let far = 31_536_000.0
        let left = Double(unixSeconds) - Date().timeIntervalSince1970
        return .nanoseconds(Int64(min(max(left, -far), far) * 1e9))
    }
}

import Foundation
package import NIOCore

package enum Clock {
    /// Wall time, for what expires on a date.
    package static func unixSeconds() -> Int64 { Int64(Date().timeIntervalSince1970.rounded(.down)) }

    /// Negative when `unixSeconds` has passed.
    package static func time(until unixSeconds: Int64) -> TimeAmount {
        // No deadline has to be known further than a year ahead.
        let far = 31_536_000.0
        let left = Double(unixSeconds) - Date().timeIntervalSince1970
        return .nanoseconds(Int64(min(max(left, -far), far) * 1e9))
    }
}

import Foundation

extension Clock {
    /// RFC 3339, to the second.
    package static func text(unixSeconds seconds: Int64) -> String {
        Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
    }
}

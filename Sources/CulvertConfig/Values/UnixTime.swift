import CulvertSystem
import Foundation

/// Unix seconds as people and documents write them: RFC 3339, to the second.
package enum UnixTime {
    /// Nil also for a date or time that there is not, such as 12:99, which Foundation would carry over: a slip in an
    /// expiry must not become another one.
    package static func parse(_ text: String) -> Int64? {
        guard let date = try? Date(text, strategy: .iso8601), let offset = self.offset(text),
            let seconds = Int64(exactly: date.timeIntervalSince1970.rounded(.down)),
            self.text(seconds + offset).prefix(19) == text.prefix(19).uppercased()
        else { return nil }
        return seconds
    }

    package static func text(_ seconds: Int64) -> String { Clock.text(unixSeconds: seconds) }

    /// Seconds by which the writer's clock is ahead of UTC.
    private static func offset(_ text: String) -> Int64? {
        if text.hasSuffix("Z") || text.hasSuffix("z") { return 0 }
        let zone = text.suffix(6)
        let parts = zone.dropFirst().split(separator: ":").compactMap { Int64($0) }
        guard parts.count == 2, let sign = zone.first, sign == "+" || sign == "-" else { return nil }
        let seconds = parts[0] * 3600 + parts[1] * 60
        return sign == "-" ? -seconds : seconds
    }
}

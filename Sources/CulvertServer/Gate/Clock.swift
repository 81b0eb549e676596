import Glibc
import NIOCore

enum Clock {
    /// Wall time, for what expires on a date.
    static func unixSeconds() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec)
    }

    /// Negative when `unixSeconds` has passed.
    static func time(until unixSeconds: Int64) -> TimeAmount {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        let (seconds, overflow) = unixSeconds.subtractingReportingOverflow(Int64(time.tv_sec))
        // A year is further than any deadline need be known.
        let far: Int64 = 31_536_000
        let left = overflow ? (unixSeconds > 0 ? far : -far) : min(max(seconds, -far), far)
        return .nanoseconds(left * 1_000_000_000 - Int64(time.tv_nsec))
    }
}

package import NIOCore

/// When each of many sessions is closed, so that they do not all come back to the next server at once.
package enum DrainSchedule {
    /// Returns a random moment in each of `count` equal parts of `time`: evenly spread, but not in step with other
    /// servers.
    package static func offsets(
        count: Int, over time: TimeAmount, using generator: inout some RandomNumberGenerator
    ) -> [TimeAmount] {
        let part = Double(max(0, time.nanoseconds)) / Double(max(1, count))
        return (0..<max(0, count)).map { index in
            .nanoseconds(Int64((Double(index) + Double.random(in: 0..<1, using: &generator)) * part))
        }
    }
}

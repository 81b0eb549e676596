package import Logging
import NIOCore
import Synchronization

/// Log lines that every peer can cause any number of times. The first is written at once, then one for each period,
/// with a count.
package final class Notices: Sendable {
    private static let period = TimeAmount.seconds(10)

    private struct Entry {
        var times = 0
        var said = NIODeadline.distantPast
    }

    private let entries = Mutex<[String: Entry]>([:])
    private let logger: Logger

    package init(logger: Logger) { self.logger = logger }

    /// - Parameter message: one of a few, since each is remembered.
    package func warn(_ message: StaticString, _ metadata: @autoclosure () -> Logger.Metadata = [:]) {
        let times: Int? = self.entries.withLock { entries in
            var entry = entries["\(message)"] ?? Entry()
            defer { entries["\(message)"] = entry }
            entry.times += 1
            guard .now() >= entry.said + Self.period else { return nil }
            defer { entry = Entry(said: .now()) }
            return entry.times
        }
        guard let times else { return }
        self.logger.warning("\(message)", metadata: metadata().merging(["times": .stringConvertible(times)]) { $1 })
    }
}

import Dispatch
import Foundation
import Logging
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Shared by all loggers of the process: the form of a line, the clock, the writer, and the bound on notices and
/// warnings that come again and again.
package final class LogSink: Sendable {
    package let format: LogFormat
    private let now: @Sendable () -> Int64
    private let write: @Sendable ([UInt8]) -> Void
    private let throttle = Mutex(LogThrottle())

    /// - Parameters:
    ///   - now: milliseconds since 1970, UTC.
    ///   - write: takes one line with its line feed, on any thread, and must not wait.
    package init(
        format: LogFormat, now: @escaping @Sendable () -> Int64, write: @escaping @Sendable ([UInt8]) -> Void
    ) {
        self.format = format
        self.now = now
        self.write = write
    }

    /// Writes to the standard error stream by the system's clock, without ever waiting for who reads it; what is
    /// written until the process exits is waited for then.
    package static func standardError(_ format: LogFormat) -> LogSink {
        let writer = LogWriter(descriptor: STDERR_FILENO) { dropped in
            LogLine.bytes(
                format, time: self.systemTime(), label: "culvert", level: .warning,
                message: "log lines dropped: standard error takes them too slowly",
                metadata: ["dropped": .stringConvertible(dropped)])
        }
        let sink = LogSink(format: format, now: self.systemTime, write: { writer.write($0) })
        writer.flushAtExit { sink.finish() }
        return sink
    }

    func log(_ event: LogEvent, label: String, metadata: Logger.Metadata) {
        let time = self.now()
        let message = event.message.description
        if event.level >= .notice {
            let kind = RefusalLog.kind(of: message, metadata)
            switch self.throttle.withLock({ $0.admit(kind, at: time) }) {
            case .write: break
            case .leaveOut(let isFirst):
                if isFirst { self.reportLater() }
                return
            }
        }
        self.write(
            LogLine.bytes(
                self.format, time: time, label: label, level: event.level, message: message, metadata: metadata,
                error: event.error.map { String(describing: $0) }))
    }

    /// Writes text for people as it is, behind the lines that came before it.
    ///
    /// - Parameter text: with its line feeds.
    package func print(_ text: String) { self.write(Array(text.utf8)) }

    /// Says what was left out until now.
    package func finish() { self.say(self.throttle.withLock { $0.finish() }) }

    private func reportLater() {
        // A moment behind the window's end, for timers may be early.
        let wait = DispatchTimeInterval.milliseconds(Int(LogThrottle.window) + 50)
        DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + wait) {
            self.say(self.throttle.withLock { $0.ended(at: self.now()) })
        }
    }

    private func say(_ summaries: [LogThrottle.Summary]) {
        for summary in summaries {
            self.write(
                LogLine.bytes(
                    self.format, time: self.now(), label: "culvert", level: .warning,
                    message: "log lines left out: too many of one message",
                    metadata: ["of": .string(summary.message), "left_out": .stringConvertible(summary.count)]))
        }
    }

    private static func systemTime() -> Int64 {
        Int64((Date().timeIntervalSince1970 * 1_000).rounded(.down))
    }
}

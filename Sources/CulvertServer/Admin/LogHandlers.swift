package import Logging

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Where log lines go, and what time it is.
package struct LogSink: Sendable {
    /// Milliseconds since 1970, UTC.
    package var now: @Sendable () -> Int64
    /// Takes one line without its line feed. Must not throw or block for long; called from any thread.
    package var write: @Sendable (String) -> Void

    package init(now: @escaping @Sendable () -> Int64, write: @escaping @Sendable (String) -> Void) {
        self.now = now
        self.write = write
    }

    /// The standard error stream and the system's clock.
    package static let standardError = LogSink(
        now: {
            var time = timespec()
            clock_gettime(CLOCK_REALTIME, &time)
            return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
        },
        write: { line in
            // One write for the line and its end: lines of several threads must not mix. What the system does not take
            // at once is written after it; a failure is not reported, for there is nowhere to report it to.
            var bytes = Array((line + "\n").utf8)[...]
            while !bytes.isEmpty {
                let written = bytes.withUnsafeBytes { Self.write(to: STDERR_FILENO, $0) }
                if written > 0 {
                    bytes = bytes.dropFirst(written)
                } else if written == 0 || errno != EINTR {
                    return
                }
            }
        }
    )

    private static func write(to descriptor: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
            Glibc.write(descriptor, bytes.baseAddress, bytes.count)
        #elseif canImport(Musl)
            Musl.write(descriptor, bytes.baseAddress, bytes.count)
        #else
            Darwin.write(descriptor, bytes.baseAddress, bytes.count)
        #endif
    }
}

/// Writes every event as one JSON object on a line of its own; see
/// ``LogLine/json(time:label:level:message:metadata:error:)``.
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let sink: LogSink

    package init(
        label: String,
        level: Logger.Level = .info,
        metadataProvider: Logger.MetadataProvider? = nil,
        sink: LogSink = .standardError
    ) {
        self.label = label
        self.logLevel = level
        self.metadataProvider = metadataProvider
        self.sink = sink
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        sink.write(
            LogLine.json(
                time: sink.now(),
                label: label,
                level: event.level,
                message: event.message.description,
                metadata: merged(metadata, metadataProvider, event),
                error: event.error.map { String(describing: $0) }
            )
        )
    }
}

/// Writes every event as one line for a person to read; see ``LogLine/text(time:label:level:message:metadata:error:)``.
package struct TextLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let label: String
    private let sink: LogSink

    package init(
        label: String,
        level: Logger.Level = .info,
        metadataProvider: Logger.MetadataProvider? = nil,
        sink: LogSink = .standardError
    ) {
        self.label = label
        self.logLevel = level
        self.metadataProvider = metadataProvider
        self.sink = sink
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        sink.write(
            LogLine.text(
                time: sink.now(),
                label: label,
                level: event.level,
                message: event.message.description,
                metadata: merged(metadata, metadataProvider, event),
                error: event.error.map { String(describing: $0) }
            )
        )
    }
}

/// The logger's own metadata, under what the provider says, under what the event says.
private func merged(
    _ own: Logger.Metadata,
    _ provider: Logger.MetadataProvider?,
    _ event: LogEvent
) -> Logger.Metadata {
    var all = own
    if let provided = provider?.get() { all.merge(provided) { $1 } }
    if let given = event.metadata { all.merge(given) { $1 } }
    return all
}

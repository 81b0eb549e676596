package import Logging

/// Makes a line of text of a log event: pure functions, no clock and no file.
///
/// A peer chooses parts of a line. Characters that end a line or drive a terminal are escaped wherever they stand,
/// a field is cut at ``fieldLimit`` and a line at about ``lineLimit``, and the line says so.
package enum LogLine {
    /// Bytes that one text takes in a line, escapes included, before it is cut.
    package static let fieldLimit = 4 << 10
    /// Bytes of a line past which further fields are left out. A line is longer by one field at most.
    package static let lineLimit = 32 << 10

    private static let reserved: Set<String> = ["time", "level", "logger", "message", "error"]

    /// The event as a line with its line feed.
    ///
    /// - Parameter time: milliseconds since 1970, UTC.
    package static func bytes(
        _ format: LogFormat, time: Int64, label: String, level: Logger.Level, message: String,
        metadata: Logger.Metadata, error: String? = nil
    ) -> [UInt8] {
        var line = LineBytes()
        switch format {
        case .json: self.writeJSON(&line, time, label, level, message, metadata, error)
        case .text: self.writeText(&line, time, label, level, message, metadata, error)
        }
        line.append(UInt8(ascii: "\n"))
        return line.bytes
    }

    /// The event as one JSON object, without a line feed.
    ///
    /// Metadata become members of their own; one that would hide `time`, `level`, `logger`, `message` or `error` is
    /// called `field.time` and so on. Integers, finite floating point numbers and booleans keep their JSON type.
    package static func json(
        time: Int64, label: String, level: Logger.Level, message: String, metadata: Logger.Metadata,
        error: String? = nil
    ) -> String {
        var line = LineBytes()
        self.writeJSON(&line, time, label, level, message, metadata, error)
        return String(decoding: line.bytes, as: UTF8.self)
    }

    /// The event as `2026-01-02T03:04:05.006Z info culvert: message key=value other="two words"`, without a line feed.
    package static func text(
        time: Int64, label: String, level: Logger.Level, message: String, metadata: Logger.Metadata,
        error: String? = nil
    ) -> String {
        var line = LineBytes()
        self.writeText(&line, time, label, level, message, metadata, error)
        return String(decoding: line.bytes, as: UTF8.self)
    }

    private static func writeJSON(
        _ line: inout LineBytes, _ time: Int64, _ label: String, _ level: Logger.Level, _ message: String,
        _ metadata: Logger.Metadata, _ error: String?
    ) {
        line.append("{\"time\":\"")
        line.appendTimestamp(time)
        line.append("\",\"level\":\"")
        line.append(level.rawValue)
        line.append("\",\"logger\":")
        line.appendQuoted(label, .json)
        line.append(",\"message\":")
        line.appendQuoted(message, .json)
        if let error {
            line.append(",\"error\":")
            line.appendQuoted(error, .json)
        }
        var left = metadata.count
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            if line.isFull {
                line.append(",\"field.omitted\":")
                line.append(String(left))
                break
            }
            left -= 1
            line.append(",")
            let isTaken = self.reserved.contains(key) || key.utf8.starts(with: "field.".utf8)
            line.appendQuoted(isTaken ? "field.\(key)" : key, .json)
            line.append(":")
            line.appendJSON(value)
        }
        line.append("}")
    }

    private static func writeText(
        _ line: inout LineBytes, _ time: Int64, _ label: String, _ level: Logger.Level, _ message: String,
        _ metadata: Logger.Metadata, _ error: String?
    ) {
        line.appendTimestamp(time)
        line.append(" ")
        line.append(level.rawValue)
        line.append(" ")
        line.appendEscaped(label, .text)
        line.append(": ")
        line.appendEscaped(message, .text)
        if let error {
            line.append(" error=")
            line.appendField(error)
        }
        var left = metadata.count
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            if line.isFull {
                line.append(" field.omitted=")
                line.append(String(left))
                break
            }
            left -= 1
            line.append(" ")
            line.appendField(key)
            line.append("=")
            switch value {
            case .string(let text): line.appendField(text)
            case .stringConvertible(let value): line.appendField(value.description)
            case .array, .dictionary:
                var nested = LineBytes()
                nested.appendJSON(value)
                line.appendField(String(decoding: nested.bytes, as: UTF8.self))
            }
        }
    }

    /// An RFC 3339 timestamp in UTC with milliseconds.
    ///
    /// - Parameter time: milliseconds since 1970; years before 0000 and after 9999 are out of what RFC 3339 can say and
    ///   are cut to that range.
    package static func timestamp(_ time: Int64) -> String {
        var line = LineBytes()
        line.appendTimestamp(time)
        return String(decoding: line.bytes, as: UTF8.self)
    }
}

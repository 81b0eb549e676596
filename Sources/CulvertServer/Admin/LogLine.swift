package import Logging

/// One log event as one line of text: pure functions, no clock and no file.
package enum LogLine {
    /// The event as one JSON object, without a line feed.
    ///
    /// Metadata become members of their own; one that would hide `time`, `level`, `logger`, `message` or `error` is
    /// called `field.time` and so on. Integers, finite floating point numbers and booleans keep their JSON type.
    ///
    /// - Parameter time: milliseconds since 1970, UTC.
    package static func json(
        time: Int64,
        label: String,
        level: Logger.Level,
        message: String,
        metadata: Logger.Metadata,
        error: String? = nil
    ) -> String {
        var line = "{\"time\":\"\(timestamp(time))\",\"level\":\"\(level.rawValue)\",\"logger\":"
        quote(label, into: &line)
        line += ",\"message\":"
        quote(message, into: &line)
        if let error {
            line += ",\"error\":"
            quote(error, into: &line)
        }
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line += ","
            quote(reserved.contains(key) || key.utf8.starts(with: "field.".utf8) ? "field.\(key)" : key, into: &line)
            line += ":"
            write(value, into: &line)
        }
        return line + "}"
    }

    /// The event as `2026-01-02T03:04:05.006Z info culvert: message key=value other="two words"`, without a line feed.
    ///
    /// Control characters are escaped wherever they stand, so that nothing a peer sends can begin a line of its own or
    /// drive the terminal the log is read on.
    ///
    /// - Parameter time: milliseconds since 1970, UTC.
    package static func text(
        time: Int64,
        label: String,
        level: Logger.Level,
        message: String,
        metadata: Logger.Metadata,
        error: String? = nil
    ) -> String {
        var line = "\(timestamp(time)) \(level.rawValue) "
        escape(label, quotes: false, into: &line)
        line += ": "
        escape(message, quotes: false, into: &line)
        if let error {
            line += " error="
            writeField(error, into: &line)
        }
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line += " "
            writeField(key, into: &line)
            line += "="
            writeField(plain(value), into: &line)
        }
        return line
    }

    /// An RFC 3339 timestamp in UTC with milliseconds.
    ///
    /// - Parameter time: milliseconds since 1970; years before 0000 and after 9999 are out of what RFC 3339 can say and
    ///   are cut to that range.
    package static func timestamp(_ time: Int64) -> String {
        let time = min(max(time, -62_167_219_200_000), 253_402_300_799_999)
        let days = (time >= 0 ? time : time - 86_399_999) / 86_400_000
        let inDay = time - days * 86_400_000
        // Days to a date of the proleptic Gregorian calendar, in eras of 400 years that begin on 1 March, so that the
        // leap day is the last one of its year.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        let clock = [inDay / 3_600_000, inDay / 60_000 % 60, inDay / 1_000 % 60].map { padded($0, 2) }
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))T"
            + "\(clock.joined(separator: ":")).\(padded(inDay % 1_000, 3))Z"
    }

    private static let reserved: Set<String> = ["time", "level", "logger", "message", "error"]

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }

    private static func write(_ value: Logger.MetadataValue, into line: inout String) {
        switch value {
        case .string(let text):
            quote(text, into: &line)
        case .stringConvertible(let value):
            switch value {
            case let number as any FixedWidthInteger: line += String(describing: number)
            case let flag as Bool: line += flag ? "true" : "false"
            case let number as Double where number.isFinite: line += String(describing: number)
            default: quote(value.description, into: &line)
            }
        case .array(let values):
            line += "["
            for (index, value) in values.enumerated() {
                if index > 0 { line += "," }
                write(value, into: &line)
            }
            line += "]"
        case .dictionary(let members):
            line += "{"
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { line += "," }
                quote(member.key, into: &line)
                line += ":"
                write(member.value, into: &line)
            }
            line += "}"
        }
    }

    /// A JSON string (RFC 8259, 7). More is escaped than must be: everything that ends a line or moves a cursor.
    private static func quote(_ text: String, into line: inout String) {
        line += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where isHarmful(scalar): line += "\\u" + hexadecimal(scalar.value, 4)
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }

    private static func writeField(_ text: String, into line: inout String) {
        let isBare =
            !text.isEmpty
            && text.utf8.allSatisfy {
                $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
                    && $0 != UInt8(ascii: "=")
            }
        if isBare {
            line += text
        } else {
            line += "\""
            escape(text, quotes: true, into: &line)
            line += "\""
        }
    }

    private static func escape(_ text: String, quotes: Bool, into line: inout String) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"" where quotes: line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where isHarmful(scalar): line += "\\u{" + hexadecimal(scalar.value, 2) + "}"
            default: line.unicodeScalars.append(scalar)
            }
        }
    }

    private static func plain(_ value: Logger.MetadataValue) -> String {
        switch value {
        case .string(let text): return text
        case .stringConvertible(let value): return value.description
        case .array, .dictionary:
            var text = ""
            write(value, into: &text)
            return text
        }
    }

    /// Control characters (C0, DEL, C1), line and paragraph separators, and the marks that reorder bidirectional text.
    private static func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F...0x9F, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }

    private static func hexadecimal(_ value: UInt32, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

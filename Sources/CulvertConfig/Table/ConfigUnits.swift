import CulvertCore
package import NIOCore

/// Quantities with units.
package enum ConfigUnits {
    private static let times: [(String, Double)] = [("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)]
    private static let sizes: [(String, Double)] = [
        ("KiB", 1024), ("MiB", 1_048_576), ("GiB", 1_073_741_824), ("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9),
        ("B", 1),
    ]

    /// Most bytes that a message, or a window of messages, may be configured to have. In JSON text takes up to six
    /// times its bytes, and a buffer has less than 4 GiB.
    static let largestMessage = 512 << 20

    /// `500ms`, `25s`, `1.5m`, `1h`.
    package static func time(_ text: String) -> TimeAmount? {
        guard let value = self.quantity(text, self.times), value <= 1e18 else { return nil }
        return .nanoseconds(Int64(value))
    }

    /// `512B`, `16KiB`, `1MiB`, `10MB`.
    static func size(_ text: String) -> Int? {
        guard let value = self.quantity(text, self.sizes), value <= 1e15 else { return nil }
        return Int(value)
    }

    private static func quantity(_ text: String, _ units: [(String, Double)]) -> Double? {
        for (unit, factor) in units where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) || $0 == UInt8(ascii: ".") }),
                let value = Double(digits)
            else { continue }
            return value * factor
        }
        return nil
    }

    package static func text(_ time: TimeAmount) -> String {
        let milliseconds = time.nanoseconds / 1_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }

    static func text(size: Int) -> String { SizeText.text(size) }

    /// In the largest unit that leaves a whole number: `24h`, `90s`.
    static func bound(_ time: TimeAmount) -> String {
        guard time > .zero else { return "0s" }
        for (unit, factor) in [("h", Int64(3_600_000)), ("m", 60_000), ("s", 1000)]
        where time.nanoseconds / 1_000_000 % factor == 0 {
            return "\(time.nanoseconds / 1_000_000 / factor)\(unit)"
        }
        return self.text(time)
    }

    /// What to write in place of a text of days, or of several units: `720h` for `30d`, `90s` for `1m30s`.
    package static func replacement(for text: String) -> String? {
        guard text.utf8.count <= 32, text.wholeMatch(of: #/([0-9]{1,9}(ms|[wdhms]))+/#) != nil else { return nil }
        let units: [Substring: Double] = [
            "w": 604_800e9, "d": 86_400e9, "h": 3600e9, "m": 60e9, "s": 1e9, "ms": 1e6,
        ]
        var sum = 0.0
        for part in text.matches(of: #/([0-9]{1,9})(ms|[wdhms])/#) {
            sum += (Double(part.1) ?? 0) * (units[part.2] ?? 0)
        }
        return sum <= 1e18 ? self.bound(.nanoseconds(Int64(sum))) : nil
    }

    private static let expectedSize = "expected a size with its unit, such as 512B, 16KiB or 1MiB"

    /// The fault of a text that cannot be read as a size.
    static func fault(ofSize text: String) -> String {
        let units = self.expectedSize + "; the units are B, KiB, MiB, GiB, kB, MB and GB"
        guard text.contains(where: { $0.isNumber }) else { return self.expectedSize }
        return units + (self.sizeReplacement(for: text).map { ": write \($0)" } ?? "")
    }

    /// What to write in place of a size without a unit, or with a unit in another spelling: `1MiB` for `1M` or `1 mib`.
    private static func sizeReplacement(for text: String) -> String? {
        guard text.utf8.count <= 32, let match = text.wholeMatch(of: #/([0-9]{1,15}(?:\.[0-9]+)?) *([A-Za-z]*)/#) else {
            return nil
        }
        let units = [
            "": "B", "b": "B", "byte": "B", "bytes": "B", "k": "KiB", "ki": "KiB", "kib": "KiB", "kb": "kB", "m": "MiB",
            "mi": "MiB", "mib": "MiB", "mb": "MB", "g": "GiB", "gi": "GiB", "gib": "GiB", "gb": "GB",
        ]
        guard let unit = units[match.2.lowercased()] else { return nil }
        let written = match.1 + unit
        guard let size = self.size(String(written)) else { return nil }
        return match.2.isEmpty ? self.text(size: size) : String(written)
    }

    static let expectedTime = "expected a duration with its unit, such as 500ms, 25s, 2m or 1h"
    private static let expectedUnit = "; it has one number and one of the units ms, s, m and h"

    /// The fault of a text that cannot be read as a duration.
    package static func fault(ofTime text: String) -> String {
        guard text.contains(where: \.isLetter) else { return self.expectedTime }
        return self.expectedTime + self.expectedUnit + (self.replacement(for: text).map { ": write \($0)" } ?? "")
    }
}

extension ConfigNode {
    /// Reads a duration in the range of the table. The caller has looked for `none` where the key takes that as well.
    func time() -> TimeAmount? {
        let (range, orNone) = self.given(self.kind?.timeBounds)
        guard let text = self.string() else { return nil }
        let none = orNone ? ", or none" : ""
        guard let time = ConfigUnits.time(text) else {
            self.fail(ConfigUnits.fault(ofTime: text) + none)
            return nil
        }
        guard range.contains(time) else {
            let (least, most) = (ConfigUnits.bound(range.lowerBound), ConfigUnits.bound(range.upperBound))
            self.fail("expected \(least) to \(most)" + none)
            return nil
        }
        return time
    }

    /// Reads a size in the range of the table, in bytes. The caller has looked for `none` where the key takes it too.
    func size() -> Int? {
        let (range, orNone) = self.given(self.kind?.sizeBounds)
        guard let text = self.string() else { return nil }
        let none = orNone ? ", or none for no limit" : ""
        guard let size = ConfigUnits.size(text) else {
            self.fail(ConfigUnits.fault(ofSize: text) + none)
            return nil
        }
        guard range.contains(size) else {
            self.fail(
                "expected \(ConfigUnits.text(size: range.lowerBound)) to \(ConfigUnits.text(size: range.upperBound))"
                    + none)
            return nil
        }
        return size
    }
}

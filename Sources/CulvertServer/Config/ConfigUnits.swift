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

    static func text(_ time: TimeAmount) -> String {
        let milliseconds = time.nanoseconds / 1_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }

    static func text(size: Int) -> String { SizeText.text(size) }
}

extension ConfigNode {
    func time(_ range: ClosedRange<TimeAmount> = .milliseconds(1) ... .hours(24 * 365)) -> TimeAmount? {
        guard let text = self.string() else { return nil }
        guard let time = ConfigUnits.time(text) else {
            self.fail("expected a duration with its unit, such as 500ms, 25s, 2m or 1h")
            return nil
        }
        guard range.contains(time) else {
            self.fail("expected \(ConfigUnits.text(range.lowerBound)) to \(ConfigUnits.text(range.upperBound))")
            return nil
        }
        return time
    }

    func size(_ range: ClosedRange<Int>) -> Int? {
        guard let text = self.string() else { return nil }
        guard let size = ConfigUnits.size(text) else {
            self.fail("expected a size with its unit, such as 512B, 16KiB or 1MiB")
            return nil
        }
        guard range.contains(size) else {
            self.fail(
                "expected \(ConfigUnits.text(size: range.lowerBound)) to \(ConfigUnits.text(size: range.upperBound))")
            return nil
        }
        return size
    }
}

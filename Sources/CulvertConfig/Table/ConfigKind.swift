package import NIOCore

/// The kind of a key's value: its form, unit and range. ``ConfigNode`` reads a value by its kind.
package indirect enum ConfigKind: Sendable {
    /// A number with one of the units ms, s, m and h.
    case duration(ClosedRange<TimeAmount> = ConfigKind.anyTime, orNone: Bool = false)
    /// A number with a unit such as B, KiB or MB.
    case size(ClosedRange<Int>, orNone: Bool = false)
    case integer(ClosedRange<Int>)
    case boolean
    case choice([String])
    /// Text of a form that the reader checks.
    case text(ConfigText)
    case section(any ConfigSection.Type)
    case list(ConfigKind, atLeast: Int = 0)
    /// A mapping whose keys are names of the operator's own, and whose values are sections.
    case named(any ConfigSection.Type)
    /// A value of any of these kinds.
    case either([ConfigKind])

    /// Durations for which the table has no other range.
    package static let anyTime: ClosedRange<TimeAmount> = .milliseconds(1) ... .hours(24 * 365)
    /// Sessions, connections and messages that a limit may name.
    static let count = ConfigKind.integer(1...10_000_000)
    /// Openings a second that a limit may allow.
    static let rate = ConfigKind.integer(1...1_000_000)
    /// A size of messages, or none for no limit.
    static let messageSize = ConfigKind.size(1...ConfigUnits.largestMessage, orNone: true)

    static func oneOf<Value: RawRepresentable & CaseIterable>(_ type: Value.Type) -> ConfigKind
    where Value.RawValue == String {
        .choice(type.allCases.map(\.rawValue))
    }

    // MARK: - for the reader

    /// The range of a duration, and whether `none` is right as well; nil for another kind.
    var timeBounds: (range: ClosedRange<TimeAmount>, orNone: Bool)? {
        if case .duration(let range, let orNone) = self { (range, orNone) } else { nil }
    }

    /// The range of a size, and whether `none` is right as well; nil for another kind.
    var sizeBounds: (range: ClosedRange<Int>, orNone: Bool)? {
        switch self {
        case .size(let range, let orNone): (range, orNone)
        case .either(let kinds): kinds.lazy.compactMap(\.sizeBounds).first
        default: nil
        }
    }

    /// The range of a whole number; nil for another kind.
    var integerRange: ClosedRange<Int>? {
        if case .integer(let range) = self { range } else { nil }
    }

    /// The kind of a list's items; nil for another kind.
    var itemKind: ConfigKind? {
        switch self {
        case .list(let item, _): item
        case .either(let kinds): kinds.lazy.compactMap(\.itemKind).first
        default: nil
        }
    }

    /// The sections directly below the key, each with what its path has in front of the names of its keys.
    var sections: [(path: String, type: any ConfigSection.Type)] {
        switch self {
        case .section(let type): [("", type)]
        case .named(let type): [(".NAME", type)]
        case .list(let item, _): item.sections.map { ("[]" + $0.path, $0.type) }
        case .either(let kinds): kinds.flatMap(\.sections)
        default: []
        }
    }

    // MARK: - for the JSON Schema and the documents

    /// The range of a duration or a size, such as `1KiB to 512MiB`; nil for another kind, and for a duration with the
    /// range ``anyTime``.
    var rangeText: String? {
        if let (range, _) = self.timeBounds {
            guard range != Self.anyTime else { return nil }
            return "\(ConfigUnits.bound(range.lowerBound)) to \(ConfigUnits.bound(range.upperBound))"
        }
        return self.sizeBounds.map {
            "\(ConfigUnits.text(size: $0.range.lowerBound)) to \(ConfigUnits.text(size: $0.range.upperBound))"
        }
    }
}

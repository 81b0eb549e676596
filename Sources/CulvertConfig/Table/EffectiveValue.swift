import CulvertCore
import NIOCore

/// A value of the configuration in effect, as `culvert check` and `GET /v1/config` show it. The names, the order and the
/// secrets of a section come from the table of keys.
indirect enum EffectiveValue {
    /// A number, a duration, a size or a word of a choice, written as it is.
    case word(String)
    /// Text, written between quotation marks.
    case text(String)
    case list([EffectiveValue])
    case section([Member])
    /// A secret that the configuration has. It is shown as `(redacted)`.
    case hidden

    struct Member {
        /// As it is written, in quotation marks where it is the operator's own.
        var name: String
        var value: EffectiveValue
    }

    /// The keys of a section that have a value.
    static func section<Key: ConfigSection>(_ type: Key.Type, _ value: (Key) -> EffectiveValue?) -> EffectiveValue {
        .section(
            type.allCases.compactMap { key in
                value(key).map { Member(name: key.rawValue, value: key.entry.isSecret ? .hidden : $0) }
            })
    }

    static func number(_ number: Int) -> EffectiveValue { .word("\(number)") }

    static func flag(_ flag: Bool) -> EffectiveValue { .word("\(flag)") }

    static func time(_ time: TimeAmount) -> EffectiveValue { .word(ConfigUnits.text(time)) }

    static func size(_ size: Int) -> EffectiveValue { .word(ConfigUnits.text(size: size)) }

    static func texts(_ texts: [String]) -> EffectiveValue { .list(texts.map(EffectiveValue.text)) }

    /// Nil for a section without a value.
    var unlessEmpty: EffectiveValue? {
        if case .section(let members) = self, members.isEmpty { nil } else { self }
    }

    // MARK: - YAML

    /// The lines of a section, the first without the blanks in front of it.
    func yaml(indent: Int = 0) -> String {
        guard case .section(let members) = self else { return self.inline + "\n" }
        let lines = members.map { "\($0.name):\($0.value.yamlBehindName(indent: indent))" }
        return lines.joined(separator: Self.blanks(indent))
    }

    private func yamlBehindName(indent: Int) -> String {
        let inside = indent + 2
        switch self {
        case .section(let members) where !members.isEmpty:
            return "\n" + Self.blanks(inside) + self.yaml(indent: inside)
        case .list(let items) where items.contains(where: \.isSection):
            return "\n" + items.map { Self.blanks(inside) + "- " + $0.yaml(indent: inside + 2) }.joined()
        default: return " " + self.inline + "\n"
        }
    }

    private var isSection: Bool {
        if case .section = self { true } else { false }
    }

    /// In one line, with the brackets of flow style around lists and sections.
    var inline: String {
        switch self {
        case .word(let word): word
        case .text(let text): Self.quoted(text)
        case .hidden: Self.quoted("(redacted)")
        case .list(let items): "[" + items.map(\.inline).joined(separator: ", ") + "]"
        case .section(let members):
            "{" + members.map { "\($0.name): \($0.value.inline)" }.joined(separator: ", ") + "}"
        }
    }

    private static func blanks(_ count: Int) -> String { String(repeating: " ", count: count) }

    /// JSON's strings are YAML's double-quoted ones; a literal `${` is written so that it stays one.
    static func quoted(_ text: String) -> String { JSONBytes.quoted(text.replacing("${", with: "$${")) }
}

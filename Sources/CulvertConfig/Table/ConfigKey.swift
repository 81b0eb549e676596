/// An entry of the table of keys: it describes a key of `proxy.yaml`. The reader takes ranges, defaults and required keys from here;
/// the effective configuration takes names, order and secrets; `docs/proxy.schema.json` and the tables of
/// `docs/configuration.md` are made from it.
package struct ConfigKey: Sendable {
    /// Describes what holds when the file does not have the key.
    package enum Absence: Sendable {
        /// Culvert refuses the file.
        case required
        /// The value is in effect, written as in the file.
        case value(String)
        /// The keys of the section have their defaults.
        case defaults
        /// No single value is in effect. The words say what holds, for the column "Default" of the documents.
        case words(String)
    }

    let kind: ConfigKind
    let absence: Absence
    /// A sentence or two for editors and documents, with code between backticks.
    let summary: String
    /// Further sentences for the documents, in Markdown.
    let note: String
    /// A value that is right, written as in the file. Required keys have an example.
    let example: String?
    /// The value is a secret. The effective configuration has `(redacted)` in its place.
    let isSecret: Bool

    init(
        _ kind: ConfigKind, _ absence: Absence, _ summary: String, note: String = "", example: String? = nil,
        isSecret: Bool = false
    ) {
        self.kind = kind
        self.absence = absence
        self.summary = summary
        self.note = note
        self.example = example
        self.isSecret = isSecret
    }

    var isRequired: Bool {
        if case .required = self.absence { true } else { false }
    }

    /// Nil for a key that is required, or whose absence has words.
    var defaultText: String? {
        if case .value(let text) = self.absence { text } else { nil }
    }
}

import CulvertCore
import NIOCore

/// Makes the JSON Schema (2020-12) of `proxy.yaml` from the table of keys. `docs/proxy.schema.json` is its text.
package struct ConfigSchema {
    package static var text: String { ConfigSchema().schema.text() + "\n" }

    private var schema: SchemaJSON {
        let head: SchemaJSON = [
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Culvert's proxy.yaml",
            "description": "docs/configuration.md describes every key",
        ]
        return head.adding(self.object(RootSection.self)).adding(["$defs": self.definitions])
    }

    // MARK: - sections

    private func object(_ type: any ConfigSection.Type) -> SchemaJSON {
        let required = type.entries.filter(\.key.isRequired).map { SchemaJSON.string($0.name) }
        let object: SchemaJSON = [
            "type": "object", "additionalProperties": false,
            "properties": .object(type.entries.map { .init(name: $0.name, value: self.property($0.key)) }),
        ]
        return object.adding(required.isEmpty ? [:] : ["required": .array(required)]).adding(type.rules)
    }

    /// A section in its place, or where it is defined.
    private func section(_ type: any ConfigSection.Type) -> SchemaJSON {
        type.definition.map { Self.reference($0) } ?? self.object(type)
    }

    // MARK: - keys

    private func property(_ key: ConfigKey) -> SchemaJSON {
        var property: SchemaJSON = ["description": .string(Self.description(key))]
        property = property.adding(self.value(key.kind))
        if let text = key.defaultText { property = property.adding(["default": Self.written(text, key.kind)]) }
        if let text = key.example { property = property.adding(["examples": [Self.written(text, key.kind)]]) }
        return key.isSecret ? property.adding(["writeOnly": true]) : property
    }

    /// The sentence of the table, with the range and what holds without the key.
    private static func description(_ key: ConfigKey) -> String {
        var text = key.summary
        if let range = key.kind.rangeText { text += " Range: \(range)." }
        if case .words(let words) = key.absence { text += " Without the key: \(words)." }
        return self.plain(text)
    }

    /// Without the marks of Markdown, which editors show as they are.
    private static func plain(_ text: String) -> String {
        text.replacing("`", with: "").replacing(#/\[([^\]]+)\]\([^)]+\)/#) { "\($0.1)" }
    }

    private func value(_ kind: ConfigKind) -> SchemaJSON {
        switch kind {
        case .duration(let range, let orNone):
            Self.orNone(orNone, Self.reference(range.lowerBound > .zero ? "duration" : "durationOrZero"))
        case .size(_, let orNone): Self.orNone(orNone, Self.reference("size"))
        case .integer(let range):
            Self.orVariable([
                ["type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound)]
            ])
        case .boolean: Self.reference("boolean")
        case .choice(let words):
            // YAML takes 1.2 for a number.
            Self.orVariable([
                [
                    "enum": .array(
                        words.map { .string($0) } + words.compactMap { Double($0) }.map { .number($0) })
                ]
            ])
        case .text(let form): Self.reference(form.rawValue)
        case .section(let type): self.section(type)
        case .named(let type):
            ["type": "object", "minProperties": 1, "additionalProperties": self.section(type)]
        case .list(let item, let least):
            (["type": "array", "items": self.value(item)] as SchemaJSON)
                .adding(least > 0 ? ["minItems": .integer(least)] : [:])
        case .either(let kinds): ["anyOf": .array(kinds.map(self.value).flatMap(\.alternatives))]
        }
    }

    private static func reference(_ name: String) -> SchemaJSON { ["$ref": .string("#/$defs/\(name)")] }

    private static func orNone(_ orNone: Bool, _ value: SchemaJSON) -> SchemaJSON {
        orNone ? ["anyOf": [["enum": ["none"]], value]] : value
    }

    private static func orVariable(_ values: [SchemaJSON]) -> SchemaJSON {
        ["anyOf": .array(values + [self.reference("variable")])]
    }

    /// A value as the table writes it, as JSON.
    private static func written(_ text: String, _ kind: ConfigKind) -> SchemaJSON {
        switch kind {
        case .integer, .text(.closeCode): Int(text).map(SchemaJSON.integer) ?? .string(text)
        case .boolean: .boolean(text == "true")
        case .list(let item, _):
            .array(
                text.dropFirst().dropLast().split(separator: ",").map {
                    self.written(String($0.drop { $0 == " " }), item)
                })
        default: .string(text)
        }
    }

    // MARK: - definitions

    private var definitions: SchemaJSON {
        let units: SchemaJSON = [
            "variable": [
                "description": "A value with a variable of the environment: ${NAME} or ${NAME:-text}",
                "type": "string", "pattern": #"\$\{"#,
            ],
            "boolean": [
                "description": "true or false",
                "anyOf": [
                    ["type": "boolean"], ["enum": ["true", "yes", "on", "false", "no", "off"]],
                    ["$ref": "#/$defs/variable"],
                ],
            ],
            "duration": Self.quantity(
                "A duration above zero with its unit: 500ms, 25s, 1.5m, 1h", "(?=[0-9.]*[1-9])", "ms|s|m|h"),
            "durationOrZero": Self.quantity("A duration with its unit, 0s too", "", "ms|s|m|h"),
            "size": Self.quantity(
                "A size with its unit: 512B, 16KiB, 1MiB, 10MB", "(?=[0-9.]*[1-9])", "KiB|MiB|GiB|kB|KB|MB|GB|B"),
        ]
        let texts = ConfigText.allCases.map { form in
            SchemaJSON.Member(
                name: form.rawValue,
                value: (["description": .string(Self.plain(form.summary))] as SchemaJSON)
                    .adding(form.takesVariables ? Self.orVariable(form.schema) : ["anyOf": .array(form.schema)]))
        }
        let sections = Self.defined(in: RootSection.self).map { name, type in
            SchemaJSON.Member(name: name, value: self.object(type))
        }
        return units.adding(.object(texts)).adding(.object(sections))
    }

    private static func quantity(_ description: SchemaJSON, _ condition: String, _ units: String) -> SchemaJSON {
        (["description": description] as SchemaJSON).adding(
            self.orVariable([
                [
                    "type": "string",
                    "pattern": .string("^" + condition + #"([0-9]+\.?[0-9]*|\.[0-9]+)("# + units + ")$"),
                ]
            ]))
    }

    /// The sections with a definition, in the order in which the table has them first.
    private static func defined(in type: any ConfigSection.Type) -> [(name: String, type: any ConfigSection.Type)] {
        var found: [(name: String, type: any ConfigSection.Type)] = []
        for below in type.entries.flatMap(\.key.kind.sections) {
            let own = below.type.definition.map { [($0, below.type)] } ?? []
            for (name, type) in own + self.defined(in: below.type) where !found.contains(where: { $0.name == name }) {
                found.append((name, type))
            }
        }
        return found
    }
}

extension SchemaJSON {
    /// The members of `anyOf`, or the value itself.
    fileprivate var alternatives: [SchemaJSON] {
        guard self.members.count == 1, let only = self.members.first, only.name == "anyOf",
            case .array(let items) = only.value
        else { return [self] }
        return items
    }
}

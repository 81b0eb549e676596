import CulvertCore

/// JSON whose members keep their order, for the JSON Schema.
package indirect enum SchemaJSON: Sendable, Equatable {
    case object([Member])
    case array([SchemaJSON])
    case string(String)
    case integer(Int)
    case number(Double)
    case boolean(Bool)

    package struct Member: Sendable, Equatable {
        var name: String
        var value: SchemaJSON
    }

    /// The members of an object; none of another value.
    var members: [Member] {
        if case .object(let members) = self { members } else { [] }
    }

    /// The object with the members of another one behind its own.
    func adding(_ more: SchemaJSON) -> SchemaJSON { .object(self.members + more.members) }

    /// A line for what fits in one, up to 120 characters with what stands in front of it and a comma behind it.
    ///
    /// - Parameters:
    ///   - indent: of the line.
    ///   - column: where the text begins.
    func text(indent: Int = 0, column: Int = 0) -> String {
        let line = self.line
        if indent > 0, column + line.utf8.count < 120 { return line }
        let inside = indent + 2
        func lines(_ items: [String], _ brackets: (String, String)) -> String {
            let blank = String(repeating: " ", count: inside)
            return brackets.0 + "\n" + items.map { blank + $0 }.joined(separator: ",\n") + "\n"
                + String(repeating: " ", count: indent) + brackets.1
        }
        switch self {
        case .object(let members) where !members.isEmpty:
            return lines(
                members.map { member in
                    let name = JSONBytes.quoted(member.name) + ": "
                    return name + member.value.text(indent: inside, column: inside + name.utf8.count)
                }, ("{", "}"))
        case .array(let items) where !items.isEmpty:
            return lines(items.map { $0.text(indent: inside, column: inside) }, ("[", "]"))
        default: return line
        }
    }

    private var line: String {
        switch self {
        case .object(let members):
            "{" + members.map { JSONBytes.quoted($0.name) + ": " + $0.value.line }.joined(separator: ", ") + "}"
        case .array(let items): "[" + items.map(\.line).joined(separator: ", ") + "]"
        case .string(let text): JSONBytes.quoted(text)
        case .integer(let number): "\(number)"
        case .number(let number): "\(number)"
        case .boolean(let value): "\(value)"
        }
    }
}

extension SchemaJSON: ExpressibleByDictionaryLiteral, ExpressibleByArrayLiteral, ExpressibleByStringLiteral,
    ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral
{
    package init(dictionaryLiteral elements: (String, SchemaJSON)...) {
        self = .object(elements.map { Member(name: $0.0, value: $0.1) })
    }

    package init(arrayLiteral elements: SchemaJSON...) { self = .array(elements) }

    package init(stringLiteral value: String) { self = .string(value) }

    package init(integerLiteral value: Int) { self = .integer(value) }

    package init(booleanLiteral value: Bool) { self = .boolean(value) }
}

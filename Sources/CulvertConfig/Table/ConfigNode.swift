import Yams

/// A place in the configuration: its value, its key path and where it stands.
struct ConfigNode {
    let node: Node
    let path: String
    let errors: ConfigErrorCollector
    let environment: [String: String]
    /// The kind of the value in the table of keys; nil for the whole file and below the operator's own names.
    var kind: ConfigKind?

    func fail(_ message: String) {
        self.errors.add(
            line: self.node.mark?.line ?? 1, column: self.node.mark?.column ?? 1, keyPath: self.path, message)
    }

    var place: ConfigPlace {
        ConfigPlace(
            file: self.errors.file, line: self.node.mark?.line ?? 1, column: self.node.mark?.column ?? 1,
            keyPath: self.path)
    }

    /// Has the place of this value kept for ``ProxyConfig/places``.
    func keepPlace() {
        self.errors.keep(line: self.node.mark?.line ?? 1, column: self.node.mark?.column ?? 1, keyPath: self.path)
    }

    private func child(_ node: Node, _ path: String) -> ConfigNode {
        ConfigNode(node: node, path: path, errors: self.errors, environment: self.environment)
    }

    // MARK: - shapes

    /// The members of a section. Keys that the section does not have are reported, and required ones that are missing.
    ///
    /// - Parameter form: how the section is written, for a value of another shape.
    func section<Key: ConfigSection>(_ type: Key.Type, form: String? = nil) -> ConfigMembers<Key>? {
        guard var members = self.members(form: form) else { return nil }
        for keyNode in (self.node.mapping?.keys).map(Array.init) ?? [] {
            guard !self.errors.isFull, let key = keyNode.string, Key(rawValue: key) == nil else { continue }
            // Reported where the key stands: its value may be lines away.
            self.child(keyNode, self.path.isEmpty ? key : "\(self.path).\(key)").fail(
                "unknown key, expected one of \(Key.names.joined(separator: ", "))" + Self.suggestion(for: key, type))
        }
        for (name, key) in Key.entries {
            members[name]?.kind = key.kind
            if key.isRequired, members[name] == nil { self.fail("missing key \"\(name)\"") }
        }
        return ConfigMembers(members)
    }

    /// A key that begins with the word, a key of this name in a section below, or a key that is spelt almost so.
    private static func suggestion(for word: String, _ type: (some ConfigSection).Type) -> String {
        let isBeginning = type.names.contains { $0.hasPrefix(word) }
        if !isBeginning, let path = type.deeperPath(of: word) { return " (did you mean \"\(path)\"?)" }
        return Spelling.suggestion(for: word, among: type.names)
    }

    /// The members of a mapping whose keys are the operator's own names.
    func members(form: String? = nil) -> [String: ConfigNode]? {
        guard let mapping = self.node.mapping else {
            self.fail(
                self.isEmpty
                    ? "the section is empty: expected keys below it; write one, or take the section out"
                    : "expected a mapping" + (form.map { ": write \($0)" } ?? ""))
            return nil
        }
        var members: [String: ConfigNode] = [:]
        for (keyNode, value) in mapping {
            guard let key = keyNode.string else {
                self.child(keyNode, self.path).fail("expected a name for a key")
                continue
            }
            // An error about a member is looked for where its key stands, unless it has a value with a place.
            members[key] = self.child(
                value.mark == nil ? keyNode : value, self.path.isEmpty ? key : "\(self.path).\(key)")
        }
        return members
    }

    /// Whether the key has no value, as one whose lines below it are all comments.
    private var isEmpty: Bool {
        guard let scalar = self.node.scalar, scalar.style == .plain else { return false }
        return scalar.string.isEmpty || Switch(scalar.string) == .nothing
    }

    /// - Parameter form: how the list is written, for a value of another shape.
    func list(form: String? = nil) -> [ConfigNode]? {
        guard let sequence = self.node.sequence else {
            self.fail(
                self.isEmpty
                    ? "the list is empty: expected entries below it, each behind a -"
                    : "expected a list" + (form.map { ": write \($0)" } ?? self.listAdvice))
            return nil
        }
        let kind = self.kind?.itemKind
        return sequence.enumerated().map { index, item in
            var child = self.child(item, "\(self.path)[\(index)]")
            child.kind = kind
            return child
        }
    }

    /// How a text is written as a list with one item, for the end of a message. Empty for a value that cannot be an item
    /// of the list, and for a text that is perhaps several items.
    private var listAdvice: String {
        guard let text = self.node.scalar?.string, (1...100).contains(text.utf8.count),
            let item = self.kind?.itemKind, item.sections.isEmpty,
            text.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F && !",\"\\".utf8.contains($0) })
        else { return "" }
        let isPlain = text.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || "./-_".utf8.contains(byte)
        }
        return isPlain ? ": write [\(text)]" : ": write [\"\(text)\"]"
    }

    /// The text of a scalar, with `${NAME}` replaced.
    func string() -> String? {
        guard let scalar = self.node.scalar else {
            self.fail("expected a single value")
            return nil
        }
        return self.expand(scalar.string)
    }

    /// `${NAME}` is a variable of the environment, `${NAME:-text}` has a default, `$${` is a literal `${`.
    private func expand(_ text: String) -> String? {
        var out = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            out += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                out += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let end = rest.firstIndex(of: "}") else {
                    self.fail("\"${\" without \"}\"")
                    return nil
                }
                let inside = rest[rest.index(rest.startIndex, offsetBy: 2)..<end]
                let parts = inside.split(separator: ":-", maxSplits: 1, omittingEmptySubsequences: false)
                let name = String(parts[0])
                if let value = self.environment[name] ?? (parts.count == 2 ? String(parts[1]) : nil) {
                    out += value
                } else {
                    self.fail("environment variable \(name) is not set")
                    return nil
                }
                rest = rest[rest.index(after: end)...]
            } else {
                out += "$"
                rest = rest.dropFirst()
            }
        }
        return out + rest
    }

    // MARK: - values

    func choice<Value: RawRepresentable & CaseIterable>(_ type: Value.Type) -> Value? where Value.RawValue == String {
        guard let text = self.string() else { return nil }
        if let value = Value(rawValue: text) { return value }
        let names = Value.allCases.map(\.rawValue)
        self.fail("expected \(names.joined(separator: " or "))" + Spelling.suggestion(for: text, among: names))
        return nil
    }

    /// A number in the range of the table.
    func integer() -> Int? {
        let range = self.given(self.kind?.integerRange)
        guard let text = self.string() else { return nil }
        guard let value = Int(text), range.contains(value) else {
            self.fail("expected a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return value
    }

    /// - Parameter bounds: what the table of keys says of the value.
    func given<Bounds>(_ bounds: Bounds?) -> Bounds {
        guard let bounds else { preconditionFailure("the table of keys has another kind for \(self.path)") }
        return bounds
    }

    func bool() -> Bool? {
        guard let text = self.string() else { return nil }
        switch text {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default:
            self.fail("expected true or false")
            return nil
        }
    }
}

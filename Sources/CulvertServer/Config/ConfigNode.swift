import Yams

/// A place in the configuration: its value, its key path and where it stands.
struct ConfigNode {
    let node: Node
    let path: String
    let errors: ConfigErrorCollector
    let environment: [String: String]

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

    /// The members of a mapping with just these keys; others are reported.
    ///
    /// - Parameter deeper: where keys belong that are often written here by mistake.
    func section(
        _ keys: [String], required: [String] = [], deeper: [String: String] = [:]
    ) -> [String: ConfigNode]? {
        guard let members = self.members() else { return nil }
        for keyNode in (self.node.mapping?.keys).map(Array.init) ?? [] {
            guard let key = keyNode.string, !keys.contains(key) else { continue }
            // Reported where the key stands: its value may be lines away.
            self.child(keyNode, self.path.isEmpty ? key : "\(self.path).\(key)").fail(
                "unknown key, expected one of \(keys.joined(separator: ", "))"
                    + (deeper[key].map { " (did you mean \"\($0)\"?)" } ?? Spelling.suggestion(for: key, among: keys)))
        }
        for key in required where members[key] == nil {
            self.fail("missing key \"\(key)\"")
        }
        return members
    }

    /// The members of a mapping whose keys are the operator's own names.
    func members() -> [String: ConfigNode]? {
        guard let mapping = self.node.mapping else {
            self.fail("expected a mapping")
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

    func list() -> [ConfigNode]? {
        guard let sequence = self.node.sequence else {
            self.fail("expected a list")
            return nil
        }
        return sequence.enumerated().map { self.child($1, "\(self.path)[\($0)]") }
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

    func integer(_ range: ClosedRange<Int>) -> Int? {
        guard let text = self.string() else { return nil }
        guard let value = Int(text), range.contains(value) else {
            self.fail("expected a whole number from \(range.lowerBound) to \(range.upperBound)")
            return nil
        }
        return value
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

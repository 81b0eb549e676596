import NIOCore

/// A section of `proxy.yaml`: each case is a key of it, in the order of messages and documents. The file of a section
/// has its keys, its `Reader`, and the value of each key in the effective configuration. A key without an entry in
/// `entry`, or without such a value, does not compile; a key that the reader leaves out fails `ConfigKeyTests`.
package protocol ConfigSection: RawRepresentable<String>, CaseIterable, Hashable, Sendable {
    var entry: ConfigKey { get }
    /// The name of the section in the JSON Schema, for a section that stands in several places.
    static var definition: String? { get }
    /// Members of the JSON Schema that tell how keys of the section depend on each other.
    static var rules: SchemaJSON { get }
}

extension ConfigSection {
    package static var definition: String? { nil }
    package static var rules: SchemaJSON { [:] }

    static var entries: [(name: String, key: ConfigKey)] { Self.allCases.map { ($0.rawValue, $0.entry) } }

    static var names: [String] { Self.allCases.map(\.rawValue) }

    /// Each key of the section and of those below it, with its path.
    static func paths(_ prefix: String = "") -> [(path: String, key: ConfigKey)] {
        Self.entries.flatMap { name, key in
            [(prefix + name, key)]
                + key.kind.sections.flatMap { $0.type.paths(prefix + name + $0.path + ".") }
        }
    }

    /// Finds a key that the section does not have itself in the sections below it.
    ///
    /// - Returns: the path of the first such key, such as `tls.hsts` for `hsts`; nil if no section below has the key.
    static func deeperPath(of name: String) -> String? {
        var level: [(path: String, type: any ConfigSection.Type)] = [("", Self.self)]
        while !level.isEmpty {
            level = level.flatMap { section in
                section.type.entries.flatMap { member in
                    member.key.kind.sections.map { (section.path + member.name + $0.path + ".", $0.type) }
                }
            }
            if let found = level.first(where: { $0.type.names.contains(name) }) { return found.path + name }
        }
        return nil
    }
}

/// The members of a section as the file has them.
struct ConfigMembers<Key: ConfigSection> {
    private let nodes: [String: ConfigNode]

    init(_ nodes: [String: ConfigNode] = [:]) { self.nodes = nodes }

    /// Nil for a key that the file does not have.
    subscript(key: Key) -> ConfigNode? { self.nodes[key.rawValue] }

    /// Whether the file has keys here that the section does not have.
    var hasUnknownKeys: Bool { self.nodes.keys.contains { Key(rawValue: $0) == nil } }

    // Each gives what the file has, or the default of the table. A value that is wrong has been reported, so that
    // nothing comes of what is given in its place.

    func time(_ key: Key) -> TimeAmount {
        self[key]?.time() ?? self.given(ConfigUnits.time(self.defaultText(key)), key)
    }

    /// Nil for `none`.
    func timeOrNone(_ key: Key) -> TimeAmount? {
        guard let node = self[key] else { return ConfigUnits.time(self.defaultText(key)) }
        guard let text = node.string(), text != "none" else { return nil }
        return node.time()
    }

    func size(_ key: Key) -> Int { self[key]?.size() ?? self.given(ConfigUnits.size(self.defaultText(key)), key) }

    func integer(_ key: Key) -> Int { self[key]?.integer() ?? self.given(Int(self.defaultText(key)), key) }

    func bool(_ key: Key) -> Bool { self[key]?.bool() ?? (self.defaultText(key) == "true") }

    func string(_ key: Key) -> String { self[key]?.string() ?? self.defaultText(key) }

    func choice<Value: RawRepresentable & CaseIterable>(_ key: Key, _ type: Value.Type = Value.self) -> Value
    where Value.RawValue == String {
        self[key]?.choice(type) ?? self.given(Value(rawValue: self.defaultText(key)), key)
    }

    /// The default of the table, as it is written in the file.
    func defaultText(_ key: Key) -> String { self.given(key.entry.defaultText, key) }

    private func given<Value>(_ value: Value?, _ key: Key) -> Value {
        guard let value else { preconditionFailure("the table of keys has no usable default for \(key.rawValue)") }
        return value
    }
}

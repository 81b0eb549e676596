/// The places of values in the file that a configuration was read from, by their key paths. The readers of sections
/// keep the places of files, addresses, routes, paths of tokens, upstreams and trusted proxies; the checks and warnings
/// that come after the reading name the line from here.
package struct ConfigPlaces: Sendable, Equatable {
    /// Empty for a configuration that was made by the program itself.
    private let file: String
    private let places: [String: Position]

    struct Position: Sendable {
        var line: Int
        var column: Int
    }

    package init() {
        self.file = ""
        self.places = [:]
    }

    init(file: String, _ places: [String: Position]) {
        self.file = file
        self.places = places
    }

    /// Whether the file itself has the value. A default has no place.
    package func contains(_ keyPath: String) -> Bool { self.places[keyPath] != nil }

    /// The place of a value. For a value that the file leaves to its default this is the place of the section around
    /// it, or the first line.
    package subscript(keyPath: String) -> ConfigPlace {
        var path = keyPath[...]
        while self.places[String(path)] == nil {
            guard let end = path.lastIndex(where: { $0 == "." || $0 == "[" }) else {
                return ConfigPlace(file: self.file, line: 1, column: 1, keyPath: keyPath)
            }
            path = path[..<end]
        }
        let position = self.places[String(path)] ?? Position(line: 1, column: 1)
        return ConfigPlace(file: self.file, line: position.line, column: position.column, keyPath: keyPath)
    }

    /// A message about a value, with its place where there is a file.
    package func text(_ keyPath: String, _ message: String) -> String {
        self.file.isEmpty ? "\(keyPath): \(message)" : self[keyPath].error(message).description
    }

    /// For a message that names a second value: `listen[1].address of line 7`.
    package func name(_ keyPath: String) -> String {
        self.contains(keyPath) ? "\(keyPath) of line \(self[keyPath].line)" : "\(keyPath), which has its default"
    }

    /// A value that has moved within the file is the same.
    package static func == (one: ConfigPlaces, other: ConfigPlaces) -> Bool { true }
}

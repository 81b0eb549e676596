/// One thing that is wrong with a configuration file, and where.
package struct ConfigError: Error, Equatable, Sendable, CustomStringConvertible {
    package var file: String
    /// Both count from 1.
    package var line: Int
    package var column: Int
    /// Such as `routes[0].origins.allow[1]`; empty for the file as a whole.
    package var keyPath: String
    package var message: String

    package init(file: String, line: Int, column: Int, keyPath: String, message: String) {
        self.file = file
        self.line = line
        self.column = column
        self.keyPath = keyPath
        self.message = message
    }

    package var description: String {
        "\(self.file):\(self.line):\(self.column): " + (self.keyPath.isEmpty ? "" : "\(self.keyPath): ") + self.message
    }
}

/// The place of a value in the file, for errors that are found later.
package struct ConfigPlace: Sendable {
    var file: String
    var line: Int
    var column: Int
    var keyPath: String

    /// For a message about another value: `routes[0] of line 4`.
    var name: String { "\(self.keyPath) of line \(self.line)" }

    package func error(_ message: String) -> ConfigError {
        ConfigError(file: self.file, line: self.line, column: self.column, keyPath: self.keyPath, message: message)
    }
}

/// All that is wrong with a configuration file, in the order of its lines. Never empty.
package struct ConfigErrors: Error, Equatable, Sendable {
    package var errors: [ConfigError]

    package init(errors: [ConfigError]) {
        self.errors = errors
    }
}

/// Gathers errors while reading goes on, so that all are reported at once.
final class ConfigErrorCollector {
    let file: String
    private(set) var errors: [ConfigError] = []
    /// The places of values that later checks name, by key path.
    private(set) var places: [String: ConfigPlaces.Position] = [:]

    init(file: String) {
        self.file = file
    }

    /// Errors that are kept. A file of one wrong list would otherwise make more text than there is memory for.
    private static let limit = 200

    /// Further errors are not kept, so that nothing need be found out for their messages.
    var isFull: Bool { self.errors.count >= Self.limit }

    func add(line: Int, column: Int, keyPath: String, _ message: String) {
        guard !self.isFull else { return }
        self.errors.append(
            ConfigError(file: self.file, line: line, column: column, keyPath: keyPath, message: message))
    }

    func keep(line: Int, column: Int, keyPath: String) {
        self.places[keyPath] = ConfigPlaces.Position(line: line, column: column)
    }

    var sorted: [ConfigError] { self.errors.inOrder }
}

extension [ConfigError] {
    /// In the order of the lines.
    package var inOrder: [ConfigError] {
        self.sorted { ($0.line, $0.column, $0.keyPath) < ($1.line, $1.column, $1.keyPath) }
    }
}

/// Finds what a misspelt word was meant to be.
package enum Spelling {
    /// ` (did you mean "x"?)`, or nothing when no candidate is near.
    package static func suggestion(for word: String, among candidates: some Sequence<String>) -> String {
        if word.count > 2, let longer = candidates.first(where: { $0.hasPrefix(word.lowercased()) }) {
            return " (did you mean \"\(longer)\"?)"
        }
        let ranked = candidates.map { (distance: self.distance(word.lowercased(), $0.lowercased()), word: $0) }
        guard let best = ranked.min(by: { ($0.distance, $0.word) < ($1.distance, $1.word) }) else { return "" }
        return best.distance <= max(1, min(word.count, best.word.count) / 3) ? " (did you mean \"\(best.word)\"?)" : ""
    }

    /// Damerau's distance, one row at a time: two neighbours that are swapped count once. Words beyond 64 characters are
    /// no misspelling of a key.
    static func distance(_ a: String, _ b: String) -> Int {
        let a = Array(a.prefix(64))
        let b = Array(b.prefix(64))
        var row = Array(0...b.count)
        // The two rows before the row.
        var last = row
        var lastButOne = row
        for (i, x) in a.enumerated() {
            (lastButOne, last) = (last, row)
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                row[j + 1] = min(last[j + 1] + 1, row[j] + 1, last[j] + (x == y ? 0 : 1))
                if i > 0, j > 0, x == b[j - 1], y == a[i - 1] { row[j + 1] = min(row[j + 1], lastButOne[j - 1] + 1) }
            }
        }
        return row[b.count]
    }
}

/// Makes the tables of keys in `docs/configuration.md` from the table of keys. A table of the document stands between a
/// line `<!-- keys: PATH -->`, with the paths of one or more sections such as `routes[]`, and a line
/// `<!-- end of keys -->`. Sections below have a table of their own, or their keys are rows of this one.
package enum ConfigReference {
    /// The path of the whole file in such a line.
    private static let root = "proxy.yaml"
    private static let (begin, beginEnd, end) = ("<!-- keys: ", " -->", "<!-- end of keys -->")

    /// Makes all tables of a document anew.
    ///
    /// - Returns: the document with them.
    package static func updated(_ document: String) -> String {
        let lines = document.split(separator: "\n", omittingEmptySubsequences: false)
        let own = Set(lines.flatMap(self.paths))
        var out: [String] = []
        var isTable = false
        for line in lines {
            if line == self.end { isTable = false }
            if isTable { continue }
            out.append(String(line))
            let paths = self.paths(line)
            if let first = paths.first, let type = self.section(first) {
                isTable = true
                out += ["", "| Key | Value | Default | Meaning |", "|---|---|---|---|"]
                out += self.rows(type, first, own: own).map(\.text) + [""]
            }
        }
        return out.joined(separator: "\n")
    }

    /// Keys that are in none of the document's tables, and tables of no section or of several unlike ones.
    package static func faults(_ document: String) -> [String] {
        let tables = document.split(separator: "\n").map(self.paths)
        let own = Set(tables.joined())
        var missing = Set(RootSection.paths().map(\.path))
        var faults: [String] = []
        for table in tables {
            var first: String?
            for path in table {
                guard let type = self.section(path) else {
                    faults.append("\(path) is no section")
                    continue
                }
                let name = "\(type)"
                if first ?? name != name { faults.append("\(path) has other keys than \(table[0])") }
                first = name
                for row in self.rows(type, path, own: own) { missing.remove(row.path) }
            }
        }
        return faults + missing.sorted().map { "\($0) is in no table" }
    }

    /// The paths of a line in front of a table; none for another line.
    private static func paths(_ line: Substring) -> [String] {
        guard line.hasPrefix(self.begin), line.hasSuffix(self.beginEnd) else { return [] }
        return line.dropFirst(self.begin.count).dropLast(self.beginEnd.count).split(separator: " ").map(String.init)
    }

    private static func section(_ path: String) -> (any ConfigSection.Type)? {
        if path == self.root { return RootSection.self }
        return self.sections(RootSection.self, "").first { $0.path == path }?.type
    }

    private static func sections(
        _ type: any ConfigSection.Type, _ prefix: String
    ) -> [(path: String, type: any ConfigSection.Type)] {
        type.entries.flatMap { name, key in
            key.kind.sections.flatMap { below in
                let path = prefix + name + below.path
                return [(path, below.type)] + self.sections(below.type, path + ".")
            }
        }
    }

    // MARK: - rows

    /// - Parameters:
    ///   - path: of the section.
    ///   - own: the sections that have tables of their own.
    private static func rows(
        _ type: any ConfigSection.Type, _ path: String, own: Set<String>, prefix: String = ""
    ) -> [(path: String, text: String)] {
        type.entries.flatMap { name, key in
            let whole = path == self.root ? name : "\(path).\(name)"
            // The document has a chapter for each key of the whole file.
            let cell = path == self.root ? "[`\(name)`](#\(name))" : "`\(prefix + name)`"
            let row = (whole, self.row(cell, key))
            return [row]
                + key.kind.sections.filter { !own.contains(whole + $0.path) }.flatMap {
                    self.rows($0.type, whole + $0.path, own: own, prefix: prefix + name + $0.path + ".")
                }
        }
    }

    private static func row(_ cell: String, _ key: ConfigKey) -> String {
        let absence =
            switch key.absence {
            case .required: "required"
            case .value(let text): "`\(text)`"
            case .defaults: "the defaults of its keys"
            case .words(let words): words
            }
        let secret = key.isSecret ? " The value is a secret and is never shown." : ""
        let meaning = key.summary + (key.note.isEmpty ? "" : " " + key.note) + secret
        return "| \(cell) | \(key.kind.words) | \(absence) | \(meaning.replacing("|", with: "\\|")) |"
    }
}

extension ConfigKind {
    /// For the column "Value".
    fileprivate var words: String {
        switch self {
        case .duration(_, let orNone): (self.rangeText ?? "duration") + (orNone ? " or `none`" : "")
        case .size(_, let orNone): (self.rangeText ?? "size") + (orNone ? " or `none`" : "")
        case .integer(let range): "\(Self.grouped(range.lowerBound)) to \(Self.grouped(range.upperBound))"
        case .boolean: "`true`, `false`"
        case .choice(let words): words.map { "`\($0)`" }.joined(separator: ", ")
        case .text(let form): form.words
        case .section: "section"
        case .named: "sections"
        case .list(let item, _): "list: \(item.words)"
        case .either(let kinds): kinds.map(\.words).joined(separator: " or ")
        }
    }

    /// `10,000,000`, but `1000`.
    private static func grouped(_ number: Int) -> String {
        guard number >= 10_000 else { return "\(number)" }
        let digits = Array(String(number))
        return String(
            digits.enumerated().flatMap { index, digit -> [Character] in
                index > 0 && (digits.count - index) % 3 == 0 ? [",", digit] : [digit]
            })
    }
}

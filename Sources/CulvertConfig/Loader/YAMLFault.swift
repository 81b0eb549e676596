import Yams

/// The fault of a text that is not YAML, in words for its author. The parser's own words name its grammar.
struct YAMLFault {
    /// Both count from 1.
    var line: Int
    var column: Int
    var message: String

    /// Marks with which YAML begins something else than a value.
    private static let marks = Array("*&@`%!|>".utf8)

    /// - Parameters:
    ///   - problem: the words of the parser.
    ///   - mark: where it stopped: at the mark, or right behind it.
    init(_ problem: String, _ mark: Mark, in yaml: String) {
        self.line = mark.line
        self.column = mark.column
        self.message = "not YAML: \(problem)"
        if problem.contains("another document") {
            self.message =
                "a second document begins here, and a configuration is one document; take away this line (---), or what "
                + "follows it"
            return
        }
        guard mark.line > 0, mark.column > 0,
            let bytes = yaml.utf8.split(
                maxSplits: mark.line, omittingEmptySubsequences: false, whereSeparator: { $0 == 0x0A }
            ).dropFirst(mark.line - 1).first.map({ Array($0.prefix(1 << 10)) })
        else { return }
        if problem.contains("tab") || problem.contains("token"), let tab = Self.tab(in: bytes) {
            self.column = tab + 1
            self.message = "a tab stands where YAML takes spaces only; write spaces in its place"
            return
        }
        // The column counts characters, and up to the mark the line mostly is ASCII.
        for index in [mark.column - 1, mark.column - 2] where bytes.indices.contains(index) {
            guard Self.marks.contains(bytes[index]), Self.beginsValue(bytes, index) else { continue }
            let sign = String(decoding: [bytes[index]], as: UTF8.self)
            self.column = index + 1
            self.message =
                "a value that begins with \(sign) has to stand in quotation marks: \"\(sign == "*" ? sign : sign + "…")\""
            return
        }
    }

    /// The offset of a tab among the blanks that the line begins with.
    private static func tab(in bytes: [UInt8]) -> Int? {
        let blanks = bytes.prefix { $0 == 0x20 || $0 == 0x09 }
        return blanks.firstIndex(of: 0x09)
    }

    private static func beginsValue(_ bytes: [UInt8], _ index: Int) -> Bool {
        index == 0 || [0x20, 0x09, UInt8(ascii: "["), UInt8(ascii: ","), UInt8(ascii: "{")].contains(bytes[index - 1])
    }
}

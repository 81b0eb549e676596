/// Takes blanks and line breaks out of a script where they say nothing. A twentieth of what goes over the wire is that.
///
/// It tells strings, templates and regular expressions from code, and changes nothing in them; otherwise it does not
/// understand the script. Where a line break may end a statement it stays. It is for one script, ours, whose tests run
/// on what comes out of it.
struct ScriptSqueezer {
    /// Where the byte at hand stands; the innermost is last.
    private enum Place: Equatable {
        /// The script, a block in it, or an expression in a template.
        case code
        case string(quote: UInt8)
        case template
        case regex
        /// `[…]` in a regular expression, where a slash ends nothing.
        case characterClass
    }

    private let text: [UInt8]
    private var index = 0
    private var places = [Place.code]
    private var out: [UInt8] = []

    /// - Parameter text: without comments.
    static func squeeze(_ text: String) -> String {
        var squeezer = ScriptSqueezer(text: Array(text.utf8))
        squeezer.run()
        return String(decoding: squeezer.out, as: UTF8.self)
    }

    private init(text: [UInt8]) {
        self.text = text
        self.out.reserveCapacity(text.count)
    }

    private mutating func run() {
        while self.index < self.text.count {
            let byte = self.text[self.index]
            switch self.places.last {
            case .code?, nil:
                if Self.isBlank(byte) {
                    self.blanks()
                    continue
                }
                self.code(byte)
            case let place?: self.literal(byte, place)
            }
            self.index += 1
        }
    }

    private mutating func literal(_ byte: UInt8, _ place: Place) {
        self.out.append(byte)
        if byte == UInt8(ascii: "\\"), self.index + 1 < self.text.count {
            self.index += 1
            self.out.append(self.text[self.index])
            return
        }
        switch (place, byte) {
        case (.string(let quote), _) where quote == byte: self.places.removeLast()
        case (.template, UInt8(ascii: "`")), (.regex, UInt8(ascii: "/")), (.characterClass, UInt8(ascii: "]")):
            self.places.removeLast()
        case (.template, UInt8(ascii: "$")) where self.text.dropFirst(self.index + 1).first == UInt8(ascii: "{"):
            self.index += 1
            self.out.append(UInt8(ascii: "{"))
            self.places.append(.code)
        case (.regex, UInt8(ascii: "[")): self.places.append(.characterClass)
        default: break
        }
    }

    private mutating func code(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): self.places.append(.string(quote: byte))
        case UInt8(ascii: "`"): self.places.append(.template)
        case UInt8(ascii: "/") where self.beginsRegex: self.places.append(.regex)
        case UInt8(ascii: "{"): self.places.append(.code)
        case UInt8(ascii: "}") where self.places.count > 1: self.places.removeLast()
        default: break
        }
        self.out.append(byte)
    }

    /// What divides stands behind a value; everywhere else a slash begins a regular expression.
    private var beginsRegex: Bool {
        guard let last = self.out.last else { return true }
        if Self.isWord(last) {
            let word = self.out.reversed().prefix(while: Self.isWord).reversed()
            return ["return", "typeof", "case", "of", "in"].contains(String(decoding: word, as: UTF8.self))
        }
        return !")]\"'`".utf8.contains(last)
    }

    private mutating func blanks() {
        var breaks = false
        while self.index < self.text.count, Self.isBlank(self.text[self.index]) {
            if self.text[self.index] == UInt8(ascii: "\n") { breaks = true }
            self.index += 1
        }
        guard let last = self.out.last, self.index < self.text.count else { return }
        let next = self.text[self.index]
        if breaks {
            if !"{([,;".utf8.contains(last), !"})]".utf8.contains(next) { self.out.append(UInt8(ascii: "\n")) }
        } else if Self.isWord(last) && Self.isWord(next) || last == next && "+-/".utf8.contains(last) {
            // Two words, or what would be another operator or a comment without it.
            self.out.append(UInt8(ascii: " "))
        }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\n") }

    /// Of a name, a keyword or a number.
    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), UInt8(ascii: "#"), 0x80...:
            true
        default: false
        }
    }
}

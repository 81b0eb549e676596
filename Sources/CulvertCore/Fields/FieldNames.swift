/// A set of names of fields, compared as a gateway to CGI hands names on: letters in one case, and every byte that is
/// neither a letter nor a digit the same. `X.Forwarded.User` and `x_forwarded_user` are `HTTP_X_FORWARDED_USER` to
/// whatever runs there. Asked for each field of each opening, so that a question makes no copy of a name.
package struct FieldNames: ExpressibleByArrayLiteral, Sendable {
    /// Names of a message that are compared one after the other. A message may have thousands.
    private static let mostOfFew = 16

    /// Folded names by their length in bytes.
    private var byLength: [[[UInt8]]] = []
    /// Folded names where a message has few.
    private var few: [[UInt8]] = []
    /// All names where a message has many.
    private var many: Set<[UInt8]> = []

    /// Names that a message has.
    package init(_ names: [String]) {
        if names.count > Self.mostOfFew {
            self.many = Set(names.map { $0.utf8.map(Self.fold) })
        } else {
            self.few = names.map { $0.utf8.map(Self.fold) }
        }
    }

    package init(arrayLiteral names: String...) {
        for name in names {
            let folded = name.utf8.map(Self.fold)
            while self.byLength.count <= folded.count { self.byLength.append([]) }
            self.byLength[folded.count].append(folded)
        }
    }

    package func includes(_ name: String) -> Bool {
        if !self.many.isEmpty { return self.many.contains(name.utf8.map(Self.fold)) }
        let length = name.utf8.count
        for folded in self.few where folded.count == length && Self.folds(name, to: folded) { return true }
        guard length < self.byLength.count else { return false }
        for folded in self.byLength[length] where Self.folds(name, to: folded) { return true }
        return false
    }

    /// Whether `name` begins with `prefix`, which is written as it folds.
    package static func folds(_ name: String, toBeginWith prefix: StaticString) -> Bool {
        let prefix = UnsafeBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
        return name.utf8.count >= prefix.count && zip(name.utf8, prefix).allSatisfy { self.fold($0) == $1 }
    }

    /// Both have the same length.
    private static func folds(_ name: String, to folded: [UInt8]) -> Bool {
        var index = 0
        for byte in name.utf8 {
            guard self.fold(byte) == folded[index] else { return false }
            index += 1
        }
        return true
    }

    @inline(__always)
    private static func fold(_ byte: UInt8) -> UInt8 { byte.isAlphanumeric ? byte.lowercased : UInt8(ascii: "-") }
}

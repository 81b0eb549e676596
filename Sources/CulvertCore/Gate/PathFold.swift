import Foundation

/// The reading of a path by servers that ignore the case of letters, or that normalise text (NFKC). To them U+212A is a
/// `k`, U+017F is an `s`, fullwidth letters are letters, and there are more forms of the dot and the slash.
///
/// The edge refuses paths because of this reading, and never finds a route by it.
enum PathFold {
    /// Decomposed (NFKD), in one case, with every blank as a space and without characters that show nothing. The time grows faster than the length where there are many combining marks,
    /// so that callers pass the front of a path only, see ``front(for:)``.
    static func fold(_ bytes: some Collection<UInt8>) -> [UInt8] {
        if bytes.allSatisfy({ $0 < 0x80 }) { return bytes.map(\.lowercased) }
        let text = String(decoding: bytes, as: UTF8.self).decomposedStringWithCompatibilityMapping
        var out: [UInt8] = []
        for scalar in text.unicodeScalars where !self.showsNothing(scalar) {
            if scalar.isASCII {
                out.append(UInt8(truncatingIfNeeded: scalar.value).lowercased)
            } else if self.blanks.contains(scalar.properties.generalCategory) || scalar.value == 0x85 {
                // U+0085, next line, is a blank to libraries that trim.
                out.append(UInt8(ascii: " "))
            } else {
                for upper in scalar.properties.uppercaseMapping.unicodeScalars {
                    out += Array(upper.properties.lowercaseMapping.utf8)
                }
            }
        }
        return out
    }

    /// The front of a path that decides whether a folded prefix of `length` bytes covers it, folded. Characters that show
    /// nothing are dropped first, because any number of them may stand within the prefix.
    static func foldedFront(_ bytes: UnsafeBufferPointer<UInt8>, for length: Int) -> [UInt8] {
        var shown: [UInt8] = []
        let most = self.front(for: length)
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars where !self.showsNothing(scalar) {
            guard shown.count < most else {
                // The path goes on, so the name does not end here.
                return self.fold(shown) + [UInt8(ascii: "/"), UInt8(ascii: "-")]
            }
            shown += Array(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        }
        return self.fold(shown)
    }

    /// Java compares a capital I with a dot above (U+0130) as one without.
    private static func showsNothing(_ scalar: Unicode.Scalar) -> Bool {
        !scalar.isASCII && (scalar.value == 0x307 || scalar.properties.isDefaultIgnorableCodePoint)
    }

    private static let blanks: Set<Unicode.GeneralCategory> = [.spaceSeparator, .lineSeparator, .paragraphSeparator]

    /// The number of bytes of a path that decide whether a folded prefix of `length` bytes covers it: a letter has at
    /// most four bytes for each byte of its folded form.
    static func front(for length: Int) -> Int { 4 * length + 8 }

    /// Refuses dot segments and empty segments that are written with the compatibility forms of dots and slashes, control
    /// characters outside ASCII (U+0080 to U+009F), and the compatibility forms of the percent sign, behind which any
    /// character may stand.
    static func check(_ bytes: [UInt8]) throws(PathFault) {
        guard bytes.contains(where: { $0 >= 0x80 }) else { return }
        if let text = String(validating: bytes, as: UTF8.self) {
            for scalar in text.unicodeScalars where !scalar.isASCII {
                if scalar.value <= 0x9F { throw .badByte }
                if scalar.value == 0xFF05 || scalar.value == 0xFE6A { throw .badEncoding }
            }
        }
        var dots = 0
        var isName = false
        // The segment has such a form in it, or at one of its ends.
        var isForeign = false
        func end(isLast: Bool) throws(PathFault) {
            if isName || !isForeign { return }
            if (1...2).contains(dots) { throw .dotSegment }
            if dots == 0, !isLast { throw .emptySegment }
        }
        var index = 1
        while index < bytes.count {
            let form = self.form(bytes, at: index)
            index += form == .other || bytes[index] < 0x80 ? 1 : 3
            switch form {
            case .slash, .foreignSlash:
                if form == .foreignSlash { isForeign = true }
                try end(isLast: false)
                (dots, isName, isForeign) = (0, false, form == .foreignSlash)
            case .dot: dots += 1
            case .foreignDot: (dots, isForeign) = (dots + 1, true)
            case .twoDots: (dots, isForeign) = (dots + 2, true)
            case .other: isName = true
            }
        }
        try end(isLast: true)
    }

    private enum Form {
        case slash
        case dot
        /// U+FF0F, U+FF3C, U+FE68.
        case foreignSlash
        /// U+FF0E, U+2024, U+FE52.
        case foreignDot
        /// U+2025, U+FE30.
        case twoDots
        case other
    }

    /// Reads UTF-8. Bytes elsewhere in the path need not be UTF-8.
    private static func form(_ bytes: [UInt8], at index: Int) -> Form {
        switch bytes[index] {
        case UInt8(ascii: "/"): return .slash
        case UInt8(ascii: "."): return .dot
        case 0xE2, 0xEF:
            guard index + 2 < bytes.count else { return .other }
            switch (bytes[index], bytes[index + 1], bytes[index + 2]) {
            case (0xEF, 0xBC, 0x8F), (0xEF, 0xBC, 0xBC), (0xEF, 0xB9, 0xA8): return .foreignSlash
            case (0xEF, 0xBC, 0x8E), (0xE2, 0x80, 0xA4), (0xEF, 0xB9, 0x92): return .foreignDot
            case (0xE2, 0x80, 0xA5), (0xEF, 0xB8, 0xB0): return .twoDots
            default: return .other
            }
        default: return .other
        }
    }
}

/// The pairs `name=value` of a query, of a form or of a Cookie line, found by bytes in one pass. Nothing is copied.
package struct Pairs: Sequence, IteratorProtocol {
    /// Offsets of bytes.
    package struct Pair {
        package var text: Range<Int>
        package var name: Range<Int>
        package var value: Range<Int>
    }

    private let bytes: UnsafeBufferPointer<UInt8>
    private let separator: UInt8
    private var start: Int? = 0

    /// Valid as long as `bytes`.
    init(_ bytes: UnsafeBufferPointer<UInt8>, separator: UInt8) {
        self.bytes = bytes
        self.separator = separator
    }

    package mutating func next() -> Pair? {
        guard let start = self.start else { return nil }
        var mark: Int?
        var end = start
        while end < self.bytes.count, self.bytes[end] != self.separator {
            if mark == nil, self.bytes[end] == UInt8(ascii: "=") { mark = end }
            end += 1
        }
        self.start = end < self.bytes.count ? end + 1 : nil
        return Pair(text: start..<end, name: start..<(mark ?? end), value: (mark.map { $0 + 1 } ?? end)..<end)
    }
}

/// A query, or a form's body (application/x-www-form-urlencoded).
package enum Query {
    static func pairs(_ bytes: UnsafeBufferPointer<UInt8>) -> Pairs { Pairs(bytes, separator: UInt8(ascii: "&")) }

    /// The value of the first parameter that has the name, as it is written. A name that is written percent-encoded is
    /// the same name to what reads it behind the edge.
    package static func rawValue(of name: String, in query: String) -> Substring? {
        let range: Range<Int>? = query.withBytes { bytes in
            name.withBytes { name in
                self.pairs(bytes).first { PercentEncoding.equals(bytes, $0.name, name) }?.value
            }
        }
        return range.map(query.slice)
    }

    /// The same, decoded as a form; nil also for a value that cannot be decoded.
    package static func value(of name: String, in query: String) -> String? {
        self.rawValue(of: name, in: query).flatMap { PercentEncoding.decode($0, isForm: true) }
    }
}

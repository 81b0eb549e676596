/// The bounds of a peer's JSON. The reader refuses JSON at the byte that exceeds a bound, before it makes any value of
/// it.
package struct JSONLimits: Equatable, Sendable {
    /// Bytes of the whole document.
    package var bytes: Int
    /// Objects and arrays within each other; at most 64.
    package var depth: Int
    /// Values of every kind in the whole document, objects and arrays among them.
    package var values: Int

    package init(bytes: Int, depth: Int, values: Int) {
        self.bytes = bytes
        self.depth = min(depth, 64)
        self.values = values
    }
}

package enum JSONFault: Error, Equatable, Sendable {
    case tooLong
    case tooDeep
    case tooMany
    /// An object has two members of one name.
    case duplicate
    /// This is not JSON (RFC 8259), or not UTF-8.
    case syntax
    /// The value is of another kind than asked for, or a number out of range.
    case type
}

/// Follows a request line on its way to the decoder: whether it begins with a method, and how long its target is. The
/// decoder does not tell why it refuses a line.
package struct RequestLine: Sendable {
    private enum Part {
        case method
        case target
        /// The bytes behind the target.
        case rest
        /// The line does not begin with a word and a space.
        case none
    }

    private var part = Part.method
    private var methodLength = 0
    /// Bytes of the target that have come.
    package private(set) var targetLength = 0

    package init() {}

    /// The line begins with a word that may be the name of a method (RFC 9110 9.1), as far as it has come.
    package var hasMethod: Bool {
        switch self.part {
        case .method: self.methodLength > 0
        case .target, .rest: true
        case .none: false
        }
    }

    /// The next bytes of the line. Whether its end is among them does not matter.
    package mutating func take(_ bytes: UnsafeRawBufferPointer) {
        for byte in bytes {
            switch self.part {
            case .method where byte.isTokenByte: self.methodLength += 1
            case .method: self.part = byte == UInt8(ascii: " ") && self.methodLength > 0 ? .target : .none
            case .target where byte > UInt8(ascii: " "): self.targetLength += 1
            // Spaces in front of the target are passed over, as the decoder does.
            case .target where self.targetLength == 0 && byte == UInt8(ascii: " "): break
            case .target: self.part = .rest
            case .rest, .none: return
            }
        }
    }
}

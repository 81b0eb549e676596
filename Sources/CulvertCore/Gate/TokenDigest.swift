import Crypto

/// SHA-256 of a secret, all that Culvert ever keeps of one. Four words, so that looking one up allocates nothing.
package struct TokenDigest: Hashable, Sendable {
    private let words: (UInt64, UInt64, UInt64, UInt64)

    package init(of secret: some StringProtocol) {
        var hash = SHA256()
        var secret = Substring(secret)
        secret.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        self.words = hash.finalize().withUnsafeBytes { bytes in
            // A SHA-256 digest has 32 bytes.
            (
                bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
            )
        }
    }

    /// Nil unless there are 32 bytes.
    package init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        let array = Array(bytes)
        self.words = array.withUnsafeBytes {
            (
                $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self),
                $0.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
            )
        }
    }

    /// The 32 bytes.
    package var bytes: [UInt8] {
        withUnsafeBytes(of: self.words) { Array($0) }
    }

    /// Takes the same time wherever the words differ.
    package static func == (one: TokenDigest, other: TokenDigest) -> Bool {
        let first = (one.words.0 ^ other.words.0) | (one.words.1 ^ other.words.1)
        let second = (one.words.2 ^ other.words.2) | (one.words.3 ^ other.words.3)
        return first | second == 0
    }

    package func hash(into hasher: inout Hasher) {
        // A cryptographic hash is spread already; the hasher's own seed keeps buckets from being chosen.
        hasher.combine(self.words.0)
        hasher.combine(self.words.1)
    }
}

/// A digest in a log would let its readers try secrets against it without asking.
extension TokenDigest: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "SHA-256 of a secret" }
    package var debugDescription: String { self.description }
    package var customMirror: Mirror { Mirror(self, children: EmptyCollection()) }
}

import Glibc

/// The digests of the secrets that were shown lately. A client that polls shows the same one with every request, and
/// SHA-256 of it costs an allocation and, for a JWT, a microsecond.
///
/// Holds secrets, in memory alone, of tokens that are known.
struct DigestCache: Sendable {
    /// Bytes of one secret; what is longer is digested each time.
    private static let secretLimit = 4096

    /// Bytes of an entry besides the secret.
    private static let overhead = 200

    private var digests = RecentCache<Key, TokenDigest>(size: 4096, bytes: 4 << 20)

    mutating func digest(of secret: Substring) -> TokenDigest? { self.digests[Key(secret)] }

    mutating func remember(_ digest: TokenDigest, of secret: Substring) {
        guard secret.utf8.count <= Self.secretLimit else { return }
        let cost = secret.utf8.count + Self.overhead
        self.digests.insert(digest, for: Key(Substring(String(secret))), cost: cost)
    }

    /// Compared by hash first, which has a key of this process's, so that timing tells nothing of a secret that a guess
    /// is compared with.
    private struct Key: Hashable {
        private let hash: Int
        private let secret: Substring

        init(_ secret: Substring) {
            var hasher = Hasher()
            var text = secret
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
            self.hash = hasher.finalize()
            self.secret = secret
        }

        static func == (one: Key, other: Key) -> Bool {
            guard one.hash == other.hash else { return false }
            var first = one.secret
            var second = other.secret
            return first.withUTF8 { first in
                second.withUTF8 { second in
                    guard first.count == second.count else { return false }
                    guard let one = first.baseAddress, let other = second.baseAddress else { return true }
                    return memcmp(one, other, first.count) == 0
                }
            }
        }

        func hash(into hasher: inout Hasher) { hasher.combine(self.hash) }
    }
}

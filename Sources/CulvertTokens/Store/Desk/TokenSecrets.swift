import CulvertCore
import Foundation

/// New secrets and names.
package enum TokenSecrets {
    /// `cvt_` and 256 random bits; the prefix is for scanners that look for leaked secrets.
    static func secret() -> String { "cvt_" + Base64URL.encode(self.random(32)) }

    /// `tok_` and 80 random bits in base32 (RFC 4648 section 6), lower case.
    package static func id() -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz234567")
        return "tok_" + String(self.random(16).map { alphabet[Int($0 & 31)] })
    }

    package static func random(_ count: Int) -> [UInt8] {
        // The system's generator is cryptographically secure.
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}

/// The secrets that were handed out lately: a request that is repeated with its idempotency key is answered the same.
/// In memory alone, since no secret is ever written; after a restart such a request is refused instead.
struct RecentSecrets {
    private static let limit = 1000
    private var secrets: [String: String] = [:]
    private var order: [String] = []

    subscript(key: String) -> String? {
        get { self.secrets[key] }
        set {
            if self.secrets[key] == nil { self.order.append(key) }
            self.secrets[key] = newValue
            while self.order.count > Self.limit { self.secrets[self.order.removeFirst()] = nil }
        }
    }
}

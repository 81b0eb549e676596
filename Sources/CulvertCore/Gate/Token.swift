import Foundation
import Crypto

/// An opaque bearer token, known only by its SHA-256.
package struct Token: Equatable, Sendable {
    /// The operator's name for it; may be logged.
    package var id: String
    /// SHA-256 of the token, 32 bytes.
    package var digest: [UInt8]
    /// Who presents it; told to the upstream.
    package var subject: String
    /// Path prefixes on segment borders that it opens.
    package var routes: [String]
    /// Unix seconds; nil for never.
    package var expires: Int64?

    package init(id: String, digest: [UInt8], subject: String, routes: [String], expires: Int64?) {
        self.id = id
        self.digest = digest
        self.subject = subject
        self.routes = routes
        self.expires = expires
    }

    package static func digest(of secret: String) -> [UInt8] {
        Array(SHA256.hash(data: Data(secret.utf8)))
    }
}

/// The tokens in force.
package struct TokenKeyring: Equatable, Sendable {
    package enum Verdict: Equatable, Sendable {
        case valid(Token)
        case unknown
        case expired
    }

    private let byDigest: [[UInt8]: Token]

    package init(_ tokens: [Token]) {
        self.byDigest = Dictionary(tokens.map { ($0.digest, $0) }) { first, _ in first }
    }

    /// - Parameter now: Unix seconds.
    package func verify(secret: String, now: Int64) -> Verdict {
        // Nothing is no token, whatever digest the file has.
        if secret.isEmpty { return .unknown }
        let digest = Token.digest(of: secret)
        // The table is entered by the digest, so what its timing tells is about SHA-256 of a guess, not about the
        // token; the comparison that decides takes the same time wherever the bytes differ.
        guard let token = self.byDigest[digest], Self.equal(token.digest, digest) else { return .unknown }
        if let expires = token.expires, expires <= now { return .expired }
        return .valid(token)
    }

    /// Whether `secret` is, or was, a token of Culvert's own.
    func knows(secret: String) -> Bool {
        self.verify(secret: secret, now: .min) != .unknown
    }

    private static func equal(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        return zip(a, b).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

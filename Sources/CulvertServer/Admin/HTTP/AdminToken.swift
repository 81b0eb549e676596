import CulvertCore
import Foundation
package import Logging

/// The bearer token of the admin API; kept as its SHA-256.
package struct AdminToken: Sendable {
    private let digest: TokenDigest

    /// A token that cannot be had; names the file, holds nothing of it.
    package struct Unusable: Error, CustomStringConvertible {
        package var description: String
    }

    init(_ secret: String) {
        self.digest = TokenDigest(of: secret)
    }

    /// From `environment`, else from the file; made there, for its owner alone, when there is none.
    package static func load(file: String, environment: String?, logger: Logger? = nil) throws -> AdminToken {
        if let environment {
            guard environment.utf8.count >= 16 else {
                throw Unusable(description: "CULVERT_ADMIN_TOKEN: expected at least 16 characters")
            }
            return AdminToken(environment)
        }
        do throws(SecretFile.Failure) {
            let secret = "cva_" + Base64URL.encode(TokenSecrets.random(32))
            let place = try SecretFolder.place(of: file)
            try SecretFile.makeIfMissing(place, Array((secret + "\n").utf8))
            let contents = try SecretFile.read(place, logger: logger)
            guard let text = String(bytes: contents, encoding: .utf8) else {
                throw SecretFile.Failure(description: "\(file): cannot be read as text")
            }
            return try self.init(text: text)
        } catch {
            throw Unusable(description: "the admin token's file: \(error)")
        }
    }

    private init(text: String) throws(SecretFile.Failure) {
        let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard secret.utf8.count >= 16 else {
            throw SecretFile.Failure(description: "expected a token of at least 16 characters")
        }
        self.init(secret)
    }

    /// In a time that depends on neither token: digests are compared, and as words.
    func admits(_ secret: some StringProtocol) -> Bool {
        TokenDigest(of: secret) == self.digest
    }
}

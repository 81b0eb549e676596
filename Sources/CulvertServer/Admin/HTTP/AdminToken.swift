import CulvertCore
import Foundation

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

    /// From `environment`, else from the file; made there, with mode 0600, when there is none.
    package static func load(file: String, environment: String?) throws -> AdminToken {
        if let environment {
            guard environment.utf8.count >= 16 else {
                throw Unusable(description: "CULVERT_ADMIN_TOKEN: expected at least 16 characters")
            }
            return AdminToken(environment)
        }
        if !FileManager.default.fileExists(atPath: file) {
            let secret = "cva_" + Base64URL.encode(TokenSecrets.random(32))
            let attributes: [FileAttributeKey: Any] = [.posixPermissions: 0o600]
            guard
                FileManager.default.createFile(
                    atPath: file, contents: Data((secret + "\n").utf8), attributes: attributes)
            else { throw Unusable(description: "\(file): the admin token cannot be written") }
        }
        guard let text = try? String(contentsOfFile: file, encoding: .utf8) else {
            throw Unusable(description: "\(file): the admin token cannot be read")
        }
        let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard secret.utf8.count >= 16 else {
            throw Unusable(description: "\(file): expected a token of at least 16 characters")
        }
        return AdminToken(secret)
    }

    /// In a time that depends on neither token: digests are compared, and as words.
    func admits(_ secret: some StringProtocol) -> Bool {
        TokenDigest(of: secret) == self.digest
    }
}

import CulvertCore
import Foundation
import Glibc
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
        if let environment { return try self.init(environment: environment) }
        do throws(SecretFile.Failure) {
            let secret = "cva_" + Base64URL.encode(TokenSecrets.random(32))
            let place = try SecretFolder.place(of: file)
            try SecretFile.makeIfMissing(place, Array((secret + "\n").utf8))
            return try self.init(contents: try SecretFile.read(place, logger: logger), of: file)
        } catch {
            throw Unusable(description: "the admin token's file: \(error)")
        }
    }

    /// Finds what would keep ``load(file:environment:logger:)`` from giving a token. Makes and changes nothing.
    package static func look(file: String, environment: String?) throws(Unusable) {
        if let environment {
            _ = try self.init(environment: environment)
            return
        }
        do throws(SecretFile.Failure) {
            let place = try SecretFolder.place(of: file)
            guard try SecretFile.look(place, for: R_OK) else { return }
            _ = try self.init(contents: try SecretFile.read(place, logger: nil, isLook: true), of: file)
        } catch {
            throw Unusable(description: "the admin token's file: \(error)")
        }
    }

    private init(environment: String) throws(Unusable) {
        guard environment.utf8.count >= 16 else {
            throw Unusable(
                description: "the environment variable CULVERT_ADMIN_TOKEN: expected a token of at least 16 "
                    + "characters; set a longer one, or unset the variable to have the token of the file")
        }
        self.init(environment)
    }

    private init(contents: [UInt8], of file: String) throws(SecretFile.Failure) {
        guard let text = String(bytes: contents, encoding: .utf8) else {
            throw SecretFile.Failure(
                description: "\(file): its content is not UTF-8 text; write a token of at least 16 characters, or "
                    + "remove the file and have the next start make one")
        }
        let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard secret.utf8.count >= 16 else {
            throw SecretFile.Failure(
                description: "\(file): expected a token of at least 16 characters; write one, or remove the file and "
                    + "have the next start make one")
        }
        self.init(secret)
    }

    /// In a time that depends on neither token: digests are compared, and as words.
    func admits(_ secret: some StringProtocol) -> Bool {
        TokenDigest(of: secret) == self.digest
    }
}

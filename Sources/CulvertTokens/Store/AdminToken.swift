import CulvertCore
package import CulvertSystem
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

    package init(_ secret: String) {
        self.digest = TokenDigest(of: secret)
    }

    /// From `environment`, else from the file; made there, for its owner alone, when there is none.
    package static func load(file: String, environment: String?, logger: Logger? = nil) throws -> AdminToken {
        if let environment { return try self.init(environment: environment) }
        do throws(SecretFile.Failure) {
            let secret = "cva_" + Base64URL.encode(TokenSecrets.random(32))
            let place = try SecretFolder.place(of: file)
            try SecretFile.makeIfMissing(place, Array((secret + "\n").utf8))
            let contents = try SecretFile.read(place, logger: logger) { contents throws(SecretFile.Failure) in
                _ = try self.init(contents: contents, of: file)
            }
            return try self.init(contents: contents, of: file)
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

    /// The change of its mode with which ``load(file:environment:logger:)`` protects a file that is there; nil for none.
    package static func modeChange(of file: String) -> SecretFile.ModeChange? {
        (try? SecretFolder.place(of: file)).flatMap(SecretFile.pendingChange)
    }

    private init(environment: String) throws(Unusable) {
        let variable = "the environment variable CULVERT_ADMIN_TOKEN: "
        if let fault = Self.fault(of: environment) {
            throw Unusable(
                description: variable + fault + "; set one of printable ASCII characters without blanks, or unset the "
                    + "variable to have the token of the file")
        }
        guard environment.utf8.count >= 16 else {
            throw Unusable(
                description: variable + "expected a token of at least 16 characters; set a longer one, or unset the "
                    + "variable to have the token of the file")
        }
        self.init(environment)
    }

    /// Most bytes of a token. The whole header section of a request to the admin API has at most twice as many.
    private static let mostBytes = 8 << 10

    /// Says why no client can show a text in the field of a request. Nil for a text that a client can show.
    private static func fault(of secret: String) -> String? {
        guard secret.utf8.allSatisfy({ 0x21 <= $0 && $0 < 0x7F }) else {
            return "the text has blanks, line breaks or characters that are not ASCII, and no client can send such a "
                + "token"
        }
        guard secret.utf8.count <= self.mostBytes else {
            return "the text has more than \(self.mostBytes) characters, and no client can send such a token"
        }
        return nil
    }

    private init(contents: [UInt8], of file: String) throws(SecretFile.Failure) {
        guard let text = String(bytes: contents, encoding: .utf8) else {
            throw SecretFile.Failure(
                description: "\(file): its content is not UTF-8 text; write a token of at least 16 characters, or give "
                    + "the path of another file; the next start makes one that is not there")
        }
        guard !text.contains(bytesOf: "-----BEGIN ") else {
            throw SecretFile.Failure(
                description: "\(file): this is a PEM file and no admin token; give the path of another file; the next "
                    + "start makes one that is not there")
        }
        let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
        if let fault = Self.fault(of: secret) {
            throw SecretFile.Failure(
                description: "\(file): \(fault); write a token of printable ASCII characters in one line, or give the "
                    + "path of another file; the next start makes one that is not there")
        }
        guard secret.utf8.count >= 16 else {
            throw SecretFile.Failure(
                description: "\(file): expected a token of at least 16 characters; write one, or remove the file and "
                    + "have the next start make one")
        }
        self.init(secret)
    }

    /// In a time that depends on neither token: digests are compared, and as words.
    package func admits(_ secret: some StringProtocol) -> Bool {
        TokenDigest(of: secret) == self.digest
    }
}

import ArgumentParser
import CulvertConfig
import CulvertSystem
import Foundation
import Glibc
import NIOHTTP1

/// `culvert jwt`: keys and revocations of JSON Web Tokens.
struct JWT: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Add, retire and delete keys of JSON Web Tokens of a running proxy; revoke such tokens.",
        subcommands: [Keys.self, Revoke.self, Unrevoke.self, Revocations.self])

    private static let keyColumns: [(title: String, member: String)] = [
        ("ID", "id"), ("ALGORITHM", "algorithm"), ("SOURCE", "source"), ("UNTIL", "until"), ("CREATED", "created_at"),
        ("THUMBPRINT", "thumbprint"), ("NOTE", "note"),
    ]
    private static let revocationColumns: [(title: String, member: String)] = [
        ("JTI", "jti"), ("SUBJECT", "subject"), ("BEFORE", "before"), ("UNTIL", "until"),
    ]

    struct Keys: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "List, add, retire and delete keys.",
            subcommands: [List.self, Add.self, Retire.self, Delete.self])

        struct List: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "List the valid keys and the retired ones.")

            @OptionGroup var admin: AdminOptions

            func run() async throws {
                try await self.reporting {
                    let client = AdminClient(options: self.admin)
                    try client.show(try await client.ask(.GET, ["jwt", "keys"]), columns: JWT.keyColumns)
                }
            }
        }

        struct Add: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Add a public key, in PEM or as a JWK; it is valid at once.")

            @OptionGroup var admin: AdminOptions
            @Argument(help: "The key's file; - for standard input.", completion: .file()) var file: String
            @Option(help: "The kid of its tokens (default: the kid of the JWK).") var id: String?
            @Option(help: "RS256, PS256, ES256 or EdDSA; required for PEM.") var algorithm: String?
            @Option(help: "A note for people.") var note: String?

            func run() async throws {
                try await self.reporting {
                    var body = try Self.key(self.file)
                    body["id"] = self.id
                    body["algorithm"] = self.algorithm
                    body["note"] = self.note
                    let client = AdminClient(options: self.admin)
                    let name = self.file == "-" ? "standard input" : self.file
                    let answer = try await client.ask(
                        .POST, ["jwt", "keys"], body: body, given: ["/pem": name, "/jwk": name])
                    try client.show(answer, columns: JWT.keyColumns)
                }
            }

            /// The member of the request that the file is.
            private static func key(_ path: String) throws -> [String: Any] {
                let mostBytes = 64 << 10
                let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
                guard descriptor >= 0 else {
                    throw CommandFailure(description: "\(path): cannot be read\(FileFault.reason(path))")
                }
                defer { if descriptor != STDIN_FILENO { close(descriptor) } }
                guard let bytes = DescriptorBytes.read(descriptor, limit: mostBytes),
                    let text = String(bytes: bytes, encoding: .utf8)
                else { throw CommandFailure(description: "\(path): expected a key in PEM or as a JWK") }
                guard text.trimmingCharacters(in: .whitespacesAndNewlines).hasPrefix("{") else {
                    return ["pem": text]
                }
                guard let key = try? JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] else {
                    throw CommandFailure(description: "\(path): is not JSON; expected a key in PEM or as a JWK")
                }
                return ["jwk": key]
            }
        }

        struct Retire: AsyncParsableCommand {
            static let configuration = CommandConfiguration(abstract: "Retire a key: it stays valid for the overlap.")

            @OptionGroup var admin: AdminOptions
            @Argument(help: "The key's id.") var id: String
            @Option(help: "How long the key stays valid, such as 0s or 24h.") var overlap = "24h"

            func run() async throws {
                try await self.reporting {
                    let client = AdminClient(options: self.admin)
                    let answer = try await client.ask(
                        .POST, ["jwt", "keys", self.id, "retire"], body: ["overlap": self.overlap])
                    try client.show(answer, columns: JWT.keyColumns)
                }
            }
        }

        struct Delete: AsyncParsableCommand {
            static let configuration = CommandConfiguration(
                abstract: "Remove a key permanently; the sessions of its tokens end at once.")

            @OptionGroup var admin: AdminOptions
            @Argument(help: "The key's id.") var id: String

            func run() async throws {
                try await self.reporting {
                    _ = try await AdminClient(options: self.admin).ask(.DELETE, ["jwt", "keys", self.id])
                }
            }
        }
    }

    /// Names the tokens that a command is for.
    struct Target: ParsableArguments {
        @Option(help: "Revoke the token with this jti.") var jti: String?
        @Option(help: "Revoke the tokens of this subject.") var subject: String?

        func validate() throws {
            guard (self.jti == nil) != (self.subject == nil) else {
                throw ValidationError("Pass either --jti or --subject.")
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Revoke a token, or the tokens of a subject issued until now; their sessions end at once.")

        @OptionGroup var admin: AdminOptions
        @OptionGroup var target: Target
        @Option(help: "Revoke the subject's tokens issued before this time (default: now).") var before: String?
        @Option(help: "The time at which the last such token has expired, \(Moment.help).") var until: String

        func validate() throws {
            if self.target.jti != nil, self.before != nil {
                throw ValidationError("--before is for --subject.")
            }
        }

        func run() async throws {
            try await self.reporting {
                var body: [String: Any] = ["until": try Moment.text(self.until, "--until") ?? self.until]
                body["jti"] = self.target.jti
                body["subject"] = self.target.subject
                body["before"] = self.before
                let client = AdminClient(options: self.admin)
                let answer = try await client.ask(.POST, ["jwt", "revocations"], body: body)
                try client.show(answer, columns: JWT.revocationColumns)
            }
        }
    }

    struct Unrevoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Take a revocation back.")

        @OptionGroup var admin: AdminOptions
        @OptionGroup var target: Target

        func run() async throws {
            try await self.reporting {
                let query = [("jti", self.target.jti), ("subject", self.target.subject)]
                _ = try await AdminClient(options: self.admin).ask(.DELETE, ["jwt", "revocations"], query: query)
            }
        }
    }

    struct Revocations: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List revocations.")

        @OptionGroup var admin: AdminOptions
        @OptionGroup var page: PageOptions

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                try client.show(
                    try await client.ask(.GET, ["jwt", "revocations"], query: self.page.query),
                    columns: JWT.revocationColumns)
            }
        }
    }
}

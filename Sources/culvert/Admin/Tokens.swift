import ArgumentParser
import Foundation
import NIOHTTP1

struct Tokens: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Mint, list, rotate and revoke tokens of a running proxy.",
        subcommands: [Mint.self, List.self, Rotate.self, Revoke.self, Delete.self])

    /// The secret alone, so that a script can take it; everything else with `--json`.
    static func showSecret(_ answer: Data, _ client: AdminClient) throws {
        if client.options.json {
            try FileHandle.standardOutput.write(contentsOf: answer)
            return
        }
        let object = AdminClient.object(answer)
        let note = "token \(object["id"] as? String ?? "-"); this is the only time that its secret is shown:\n"
        let warnings = (object["warnings"] as? [String] ?? []).map { "warning: --route \($0)\n" }.joined()
        try? FileHandle.standardError.write(contentsOf: Data((warnings + note).utf8))
        try FileHandle.standardOutput.write(contentsOf: Data(((object["secret"] as? String ?? "") + "\n").utf8))
    }

    struct Mint: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Mint a token and print its secret.")

        @OptionGroup var admin: AdminOptions
        @Option(help: "The user or service that the token is for; the upstream gets this name.") var subject: String
        @Option(help: "A path prefix that the token opens; may be repeated.") var route: [String] = ["/"]
        @Option(help: "An origin that may use the token; may be repeated.") var origin: [String] = []
        @Option(help: "The token's id (default: a random one).") var id: String?
        @Option(help: "The time from which the token is valid, \(Moment.help).") var notBefore: String?
        @Option(help: "The time at which the token expires, \(Moment.help).") var expires: String?
        @Option(help: "The most sessions at a time.") var sessions: Int?
        @Option(help: "The most messages a second.") var messagesPerSecond: Int?
        @Option(help: "A note for people.") var note: String?

        func run() async throws {
            try await self.reporting {
                var body: [String: Any] = ["subject": self.subject, "routes": self.route]
                if !self.origin.isEmpty { body["origins"] = self.origin }
                body["id"] = self.id
                body["not_before"] = try Moment.text(self.notBefore, "--not-before")
                body["expires"] = try Moment.text(self.expires, "--expires")
                body["note"] = self.note
                var limits: [String: Any] = [:]
                limits["sessions"] = self.sessions
                limits["messages_per_second"] = self.messagesPerSecond
                if !limits.isEmpty { body["limits"] = limits }
                let client = AdminClient(options: self.admin)
                try Tokens.showSecret(await client.ask(.POST, ["tokens"], body: body), client)
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List tokens.")

        @OptionGroup var admin: AdminOptions
        @Option(help: "List only tokens of this subject.") var subject: String?
        @Option(help: "List only tokens that are revoked (true), or only the others (false).") var revoked: Bool?
        @OptionGroup var page: PageOptions

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                let revoked = self.revoked.map { $0 ? "true" : "false" }
                let query = [("subject", self.subject), ("revoked", revoked)] + self.page.query
                try client.show(
                    try await client.ask(.GET, ["tokens"], query: query),
                    columns: [
                        ("ID", "id"), ("SUBJECT", "subject"), ("ROUTES", "routes"), ("NOT BEFORE", "not_before"),
                        ("EXPIRES", "expires"), ("ROTATED", "rotated_at"), ("REVOKED", "revoked_at"),
                        ("SOURCE", "source"), ("NOTE", "note"),
                    ])
            }
        }
    }

    struct Rotate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a token a new secret and print it. The old secret stays valid for the overlap.")

        @OptionGroup var admin: AdminOptions
        @Argument(help: "The token's id.") var id: String
        @Option(help: "How long the old secret stays valid, such as 0s or 24h.") var overlap = "24h"

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                let answer = try await client.ask(
                    .POST, ["tokens", self.id, "rotate"], body: ["overlap": self.overlap])
                try Tokens.showSecret(answer, client)
            }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Revoke a token; its sessions end at once.")

        @OptionGroup var admin: AdminOptions
        @Argument(help: "The token's id.") var id: String
        @Option(help: "The reason, for the audit log.") var reason: String?

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                var body: [String: Any] = [:]
                body["reason"] = self.reason
                try client.show(
                    try await client.ask(.POST, ["tokens", self.id, "revoke"], body: body),
                    columns: [("ID", "id"), ("SUBJECT", "subject"), ("REVOKED", "revoked_at")])
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Forget a token; its sessions end at once.")

        @OptionGroup var admin: AdminOptions
        @Argument(help: "The token's id.") var id: String

        func run() async throws {
            try await self.reporting {
                _ = try await AdminClient(options: self.admin).ask(.DELETE, ["tokens", self.id])
            }
        }
    }
}

import ArgumentParser
import Foundation
import NIOHTTP1

/// Which sessions are meant: those that match everything that is given.
struct SessionOptions: ParsableArguments {
    @Option(help: "Sessions of this token.") var token: String?
    @Option(help: "Sessions of this subject.") var subject: String?
    @Option(help: "Sessions on this route, written as in the list: its host, if any, and its path.") var route: String?
    @Option(help: "Sessions by this transport: websocket or long-poll.") var transport: String?
    @Option(help: "Sessions from this client address.") var address: String?
    @Option(help: "Sessions to this upstream.") var upstream: String?
    @Option(help: "Sessions to the server with this URL, written as in the list.") var server: String?

    var query: [(String, String?)] {
        [
            ("token", self.token), ("subject", self.subject), ("route", self.route), ("transport", self.transport),
            ("address", self.address), ("upstream", self.upstream), ("server", self.server),
        ]
    }
}

struct Sessions: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List and close live sessions of a running proxy.", subcommands: [List.self, Close.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List live sessions.")

        @OptionGroup var admin: AdminOptions
        @OptionGroup var filter: SessionOptions
        @OptionGroup var page: PageOptions

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                try client.show(
                    try await client.ask(.GET, ["sessions"], query: self.filter.query + self.page.query),
                    columns: [
                        ("ID", "id"), ("TOKEN", "token"), ("SUBJECT", "subject"), ("ROUTE", "route"),
                        ("TRANSPORT", "transport"), ("ADDRESS", "address"), ("SINCE", "opened_at"),
                        ("IN", "messages_in"), ("OUT", "messages_out"), ("PATH", "path"), ("SERVER", "server"),
                        ("ORIGIN", "origin"), ("USER AGENT", "user_agent"),
                    ])
            }
        }
    }

    struct Close: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Close one session, or all that match a filter.")

        @OptionGroup var admin: AdminOptions
        @OptionGroup var filter: SessionOptions
        @Argument(help: "The session's id.") var id: String?
        @Option(help: "The close code: 1000, 1001, or 3000 to 4999.") var code: Int?
        @Option(help: "The close reason that the client gets.") var reason: String?

        func validate() throws {
            guard (self.id == nil) != self.filter.query.allSatisfy({ $0.1 == nil }) else {
                throw ValidationError("Give either a session's id or a filter.")
            }
        }

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                let how = [("code", self.code.map { "\($0)" }), ("reason", self.reason)]
                if let id = self.id {
                    _ = try await client.ask(.DELETE, ["sessions", id], query: how)
                } else {
                    let answer = try await client.ask(.DELETE, ["sessions"], query: self.filter.query + how)
                    try client.show(answer, columns: [("CLOSED", "closed")])
                }
            }
        }
    }
}

struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show the audit log of the admin API, newest first.")

    @OptionGroup var admin: AdminOptions
    @OptionGroup var page: PageOptions

    func run() async throws {
        try await self.reporting {
            let client = AdminClient(options: self.admin)
            try client.show(
                try await client.ask(.GET, ["audit"], query: self.page.query),
                columns: [
                    ("AT", "at"), ("ACTOR", "actor"), ("ADDRESS", "address"), ("ACTION", "action"),
                    ("TARGET", "target"), ("DETAIL", "detail"),
                ])
        }
    }
}

import ArgumentParser
import Foundation
import NIOHTTP1

struct Upstreams: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the upstreams of a running proxy, drain servers or take them down, and rebalance sessions.",
        subcommands: [List.self, Set.self, Rebalance.self])

    /// One row for each server.
    private static func show(_ answer: Data, _ client: AdminClient) throws {
        let object = AdminClient.object(answer)
        let upstreams = object["items"] as? [[String: Any]] ?? [object]
        let rows = upstreams.flatMap { upstream in
            (upstream["servers"] as? [[String: Any]] ?? []).map { server in
                var row = server
                row["upstream"] = upstream["name"]
                row["ejected"] = self.word(server["ejected"])
                row["healthy"] = self.word(server["healthy"])
                row["check"] = (server["last_check"] as? [String: Any])?["reason"]
                return row
            }
        }
        try client.show(
            answer, items: rows,
            columns: [
                ("UPSTREAM", "upstream"), ("SERVER", "url"), ("WEIGHT", "weight"), ("SESSIONS", "sessions"),
                ("MAX", "max_sessions"), ("STATE", "state"), ("HEALTHY", "healthy"), ("EJECTED", "ejected"),
                ("CHECK", "check"),
            ])
    }

    private static func word(_ value: Any?) -> String? {
        (value as? NSNumber).map { $0.boolValue ? "yes" : "no" }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List upstreams and their servers.")

        @OptionGroup var admin: AdminOptions
        @Argument(help: "List only this upstream.") var name: String?

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                let path = ["upstreams"] + [self.name].compactMap(\.self)
                try Upstreams.show(await client.ask(.GET, path), client)
            }
        }
    }

    struct Set: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Set whether a server gets sessions. The state holds until the proxy stops.")

        @OptionGroup var admin: AdminOptions
        @Argument(help: "The upstream.") var name: String
        @Argument(help: "The server's URL, written as in the list.") var server: String
        @Argument(help: "up, draining (no new sessions) or down (no sessions).") var state: String

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                let answer = try await client.ask(
                    .PUT, ["upstreams", self.name, "servers", self.server], body: ["state": self.state],
                    given: ["/state": "the state \(self.state)"])
                try client.show(answer, columns: [("SERVER", "url"), ("STATE", "state"), ("SESSIONS", "sessions")])
            }
        }
    }

    struct Rebalance: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Close the oldest sessions of servers that have more than their share, so that they move.")

        @OptionGroup var admin: AdminOptions
        @Argument(help: "The upstream.") var name: String
        @Option(help: "The number of sessions to close per second, 1 to 10000.") var rate: Int?
        @Flag(help: "Stop the rebalance that runs.") var stop = false

        func validate() throws {
            guard !self.stop || self.rate == nil else { throw ValidationError("Give either --rate or --stop.") }
        }

        func run() async throws {
            try await self.reporting {
                let client = AdminClient(options: self.admin)
                let path = ["upstreams", self.name, "rebalance"]
                if self.stop {
                    _ = try await client.ask(.DELETE, path)
                    return
                }
                var body: [String: Any] = [:]
                body["rate"] = self.rate
                let answer = try await client.ask(.POST, path, body: body)
                try client.show(answer, columns: [("SHEDDING", "shedding"), ("RATE", "rate")])
            }
        }
    }
}

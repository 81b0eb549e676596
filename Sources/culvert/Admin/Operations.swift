import ArgumentParser
import Foundation
import NIOHTTP1

struct Reload: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Reload the configuration, certificates, tokens and keys of a running proxy.")

    @OptionGroup var admin: AdminOptions
    @Flag(help: "Change nothing; print what would change.") var dryRun = false

    func run() async throws {
        try await self.reporting {
            let client = AdminClient(options: self.admin)
            let query = [("dry_run", self.dryRun ? "true" : nil)]
            try client.show(
                try await client.ask(.POST, ["reload"], query: query),
                columns: [
                    ("CHANGED", "changed"), ("NEEDS RESTART", "needs_restart"),
                    ("LISTENERS ADDED", "listeners_added"), ("LISTENERS REMOVED", "listeners_closed"),
                    ("SESSIONS KEPT", "sessions_kept"), ("SESSIONS CLOSED", "sessions_closed"),
                ])
        }
    }
}

struct Drain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Close the sessions of a running proxy and stop it; or show the progress.")

    @OptionGroup var admin: AdminOptions
    @Option(help: "How long new sessions are still taken, such as 5s.") var delay: String?
    @Option(help: "How long closing the sessions one by one takes, such as 30s.") var spread: String?
    @Option(help: "How long after the delay the remaining sessions are cut, such as 60s.") var deadline: String?
    @Option(help: "The close code: 1000, 1001, 1008, 1012, 1013, or 3000 to 4999.") var code: Int?
    @Flag(help: "Start no drain; show the progress of the one that runs.") var status = false

    func validate() throws {
        let isPlanned = self.delay != nil || self.spread != nil || self.deadline != nil || self.code != nil
        guard !self.status || !isPlanned else {
            throw ValidationError("--status starts no drain: give it without --delay, --spread, --deadline and --code.")
        }
    }

    func run() async throws {
        try await self.reporting {
            let client = AdminClient(options: self.admin)
            var body: [String: Any] = [:]
            body["delay"] = self.delay
            body["spread"] = self.spread
            body["deadline"] = self.deadline
            body["code"] = self.code
            let answer =
                self.status
                ? try await client.ask(.GET, ["drain"]) : try await client.ask(.POST, ["drain"], body: body)
            try client.show(
                answer,
                columns: [
                    ("PHASE", "phase"), ("SESSIONS", "sessions"), ("AT START", "sessions_at_start"),
                    ("SINCE", "started_at"), ("SPREAD", "spread"), ("DEADLINE", "deadline"),
                ])
        }
    }
}

struct Certificates: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "List the certificates in service and when they end.")

    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await self.reporting {
            let client = AdminClient(options: self.admin)
            try client.show(
                try await client.ask(.GET, ["certificates"]),
                columns: [
                    ("LISTENER", "listener"), ("NAMES", "names"), ("UNTIL", "not_after"), ("FILE", "file"),
                ])
        }
    }
}

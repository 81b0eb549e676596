import ArgumentParser
import Foundation
import NIOHTTP1

struct Limits: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the limits of a running proxy, and how often each has refused, by scope and by reason.")

    @OptionGroup var admin: AdminOptions

    func run() async throws {
        try await self.reporting {
            let client = AdminClient(options: self.admin)
            let answer = try await client.ask(.GET, ["limits"])
            try client.show(
                answer, items: Self.rows(AdminClient.object(answer)),
                columns: [
                    ("SCOPE", "scope"), ("LIMIT", "limit"), ("MOST", "most"), ("NOW", "now"), ("REFUSED", "refused"),
                ])
        }
    }

    /// A row for each limit, then one for each reason of refusals, the most frequent first.
    private static func rows(_ answer: [String: Any]) -> [[String: Any]] {
        let denials = answer["denials"] as? [String: Any] ?? [:]
        let limits = answer["limits"] as? [String: Any] ?? [:]
        let now: [String: String] = [
            "process sessions": "sessions", "process handshakes": "handshakes", "http parked": "parked",
        ]
        var rows: [[String: Any]] = []
        for (scope, names) in [
            ("process", ["sessions", "rate", "handshakes"]), ("address", ["sessions", "rate", "handshakes"]),
            ("token", ["sessions", "rate", "handshakes"]), ("route", ["sessions", "rate", "handshakes"]),
            ("http", ["parked"]),
        ] {
            for name in names {
                var row: [String: Any] = ["scope": scope, "limit": name]
                row["most"] = (limits[scope] as? [String: Any])?[name]
                row["now"] = now["\(scope) \(name)"].flatMap { answer[$0] }
                row["refused"] = (denials[scope] as? [String: Any])?[name]
                rows.append(row)
            }
        }
        let reasons = (denials["reasons"] as? [String: Any] ?? [:]).compactMap { name, count in
            (count as? NSNumber).map { (name: name, count: $0.intValue) }
        }
        for reason in reasons.sorted(by: { ($1.count, $0.name) < ($0.count, $1.name) }) {
            rows.append(["scope": "reason", "limit": reason.name, "refused": NSNumber(value: reason.count)])
        }
        return rows
    }
}

import CulvertCore
import Testing

@Suite("Health")
struct HealthTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var rise: Int
        var fall: Int
        /// Checks in their order: `+` passed, `-` failed.
        var checks: String
        /// What each has changed: `U`p, `D`own or `.`.
        var changes: String
        var isHealthy: Bool?

        var testDescription: String { "\(self.rise)/\(self.fall) \(self.checks)" }
    }

    @Test(arguments: [
        Row(rise: 2, fall: 3, checks: "", changes: "", isHealthy: nil),
        // The first that passes is enough.
        Row(rise: 9, fall: 3, checks: "+", changes: ".", isHealthy: true),
        Row(rise: 2, fall: 3, checks: "--", changes: "..", isHealthy: nil),
        Row(rise: 2, fall: 3, checks: "---", changes: "..D", isHealthy: false),
        Row(rise: 2, fall: 3, checks: "+---", changes: "...D", isHealthy: false),
        // In a row.
        Row(rise: 2, fall: 3, checks: "+--+--+", changes: ".......", isHealthy: true),
        Row(rise: 2, fall: 3, checks: "--+--", changes: ".....", isHealthy: true),
        Row(rise: 2, fall: 3, checks: "---+-+-", changes: "..D....", isHealthy: false),
        Row(rise: 2, fall: 3, checks: "---++", changes: "..D.U", isHealthy: true),
        Row(rise: 2, fall: 3, checks: "-----++--", changes: "..D...U..", isHealthy: true),
        Row(rise: 2, fall: 3, checks: "---++---", changes: "..D.U..D", isHealthy: false),
        Row(rise: 1, fall: 1, checks: "-+-+", changes: "DUDU", isHealthy: true),
    ])
    func itTakesSoManyInARow(_ row: Row) {
        var health = Health(rise: row.rise, fall: row.fall)
        let changes = row.checks.map { check in
            switch health.checked(passed: check == "+") {
            case .becameHealthy: "U"
            case .becameUnhealthy: "D"
            case nil: "."
            }
        }
        #expect(changes.joined() == row.changes)
        #expect(health.isHealthy == row.isHealthy)
    }
}

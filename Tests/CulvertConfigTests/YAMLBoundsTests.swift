import CulvertTokens
import Foundation
import Testing

@testable import CulvertConfig

@Suite("Configuration: what cannot be read in time")
struct YAMLBoundsTests {
    /// Nine aliases of nine aliases, eight times: 4 * 10^8 values in a few hundred bytes.
    static let laughs: String = {
        var text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
        for level in 1...8 {
            let list = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ",")
            text += "a\(level): &a\(level) [\(list)]\n"
        }
        return text
    }()

    private static func errors(_ text: String) -> [String] {
        do throws(ConfigErrors) {
            _ = try ConfigLoader.parse(text, file: "proxy.yaml", directory: "", keys: .ofTokens, environment: [:])
            return []
        } catch {
            return error.errors.map(\.description)
        }
    }

    @Test(arguments: [
        ("aliases of aliases", laughs),
        ("aliases of aliases, as a known section", laughs + "trusted_proxies: *a8\n"),
        ("aliases of aliases for a key", laughs + "? *a8\n: 1\n"),
        ("a mapping for a key", "? {a: 1}\n: 1\n"),
        ("mappings of lists for keys", "a: &k [x, y]\nb: {*k : 1}\n"),
        ("one alias too many", "a: &a [\(String(repeating: "x,", count: 50_000))]\nb: [*a, *a]\n"),
        ("a long key", "\(String(repeating: "k", count: 1025)): 1\n"),
        ("a long value", "a: \(String(repeating: "v", count: 65_537))\n"),
        ("a long value of combining marks", "a: \(String(repeating: "\u{301}\u{316}", count: 500_000))\n"),
        ("long values of combining marks", "listen: [\(String(repeating: "\u{301}\u{316}", count: 15_000))]\n"),
        ("brackets", "a: " + String(repeating: "[", count: 1_000_000)),
        ("dashes", "a:\n" + String(repeating: "- ", count: 1_000_000)),
        ("errors without end", "listen: [\(String(repeating: "1,", count: 300_000))]\nroutes: []\nupstreams: {}\n"),
    ])
    func attackWithAFileThatCostsTime(_ name: String, _ text: String) {
        var found: [String] = []
        let spent = ContinuousClock().measure { found = Self.errors(text) }
        print("tried \(name): \(text.utf8.count) bytes took \(spent): \(found.first?.prefix(120) ?? "taken")")
        #expect(!found.isEmpty && found.count <= 200)
        #expect(spent < .seconds(20))
    }

    @Test("Anchors are of use: what is said once is taken wherever it is meant")
    func anchors() throws {
        try YAMLBounds.check(
            "a: &a {b: 1, c: [2, 3]}\nd: *a\n&k key: *a\n*k : 2\ne: [*a, *a]\n\"f\": |\n  *not an alias\n")
    }

    @Test("The place of what is wrong is said")
    func places() {
        #expect(throws: YAMLBounds.Fault(line: 2, column: 3, message: "expected a name for a key")) {
            try YAMLBounds.check("a: 1\n? [x]\n: 2\n")
        }
    }
}

import ConfigFixtures
import CulvertAdmin
import CulvertConfig
import Testing

@Suite("Configuration: warnings")
struct ConfigWarningTests {
    @Test("A token that has expired or will soon is a warning, and one of the sample's secret")
    func warnings() throws {
        let sample = "e2186dbdb1bb4193608605e84f33208765b5693b55edd4f730a719a100eeea6f"
        let yaml = ConfigFixture.good.replacing(ConfigFixture.digest, with: sample)
            .replacing("id: a", with: "expires: 2020-01-01T00:00:00Z, id: a")
            .replacing("upstream: echo", with: "upstream: echo\n    origins: { allow: [] }")
        let config = try ConfigFixture.load(yaml)
        let expiry: Int64 = 1_577_836_800
        #expect(config.warnings(now: expiry - 14 * 86_400).map(\.keyPath) == ["authentication.tokens[0].sha256"])
        for (now, words) in [(expiry - 14 * 86_400 + 1, "expires at"), (expiry, "expired at")] {
            let warnings = config.warnings(now: now)
            #expect(
                warnings.map { "\($0.line):\($0.column) \($0.keyPath)" } == [
                    "9:18 authentication.tokens[0].expires", "9:55 authentication.tokens[0].sha256",
                ])
            #expect(warnings.first?.message.contains(words) == true)
            #expect(warnings.allSatisfy { !$0.description.contains(sample) })
        }
    }

    @Test(
        "What no client or no session can use is a warning at its place",
        arguments: [
            ("upstream: echo", "upstream: echo", "4:5 routes[0]"),
            ("upstream: echo", "upstream: echo\n    origins: { missing: reject }", "4:5 routes[0]"),
            ("upstream: echo", "upstream: echo\n    origins: { allow: [] }", nil),
            ("upstream: echo", "upstream: echo\n    origins: { allow: [ \"https://a.example\" ] }", nil),
        ] as [(String, String, String?)])
    func routes(old: String, new: String, place: String?) throws {
        let config = try ConfigFixture.load(ConfigFixture.good.replacing(old, with: new))
        #expect(config.warnings(now: 0).map { "\($0.line):\($0.column) \($0.keyPath)" } == [place].compactMap(\.self))
    }

    @Test(
        "A block of trusted proxies that is larger than a private network, or has bits behind it, is a warning",
        arguments: [
            ("0.0.0.0/0", true), ("::/0", true), ("0.0.0.0/1", true), ("2000::/3", true), ("::ffff:0:0/96", true),
            ("10.0.0.1/8", true), ("2001:db8::1/64", true), ("::ffff:10.1.0.0/104", true), ("10.0.0.1/32", false),
            ("10.0.0.0/8", false), ("fc00::/7", false), ("192.0.2.1", false), ("::1", false), ("172.16.0.0/12", false),
        ])
    func trusted(block: String, isWarned: Bool) throws {
        let config = try ConfigFixture.load(ConfigFixture.good + "\ntrusted_proxies: [ \"\(block)\" ]")
        let warnings = config.warnings(now: 0).filter { $0.keyPath == "trusted_proxies[0]" }
        #expect(warnings.map(\.line) == (isWarned ? [15] : []))
    }

    @Test("An upstream that no route uses is a warning")
    func unused() throws {
        let spare = "upstreams:\n  spare: { servers: [ { url: ws://a } ] }"
        let config = try ConfigFixture.load(ConfigFixture.good.replacing("upstreams:", with: spare))
        #expect(config.warnings(now: 0).map(\.keyPath) == ["routes[0]", "upstreams.spare"])
    }
}

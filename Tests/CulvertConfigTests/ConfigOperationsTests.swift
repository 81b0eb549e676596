import ConfigFixtures
import CulvertConfig
import CulvertCore
import NIOCore
import Testing

@Suite("Configuration: reload, drain, takeover, client")
struct ConfigOperationsTests {
    @Test("Unless said a stop is at once, and certificates are watched")
    func defaults() throws {
        let config = try ConfigFixture.load(ConfigFixture.good)
        #expect(config.drain.spread == .zero && config.drain.delay == .zero && config.drain.deadline == .seconds(30))
        #expect(config.reload.closeCode == .serviceRestart && config.reload.watch == .seconds(10))
        #expect(config.takeover == nil && config.client == nil)
    }

    @Test("What is said is read, and what is in effect reads back")
    func values() throws {
        let config = try ConfigFixture.load(
            ConfigFixture.good + """

                reload: { close_code: 4999, watch: 0s }
                drain: { delay: 5s, spread: 40s, code: 1012 }
                takeover: run/takeover
                client: /static/culvert.js
                """)
        #expect(config.reload.closeCode.rawValue == 4999 && config.reload.watch == nil)
        // Who spreads over so long means what is left to be cut after that.
        #expect(config.drain.deadline == .seconds(70) && config.drain.code.rawValue == 1012)
        #expect(config.takeover == "/etc/culvert/run/takeover")
        #expect(config.client == ClientPaths("/static/culvert.js"))
        let shown = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(shown) == config)
    }

    @Test(arguments: [
        ("drain: { spread: 20s, deadline: 10s }", "drain.spread: longer than \"deadline\""),
        ("drain: { delay: 25h }", "drain.delay: expected 0s to 24h"),
        ("drain: { code: 1006 }", "drain.code: expected 1000, 1001, 1008, 1012, 1013 or 3000 to 4999"),
        ("reload: { close_code: 1005 }", "reload.close_code: expected 1000, 1001"),
        ("reload: { period: 1s }", "reload.period: unknown key"),
        ("takeover: \"\"", "takeover: expected the path of a socket"),
        ("client: culvert.js", "client: expected a path that ends in .js, such as /culvert.js"),
        ("client: /a/_poll/culvert.js", "client: expected a path that ends in .js, such as /culvert.js"),
        ("client: true", "client: expected a path that ends in .js, such as /culvert.js"),
        ("client: [/culvert.js]", "client: expected a single value"),
    ])
    func aMistakeIsNamed(text: String, error: String) {
        let errors = ConfigFixture.errors(ConfigFixture.good + "\n" + text)
        #expect(errors.count == 1 && errors.first?.contains(error) == true, "\(errors)")
    }

    @Test(
        "Two listeners to which the same connection may come are a mistake, the admin API's among them",
        arguments: [
            // first, second, whether they overlap
            ("127.0.0.1:8443", "127.0.0.1:8443", true),
            ("0.0.0.0:8443", "127.0.0.1:8443", true),
            ("127.0.0.1:8443", "[::]:8443", true),
            ("[::1]:8443", "[::]:8443", true),
            ("localhost:8443", "127.0.0.1:8443", true),
            ("[::1]:8443", "LOCALHOST:8443", true),
            ("edge.test:8443", "Edge.Test:8443", true),
            ("0.0.0.0:8443", "edge.test:8443", true),
            ("[::ffff:127.0.0.1]:8443", "127.0.0.1:8443", true),
            ("127.0.0.1:8443", "127.0.0.2:8443", false),
            ("127.0.0.1:8443", "127.0.0.1:8444", false),
            ("127.0.0.1:8443", "[::1]:8443", false),
            ("0.0.0.0:8443", "[::1]:8443", false),
            ("edge.test:8443", "other.test:8443", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
        ])
    func twice(first: String, second: String, overlap: Bool) {
        let errors = ConfigFixture.errors(
            "  - address: 127.0.0.1:8443", "  - address: \"\(first)\"\n  - address: \"\(second)\"")
        #expect(errors.count == (overlap ? 1 : 0), "\(errors)")
        if overlap {
            #expect(errors.first?.hasPrefix("f.yaml:3:14: listen[1].address: the listener \(first)") == true, "\(errors)")
            #expect(errors.first?.contains("(listen[0].address of line 2)") == true)
        }
        let admin = ConfigFixture.errors(
            ConfigFixture.good.replacing("127.0.0.1:8443", with: "\"\(first)\"") + "\nadmin: { address: \"\(second)\" }")
        #expect(admin.count == (overlap ? 1 : 0), "\(admin)")
        if overlap {
            #expect(admin.first?.contains("listen[0].address: the admin API listens at \(second)") == true, "\(admin)")
            #expect(admin.first?.contains("(admin.address of line 15)") == true)
        }
    }
}

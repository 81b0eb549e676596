import ConfigFixtures
import CulvertConfig
import CulvertCore
import NIOCore
import Testing

@Suite("Configuration: limits of a session")
struct ConfigSessionLimitTests {
    private static func config(_ limits: String, session: String = "") throws -> ProxyConfig {
        try ConfigFixture.load(Self.yaml(limits, session: session))
    }

    private static func yaml(_ limits: String, session: String = "") -> String {
        ConfigFixture.good.replacing("  message: 1MiB", with: "  message: 1MiB\n  \(limits)")
            .replacing("  hold: 25s", with: "  hold: 25s\n  \(session)")
    }

    @Test("Unless said there is none, but for the stall")
    func defaults() throws {
        let config = try Self.config("")
        #expect(config.limits.session == SessionLimits() && config.limits.memory == nil)
        #expect(config.session.stall == .seconds(60))
        #expect(config.upstreams["echo"]?.idleTimeout == nil)
    }

    @Test("What is said is read, and what is in effect reads back")
    func values() throws {
        let yaml = Self.yaml(
            """
            memory: 256MiB
              session:
                from_client: { messages: 100, message_burst: 200, bytes: 1MiB, byte_burst: 4MiB, excess: close }
                to_client: { bytes: 100kB }
                fragments: 1000
                idle: 1h
                lifetime: 24h
            """, session: "stall: 1500ms"
        ).replacing("9000\" } ] }", with: "9000\" } ], idle_timeout: 30m }")
        let config = try ConfigFixture.load(yaml)
        #expect(
            config.limits.session
                == SessionLimits(
                    fromClient: SessionRateLimit(
                        messages: 100, messageBurst: 200, bytes: 1 << 20, byteBurst: 4 << 20, excess: .close),
                    toClient: SessionRateLimit(
                        messages: nil, messageBurst: 1, bytes: 100_000, byteBurst: 100_000, excess: .pause),
                    fragments: 1000, idle: .hours(1), lifetime: .hours(24)))
        #expect(config.limits.memory == 256 << 20 && config.session.stall == .milliseconds(1500))
        #expect(config.upstreams["echo"]?.idleTimeout == .minutes(30))
        let shown = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(shown) == config)
    }

    @Test("A burst is a second's worth unless said")
    func burst() throws {
        let rate = try Self.config("session: { to_client: { messages: 30, bytes: 2MiB } }").limits.session.toClient
        #expect(rate?.messageBurst == 30 && rate?.byteBurst == 2 << 20 && rate?.excess == .pause)
    }

    @Test("A stall of no time is none", arguments: ["none", "0s"])
    func noStall(text: String) throws {
        let config = try Self.config("", session: "stall: \(text)")
        #expect(config.session.stall == nil)
        let shown = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(shown) == config)
    }

    @Test(arguments: [
        ("session: { fragments: 0 }", "limits.session.fragments: expected a whole number from 1 to 10000000"),
        ("session: { idle: 0s }", "limits.session.idle: expected 1ms to 8760h"),
        ("session: { lifetime: 5 }", "limits.session.lifetime: expected a duration with its unit"),
        ("session: { from: 1 }", "limits.session.from: unknown key"),
        ("session: { from_client: {} }", "limits.session.from_client: expected \"messages\" or \"bytes\", or both"),
        (
            "session: { to_client: { bytes: 1KiB, message_burst: 2 } }",
            "limits.session.to_client.message_burst: of no use without \"messages\""
        ),
        (
            "session: { to_client: { messages: 1, byte_burst: 2B } }",
            "limits.session.to_client.byte_burst: of no use without \"bytes\""
        ),
        (
            "session: { to_client: { messages: 1, excess: drop } }",
            "limits.session.to_client.excess: expected pause or close"
        ),
        ("memory: 1KiB", "limits.memory: expected 64KiB to 16384GiB"),
    ])
    func aMistakeIsNamed(text: String, error: String) {
        let errors = ConfigFixture.errors(Self.yaml(text))
        #expect(errors.count == 1 && errors.first?.contains(error) == true, "\(errors)")
    }
}

import ConfigFixtures
import CulvertConfig
import CulvertCore
import NIOCore
import Testing

@Suite("Configuration: limits")
struct ConfigLimitTests {
    private static func load(_ limits: String, route: String = "") throws -> ProxyConfig {
        let yaml = ConfigFixture.good.replacing("  message: 1MiB", with: limits)
            .replacing("    upstream: echo", with: "    upstream: echo\n" + route)
        return try ConfigFixture.load(yaml)
    }

    @Test("What is left out is without limit, but for the handshakes of the process")
    func defaults() throws {
        let limits = try Self.load("  connections: 7").limits
        #expect(limits.process == AdmissionLimits(handshakes: 100))
        #expect(try Self.load("  connections: 700").limits.process == AdmissionLimits(handshakes: 700))
        #expect(limits.address.isEmpty && limits.token.isEmpty && limits.route.isEmpty)
        #expect(limits.http == HTTPLimits(firstByte: .seconds(10)))
        #expect(limits.http.bodyRate == 1024 && limits.http.requests == 10_000 && limits.http.parked == nil)
        #expect(limits.http.idle == .seconds(60))
    }

    @Test("The first byte has as long as a handshake, unless it is said")
    func firstByte() throws {
        #expect(try Self.load("  handshake: 3s").limits.http.firstByte == .seconds(3))
        #expect(try Self.load("  http: { first_byte: 3s }").limits.http.firstByte == .seconds(3))
    }

    @Test(
        "A route's own keys take the place of limits.route, key by key",
        arguments: [
            ("", AdmissionLimits(sessions: 9, rate: BucketRate(rate: 5, burst: 8), handshakes: 4)),
            (
                "    limits: { sessions: 1 }",
                AdmissionLimits(sessions: 1, rate: BucketRate(rate: 5, burst: 8), handshakes: 4)
            ),
            (
                "    limits: { rate: 2 }",
                AdmissionLimits(sessions: 9, rate: BucketRate(rate: 2, burst: 2), handshakes: 4)
            ),
            (
                "    limits: { burst: 2 }",
                AdmissionLimits(sessions: 9, rate: BucketRate(rate: 5, burst: 2), handshakes: 4)
            ),
        ])
    func route(own: String, expected: AdmissionLimits) throws {
        let config = try Self.load("  route: { sessions: 9, rate: 5, burst: 8, handshakes: 4 }", route: own)
        #expect(config.routes.first?.limits == expected)
    }

    @Test("A burst is a second's worth unless it is said")
    func burst() throws {
        #expect(try Self.load("  token: { rate: 5 }").limits.token.rate == BucketRate(rate: 5, burst: 5))
        #expect(try Self.load("  token: { rate: 5, burst: 1 }").limits.token.rate == BucketRate(rate: 5, burst: 1))
    }

    @Test("What is in effect reads back as it was")
    func printed() throws {
        let limits = """
              process: { rate: 1000, burst: 2000, handshakes: 500 }
              address: { sessions: 100, rate: 20, burst: 40, handshakes: 20 }
              token: { sessions: 10 }
              route: { rate: 7 }
              http: { first_byte: 2500ms, body_rate: 4KiB, requests: 5, idle: 7s, parked: 12 }
            """
        let config = try Self.load(limits, route: "    limits: { handshakes: 3 }")
        let printed = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(printed) == config)
        #expect(config.limits.http.parked == 12 && config.limits.http.firstByte == .milliseconds(2500))
    }
}

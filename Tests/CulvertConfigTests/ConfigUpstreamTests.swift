import ConfigFixtures
import CulvertConfig
import CulvertCore
import NIOCore
import Testing

@Suite("Configuration: upstreams")
struct ConfigUpstreamTests {
    private static func upstream(_ text: String) throws -> UpstreamConfig {
        let yaml = ConfigFixture.good.replacing(#"{ servers: [ { url: "ws://127.0.0.1:9000" } ] }"#, with: text)
        return try #require(try ConfigFixture.load(yaml).upstreams["echo"])
    }

    @Test("Without more than a server the next session goes where the fewest are")
    func defaults() throws {
        let upstream = try Self.upstream("{ servers: [ { url: ws://a } ] }")
        #expect(upstream.balance == .leastSessions && upstream.retries == 2 && upstream.proxyProtocol == nil)
        #expect(upstream.ejection == EjectionPolicy())
        #expect(upstream.servers.map(\.url) == ["ws://a:80"])
        #expect(upstream.servers.map(\.weight) == [1] && upstream.servers.map(\.maxSessions) == [nil])
    }

    @Test("What is said is read, and what is in effect reads back")
    func values() throws {
        let text = """
            { servers: [ { url: "wss://[::1]:9/a/", weight: 5, max_sessions: 7 }, { url: ws://b } ], retries: 0,
                balance: round_robin, eject: { failures: 0, time: 1s, longest: 2s, slow_start: 0s },
                proxy_protocol: v2 }
            """
        let upstream = try Self.upstream(text)
        #expect(upstream.balance == .roundRobin && upstream.retries == 0 && upstream.proxyProtocol == .v2)
        let eject = EjectionPolicy(failures: nil, time: .seconds(1), longest: .seconds(2), slowStart: .zero)
        #expect(upstream.ejection == eject)
        #expect(upstream.servers[0].url == "wss://[::1]:9/a")
        #expect((upstream.servers[0].weight, upstream.servers[0].maxSessions) == (5, 7))
        let yaml = ConfigFixture.good.replacing(#"{ servers: [ { url: "ws://127.0.0.1:9000" } ] }"#, with: text)
        let shown = try ConfigFixture.load(yaml).redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(shown).upstreams["echo"] == upstream)
    }

    @Test("Without a word of them nothing is checked, nobody waits, and the handshake has its limit")
    func noOptions() throws {
        let upstream = try Self.upstream("{ servers: [ { url: ws://a } ] }")
        #expect(upstream.health == nil && upstream.queue == nil)
        #expect(upstream.serverName == nil && upstream.clientCertificate == nil)
        #expect(upstream.handshakeTimeout == .seconds(10))
        let yaml = ConfigFixture.good.replacing("message: 1MiB", with: "handshake: 3s")
        #expect(try ConfigFixture.load(yaml).upstreams["echo"]?.handshakeTimeout == .seconds(3))
    }

    struct Options: Sendable {
        var text: String
        var health: HealthConfig?
        var queue: QueueConfig?
    }

    @Test(
        "Checks, a queue, times and TLS are read, and what is in effect reads back",
        arguments: [
            Options(text: "health: { type: tcp }", health: HealthConfig(kind: .tcp)),
            Options(
                text: "health: { type: http, path: \"/up?x=1\", status: 204, host: \"a.b:8\", interval: 1500ms }",
                health: HealthConfig(
                    kind: .http, path: "/up?x=1", interval: .milliseconds(1500), status: 204, host: "a.b:8")),
            Options(
                text: "health: { type: websocket, ping: true, timeout: 1s, rise: 1, fall: 9 }",
                health: HealthConfig(kind: .webSocket, timeout: .seconds(1), rise: 1, fall: 9, ping: true)),
            Options(text: "queue: {}", queue: QueueConfig(size: 100, timeout: .seconds(2))),
            Options(text: "queue: { size: 1, timeout: 1m }", queue: QueueConfig(size: 1, timeout: .minutes(1))),
        ])
    func options(_ options: Options) throws {
        let text =
            "{ servers: [ { url: wss://a } ], sni: b.example, handshake_timeout: 700ms, \(options.text), "
            + "client_certificate: { certificate: c.pem, key: /k.pem } }"
        let upstream = try Self.upstream(text)
        #expect(upstream.health == options.health && upstream.queue == options.queue)
        #expect(upstream.serverName == "b.example" && upstream.handshakeTimeout == .milliseconds(700))
        #expect(upstream.clientCertificate == CertificatePair(certificate: "/etc/culvert/c.pem", key: "/k.pem"))
        let yaml = ConfigFixture.good.replacing(#"{ servers: [ { url: "ws://127.0.0.1:9000" } ] }"#, with: text)
        let config = try ConfigFixture.load(yaml)
        let shown = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(shown).upstreams["echo"] == upstream)
    }

    @Test(arguments: [
        ("", HashKey.subject), ("hash_by: subject", .subject), ("hash_by: address", .address),
        ("hash_by: \"header:X-Room\"", .header("X-Room")), ("hash_by: \"query:room\"", .query("room")),
    ])
    func aKeyIsNamed(_ text: String, _ key: HashKey) throws {
        let upstream = try Self.upstream("{ servers: [ { url: ws://a } ], balance: consistent_hash, \(text) }")
        #expect(upstream.balance == .consistentHash(by: key))
    }

    @Test(arguments: [
        ("balance: least", "upstreams.echo.balance: expected least_sessions or round_robin or consistent_hash"),
        ("hash_by: subject", "upstreams.echo.hash_by: of no use unless balance is consistent_hash"),
        (
            "balance: consistent_hash, hash_by: cookie",
            "upstreams.echo.hash_by: expected subject, address, header:NAME or query:NAME"
        ),
        (
            "balance: consistent_hash, hash_by: \"header:\"",
            "upstreams.echo.hash_by: expected subject, address, header:NAME or query:NAME"
        ),
        ("retries: 11", "upstreams.echo.retries: expected a whole number from 0 to 10"),
        ("eject: { failures: -1 }", "upstreams.echo.eject.failures: expected a whole number from 0 to 1000"),
        ("eject: { tim: 1s }", "upstreams.echo.eject.tim: unknown key"),
        ("proxy_protocol: true", "upstreams.echo.proxy_protocol: expected v1 or v2"),
        ("health: {}", "upstreams.echo.health: missing key \"type\""),
        ("health: { type: ping }", "upstreams.echo.health.type: expected tcp or http or websocket"),
        ("health: { type: tcp, path: / }", "upstreams.echo.health.path: of no use unless type is http or websocket"),
        ("health: { type: http, ping: true }", "upstreams.echo.health.ping: of no use unless type is websocket"),
        ("health: { type: websocket, status: 200 }", "upstreams.echo.health.status: of no use unless type is http"),
        ("health: { type: http, path: up }", "upstreams.echo.health.path: expected a path that begins with a slash"),
        ("health: { type: http, host: \"a b\" }", "upstreams.echo.health.host: expected a name"),
        ("health: { type: http, status: 101 }", "upstreams.echo.health.status: expected a whole number from 200"),
        ("health: { type: tcp, interval: 1ms }", "upstreams.echo.health.interval: expected 10ms to 24h"),
        ("health: { type: tcp, rise: 0 }", "upstreams.echo.health.rise: expected a whole number from 1 to 1000"),
        ("queue: { size: 0 }", "upstreams.echo.queue.size: expected a whole number from 1 to 1000000"),
        ("queue: { length: 5 }", "upstreams.echo.queue.length: unknown key"),
        ("sni: 127.0.0.1", "upstreams.echo.sni: expected a DNS name"),
        ("sni: \"a b\"", "upstreams.echo.sni: expected a DNS name"),
        ("client_certificate: { key: k }", "upstreams.echo.client_certificate: missing key \"certificate\""),
        ("handshake_timeout: 5", "upstreams.echo.handshake_timeout: expected a duration"),
    ])
    func aMistakeIsNamed(_ text: String, _ error: String) {
        let servers = #"servers: [ { url: "ws://127.0.0.1:9000" } ]"#
        let errors = ConfigFixture.errors(servers + " }", servers + ", \(text) }")
        #expect(errors.count == 1 && errors.first?.contains(error) == true, "\(errors)")
    }

    @Test(arguments: [
        (", weight: 0", "servers[0].weight: expected a whole number from 1 to 1000"),
        (", weight: 1001", "servers[0].weight: expected a whole number from 1 to 1000"),
        (", max_sessions: 0", "servers[0].max_sessions: expected a whole number from 1 to 10000000"),
        (" }, { url: \"ws://127.0.0.1:9000/\"", "servers[1]: another server has the same URL"),
    ])
    func aMistakeInAServerIsNamed(_ text: String, _ error: String) {
        let errors = ConfigFixture.errors(#""ws://127.0.0.1:9000""#, #""ws://127.0.0.1:9000""# + text)
        #expect(errors.count == 1 && errors.first?.contains(error) == true, "\(errors)")
    }
}

import ConfigFixtures
import CulvertConfig
import CulvertCore
import CulvertSystem
import CulvertTokens
import Foundation
import Logging
import NIOCore
import Testing

@Suite("Configuration: values")
struct ConfigValueTests {
    @Test("What is left out has the documented default")
    func defaults() throws {
        let config = try ConfigFixture.load(ConfigFixture.good.replacing("  hold: 25s", with: "  ping: 25s"))
        #expect(config.listen == [ListenConfig(host: "127.0.0.1", port: 8443, tls: nil)])
        let route = try #require(config.routes.first)
        #expect(route.host == nil && route.authenticationRequired && !route.validateText)
        #expect(route.transports == [.webSocket, .longPoll])
        #expect(route.origins == OriginPolicy(allow: [], missing: .allow))
        #expect(config.authentication.queryParameter == "access_token")
        #expect(config.authentication.cookie == "culvert_token")
        #expect(config.authentication.identityHeader == "X-Forwarded-User")
        #expect(config.authentication.tokens.first?.token.expires == nil)
        #expect(config.upstreams["echo"]?.connectTimeout == .seconds(5))
        #expect(
            config.session
                == SessionConfig(hold: .seconds(25), resume: .seconds(60), ping: .seconds(25), buffer: 1 << 20))
        #expect(
            config.limits
                == LimitsConfig(
                    connections: 20000, message: MessageLimits(fromClient: 1 << 20, fromUpstream: 1 << 20),
                    handshake: .seconds(10), header: 16384))
        #expect(
            config.admin == AdminConfig(host: "127.0.0.1", port: 9901, tokenFile: "/etc/culvert/culvert.admin-token"))
        #expect(config.state == "/etc/culvert/culvert.db")
        #expect(config.authentication.closeCode.rawValue == 4401)
        #expect(config.authentication.expiryGrace == .zero)
        #expect(config.log == LogConfig(format: .text, level: .info))
    }

    @Test("The admin listener may be a Unix socket, and may have TLS with client certificates")
    func admin() throws {
        let yaml =
            ConfigFixture.good + """

                state: var/tokens.db
                admin:
                  address: unix:run/culvert.sock
                  tls: { certificates: [ { certificate: a.pem, key: a.key } ] }
                  client_ca: ca.pem
                  hosts: [Admin.Example]
                  token_file: /etc/admin-token
                """
        let config = try ConfigLoader.parse(yaml, file: "f.yaml", directory: "/d", keys: .ofTokens, environment: [:])
        #expect(config.state == "/d/var/tokens.db")
        let admin = try #require(config.admin)
        #expect(admin.socket == "/d/run/culvert.sock" && admin.address == "unix:/d/run/culvert.sock")
        #expect(admin.tls?.certificates.first?.key == "/d/a.key" && admin.clientCA == "/d/ca.pem")
        #expect(admin.hosts == ["admin.example"] && admin.tokenFile == "/etc/admin-token")
        let printed = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        let again = try ConfigLoader.parse(
            printed, file: "p.yaml", directory: "/d", keys: .ofTokens, environment: [:])
        #expect(again == config)
    }

    @Test(
        "Durations have units",
        arguments: [
            ("500ms", .milliseconds(500)), ("25s", .seconds(25)), ("1.5m", .seconds(90)), ("2m", .minutes(2)),
            ("1h", .hours(1)),
            ("0.25s", .milliseconds(250)),
        ] as [(String, TimeAmount)])
    func durations(text: String, time: TimeAmount) throws {
        #expect(try ConfigFixture.load(ConfigFixture.good.replacing("25s", with: text)).session.hold == time)
    }

    @Test(
        "Sizes have units",
        arguments: [
            ("512B", 512), ("1KiB", 1024), ("1.5MiB", 1_572_864), ("0.25GiB", 1 << 28), ("64kB", 64_000), ("64KB", 64_000),
            ("10MB", 10_000_000), ("0.5GB", 500_000_000),
        ])
    func sizes(text: String, size: Int) throws {
        let limits = try ConfigFixture.load(ConfigFixture.good.replacing("1MiB", with: text)).limits
        #expect(limits.message == MessageLimits(fromClient: size, fromUpstream: size))
    }

    @Test(
        "Numbers out of bounds are errors and no traps",
        arguments: [
            "", "s", "-1s", "1e5s", "99999999999999999999999s", "1..2s", ".s", "1 s", "nans", "infs", "1S", "1d",
            "1sec",
        ])
    func badDurations(text: String) {
        #expect(ConfigFixture.errors("25s", "\"\(text)\"").count == 1)
    }

    @Test(
        "Sizes out of bounds are errors and no traps",
        arguments: [
            "", "B", "-1B", "0B", "99999999999999999999999999GiB", "1mib", "1 MiB", "1Mib", "1TiB",
        ])
    func badSizes(text: String) {
        #expect(ConfigFixture.errors("1MiB", "\"\(text)\"").count == 1)
    }

    @Test(
        "Variables of the environment are replaced, with a default or literally",
        arguments: [
            ("${HOLD}", "7s"), ("${NOT_SET:-8s}", "8s"), ("${HOLD:-8s}", "7s"), ("1${ZERO}s", "10s"),
            ("${EMPTY:-8s}5s", "5s"),
        ])
    func environment(text: String, meaning: String) throws {
        let environment = ["HOLD": "7s", "ZERO": "0", "EMPTY": ""]
        let yaml = { (hold: String) in ConfigFixture.good.replacing("25s", with: "\"\(hold)\"") }
        #expect(try ConfigFixture.load(yaml(text), environment) == ConfigFixture.load(yaml(meaning)))
    }

    @Test("A doubled dollar keeps its braces")
    func literalDollar() throws {
        let yaml = ConfigFixture.good.replacing("subject: s", with: "subject: \"a$${b} $c $\"")
        #expect(try ConfigFixture.load(yaml).authentication.tokens.first?.token.subject == "a${b} $c $")
    }

    @Test("A variable brings in a value, never structure")
    func noInjection() throws {
        let yaml = ConfigFixture.good.replacing("subject: s", with: "subject: \"${S}\"")
        let config = try ConfigFixture.load(yaml, ["S": "x, routes: [/admin]"])
        #expect(config.authentication.tokens.first?.token.subject == "x, routes: [/admin]")
    }

    @Test(
        "Addresses and servers are taken apart",
        arguments: [
            ("\"[::1]:0\"", "::1", 0), ("0.0.0.0:443", "0.0.0.0", 443), ("localhost:1", "localhost", 1),
        ])
    func addresses(text: String, host: String, port: Int) throws {
        let config = try ConfigFixture.load(ConfigFixture.good.replacing("127.0.0.1:8443", with: text))
        #expect(config.listen == [ListenConfig(host: host, port: port, tls: nil)])
    }

    @Test(
        "Servers have a scheme, a host and perhaps a port and a path",
        arguments: [
            ("ws://h", false, "h", 80, ""), ("wss://h", true, "h", 443, ""), ("WS://h:1/", false, "h", 1, ""),
            ("ws://[::1]:9/a/b/", false, "::1", 9, "/a/b"), ("wss://h/%20", true, "h", 443, "/%20"),
        ])
    func servers(url: String, isSecure: Bool, host: String, port: Int, prefix: String) throws {
        let config = try ConfigFixture.load(ConfigFixture.good.replacing("ws://127.0.0.1:9000", with: url))
        #expect(
            config.upstreams["echo"]?.servers == [
                UpstreamServer(isSecure: isSecure, host: host, port: port, pathPrefix: prefix)
            ])
    }

    @Test(
        "Browsers are told by key to stay with TLS, and the key is shown as it was read",
        arguments: [
            ("{ max_age: 8760h }", "max-age=31536000"), ("{ max_age: 0s }", "max-age=0"),
            ("{ max_age: 1.5m, include_subdomains: true }", "max-age=90; includeSubDomains"),
            (
                "{ max_age: 17520h, include_subdomains: true, preload: true }",
                "max-age=63072000; includeSubDomains; preload"
            ),
        ])
    func strictTransport(text: String, value: String) throws {
        let tls = "127.0.0.1:8443\n    tls: { certificates: [ { certificate: a.pem, key: a.key } ], hsts: \(text) }"
        let config = try ConfigFixture.load(ConfigFixture.good.replacing("127.0.0.1:8443", with: tls))
        #expect(config.listen.first?.tls?.hsts?.value == value)
        let printed = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(printed).listen == config.listen)
    }

    @Test("Files are looked for beside the configuration, unless they say where")
    func files() throws {
        let tls = "127.0.0.1:8443\n    tls: { certificates: [ { certificate: a.pem, key: /k/a.key } ] }"
        let config = try ConfigFixture.load(ConfigFixture.good.replacing("127.0.0.1:8443", with: tls))
        #expect(
            config.listen.first?.tls?.certificates == [
                CertificatePair(certificate: "/etc/culvert/a.pem", key: "/k/a.key")
            ])
    }

    @Test("What is in effect is printed without digests, and says everything else")
    func redacted() throws {
        let yaml =
            ConfigFixture.good.replacing("id: a", with: "expires: 2027-01-01T00:00:00Z, id: a") + """

                admin: { address: none }
                log: { format: json, level: debug }
                """
        let config = try ConfigFixture.load(yaml)
        let printed = config.redactedYAML()
        #expect(!printed.contains(ConfigFixture.digest))
        // With the digest put back it is the same configuration.
        #expect(try ConfigFixture.load(printed.replacing("(redacted)", with: ConfigFixture.digest)) == config)
    }

    @Test("A listener that takes PROXY headers, and one that does not, read back")
    func proxyProtocol() throws {
        let yaml =
            ConfigFixture.good.replacing(
                "127.0.0.1:8443", with: "127.0.0.1:8443\n    proxy_protocol: true\n  - address: 127.0.0.1:8444")
            + "\ntrusted_proxies: [10.0.0.0/8]"
        let config = try ConfigFixture.load(yaml)
        #expect(config.listen.map(\.proxyProtocol) == [true, false])
        let printed = config.redactedYAML().replacing("(redacted)", with: ConfigFixture.digest)
        #expect(try ConfigFixture.load(printed) == config)
    }

    @Test("An error of a value that has its default is at the section around it, or at the first line")
    func placesOfDefaults() throws {
        let config = try ConfigFixture.load(ConfigFixture.good + "\nadmin: { address: \"127.0.0.1:1\" }")
        #expect(config.places.text("admin.address", "x") == "f.yaml:15:19: admin.address: x")
        #expect(config.places.text("admin.token_file", "x") == "f.yaml:15:8: admin.token_file: x")
        #expect(config.places.text("state", "x") == "f.yaml:1:1: state: x")
    }

    @Test(
        "Two keys with one path are an error that names both",
        arguments: [
            ("state: culvert.admin-token", "15:8: state: ", "admin.token_file, which has its default"),
            ("admin: { address: \"unix:a\" }\ntakeover: ./a", "16:11: takeover: ", "admin.address of line 15"),
            ("admin: { token_file: culvert.db }", "15:22: admin.token_file: ", "state, which has its default"),
        ])
    func onePath(text: String, place: String, other: String) {
        let errors = ConfigFixture.errors(ConfigFixture.good + "\n" + text)
        #expect(errors.count == 1 && errors.first?.contains("f.yaml:" + place) == true, "\(errors)")
        #expect(errors.first?.contains("this is the path of \(other); choose") == true, "\(errors)")
    }

    @Test("The sample in the repository has no error")
    func sample() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let config = try ConfigLoader.load(
            path: root.appending(path: "proxy.yaml").path, keys: .ofTokens, environment: [:])
        #expect(config.routes.count == 1 && config.authentication.tokens.count == 1)
    }
}

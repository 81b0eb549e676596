import ConfigFixtures
import CulvertTokens
import NIOCore
import Testing

@testable import CulvertConfig

@Suite("Configuration: the table of keys")
struct ConfigKeyTests {
    private static let table = RootSection.paths()
    /// Keys whose effect the configuration shows under another key: a key in PEM is shown as a JWK.
    private static let shownOtherwise: Set<String> = ["authentication.jwt.keys[].pem"]

    /// The paths of a configuration in effect, as the table writes them.
    private static func paths(_ value: EffectiveValue, _ prefix: String = "") -> Set<String> {
        switch value {
        case .section(let members):
            Set(
                members.flatMap { member in
                    let path = prefix + member.name.replacing("\"", with: "")
                    return self.paths(member.value, path + ".").union([WholeConfig.general(path)])
                })
        case .list(let items): items.reduce(into: []) { $0.formUnion(self.paths($1, prefix.dropLast() + "[].")) }
        default: []
        }
    }

    @Test("The configuration of these tests has every key of the table, and the reader takes it")
    func whole() throws {
        let document = WholeConfig()
        #expect(document.paths.sorted() == Set(Self.table.map(\.path)).sorted())
        _ = try ConfigFixture.load(document.yaml)
    }

    @Test("The reader reads every key of the table: without it the configuration is another one, or refused")
    func read() throws {
        let whole = try ConfigFixture.load(WholeConfig().yaml)
        for path in WholeConfig().values.map(\.path) {
            let other = try? ConfigFixture.load(WholeConfig().without(path).yaml)
            #expect(other != whole, "\(path) has no effect")
        }
    }

    @Test("A required key that is missing is an error that names it")
    func required() throws {
        for (path, key) in Self.table where key.isRequired {
            let place = try #require(WholeConfig().place(of: path))
            let errors = ConfigFixture.errors(WholeConfig().without(place).yaml)
            let name = path.split(separator: ".").last ?? ""
            #expect(errors.contains { $0.contains("missing key \"\(name)\"") }, "\(path): \(errors)")
        }
    }

    @Test("A number beyond the range of the table is refused, with the range")
    func ranges() throws {
        var tried = 0
        for (path, key) in Self.table {
            let place = try #require(WholeConfig().place(of: path))
            let (text, message): (String, String)
            if let (range, _) = key.kind.timeBounds {
                text = "\(range.upperBound.nanoseconds / 1_000_000_000 + 1)s"
                message = "expected \(ConfigUnits.bound(range.lowerBound)) to \(ConfigUnits.bound(range.upperBound))"
            } else if let (range, _) = key.kind.sizeBounds {
                text = "\(range.upperBound + 1)B"
                message = "expected \(ConfigUnits.text(size: range.lowerBound)) to "
            } else if let range = key.kind.integerRange {
                text = "\(range.upperBound + 1)"
                message = "expected a whole number from \(range.lowerBound) to \(range.upperBound)"
            } else {
                continue
            }
            let errors = ConfigFixture.errors(WholeConfig().with(place, text).yaml)
            #expect(errors.contains { $0.contains(": \(place): \(message)") }, "\(path): \(errors)")
            tried += 1
        }
        #expect(tried > 60, "\(tried)")
    }

    @Test("A default of the table is in effect where the file does not have the key")
    func defaults() throws {
        let yaml = """
            listen: [{ address: "127.0.0.1:8443", tls: { certificates: [], hsts: { max_age: 0s } } }]
            routes: [{ path: /, upstream: a, origins: {} }]
            authentication: { jwt: { claims: {}, jwks: [{ file: a }] } }
            upstreams: { a: { servers: [{ url: "ws://a" }], health: { type: websocket }, queue: {}, eject: {} } }
            limits: { session: { from_client: { messages: 1 } } }
            """.replacing("certificates: []", with: "certificates: [{ certificate: a, key: b }]")
        let config = try ConfigLoader.parse(yaml, file: "f.yaml", directory: "", keys: .ofTokens, environment: [:])
        let shown = Self.values(config.effective)
        // These stand in the file above, or in another place of the table.
        let absent: Set<String> = [
            "authentication.jwt.jwks", "upstreams.NAME.hash_by", "admin.tls.minimum_version",
            "admin.tls.hsts.include_subdomains", "admin.tls.hsts.preload", "limits.session.to_client.excess",
        ]
        var compared = 0
        for (path, key) in Self.table where !absent.contains(path) {
            guard let text = key.defaultText else { continue }
            let found = try #require(shown[path], "\(path)")
            if case .duration = key.kind {
                #expect(ConfigUnits.time(found) == ConfigUnits.time(text), "\(path)")
            } else {
                #expect(found == text, "\(path)")
            }
            compared += 1
        }
        #expect(compared > 55, "\(compared)")
    }

    /// The scalars and lists of scalars of a configuration in effect, by their paths.
    private static func values(_ value: EffectiveValue, _ path: String = "") -> [String: String] {
        switch value {
        case .section(let members):
            members.reduce(into: [:]) { values, member in
                let below = path + (path.isEmpty ? "" : ".") + member.name.replacing("\"", with: "")
                values.merge(self.values(member.value, below)) { first, _ in first }
            }
        case .list(let items) where items.contains { if case .section = $0 { true } else { false } }:
            self.values(items[0], path + "[]")
        default: [path.replacing("upstreams.a", with: "upstreams.NAME"): value.inline.replacing("\"", with: "")]
        }
    }

    @Test("The configuration in effect shows every key of the table, and no secret")
    func shown() throws {
        let config = try ConfigFixture.load(WholeConfig().yaml)
        let shown = Self.paths(config.effective).subtracting(WholeConfig.names).union(Self.shownOtherwise)
        #expect(shown.sorted() == Set(Self.table.map(\.path)).sorted())
        let printed = config.redactedYAML()
        for secret in WholeConfig.secrets { #expect(!printed.contains(secret)) }
        // With the secrets put back it is the same configuration: the values are the right ones.
        let back = printed.replacing("sha256: \"(redacted)\"", with: "sha256: \"\(WholeConfig.secrets[0])\"")
            .replacing("secret: \"(redacted)\"", with: "secret: \"\(WholeConfig.secrets[1])\"")
        #expect(try ConfigFixture.load(back) == config)
    }

    @Test("A key that the table calls secret is hidden, whatever its section gives for it")
    func hidden() {
        #expect(
            Self.table.filter(\.key.isSecret).map(\.path)
                == ["authentication.tokens[].sha256", "authentication.jwt.keys[].secret"])
        let shown = EffectiveValue.section(SigningKeySection.self) { $0 == .secret ? .text("told") : nil }
        #expect(shown.yaml() == "secret: \"(redacted)\"\n")
    }

    @Test(
        "A key that belongs in a section below is named with its path",
        arguments: [
            ("session:", "tls: {}\nsession:", "listen[].tls"),
            ("session:", "tokens: []\nsession:", "authentication.tokens"),
            ("session:", "jwt: {}\nsession:", "authentication.jwt"),
            ("session:", "upstream: {}\nsession:", "upstreams"),
            ("session:", "servers: []\nsession:", "upstreams.NAME.servers"),
            ("upstream: echo", "upstream: echo\n    cookie: none", "carriers.cookie"),
            ("upstream: echo", "upstream: echo\n    rate: 5", "limits.rate"),
        ])
    func misplaced(old: String, new: String, path: String) {
        let errors = ConfigFixture.errors(old, new)
        #expect(errors.count == 1 && errors.first?.hasSuffix("(did you mean \"\(path)\"?)") == true, "\(errors)")
    }
}

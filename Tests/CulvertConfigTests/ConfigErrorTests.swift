import ConfigFixtures
import CulvertConfig
import CulvertCore
import CulvertTokens
import Foundation
import Testing

@Suite("Configuration: errors")
struct ConfigErrorTests {
    private static let path = "    upstream: echo"
    private static let token = #"sha256: "\#(ConfigFixture.digest)""#

    @Test("The fixture itself has no error")
    func good() {
        #expect(ConfigFixture.errors(ConfigFixture.good) == [])
    }

    private static let mistakes: [(old: String, new: String, error: String)] = [
        // old, new, error
        ("    upstream: echo", "    upstrem: echo", "4:5: routes[0]: missing key \"upstream\""),
        (
            "    upstream: echo", "    upstream: ecko",
            "5:15: routes[0].upstream: no upstream is called \"ecko\" (did you mean \"echo\"?)"
        ),
        (
            "  - path: /\n", "  - path: chat\n",
            "4:11: routes[0].path: expected a path that begins with a slash, without dot segments"
        ),
        (
            "  - path: /\n", "  - path: /a/../b\n",
            "4:11: routes[0].path: expected a path that begins with a slash, without dot segments"
        ),
        (
            path, path + "\n    host: a:80",
            "6:11: routes[0].host: expected a host name without scheme and port; drop the port"
        ),
        (
            path, path + "\n    host: https://a",
            "6:11: routes[0].host: expected a host name without scheme and port; drop the scheme"
        ),
        (
            path, path + "\n    host: \"*.a.example\"",
            "6:11: routes[0].host: expected a host name without scheme and port; there are no wildcards, so write one "
                + "route for each name"
        ),
        (
            path, path + "\n    host: a b",
            "6:11: routes[0].host: expected a host name without scheme and port"
        ),
        (
            path, path + "\n    transports: []",
            "6:17: routes[0].transports: expected at least one of websocket, long-poll"
        ),
        (
            path, path + "\n    transports: [websocket, longpoll]",
            "6:29: routes[0].transports[1]: expected websocket or long-poll (did you mean \"long-poll\"?)"
        ),
        (
            path, path + "\n    transports: websocket",
            "6:17: routes[0].transports: expected a list: write [websocket]"
        ),
        (
            path, path + "\n    transports: websocket, long-poll",
            "6:17: routes[0].transports: expected a list"
        ),
        (
            path, path + "\n    origins: { allow: \"https://a\" }",
            "6:23: routes[0].origins.allow: expected a list: write [\"https://a\"]"
        ),
        (
            "limits:", "trusted_proxies: 10.0.0.0/8\nlimits:",
            "13:18: trusted_proxies: expected a list: write [10.0.0.0/8]"
        ),
        ("listen:", "listen: none\nlistened:", "1:9: listen: expected a list"),
        (path, path + "\n    authentication: maybe", "6:21: routes[0].authentication: expected required or none"),
        (path, path + "\n    validate_text: perhaps", "6:20: routes[0].validate_text: expected true or false"),
        (
            path, path + "\n    origins: { allow: [\"https://a.example/\"] }",
            "6:24: routes[0].origins.allow[0]: an origin ends with its host or port; take away the slash or path behind it; "
                + OriginFault.forms
        ),
        (
            path, path + "\n    origins: { missing: alow }",
            "6:25: routes[0].origins.missing: expected allow or reject (did you mean \"allow\"?)"
        ),
        (
            path, path + "\n  - path: /\n    upstream: echo",
            "6:5: routes[1]: another route has the same host and path (routes[0] of line 4); take one of the two out"
        ),
        (
            "127.0.0.1:8443",
            "127.0.0.1:8443\n"
                + "    tls: { certificates: [ { certificate: a, key: b } ], hsts: { include_subdomains: true } }",
            "3:64: listen[0].tls.hsts: missing key \"max_age\""
        ),
        (
            "127.0.0.1:8443",
            "127.0.0.1:8443\n"
                + "    tls: { certificates: [ { certificate: a, key: b } ], hsts: { max_age: 1h, preload: on } }",
            "3:88: listen[0].tls.hsts.preload: the preload lists want \"include_subdomains: true\" and a \"max_age\" "
                + "of 8760h or more"
        ),
        (
            "127.0.0.1:8443", "8443",
            "2:14: listen[0].address: expected an address and port, such as 0.0.0.0:8443 or [::1]:8443"
        ),
        (
            "127.0.0.1:8443", "a:65536",
            "2:14: listen[0].address: the port 65536 is too big: expected a port of at most 65535"
        ),
        (
            "127.0.0.1:8443", "\"https://127.0.0.1:22443/\"",
            "2:14: listen[0].address: an address has no scheme: expected an address and port; write 127.0.0.1:22443"
        ),
        (
            "127.0.0.1:8443", "\"https://edge.example\"",
            "2:14: listen[0].address: an address has no scheme: expected an address and port, such as 0.0.0.0:8443"
        ),
        (
            "session:", "admin: none\nsession:",
            "11:8: admin: expected a mapping: write admin: { address: none } for no admin API"
        ),
        (
            "session:", "admin:\n#  address: none\nsession:",
            "11:7: admin: the section is empty: expected keys below it; write one, or take the section out"
        ),
        (
            "session:", "trusted_proxies:\n#  - 10.0.0.0/8\nsession:",
            "11:17: trusted_proxies: the list is empty: expected entries below it, each behind a -"
        ),
        (
            path, path + "\n    origins: [\"https://a.example\"]",
            "6:14: routes[0].origins: expected a mapping: write { allow: [\"https://a.example\"] }"
        ),
        (
            "[ { url: \"ws://127.0.0.1:9000\" } ]", "[ \"ws://127.0.0.1:9000\" ]",
            "10:22: upstreams.echo.servers[0]: expected a mapping: write { url: \"ws://host:port\" }"
        ),
        (
            "[ { url: \"ws://127.0.0.1:9000\" } ]", "\"ws://127.0.0.1:9000\"",
            "10:20: upstreams.echo.servers: expected a list: write [ { url: \"ws://host:port\" } ]"
        ),
        (
            "  tokens:", "  jwt: { jwks: \"https://id.example.com/\" }\n  tokens:",
            "7:16: authentication.jwt.jwks: expected a list: write "
                + "[ { url: \"https://id.example.com/.well-known/jwks.json\" } ]"
        ),
        (
            path, path + "\n    host: müller.de",
            "6:11: routes[0].host: expected a host name without scheme and port; write a name of another alphabet in "
                + "ASCII, as browsers send it (xn--…)"
        ),
        (
            "[ { url: \"ws://127.0.0.1:9000\" } ]", "[ { url: \"ws://h\" }, { url: \"ws://h:80\" } ]",
            "10:41: upstreams.echo.servers[1]: another server has the same URL (upstreams.echo.servers[0] of line 10); "
                + "take one of the two out"
        ),
        (
            "    upstream: echo", "    upstream: ehco",
            "5:15: routes[0].upstream: no upstream is called \"ehco\" (did you mean \"echo\"?)"
        ),
        (
            "\"\(ConfigFixture.digest)\"", "\"\(ConfigFixture.digest)  -\"",
            "8:24: authentication.tokens[0].sha256: expected the SHA-256 of the token as 64 hexadecimal digits; what "
                + "sha256sum prints behind the digits (\"  -\") does not belong to it"
        ),
        (
            "session:", "---\nsession:",
            "11:1: a second document begins here, and a configuration is one document; take away this line (---), or "
                + "what follows it"
        ),
        (
            "127.0.0.1:8443", "\":8443\"",
            "2:14: listen[0].address: expected an address in front of the port, such as 0.0.0.0:8443"
        ),
        (
            "127.0.0.1:8443", "\"*:8443\"",
            "2:14: listen[0].address: \"*\" is no address; write [::]:8443 for all addresses, or 0.0.0.0:8443 for those of IPv4"
        ),
        (
            "127.0.0.1:8443", "\"::1:8443\"",
            "2:14: listen[0].address: an IPv6 address stands in brackets; write [::1]:8443"
        ),
        (
            "127.0.0.1:8443", "\"[127.0.0.1]:8443\"",
            "2:14: listen[0].address: expected an IPv6 address in brackets in front of the port, such as [::1]:8443"
        ),
        (
            "session:", "admin: { address: \"*:9901\" }\nsession:",
            "11:19: admin.address: \"*\" is no address; write [::]:9901 for all addresses, or 0.0.0.0:9901 for those of IPv4"
        ),
        (
            "127.0.0.1:8443", "127.0.0.1:8443\n    tls: { certificates: [] }",
            "3:26: listen[0].tls.certificates: expected at least one certificate"
        ),
        (
            "127.0.0.1:8443", "127.0.0.1:8443\n    tls: { certificates: [ { certificate: a } ] }",
            "3:28: listen[0].tls.certificates[0]: missing key \"key\""
        ),
        (
            "127.0.0.1:8443", "127.0.0.1:8443\n    proxy_protocol: true",
            "3:21: listen[0].proxy_protocol: of no use without \"trusted_proxies\": nobody could connect"
        ),
        (
            "127.0.0.1:8443", "127.0.0.1:8443\n    proxy_protocol: v2",
            "3:21: listen[0].proxy_protocol: expected true or false"
        ),
        ("id: a, ", "", "8:7: authentication.tokens[0]: missing key \"id\""),
        (
            "session:", "state: none\nsession:",
            "11:8: state: the admin API needs a database: give one, or set admin.address to none"
        ),
        (
            "session:", "admin: { address: \"unix:\" }\nsession:",
            "11:19: admin.address: expected the path of a socket, of at most 107 bytes"
        ),
        (
            "session:", "client: /_poll/culvert.js\nsession:",
            "11:9: client: expected a path that ends in .js, such as /culvert.js, of letters, digits and -._~, without _poll"
        ),
        (
            "session:", "admin: { client_ca: ca.pem }\nsession:",
            "11:21: admin.client_ca: of no use without \"tls\""
        ),
        (
            "  tokens:", "  close_code: 1008\n  tokens:",
            "7:15: authentication.close_code: expected a whole number from 4000 to 4999"
        ),
        (
            token, "sha256: abc",
            "8:24: authentication.tokens[0].sha256: expected the SHA-256 of the token as 64 hexadecimal digits"
        ),
        (
            "subject: s", "subject: \"s\\n\"",
            "8:101: authentication.tokens[0].subject: expected 1 to 256 printable ASCII characters without a blank at an end, for it is sent in a header"
        ),
        (
            "routes: [\"/\"] }", "routes: [\"/\"], expires: soon }",
            "8:128: authentication.tokens[0].expires: expected a date and time, such as 2027-01-01T00:00:00Z"
        ),
        (
            "authentication:\n", "authentication:\n  cookie: \"a b\"\n",
            "7:11: authentication.cookie: expected a name of letters, digits and !#$%&'*+-.^_`|~"
        ),
        (
            "ws://127.0.0.1:9000", "http://127.0.0.1:9000",
            "10:29: upstreams.echo.servers[0].url: expected ws://host:port or wss://host:port, with at most a path behind it"
        ),
        (
            "servers: [ { url: \"ws://127.0.0.1:9000\" } ]", "servers: []",
            "10:20: upstreams.echo.servers: expected at least one server"
        ),
        ("25s", "25", "12:9: session.hold: expected a duration with its unit, such as 500ms, 25s, 2m or 1h"),
        ("25s", "0s", "12:9: session.hold: expected 1ms to 8760h"),
        (
            "1MiB", "1048576",
            "14:12: limits.message: expected a size with its unit, such as 512B, 16KiB or 1MiB; the units are B, KiB, MiB, "
                + "GiB, kB, MB and GB: write 1MiB, or none for no limit"
        ),
        ("1MiB", "513MiB", "14:12: limits.message: expected 1B to 512MiB, or none for no limit"),
        (
            "1MiB", "{ from_client: 0B }", "14:27: limits.message.from_client: expected 1B to 512MiB, or none for no limit"
        ),
        (
            "1MiB", "{ to_client: 1MiB }",
            "14:14: limits.message.to_client: unknown key, expected one of from_client, from_upstream "
                + "(did you mean \"from_client\"?)"
        ),
        ("1MiB", "[1MiB]", "14:12: limits.message: expected a mapping"),
        ("hold: 25s", "hold: 25s\n  buffer: 1GiB", "13:11: session.buffer: expected 1KiB to 512MiB"),
        (
            "message: 1MiB", "connections: many",
            "14:16: limits.connections: expected a whole number from 1 to 10000000"
        ),
        (
            "message: 1MiB", "address: { rate: 0 }",
            "14:20: limits.address.rate: expected a whole number from 1 to 1000000"
        ),
        ("message: 1MiB", "token: { burst: 3 }", "14:19: limits.token.burst: of no use without \"rate\""),
        (
            "message: 1MiB", "process: { sessions: 3 }",
            "14:14: limits.process.sessions: unknown key, expected one of rate, burst, handshakes"
        ),
        (
            "message: 1MiB", "http: { body_rate: 10 }",
            "14:22: limits.http.body_rate: expected a size with its unit, such as 512B, 16KiB or 1MiB; the units are B, "
                + "KiB, MiB, GiB, kB, MB and GB: write 10B"
        ),
        (
            "25s", "30d",
            "12:9: session.hold: expected a duration with its unit, such as 500ms, 25s, 2m or 1h; it has one number and one of the units ms, s, m and h: write 720h"
        ),
        (
            "25s", "1m30s",
            "12:9: session.hold: expected a duration with its unit, such as 500ms, 25s, 2m or 1h; it has one number and one of the units ms, s, m and h: write 90s"
        ),
        (
            "25s\n", "25s\n  stall: never\n",
            "13:10: session.stall: expected a duration with its unit, such as 500ms, 25s, 2m or 1h; it has one number and one of the units ms, s, m and h, or none"
        ),
        (
            path, path + "\n    carriers: { query_parameter: true }",
            "6:34: routes[0].carriers.query_parameter: expected a name, such as access_token, or none for no such carrier"
        ),
        (
            "  tokens:", "  cookie: ~\n  tokens:",
            "7:11: authentication.cookie: expected a name, such as culvert_token, or none for no such carrier"
        ),
        (
            "  tokens:", "  identity_header: off\n  tokens:",
            "7:20: authentication.identity_header: expected the name of a field, such as X-Forwarded-User; the field cannot be switched off"
        ),
        (
            "session:", "state: off\nsession:",
            "11:8: state: expected the path of a file, or none; a file of this name is written ./off"
        ),
        (
            "session:", "takeover: none\nsession:",
            "11:11: takeover: expected the path of a socket; without the key there is none, and this name is written ./none"
        ),
        (
            "session:", "admin: { address: false }\nsession:",
            "11:19: admin.address: expected host:port, unix:PATH, or none for no admin API"
        ),
        ("25s", "[25s]", "12:9: session.hold: expected a single value"),
        ("  hold: 25s", "  - hold", "12:3: session: expected a mapping"),
        ("25s", "${HOLD}", "12:9: session.hold: environment variable HOLD is not set"),
        ("25s", "\"${HOLD\"", "12:9: session.hold: \"${\" without \"}\""),
    ]

    @Test(
        "Each mistake is reported at its line, column and key path, with what was expected",
        arguments: Self.mistakes)
    func places(old: String, new: String, error: String) {
        #expect(ConfigFixture.errors(old, new).contains("f.yaml:" + error), "\(ConfigFixture.errors(old, new))")
    }

    @Test(
        "A host of a listener is an IP address or a host name",
        arguments: [
            ("127.0.0.1", true), ("localhost", true), ("edge-1.example.com", true), ("my_host", true),
            ("3com.com", true), ("[::]", true), ("[::1]", true), ("[fe80::1%eth0]", true), ("a b", false), ("*.example.com", false),
            ("127.1", false), ("300.1.1.1", false), ("-a", false), ("a..b", false), ("[]", false), ("[::1", false),
            ("[fe80::1%]", false), ("[g::1]", false), ("::", false), ("a/b", false), ("ü", false),
        ])
    func hosts(host: String, isGood: Bool) {
        let errors = ConfigFixture.errors("127.0.0.1:8443", "\"\(host):8443\"")
        #expect(errors.isEmpty == isGood, "\(errors)")
        #expect(errors.allSatisfy { $0.hasPrefix("f.yaml:2:14: listen[0].address: ") }, "\(errors)")
    }

    @Test(
        "An unknown key is reported where it stands, with the one that was meant",
        arguments: [
            (
                "session:", "sesion:",
                "11:1: sesion: unknown key, expected one of listen, routes, authentication, upstreams, session, limits, admin, state, log, trusted_proxies, reload, drain, takeover, client (did you mean \"session\"?)"
            ),
            (
                "  hold: 25s", "  hould: 25s",
                "12:3: session.hould: unknown key, expected one of hold, resume, ping, buffer, stall (did you mean \"hold\"?)"
            ),
            (
                "  hold: 25s", "  colour: red",
                "12:3: session.colour: unknown key, expected one of hold, resume, ping, buffer, stall"
            ),
            (
                "upstream: echo", "upstream: echo\n    auth: none",
                "6:5: routes[0].auth: unknown key, expected one of path, host, upstream, origins, authentication, carriers, transports, validate_text, limits (did you mean \"authentication\"?)"
            ),
            (
                "upstream: echo", "upstream: echo\n    carrier: { cookie: none }\n    origins: { allow: [\"*\"] }",
                "6:5: routes[0].carrier: unknown key, expected one of path, host, upstream, origins, authentication, carriers, transports, validate_text, limits (did you mean \"carriers\"?)"
            ),
            (
                "127.0.0.1:8443", "127.0.0.1:8443\n    hsts: { max_age: 1h }",
                "3:5: listen[0].hsts: unknown key, expected one of address, tls, proxy_protocol (did you mean \"tls.hsts\"?)"
            ),
        ])
    func unknownKeys(old: String, new: String, error: String) {
        #expect(ConfigFixture.errors(old, new) == ["f.yaml:" + error])
    }

    @Test("All errors are reported at once, in the order of the file")
    func allAtOnce() {
        let yaml = ConfigFixture.good.replacing("8443", with: "x").replacing("path: /\n", with: "path: x\n")
            .replacing("9000\"", with: "x\"").replacing("25s", with: "25").replacing("1MiB", with: "1")
        let lines = ConfigFixture.errors(yaml).map { $0.split(separator: ":")[1] }
        #expect(lines == ["2", "4", "10", "12", "14"])
    }

    @Test(
        "What is not YAML is said at its place",
        arguments: [
            ("a: [", 2), ("a: b: c", 1), ("\ta: 1", 1), ("a: 1\na: 2", 2), ("", 1), ("- a", 1), ("\"just text\"", 1),
        ])
    func notYAML(yaml: String, line: Int) {
        let errors = ConfigFixture.errors(yaml)
        #expect(errors.count == 1)
        #expect(errors.first?.hasPrefix("f.yaml:\(line):") == true, "\(errors)")
    }

    @Test(
        "What is not YAML is said in words for its author",
        arguments: [
            ("a: [*]", "1:5: a value that begins with * has to stand in quotation marks: \"*\""),
            ("a: *", "1:4: a value that begins with * has to stand in quotation marks: \"*\""),
            ("a:\n  - *.example.com", "2:5: a value that begins with * has to stand in quotation marks: \"*\""),
            ("a: *name", "1:4: a value that begins with * has to stand in quotation marks: \"*\""),
            ("a: @x", "1:4: a value that begins with @ has to stand in quotation marks: \"@…\""),
            ("a:\n\tb: 1", "2:1: a tab stands where YAML takes spaces only; write spaces in its place"),
            ("a:\n  b: 1\n\tc: 2", "3:1: a tab stands where YAML takes spaces only; write spaces in its place"),
            ("log: 1\nb: 2\nlog: 3", "3:1: key given twice: log; line 1 has it already"),
            ("a: [ { b: 1, \"b\": 2 } ]", "1:14: key given twice: b; line 1 has it already"),
        ])
    func plainWords(yaml: String, error: String) {
        #expect(ConfigFixture.errors(yaml) == ["f.yaml:" + error])
    }

    @Test("No upstream is missed in a file that has no upstreams")
    func noUpstreams() {
        let yaml = "listen: [ { address: 127.0.0.1:1 } ]\nroutes: [ { path: /, upstream: e } ]"
        #expect(ConfigFixture.errors(yaml) == ["f.yaml:1:1: missing key \"upstreams\""])
        #expect(ConfigFixture.errors(yaml + "\nupstreams: 5") == ["f.yaml:3:12: upstreams: expected a mapping"])
    }

    @Test(
        "A carrier is off by any word that switches off, and is never called by it",
        arguments: ["none", "false", "False", "off", "no", "\"off\""])
    func carriersOff(word: String) throws {
        let carriers = "\n    carriers: { query_parameter: \(word), cookie: \(word) }"
        let config = try ConfigFixture.load(ConfigFixture.good.replacing(Self.path, with: Self.path + carriers))
        #expect(config.routes.first?.carriers?.queryParameter == nil && config.routes.first?.carriers?.cookie == nil)
        #expect(config.routes.first?.carriers?.authorization == true)
    }

    @Test("Sections that nothing works without are asked for")
    func sections() {
        #expect(
            ConfigFixture.errors("log: { level: info }") == [
                "f.yaml:1:1: missing key \"listen\"", "f.yaml:1:1: missing key \"routes\"",
                "f.yaml:1:1: missing key \"upstreams\"",
            ])
    }

    @Test(
        "A size in another spelling is named in the right one",
        arguments: [
            ("1M", "1MiB"), ("16k", "16KiB"), ("1mb", "1MB"), ("\"1 GiB\"", "1GiB"), ("1024", "1KiB"),
            ("1000", "1000B"),
            ("2Mi", "2MiB"), ("10bytes", "10B"), ("5kib", "5KiB"), ("1.5m", "1.5MiB"),
        ])
    func sizes(text: String, right: String) {
        let errors = ConfigFixture.errors("1MiB", text)
        #expect(errors.count == 1 && errors.first?.hasSuffix(": write \(right), or none for no limit") == true)
    }

    @Test(
        "A word with two letters swapped is one mistake away",
        arguments: [("caht", "chat"), ("chekc", "check"), ("raod", "road"), ("chtaa", nil)])
    func swapped(word: String, meant: String?) {
        let found = Spelling.suggestion(for: word, among: ["chat", "check", "road"])
        #expect(found == (meant.map { " (did you mean \"\($0)\"?)" } ?? ""))
    }

    @Test("Two tokens with one id or one digest are one too many")
    func tokens() {
        let entry = #"    - { id: a, sha256: "\#(ConfigFixture.digest)", subject: s, routes: ["/"] }"#
        let errors = ConfigFixture.errors(entry, entry + "\n" + entry)
        #expect(
            errors == [
                "f.yaml:9:7: authentication.tokens[1]: another token has the id \"a\" (authentication.tokens[0] of line "
                    + "8); give each an id of its own",
                "f.yaml:9:7: authentication.tokens[1]: another token has the same sha256 (authentication.tokens[0] of "
                    + "line 8); take one of the two out, or give it a secret of its own",
            ])
    }

    @Test(
        "What may be a secret is not repeated",
        arguments: [
            ("\"\(ConfigFixture.digest)\"", "hunter2"), ("ws://127.0.0.1:9000", "ws://me:hunter2@h"),
            ("ws://127.0.0.1:9000", "ws://h?token=hunter2"),
        ])
    func secrets(old: String, new: String) {
        let errors = ConfigFixture.errors(old, new)
        #expect(errors.count == 1)
        #expect(!errors.joined().contains("hunter2"))
    }

    @Test("A file that cannot be read is an error of that file")
    func missingFile() {
        let error = #expect(throws: ConfigErrors.self) {
            try ConfigLoader.load(path: "/nonexistent/proxy.yaml", keys: .ofTokens, environment: [:])
        }
        #expect(
            error?.errors.map(\.description) == ["/nonexistent/proxy.yaml:1:1: cannot be read: No such file or directory"])
    }
}

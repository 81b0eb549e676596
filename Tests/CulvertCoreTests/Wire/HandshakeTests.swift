import CulvertCore
import Testing

@Suite("Opening handshake")
struct HandshakeTests {
    /// The key and answer of RFC 6455 section 1.3.
    private static let key = "dGhlIHNhbXBsZSBub25jZQ=="
    private static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    @Test("The example of RFC 6455 section 1.3")
    func example() {
        #expect(Handshake.acceptKey(for: Self.key) == Self.accept)
        #expect(Handshake.isValidKey(Self.key))
    }

    @Test("A key made of random numbers is valid and differs with either")
    func keys() {
        let keys = [(0, 0), (1, 0), (0, 1), (.max, .max)] as [(UInt64, UInt64)]
        let made = keys.map { Handshake.key(from: $0) }
        #expect(made.allSatisfy { Handshake.isValidKey($0) && $0.utf8.count == 24 })
        #expect(Set(made).count == keys.count)
        #expect(made.first == "AAAAAAAAAAAAAAAAAAAAAA==")
    }

    @Test(
        "A key that is not 16 bytes in base64 is refused",
        arguments: [
            "", "=", "==", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAA*==",
            "dGhlIHNhbXBsZSBub25jZQ==,",
            " dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZS\nBub25jZQ==",
            "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
            "ключ",
        ])
    func badKeys(key: String) {
        #expect(!Handshake.isValidKey(key))
        #expect(Handshake.check(method: "GET", version: ["13"], keys: [key]) == .key)
    }

    @Test(
        "Lists are split at commas over all lines, trimmed, without empty members",
        arguments: [
            ([], []), ([""], []), ([" , ,"], []), (["a"], ["a"]), (["a, b", " c\t,d "], ["a", "b", "c", "d"]),
            (["a;x=\"1,2\", b"], ["a;x=\"1,2\"", "b"]), (["a;x=\"1, b"], ["a;x=\"1, b"]),
            (["keep-alive, Upgrade"], ["keep-alive", "Upgrade"]), ([#"a;x="\\", c"#], [#"a;x="\\""#, "c"]),
        ] as [([String], [String])])
    func lists(values: [String], members: [String]) {
        #expect(Handshake.listTokens(values) == members)
    }

    @Test(
        "Compression takes RSV1, an unknown extension may take any bit, none takes none",
        arguments: [
            ([], 0), ([""], 0), (["permessage-deflate"], 4), (["permessage-deflate; client_max_window_bits=10"], 4),
            (["Permessage-Deflate"], 4), (["x-unknown"], 7), (["permessage-deflate, x-unknown"], 7),
        ] as [([String], UInt8)])
    func reserved(accepted: [String], bits: UInt8) {
        #expect(Handshake.reservedBits(forExtensions: accepted) == bits)
    }

    @Test(
        "Just what was offered may be accepted",
        arguments: [
            ([], [], true), ([], ["a"], true), (["a"], ["a, b"], true), (["b;x=1"], ["a", "b; y=2"], true),
            (["a"], [], false),
            (["a, c"], ["a, b"], false), (["ab"], ["a, b"], false),
            (["permessage-deflate"], ["a;permessage-deflate"], false),
        ] as [([String], [String], Bool)])
    func subset(accepted: [String], offered: [String], isSubset: Bool) {
        #expect(Handshake.isSubset(acceptedExtensions: accepted, offered: offered) == isSubset)
    }

    @Test(
        "An upgrade needs both headers, in any case and among others",
        arguments: [
            (["Upgrade"], ["websocket"], true), (["keep-alive, UPGRADE"], ["h2c, WebSocket"], true),
            (["keep-alive", "upgrade"], ["websocket"], true), ([], ["websocket"], false), (["upgrade"], [], false),
            (["keep-alive"], ["websocket"], false), (["upgrade"], ["h2c"], false), (["upgraded"], ["websocket"], false),
            (["upgrade"], ["websockets"], false),
        ] as [([String], [String], Bool)])
    func upgrade(connection: [String], upgrade: [String], wants: Bool) {
        #expect(Handshake.isUpgrade(connection: connection, upgrade: upgrade) == wants)
    }

    @Test(
        "A request is refused for its method, its version, its key, in this order",
        arguments: [
            ("GET", ["13"], [key], nil), ("POST", ["13"], [key], .notGet), ("get", ["13"], [key], .notGet),
            ("GET", ["12"], [key], .version), ("GET", [], [key], .version), ("GET", ["13", "13"], [key], .version),
            ("GET", ["13, 8"], [key], .version), ("GET", ["13"], [], .key), ("GET", ["13"], [key, key], .key),
            ("POST", ["8"], [], .notGet), ("GET", ["8"], [], .version),
        ] as [(String, [String], [String], Handshake.RequestProblem?)])
    func request(method: String, version: [String], keys: [String], problem: Handshake.RequestProblem?) {
        #expect(Handshake.check(method: method, version: version, keys: keys) == problem)
    }

    struct Response: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var isRight = false
        var connection = ["Upgrade"]
        var upgrade = ["websocket"]
        var accept = [HandshakeTests.accept]
        var protocols: [String] = []
        var extensions: [String] = []

        init(_ name: String, _ change: (inout Response) -> Void) {
            self.testDescription = name
            change(&self)
        }
    }

    static let responses = [
        Response("plain") { $0.isRight = true },
        Response("offered protocol and extension") {
            $0.isRight = true
            $0.protocols = ["chat"]
            $0.extensions = ["permessage-deflate; server_max_window_bits=9"]
        },
        Response("no Connection") { $0.connection = [] },
        Response("no Upgrade") { $0.upgrade = [] },
        Response("other Upgrade") { $0.upgrade = ["h2c"] },
        Response("no Accept") { $0.accept = [] },
        Response("Accept of another key") { $0.accept = [Handshake.acceptKey(for: "AAAAAAAAAAAAAAAAAAAAAA==")] },
        Response("Accept in another case") { $0.accept = [HandshakeTests.accept.lowercased()] },
        Response("two Accepts") { $0.accept = [HandshakeTests.accept, HandshakeTests.accept] },
        Response("protocol not offered") { $0.protocols = ["other"] },
        Response("protocol in another case") { $0.protocols = ["CHAT"] },
        Response("two protocols") { $0.protocols = ["chat", "news"] },
        Response("two protocols in one") { $0.protocols = ["chat, news"] },
        Response("extension not offered") { $0.extensions = ["x-other"] },
    ]

    @Test("An upstream's 101 is checked against what was asked", arguments: responses)
    func response(_ response: Response) {
        let problem = Handshake.checkResponse(
            connection: response.connection, upgrade: response.upgrade, accept: response.accept,
            protocols: response.protocols, extensions: response.extensions, key: Self.key,
            offeredProtocols: ["chat", "news"], offeredExtensions: ["permessage-deflate; client_max_window_bits"])
        #expect((problem == nil) == response.isRight)
        #expect(problem?.contains(Self.accept) != true)
    }
}

import CulvertConfig
import CulvertTokens
import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import CulvertCore
@testable import CulvertEdge

/// An edge of one loop whose clock is moved by hand. A client at 192.0.2.1 has a session open.
struct EdgeFixture {
    let loop: EmbeddedEventLoop
    let edge: EdgeContext
    let admission: Admission
    private let place: SessionPlace

    /// - Parameter config: more lines of the configuration.
    init(_ config: String = "") throws {
        let yaml = """
            listen: [ { address: "127.0.0.1:0" } ]
            routes: [ { path: /, upstream: echo, origins: { allow: ["https://a.test"] } } ]
            upstreams: { echo: { servers: [ { url: "ws://127.0.0.1:9" } ] } }

            """ + config
        let loop = EmbeddedEventLoop()
        let rules = try EdgeRules(
            config: try ConfigLoader.parse(yaml, file: "test", directory: "", keys: .ofTokens, environment: [:]),
            verifyJWT: nil, previous: nil, logger: Logger(label: "test"))
        let entry = TokenEntry(
            token: Token(id: "a", source: .store, subject: "s", routes: ["/"]),
            secrets: [TokenSecret(digest: TokenDigest(of: "one"), generation: 1)])
        let state = LoopState(loop: loop, index: 0, rules: rules, keyring: TokenKeyring([entry]))
        self.edge = EdgeContext(
            rules: rules, group: loop, loops: [NIOLoopBound(state, eventLoop: loop)], pages: [:],
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        let route = try #require(
            rules.gate.stillAdmits(host: nil, path: "/", origins: [], transport: .longPoll, token: entry.token))
        self.admission = Admission(
            route: route, credential: Credential(entry: entry, generation: 1), forwardCookies: [],
            forwardProtocols: [], answersAuthProtocol: false)
        self.loop = loop
        self.place = try self.edge.admissions.open(
            self.admission, address: "192.0.2.1", connection: nil, limits: rules.config.limits, now: loop.now)
    }
}

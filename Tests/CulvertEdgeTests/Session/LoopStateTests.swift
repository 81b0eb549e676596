import CulvertConfig
import CulvertCore
import Logging
import NIOEmbedded
import Testing

@testable import CulvertEdge

/// Loops learn of a change one after the other. A request may pass the gate on one that has not heard yet, and find its
/// session on one that has.
@Suite("Sessions of a loop")
struct LoopStateTests {
    private static func entry(isRevoked: Bool, routes: [String] = ["/"]) -> TokenEntry {
        TokenEntry(
            token: Token(id: "a", source: .store, subject: "s", routes: routes),
            secrets: [TokenSecret(digest: TokenDigest(of: "one"), generation: 1)], isRevoked: isRevoked)
    }

    private static func rules(origins: String = "[\"https://a.test\"]") throws -> EdgeRules {
        let yaml = """
            listen: [ { address: "127.0.0.1:0" } ]
            routes: [ { path: /, upstream: echo, origins: { allow: \(origins) } } ]
            upstreams: { echo: { servers: [ { url: "ws://127.0.0.1:9" } ] } }
            """
        let config = try ConfigLoader.parse(yaml, file: "test", directory: "", keys: .none, environment: [:])
        return try EdgeRules(config: config, verifyJWT: nil, previous: nil, logger: Logger(label: "test"))
    }

    private static func answer(to request: PollRequest, in state: LoopState) -> String {
        var answer = "none"
        RequestDelivery(state: state).deliver(request, to: state.newID(node: 1)) { given in
            switch given {
            case .problem(let failure): answer = failure.code
            case .unauthorized(let fault): answer = fault.rawValue
            case .rejected(let rejection): answer = rejection.code
            case .empty, .batch, .refreshed, .joined: answer = "served"
            }
        }
        return answer
    }

    @Test("What stands behind an encoded question mark in a session's path, where clients put tokens, is shown nowhere")
    func shownPath() throws {
        let ground = try SessionGround()
        for path in ["/open/a%3faccess_token=x", "/open/a%253Faccess_token=x", "/open/a;token=x", "/open/a%23x"] {
            let facts = SessionFacts(
                id: ground.facts.id, route: ground.facts.route, clientAddress: "192.0.2.1", basePath: path, origins: [])
            #expect(facts.pathShown == "/open/a")
        }
    }

    @Test("A request whose token died on its way is told so, not that its session has ended")
    func overtaken() throws {
        let rules = try Self.rules()
        let state = LoopState(
            loop: EmbeddedEventLoop(), index: 0, rules: rules, keyring: TokenKeyring([Self.entry(isRevoked: false)]))
        let request = Self.request(rules)
        #expect(Self.answer(to: request, in: state) == "no_session")
        state.apply([.put(Self.entry(isRevoked: true))])
        #expect(Self.answer(to: request, in: state) == "revoked")
        state.apply([.remove(id: "a")])
        #expect(Self.answer(to: request, in: state) == "revoked")
    }

    @Test("A request that was let in under another configuration, or by a token that has changed, is judged again")
    func admittedElsewhere() throws {
        let state = LoopState(
            loop: EmbeddedEventLoop(), index: 0, rules: try Self.rules(origins: "[\"https://b.test\"]"),
            keyring: TokenKeyring([Self.entry(isRevoked: false)]))
        #expect(Self.answer(to: Self.request(try Self.rules()), in: state) == "origin_not_allowed")
        let request = Self.request(state.rules, origins: ["https://b.test"])
        #expect(Self.answer(to: request, in: state) == "no_session")
        state.apply([.put(Self.entry(isRevoked: false, routes: ["/other"]))])
        #expect(Self.answer(to: request, in: state) == "insufficient_scope")
    }

    private static func request(_ rules: EdgeRules, origins: [String] = ["https://a.test"]) -> PollRequest {
        let caller = Caller(
            credential: Credential(entry: self.entry(isRevoked: false), generation: 1), host: nil, origins: origins,
            transport: .longPoll)
        return PollRequest(
            kind: .receive(ack: 0), ticket: 1, caller: caller, rules: rules, basePath: "/", route: "/",
            isAnonymous: false)
    }
}

import CulvertCore
import Logging
import NIOEmbedded
import Testing

@testable import CulvertServer

/// Loops learn of a change one after the other. A request may pass the gate on one that has not heard yet, and find its
/// session on one that has.
@Suite("Sessions of a loop")
struct LoopStateTests {
    private static func entry(isRevoked: Bool) -> TokenEntry {
        TokenEntry(
            token: Token(id: "a", source: .store, subject: "s", routes: ["/"]),
            secrets: [TokenSecret(digest: TokenDigest(of: "one"), generation: 1)], isRevoked: isRevoked)
    }

    private static func rules() throws -> EdgeRules {
        let yaml = """
            listen: [ { address: "127.0.0.1:0" } ]
            routes: [ { path: /, upstream: echo } ]
            upstreams: { echo: { servers: [ { url: "ws://127.0.0.1:9" } ] } }
            """
        let config = try ConfigLoader.parse(yaml, file: "test", directory: "", environment: [:])
        return try EdgeRules(config: config, verifyJWT: nil, previous: nil, logger: Logger(label: "test"))
    }

    private static func answer(to request: PollRequest, in state: LoopState) -> String {
        var answer = "none"
        state.handle(request, id: state.newID(node: 1)) { given in
            switch given {
            case .problem(let failure): answer = failure.code
            case .unauthorized(let fault): answer = fault.rawValue
            case .empty, .batch, .refreshed, .joined: answer = "served"
            }
        }
        return answer
    }

    @Test("A request whose token died on its way is told so, not that its session has ended")
    func overtaken() throws {
        let state = LoopState(
            loop: EmbeddedEventLoop(), index: 0, rules: try Self.rules(),
            keyring: TokenKeyring([Self.entry(isRevoked: false)]))
        let credential = Credential(entry: Self.entry(isRevoked: false), generation: 1)
        let request = PollRequest(
            kind: .receive(ack: 0), ticket: 1, credential: credential, basePath: "/", route: "/", isAnonymous: false)
        #expect(Self.answer(to: request, in: state) == "no_session")
        state.apply([.put(Self.entry(isRevoked: true))])
        #expect(Self.answer(to: request, in: state) == "revoked")
        state.apply([.remove(id: "a")])
        #expect(Self.answer(to: request, in: state) == "revoked")
    }
}

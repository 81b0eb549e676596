import CulvertCore
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

    private static func answer(to request: PollRequest, in state: LoopState) -> String {
        var answer = "none"
        state.handle(request, id: state.newID(node: 1)) { given in
            switch given {
            case .problem(let failure): answer = failure.code
            case .unauthorized(let fault): answer = fault.rawValue
            case .empty, .batch: answer = "served"
            }
        }
        return answer
    }

    @Test("A request whose token died on its way is told so, not that its session has ended")
    func overtaken() {
        let state = LoopState(
            loop: EmbeddedEventLoop(), index: 0, keyring: TokenKeyring([Self.entry(isRevoked: false)]))
        let credential = Credential(entry: Self.entry(isRevoked: false), generation: 1)
        let request = PollRequest(kind: .receive(ack: 0), ticket: 1, credential: credential, basePath: "/")
        #expect(Self.answer(to: request, in: state) == "no_session")
        state.apply([.put(Self.entry(isRevoked: true))])
        #expect(Self.answer(to: request, in: state) == "revoked")
        state.apply([.remove(id: "a")])
        #expect(Self.answer(to: request, in: state) == "revoked")
    }
}

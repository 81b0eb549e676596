import CulvertCore
import NIOHTTP1

/// Gives a request that the gate has let in to the type that serves it: by its target, its method, and whether it asks
/// for a WebSocket. Answers a request that none of them serves. ``RequestArrival`` calls it, on the request's loop.
struct RequestRouter {
    let request: EdgeRequest
    let admission: Admission

    /// - Parameter target: nil for the path of a WebSocket URL.
    func serve(path: String, _ target: PollTarget?, wantsUpgrade: Bool) {
        if wantsUpgrade, self.request.exchange.hasBody {
            // Servers disagree on where such a body ends and the other protocol begins.
            self.request.respond(.problem(400, "bad_handshake", "A handshake has no body."), isLast: true)
        } else if wantsUpgrade, self.request.exchange.isInputClosed {
            self.request.respond(.inputEnded)
        } else if let target, wantsUpgrade {
            self.serveHandshake(target)
        } else if let target {
            self.serveRequest(target)
        } else {
            NativeOpening(of: self.request, path: path, self.admission)?.begin()
        }
    }

    /// A WebSocket of the session protocol (docs/protocol.md, section 7).
    private func serveHandshake(_ target: PollTarget) {
        guard let handshake = LaneHandshake(of: self.request, self.admission) else { return }
        switch target {
        case .open(let base): LaneOpening(handshake: handshake, base: base).begin()
        case .socket(let base, let id): LaneJoining(handshake: handshake, base: base, id: id).begin()
        default: LaneProbe(handshake: handshake).begin()
        }
    }

    /// A request of the long-poll transport (docs/protocol.md). Refuses what the head alone tells to be wrong; what
    /// serves the rest reads its body.
    private func serveRequest(_ target: PollTarget) {
        let query = PollQuery(text: self.admission.forwardQuery)
        do throws(PollProblem) {
            switch (self.request.head.method, target) {
            case (.POST, .open(let base)):
                PolledOpening(of: self.request, base: base, self.admission)?.begin()
            case (.GET, .session(let base, let id)):
                try MessagePoll(self.call(base, id), query).begin()
            case (.POST, .session(let base, let id)):
                let codec = try PollCodec(ofBody: self.request.head.headers)
                BatchSending(call: self.call(base, id), codec: codec).begin()
            case (.DELETE, .session(let base, let id)), (.POST, .close(let base, let id)):
                try SessionClosing(self.call(base, id), query, bodyLimit: target.bodyLimit).begin()
            case (.PUT, .token(let base, let id)):
                TokenRenewal(call: self.call(base, id), bodyLimit: target.bodyLimit).begin()
            case (.GET, .socket), (.GET, .probe):
                self.request.answer(.upgradeRequired, self.admission)
            default:
                self.request.answer(.methodNotAllowed(at: target), self.admission)
            }
        } catch {
            self.request.answer(.badBatch(error), self.admission)
        }
    }

    private func call(_ base: String, _ id: String) -> SessionCall {
        let call = SessionCall(of: self.request, base: base, id: id, self.admission)
        self.request.task = call
        return call
    }
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// Opens a session whose first lane is the WebSocket that asks for it. ``RequestRouter`` begins it, on the request's
/// loop, which is the session's too.
struct LaneOpening {
    let handshake: LaneHandshake
    /// The path of the session.
    let base: String

    func begin() {
        var admission = self.handshake.admission
        admission.forwardProtocols.removeAll { $0.equals(SocketLane.protocol) }
        let opening = SessionOpening(
            of: self.handshake.request, path: self.base, transport: .webSocket, admission)
        guard let opening else { return }
        let resumable = ResumableOpening(opening: opening, admission: admission)
        resumable.begin { session, upstream in self.start(session, upstream, of: resumable) }
    }

    /// - Parameter upstream: the headers of the upstream's handshake.
    private func start(_ session: ResumableSession, _ upstream: HTTPHeaders, of resumable: ResumableOpening) {
        let front = self.handshake.request.front
        let state = front.state
        let lane = SocketLane(
            edge: front.edge, state: state, session: session.id, address: session.facts.clientAddress,
            limits: session.facts.route.message, isSecure: front.isSecure)
        guard let ready = self.handshake.switchProtocols(to: lane, resumable.opening.response(upstream)) else {
            session.upstreamLeg.abort()
            session.place.release()
            return
        }
        state.ends.starting += 1
        ready.assumeIsolated().whenComplete { _ in
            // In front of whatever the upstream has said already.
            lane.obey(.text(resumable.description(of: session, headers: upstream)))
            let generation = session.open(on: lane.link)
            session.start()
            lane.joined(generation)
            state.ends.starting -= 1
        }
    }
}

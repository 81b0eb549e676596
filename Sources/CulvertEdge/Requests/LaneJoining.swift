import CulvertCore
import NIOCore

/// A WebSocket that is to be the lane of an open session, whose loop may be another. ``RequestRouter`` begins it, on
/// the request's loop.
struct LaneJoining {
    let handshake: LaneHandshake
    /// The path of the session.
    let base: String
    /// The path's name of the session.
    let id: String

    func begin() {
        guard let place = self.handshake.takePlace() else { return }
        let request = self.handshake.request
        let (front, admission) = (request.front, self.handshake.admission)
        // A text that is not an identifier gets the same answer as that of an unknown session.
        let id = SessionID(self.id)
        let lane = SocketLane(
            edge: front.edge, state: front.state,
            session: id ?? SessionID(node: front.edge.node, shard: 0, random: (0, 0)),
            address: request.clientFacts.address, limits: admission.route.message, isSecure: front.isSecure)
        lane.place = place
        guard let ready = self.handshake.switchProtocols(to: lane) else { return }
        let join = PollRequest(
            kind: .join(lane.link), ticket: 0, admission: admission, basePath: self.base, of: request)
        let back = lane.link
        let edge = front.edge
        ready.assumeIsolated().whenComplete { _ in
            let isKnown = id.map { id in
                edge.onLoop(of: id) { RequestDelivery(state: $0).deliver(join, to: id) { back.answer($0) } }
            }
            if isKnown != true { back.answer(.problem(.unknownSession)) }
        }
    }
}

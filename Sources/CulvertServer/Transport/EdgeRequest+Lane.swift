import CulvertCore
import NIOCore
import NIOHTTP1

/// WebSockets of the session protocol (docs/protocol.md, section 7).
extension EdgeRequest {
    func lane(_ target: PollTarget, head: HTTPRequestHead, admission: Admission) {
        guard let key = self.handshakeKey(head) else { return }
        guard admission.forwardProtocols.contains(bytesEqualTo: SocketLane.protocol) else {
            self.respond(
                .problem(400, "no_subprotocol", "A lane is asked for with the subprotocol \(SocketLane.protocol)."))
            return
        }
        switch target {
        case .open(let base): self.openOnLane(base: base, head: head, key: key, admission: admission)
        case .socket(let base, let id): self.join(base: base, id: id, head: head, key: key, admission: admission)
        default: self.probe(key: key, admission: admission)
        }
    }

    /// The place of a connection that leads to no session, or to none yet; answers if there is none.
    private func takeHandshake(_ admission: Admission) -> ConnectionPlace? {
        do throws(AdmissionDenial) {
            return try self.front.handOverPlace(address: self.clientFacts(self.head).address)
        } catch {
            self.respond(.denial(error).allowing(origin: admission.allowedOrigin))
            return nil
        }
    }

    private static func answer(key: String, headers: HTTPHeaders = [:]) -> HTTPHeaders {
        var headers = headers
        headers.addHandshake(key: key)
        headers.replaceOrAdd(name: "Sec-WebSocket-Protocol", value: SocketLane.protocol)
        return headers
    }

    private func openOnLane(base: String, head: HTTPRequestHead, key: String, admission: Admission) {
        var admission = admission
        admission.forwardProtocols.removeAll { $0.equals(SocketLane.protocol) }
        let client = self.clientFacts(head)
        guard let place = self.takePlace(admission, address: client.address) else { return }
        self.openSession(
            base: base, head: head, admission: admission, client: client, place: place, transport: .webSocket
        ) { session, upstream in
            let state = self.state
            let lane = SocketLane(
                edge: self.edge, state: state, session: session.id, address: session.facts.clientAddress,
                limits: session.facts.route.message, isSecure: self.front.isSecure)
            guard
                let ready = self.switchProtocols(
                    to: lane, Self.answer(key: key, headers: self.response(upstream)))
            else {
                session.upstreamLeg.abort()
                session.place.release()
                return
            }
            state.starting += 1
            ready.assumeIsolated().whenComplete { _ in
                // In front of whatever the upstream has said already.
                lane.obey(.text(self.description(of: session, headers: upstream)))
                let generation = session.open(on: lane.link)
                session.start()
                lane.joined(generation)
                state.starting -= 1
            }
        }
    }

    private func join(base: String, id text: String, head: HTTPRequestHead, key: String, admission: Admission) {
        guard let place = self.takeHandshake(admission) else { return }
        // What is no identifier belongs to no session, and is told so as if it did.
        let id = SessionID(text)
        let state = self.state
        let lane = SocketLane(
            edge: self.edge, state: state, session: id ?? SessionID(node: self.edge.node, shard: 0, random: (0, 0)),
            address: self.clientFacts(head).address, limits: admission.route.message, isSecure: self.front.isSecure)
        lane.place = place
        guard let ready = self.switchProtocols(to: lane, Self.answer(key: key)) else { return }
        let request = PollRequest(kind: .join(lane.link), ticket: 0, admission: admission, basePath: base, of: self)
        let back = lane.link
        let edge = self.edge
        ready.assumeIsolated().whenComplete { _ in
            let isKnown = id.map { id in
                edge.onLoop(of: id) { $0.handle(request, id: id) { back.answer($0) } }
            }
            if isKnown != true { back.answer(.problem(.unknownSession)) }
        }
    }

    private func probe(key: String, admission: Admission) {
        guard let place = self.takeHandshake(admission) else { return }
        let handler = ProbeHandler(place: place, timers: self.state.timers)
        _ = self.switchProtocols(to: handler, Self.answer(key: key))
    }
}

import CulvertCore
import NIOCore
import NIOHTTP1

/// A client's handshake for a WebSocket of the session protocol (docs/protocol.md, section 7). Used on the loop of its
/// request.
struct LaneHandshake {
    let request: EdgeRequest
    let admission: Admission
    private let handshake: ClientHandshake

    /// Nil for a handshake that is not as it should be, which is answered here.
    init?(of request: EdgeRequest, _ admission: Admission) {
        guard let handshake = ClientHandshake(of: request) else { return nil }
        guard admission.forwardProtocols.contains(bytesEqualTo: SocketLane.protocol) else {
            request.respond(
                .problem(400, "no_subprotocol", "A lane needs the subprotocol \(SocketLane.protocol)."))
            return nil
        }
        self.request = request
        self.admission = admission
        self.handshake = handshake
    }

    /// The place of a connection that leads to no session, or to none yet; answers if there is none.
    func takePlace() -> ConnectionPlace? {
        do throws(AdmissionDenial) {
            return try self.request.front.handOverPlace(address: self.request.clientFacts.address)
        } catch {
            self.request.answer(.denial(error), self.admission)
            return nil
        }
    }

    /// Answers 101, and puts `handler` in the place of all that speaks HTTP.
    ///
    /// - Parameter headers: further fields of the answer.
    /// - Returns: done when the handler is there; nil when the connection is gone or goes now.
    func switchProtocols(to handler: any ChannelHandler, _ headers: HTTPHeaders = [:]) -> EventLoopFuture<Void>? {
        var headers = self.handshake.answer(headers)
        headers.replaceOrAdd(name: "Sec-WebSocket-Protocol", value: SocketLane.protocol)
        return self.handshake.switchProtocols(to: handler, headers)
    }
}

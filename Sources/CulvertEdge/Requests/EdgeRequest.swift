import CulvertConfig
import CulvertCore
import CulvertSystem
import Logging
import NIOCore
import NIOHTTP1

/// One request to the edge: its head, and the answers to it. A ``RequestArrival`` asks the gate about it, and a
/// ``RequestRouter`` gives it to the type that serves it. Bound to the loop of its connection.
final class EdgeRequest {
    let exchange: Exchange
    let front: EdgeFront
    /// The head as the client sent it, except that the host of a target in absolute form is in `Host`.
    private(set) var head: HTTPRequestHead
    /// The first `Host` line and every `Origin` line, as the gate sees them. The request's arrival sets them.
    var host: String?
    var origins: [String] = []
    /// It asks for a session, rather than being meant for an open one or for a file. The request's arrival sets it.
    var isOpening = true
    /// What is under way for the request. Set by what serves it, and nil once the exchange is over.
    var task: (any RequestTask)?

    /// Most bytes of a body where none is expected.
    static let smallBody = 4 * 1024

    init(_ exchange: Exchange, front: EdgeFront) {
        self.exchange = exchange
        self.head = exchange.head
        self.front = front
        exchange.onEnd = { self.ended(isAnswered: $0) }
        exchange.onInputEnd = { self.task?.inputEnded() }
        exchange.onRefusal = { self.noteRefusal($0) }
    }

    var edge: EdgeContext { self.front.edge }
    var state: LoopState { self.front.state }
    var isGone: Bool { self.exchange.isGone }

    /// The task is let go of, because it holds the request.
    private func ended(isAnswered: Bool) {
        let task = self.task.take()
        if !isAnswered { task?.clientLeft() }
    }

    /// The request's target. From here on the head has its host and its origin form.
    func takeTarget() throws(BadTarget) -> RequestTarget { try RequestTarget(takingHostOf: &self.head) }

    // MARK: - answers

    /// - Parameters:
    ///   - isLast: the connection takes no other request.
    ///   - isOfSession: the request waits for a session that is open. The session has its requests here, as long as it
    ///     lasts.
    func respond(_ answer: HTTPAnswer, isLast: Bool = false, isOfSession: Bool = false) {
        self.noteRefusal(answer)
        let isMoving = self.edge.isStopping || (self.edge.isHandedOver && !isOfSession)
        let isCrowded = !self.edge.admissions.mayKeepAlive(self.state.rules.config.limits)
        self.exchange.respond(answer, isLast: isLast || isMoving || isCrowded)
    }

    /// Answers a request that the gate has let in.
    func answer(_ answer: HTTPAnswer, _ admission: Admission) {
        self.respond(answer.allowing(origin: admission.allowedOrigin))
    }

    /// - Parameter isOfSession: as of ``respond(_:isLast:isOfSession:)``.
    func reject(_ rejection: Rejection, isOfSession: Bool = false) {
        // The line of a JWT whose signature is not good comes from what verifies it.
        if let fault = rejection.jwtFault {
            self.edge.logger.debug("jwt refused", metadata: ["reason": "\(fault)"])
        }
        self.respond(
            .rejection(rejection, closeCode: self.state.rules.config.authentication.closeCode),
            isOfSession: isOfSession)
    }
}

/// The work for a request that the gate has let in, which takes longer than a turn of the loop. The request owns it and
/// tells it of its client, on the request's loop.
protocol RequestTask: AnyObject {
    /// No answer reaches the client any more: it is gone, or the connection itself has refused its request.
    func clientLeft()
    /// The client has ended its direction of the connection behind this request. Most such clients are gone; others
    /// read the answer and then go. The edge cannot tell them apart, so it begins no WebSocket or session for them and
    /// parks no poll. It serves their other requests, and answers all of them.
    ///
    /// The end may come at any time. What is begun in front of it is told of it, perhaps more than once, and what would
    /// be begun behind it asks ``Exchange/isInputClosed``.
    func inputEnded()
}

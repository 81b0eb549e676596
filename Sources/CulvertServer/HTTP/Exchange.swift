import CulvertCore
import NIOCore
import NIOHTTP1

/// A request and its answer. Its owner gets it when the head is whole, and before a byte of the body is looked at.
///
/// Bound to the connection's event loop. It ends once: when its answer is written out, or when the client is gone.
final class Exchange {
    let head: HTTPRequestHead
    private var connection: ClientConnection?
    /// Called once, at the end; true when there was an answer and it was written out.
    var onEnd: ((_ isAnswered: Bool) -> Void)?
    /// Called when the client ends its direction of the connection before there is an answer, and again when its body is
    /// taken behind that end. It may still read.
    var onInputEnd: (() -> Void)?
    /// Called when the connection itself refuses the request that the owner has taken: for its body, in most cases.
    var onRefusal: ((HTTPAnswer) -> Void)?

    init(head: HTTPRequestHead, connection: ClientConnection) {
        self.head = head
        self.connection = connection
    }

    /// No answer reaches the client any more, or it has one.
    var isGone: Bool { self.connection == nil }

    var channel: (any Channel)? { self.connection?.channel }

    /// The client has ended its direction of the connection. Work that takes time asks this before it begins.
    var isInputClosed: Bool { self.connection?.isInputClosed ?? false }

    /// The head announces a body of at least a byte.
    var hasBody: Bool { self.connection?.hasBody ?? false }

    /// The body has come already, or there is none: taking it keeps nothing longer than it is there anyway.
    var isBodyHere: Bool { self.connection?.isBodyHere ?? true }

    /// Reads the body. A body of more than `limit` bytes, a body that comes too slowly, and a body for which there is
    /// no memory, are refused here; `then` is not called for them.
    ///
    /// - Parameter claim: tells whether the connection may be closed meanwhile for clients that wait to be accepted.
    func collectBody(limit: Int, claim: BodyClaim = .unbounded, _ then: @escaping (ByteBuffer) -> Void) {
        self.connection?.collect(limit: limit, claim: claim, then)
    }

    /// - Parameter isLast: the connection takes no other request.
    func respond(_ answer: HTTPAnswer, isLast: Bool = false) {
        self.connection?.respond(answer, isLast: isLast, to: self)
    }

    /// Ends the connection, in the middle of an answer if need be.
    func abort() { self.connection?.cut() }

    /// Answers 101, and puts `handler` in the place of all that speaks HTTP.
    ///
    /// - Returns: done when it is there, and has what came behind the request; nil when the client is gone.
    func switchProtocols(to handler: any ChannelHandler, _ headers: HTTPHeaders) throws -> EventLoopFuture<Void>? {
        try self.connection?.switchProtocols(to: handler, headers)
    }

    /// The connection calls this once the answer is written, or the connection is gone.
    func end(isAnswered: Bool) {
        self.connection = nil
        let onEnd = self.onEnd
        self.onEnd = nil
        self.onInputEnd = nil
        self.onRefusal = nil
        onEnd?(isAnswered)
    }
}

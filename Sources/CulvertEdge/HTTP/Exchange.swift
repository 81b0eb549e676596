import CulvertCore
package import NIOCore
package import NIOHTTP1

/// A request and its answer. Its owner gets it when the head is whole, and before a byte of the body is looked at.
///
/// Bound to the connection's event loop. It ends once: when its answer is written out, or when the client is gone.
package final class Exchange {
    package let head: HTTPRequestHead
    private var connection: ClientConnection?
    /// Bytes of memory that the owner holds for the request. See ``hold(_:)``.
    private(set) var heldBytes = 0
    /// Waits for the body; nil when nobody does.
    private var onBody: ((ByteBuffer) -> Void)?
    /// Called once, at the end; true when there was an answer and it was written out.
    package var onEnd: ((_ isAnswered: Bool) -> Void)?
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
    package var isGone: Bool { self.connection == nil }

    package var channel: (any Channel)? { self.connection?.channel }

    /// The client has ended its direction of the connection. Work that takes time asks this before it begins.
    var isInputClosed: Bool { self.connection?.course.isInputClosed ?? false }

    /// The head announces a body of at least a byte.
    var hasBody: Bool { self.connection?.request.hasBody ?? false }

    /// The body has come already, or there is none: taking it keeps nothing longer than it is there anyway.
    var isBodyHere: Bool {
        guard let connection = self.connection else { return true }
        return connection.request.left.map { $0 <= connection.feeder.heldBytes } ?? false
    }

    /// Reads the body. A body of more than `limit` bytes, a body that comes too slowly, and a body for which there is
    /// no memory, are refused here; `then` is not called for them.
    ///
    /// - Parameter claim: tells whether the connection may be closed meanwhile for clients that wait to be accepted.
    package func collectBody(limit: Int, claim: BodyClaim = .unbounded, _ then: @escaping (ByteBuffer) -> Void) {
        guard let connection = self.connection, connection.course.phase == .deciding else { return }
        guard !connection.request.isWhole, connection.request.hasBody else { return then(ByteBuffer()) }
        if let refusal = connection.request.refusal(limit: limit) {
            connection.refuse(refusal)
            return
        }
        self.onBody = then
        connection.takeBody(limit: limit, claim: claim)
    }

    /// The connection calls this with the whole body.
    func give(_ body: ByteBuffer) {
        let onBody = self.onBody
        self.onBody = nil
        onBody?(body)
    }

    /// The connection calls this when the body does not reach the owner any more.
    func dropBody() { self.onBody = nil }

    /// Counts bytes of memory that the owner holds for the request, such as a body that waits for its turn, as held by
    /// the connection. They are counted until the answer is written. The connection is cut for them where memory is short.
    ///
    /// - Returns: what the process holds, if it is more now.
    func hold(_ bytes: Int) -> Int? {
        self.heldBytes = bytes
        return self.connection?.holdings.count()
    }

    /// - Parameter isLast: the connection takes no other request.
    package func respond(_ answer: HTTPAnswer, isLast: Bool = false) {
        self.connection?.respond(answer, isLast: isLast, to: self)
    }

    /// Ends the connection, even in the middle of an answer.
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
        self.onBody = nil
        let onEnd = self.onEnd
        self.onEnd = nil
        self.onInputEnd = nil
        self.onRefusal = nil
        onEnd?(isAnswered)
    }
}

import NIOCore
import NIOHTTP1

/// Writes the parts of a connection's answers to the encoder. ``ClientConnection`` and what belongs to it make one where
/// they write, on the event loop.
struct AnswerParts {
    /// Of the connection's handler.
    let context: ChannelHandlerContext

    /// Writes the head of `answer`, with what every answer has, and every answer of `owner`.
    ///
    /// - Parameters:
    ///   - isLast: the connection takes no other request.
    ///   - date: the value of `Date`.
    func writeHead(of answer: HTTPAnswer, for owner: any ConnectionOwner, isLast: Bool, date: String) {
        var headers = answer.headers
        owner.complete(&headers)
        headers.complete(answer, isLast: isLast, date: date)
        self.writeHead(answer.status, headers)
    }

    func writeHead(_ status: HTTPResponseStatus, _ headers: HTTPHeaders) {
        let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
        OpaqueHead.prepare(for: headers, in: self.context)
        self.context.write(NIOAny(HTTPServerResponsePart.head(head)), promise: nil)
    }

    func writeBody(_ bytes: ByteBuffer) {
        self.context.write(NIOAny(HTTPServerResponsePart.body(.byteBuffer(bytes))), promise: nil)
    }

    func writeAndFlush(_ part: HTTPServerResponsePart, promise: EventLoopPromise<Void>? = nil) {
        self.context.writeAndFlush(NIOAny(part), promise: promise)
    }

    /// Asks the client for the body that it has announced (RFC 9110 15.2.1).
    func writeContinue() { self.writeAndFlush(.head(HTTPResponseHead(version: .http1_1, status: .continue))) }
}

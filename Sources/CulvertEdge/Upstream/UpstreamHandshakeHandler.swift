import NIOCore
import NIOHTTP1

/// An upstream's answer to the opening handshake.
enum UpstreamAnswer: Sendable {
    /// 101; what comes behind it is held until a leg is put on the connection.
    case switched(HTTPHeaders)
    /// Any other final response, with as much of its body as is passed on.
    case refused(HTTPResponseHead, ByteBuffer)
}

/// Sends one upgrade request and completes a promise with the answer.
final class UpstreamHandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart

    /// Most bytes of a refusal's body that are read, and reach the client.
    static let bodyLimit = 64 * 1024

    struct ConnectionLost: Error, CustomStringConvertible {
        var description: String { "the connection ended without an answer" }
    }

    private let request: HTTPRequestHead
    private var answer: EventLoopPromise<UpstreamAnswer>?
    private var head: HTTPResponseHead?
    private var body = ByteBuffer()
    /// Counts the bytes of the answer; nil in health checks.
    private let meter: AnswerMeter?

    /// - Parameter meter: counts the answer, in ``UpstreamHeadSplitter``, until this handler is done with it.
    init(request: HTTPRequestHead, answer: EventLoopPromise<UpstreamAnswer>, meter: AnswerMeter? = nil) {
        self.request = request
        self.answer = answer
        self.meter = meter
    }

    /// With TLS this comes at the end of the handshake, or the bytes wait in TLS.
    func channelActive(context: ChannelHandlerContext) {
        context.write(self.wrapOutboundOut(.head(self.request)), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // The handler keeps nothing behind the answer. TLS may still bring bytes until it has closed the connection.
        guard self.answer != nil else { return }
        switch self.unwrapInboundIn(data) {
        case .head(var head):
            head.headers.trimBlanks()
            self.head = head
        case .body(var part):
            let room = Self.bodyLimit - self.body.readableBytes
            if let slice = part.readSlice(length: min(room, part.readableBytes)) {
                self.body.writeImmutableBuffer(slice)
            }
            // The rest of a longer body is not waited for: it may have no end.
            if self.body.readableBytes == Self.bodyLimit {
                context.channel.readNoMore()
                self.end()
            }
        case .end: self.end()
        }
    }

    private func end() {
        guard let head = self.head else { return }
        let isSwitch = head.status == .switchingProtocols
        self.complete(.success(isSwitch ? .switched(head.headers) : .refused(head, self.body)))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.complete(.failure(error))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.complete(.failure(ConnectionLost()))
        context.fireChannelInactive()
    }

    /// Also of a connection that was closed before it was one.
    func handlerRemoved(context: ChannelHandlerContext) { self.complete(.failure(ConnectionLost())) }

    private func complete(_ result: Result<UpstreamAnswer, any Error>) {
        guard let answer = self.answer else { return }
        self.answer = nil
        self.head = nil
        self.body = ByteBuffer()
        self.meter?.end()
        answer.completeWith(result)
    }
}

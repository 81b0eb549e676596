import CulvertCore
import NIOCore
import NIOHTTP1

/// Collects a request of the admin API, has it answered, and writes the answer.
final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let api: AdminAPI
    private let requests: RequestCount
    private let bodyLimit: Int
    private let isLocalSocket: Bool
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()
    private var isOverLimit = false
    private var isBusy = false
    private var context: ChannelHandlerContext?

    init(api: AdminAPI, requests: RequestCount, bodyLimit: Int, isLocalSocket: Bool) {
        self.api = api
        self.requests = requests
        self.bodyLimit = bodyLimit
        self.isLocalSocket = isLocalSocket
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch self.unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            self.body.clear()
            self.isOverLimit = false
            if head.headers.contains(name: "expect") {
                context.writeAndFlush(
                    self.wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
            }
        case .body(let part):
            if self.body.readableBytes + part.readableBytes > self.bodyLimit {
                self.isOverLimit = true
                self.body = ByteBuffer()
            } else if !self.isOverLimit {
                self.body.writeImmutableBuffer(part)
            }
        case .end:
            guard let head = self.head else { return }
            self.isBusy = true
            if self.requests.isRetired {
                // Nothing is done on a connection of before that the next process would not know of.
                var last = head
                last.headers.replaceOrAdd(name: "Connection", value: "close")
                self.write(
                    .problem(503, "moved", "Ask again on a new connection.", headers: ["Retry-After": "0"]), to: last)
            } else if self.isOverLimit {
                self.write(.problem(413, "body_too_large", "The body has at most \(self.bodyLimit) bytes."), to: head)
            } else {
                self.answer(head)
            }
        }
    }

    private func answer(_ head: HTTPRequestHead) {
        guard let channel = self.context?.channel else { return }
        let address = self.isLocalSocket ? "unix" : channel.remoteAddress?.ipAddress ?? "unknown"
        let request = AdminRequest(head: head, body: self.body, address: address)
        let api = self.api
        let back = NIOLoopBound(self, eventLoop: channel.eventLoop)
        let requests = self.requests
        requests.begin()
        Task {
            let answer = await api.answer(request)
            back.eventLoop.execute {
                let written = back.value.write(answer, to: head) ?? back.eventLoop.makeSucceededVoidFuture()
                written.whenComplete { _ in requests.end() }
            }
        }
    }

    /// - Returns: done when it is written out; nil when the client is gone.
    @discardableResult
    private func write(_ answer: HTTPAnswer, to head: HTTPRequestHead) -> EventLoopFuture<Void>? {
        guard let context = self.context else { return nil }
        self.isBusy = false
        var headers = answer.headers
        if answer.status.mayHaveResponseBody {
            headers.replaceOrAdd(name: "Content-Length", value: "\(answer.body.readableBytes)")
        }
        headers.add(name: "Cache-Control", value: "no-store")
        headers.add(name: "X-Content-Type-Options", value: "nosniff")
        if !head.isKeepAlive { headers.replaceOrAdd(name: "Connection", value: "close") }
        let response = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
        context.write(self.wrapOutboundOut(.head(response)), promise: nil)
        if answer.body.readableBytes > 0, head.method != .HEAD {
            context.write(self.wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: nil)
        }
        let channel = context.channel
        let written = context.writeAndFlush(self.wrapOutboundOut(.end(nil)))
        written.whenComplete { _ in
            if !head.isKeepAlive { channel.close(promise: nil) }
        }
        return written
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is HTTPParserError, !self.isBusy else {
            context.close(promise: nil)
            return
        }
        var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/")
        head.headers.add(name: "Connection", value: "close")
        let isTooLarge = error as? HTTPParserError == .headerOverflow
        self.write(
            isTooLarge
                ? .problem(431, "headers_too_large", "The request's header section is too large.")
                : .problem(400, "bad_request", "This is not HTTP."), to: head)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // An answer that takes longer than the idle time is still given: who waits for it is not idle.
        if event is IdleStateHandler.IdleStateEvent, !self.isBusy { context.close(promise: nil) }
        if case ChannelEvent.inputClosed? = event as? ChannelEvent, !self.isBusy { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}

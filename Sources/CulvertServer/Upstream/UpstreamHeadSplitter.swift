import CulvertCore
import NIOCore
import NIOSSL

/// Stands before the HTTP decoder of a connection to a server, and lets it see the final head of the answer alone.
///
/// What comes behind a 101 belongs to the WebSocket leg. The decoder would keep it until its own removal a tick later,
/// and drop it when the connection ends before that: the last words of an upstream that hangs up at once would be lost.
/// Reads behind a 101 wait until the leg is there. Bytes behind a close are dropped: TLS decodes on until its own close
/// handshake is over, and an opening that was given up has no leg.
///
/// A server may say Close and end its direction in the packet of its 101, and still read the client's Close. That end
/// waits for the leg as well. Before the 101 it is the end of the connection.
final class UpstreamHeadSplitter: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A refusal goes on without end behind its head, in what carries its body.
    struct RefusalTooLong: Error, CustomStringConvertible {
        var description: String { "the refusal has more than \(UpstreamHeadSplitter.refusalLimit >> 10) KiB" }
    }

    /// More came behind the 101 than a connection brings before its reads stop.
    struct HeldTooMuch: Error, CustomStringConvertible {
        var description: String { "more than \(UpstreamHeadSplitter.heldLimit >> 10) KiB came with the handshake" }
    }

    private enum Mode {
        case heads
        /// A final answer other than 101: HTTP to its end.
        case passing
        /// Behind the 101: held until there is a leg.
        case switched
        case failed
    }

    /// Most bytes behind the head of a refusal: chunk extensions and trailers come without a body, and a body in chunks
    /// of one byte costs far more than its bytes.
    static let refusalLimit = 128 * 1024
    /// Most bytes that are held behind a 101. A few reads are made before reads stop.
    static let heldLimit = 1 << 20
    /// Most bytes that are dropped for the sake of TLS's close handshake; then the connection is cut.
    static let droppedLimit = 64 * 1024

    /// Counts the bytes of the answer; nil in health checks.
    private let meter: AnswerMeter?
    private var mode = Mode.heads
    private var reader = UpstreamHeadReader()
    /// What came behind the 101.
    private var held = ByteBuffer()
    /// Bytes of a refusal's head, and those behind it.
    private var headBytes = 0
    private var passed = 0
    private var dropped = 0
    private var isClosing = false
    /// A read was asked for behind the 101, and waits for the leg.
    private var isReadDue = false
    private var isInactive = false
    /// The head of the request has been written.
    private var isRequestWritten = false
    /// The server has ended its direction behind the 101.
    private var isInputClosed = false
    private var context: ChannelHandlerContext?

    init(meter: AnswerMeter? = nil) { self.meter = meter }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // TLS looks at it before the 101 is seen here that came with a close_notify.
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.held = ByteBuffer()
    }

    /// A leg stands behind this handler now: gives it what was held, and leaves.
    func release() {
        guard let context = self.context else { return }
        if self.held.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(self.held)) }
        if self.isInputClosed { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        if self.isInactive { context.fireChannelInactive() }
        let channel = context.channel
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        if self.isReadDue { channel.read() }
    }

    /// The encoder writes the head of the request at once. What follows is a leg's, and no HTTP.
    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !self.isRequestWritten else {
            context.write(data, promise: promise)
            return
        }
        self.isRequestWritten = true
        let head = OpaqueBytes.restored(self.unwrapOutboundIn(data))
        context.write(self.wrapOutboundOut(head), promise: promise)
    }

    func read(context: ChannelHandlerContext) {
        if self.mode == .switched { self.isReadDue = true } else { context.read() }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        self.isClosing = true
        context.close(mode: mode, promise: promise)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        guard !self.isClosing else {
            self.dropped += bytes.readableBytes
            if self.dropped > Self.droppedLimit { context.channel.cut() }
            return
        }
        switch self.mode {
        case .heads: self.readHead(bytes, context)
        case .passing: self.pass(bytes, context)
        case .switched: self.hold(bytes, context)
        case .failed: break
        }
    }

    private func readHead(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        do throws(UpstreamHeadReader.Fault) {
            switch try self.reader.read(bytes) {
            case nil: break
            case .switching(var head):
                HeadBlanks.soften(&head)
                self.mode = .switched
                self.held = self.reader.takeRest()
                context.fireChannelRead(self.wrapInboundOut(OpaqueBytes.disguised(head)))
            case .other(var sent):
                HeadBlanks.soften(&sent)
                self.mode = .passing
                // The longer form counts.
                let head = OpaqueBytes.disguised(sent)
                self.headBytes = head.readableBytes
                let rest = self.reader.takeRest()
                context.fireChannelRead(self.wrapInboundOut(head))
                if rest.readableBytes > 0 { self.pass(rest, context) }
            }
        } catch {
            self.fail(error, context)
        }
        self.account(context)
    }

    /// Counts what the opening keeps of its answer, here, in the decoder and behind it.
    private func account(_ context: ChannelHandlerContext) {
        let bytes: Int
        switch self.mode {
        case .heads: bytes = self.reader.heldBytes
        case .passing: bytes = self.headBytes + self.passed
        case .switched, .failed: return
        }
        do throws(AnswerMeter.Full) {
            try self.meter?.keep(bytes)
        } catch {
            self.fail(error, context)
        }
    }

    private func pass(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        self.passed += bytes.readableBytes
        guard self.passed <= Self.refusalLimit else {
            self.fail(RefusalTooLong(), context)
            return
        }
        context.fireChannelRead(self.wrapInboundOut(bytes))
        self.account(context)
    }

    private func hold(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        self.held.writeImmutableBuffer(bytes)
        guard self.held.readableBytes > Self.heldLimit else { return }
        self.held = ByteBuffer()
        self.fail(HeldTooMuch(), context)
    }

    /// Nothing more is read of this answer.
    private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
        self.mode = .failed
        self.reader = UpstreamHeadReader()
        context.channel.readNoMore()
        context.fireErrorCaught(error)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed? = event as? ChannelEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        if self.mode == .switched, !self.isClosing {
            self.isInputClosed = true
            return
        }
        context.close(promise: nil)
        // TLS waits for a close_notify, which does not come any more.
        context.channel.cut()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The server has ended its direction without close_notify; the event inputClosed follows, or channelInactive.
        if self.mode == .switched, case NIOSSLError.uncleanShutdown = error { return }
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        if self.mode == .switched {
            self.isInactive = true
        } else {
            context.fireChannelInactive()
        }
    }
}

extension Channel {
    /// Before a close that a peer is not to delay: TLS reads on at full speed until the peer's close_notify, or for
    /// ``TLSContexts/shutdownTimeout``.
    func readNoMore() { try? self.syncOptions?.setOption(.autoRead, value: false) }
}

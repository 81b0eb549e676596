import CulvertCore
import NIOCore
import NIOSSL

/// Stands in front of the HTTP decoder of a connection to a server, and shows it only the final head of the answer.
///
/// The bytes behind a 101 belong to the WebSocket leg. The decoder would keep them until its own removal a tick later,
/// and drop them if the connection ends before that: the last messages of an upstream that closes at once would be
/// lost.
/// Reads behind a 101 wait until the leg is there. Bytes behind a close are dropped: TLS decodes on until its own close
/// handshake is over, and an opening that was given up has no leg.
///
/// A server may say Close and end its direction in the packet of its 101, and still read the client's Close. That end
/// waits for the leg as well. Before the 101 it is the end of the connection.
///
/// In one turn of the loop the decoder gets as many lines as there is room for (``LoopSlices/room``): a field or a
/// chunk costs some 0.2 µs, and may have six bytes. The rest has its turn later, and nothing is read until then.
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
        /// The 101 has come. Further bytes are held until there is a leg.
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
    /// The slices of the connection's loop, and the client for whom the connection was opened. Nil in health checks, where
    /// the decoder gets everything at once.
    private let turns: (slices: LoopSlices, client: AddressKey)?
    private var mode = Mode.heads
    private var reader = UpstreamHeadReader()
    private var held = HeldForLeg()
    /// The bytes that the decoder has not got yet.
    private var undecoded = ByteBuffer()
    /// It has its turn later.
    private var isQueued = false
    /// Bytes of a refusal's head, and those behind it.
    private var headBytes = 0
    private var passed = 0
    private var dropped = 0
    private var isClosing = false
    /// The head of the request has been written.
    private var isRequestWritten = false
    private var context: ChannelHandlerContext?

    init(meter: AnswerMeter? = nil, turns: (LoopSlices, AddressKey)? = nil) {
        self.meter = meter
        self.turns = turns
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // TLS looks at it before the 101 is seen here that came with a close_notify. The leg that follows needs it, too: a
        // server that ends its direction behind its Close still reads ours (RFC 6455 7.1.1).
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.held.dropBytes()
        self.undecoded = ByteBuffer()
    }

    /// A leg stands behind this handler now: gives it what was held, and leaves.
    func release() {
        guard let context = self.context else { return }
        // One after the other: the first may bring the next about.
        if let bytes = self.held.takeBytes() { context.fireChannelRead(self.wrapInboundOut(bytes)) }
        if self.held.isInputClosed { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        if self.held.isInactive { context.fireChannelInactive() }
        let channel = context.channel
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        if self.held.isReadDue { channel.read() }
    }

    /// The encoder writes the head of the request at once. Later writes are those of a leg, and not HTTP.
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
        if self.mode == .switched || self.undecoded.readableBytes > 0 {
            self.held.isReadDue = true
        } else {
            context.read()
        }
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
                self.held.begin(self.reader.takeRest())
                self.decode(OpaqueBytes.disguised(head), context)
            case .other(var sent):
                HeadBlanks.soften(&sent)
                self.mode = .passing
                // The longer form counts.
                let head = OpaqueBytes.disguised(sent)
                self.headBytes = head.readableBytes
                let rest = self.reader.takeRest()
                self.decode(head, context)
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
        self.decode(bytes, context)
        self.account(context)
    }

    // MARK: - to the decoder

    /// Gives `bytes` to the decoder behind what it is still to get.
    private func decode(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        if self.undecoded.readableBytes == 0 {
            self.undecoded = bytes
        } else {
            self.undecoded.writeImmutableBuffer(bytes)
        }
        if !self.isQueued { self.decodeMore(context) }
    }

    private func decodeMore(_ context: ChannelHandlerContext) {
        self.decodePart(context)
        guard self.undecoded.readableBytes > 0, let (slices, client) = self.turns else {
            self.caughtUp(context)
            return
        }
        self.isQueued = true
        slices.enqueue(in: .sessions, of: client) {
            self.isQueued = false
            if let context = self.context { self.decodeMore(context) }
        }
    }

    /// Gives the decoder as much as there is room for, and drops what is left once the opening is over.
    private func decodePart(_ context: ChannelHandlerContext) {
        let most = self.turns?.slices.room ?? .max
        var room = most
        let count = self.undecoded.withUnsafeReadableBytes { LineRun.length($0, room: &room) }
        self.turns?.slices.notePassed(most - room)
        if !self.isClosing, self.mode != .failed, let part = self.undecoded.readSlice(length: count), count > 0 {
            context.fireChannelRead(self.wrapInboundOut(part))
        }
        // The decoder may have ended the connection.
        if self.isClosing || self.mode == .failed || self.undecoded.readableBytes == 0 {
            self.undecoded = ByteBuffer()
        }
    }

    private func caughtUp(_ context: ChannelHandlerContext) {
        guard self.mode != .switched, self.context != nil else { return }
        if self.held.takeRead() { context.read() }
        if self.held.isInputClosed { self.endWithInput(context) }
    }

    private func hold(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        if !self.held.hold(bytes, limit: Self.heldLimit) { self.fail(HeldTooMuch(), context) }
    }

    /// Ends the reading of this answer with an error.
    private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
        self.mode = .failed
        self.undecoded = ByteBuffer()
        self.reader = UpstreamHeadReader()
        context.channel.readNoMore()
        context.fireErrorCaught(error)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed? = event as? ChannelEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        if self.mode == .switched || self.undecoded.readableBytes > 0, !self.isClosing {
            self.held.isInputClosed = true
            return
        }
        self.endWithInput(context)
    }

    private func endWithInput(_ context: ChannelHandlerContext) {
        context.close(promise: nil)
        // TLS waits for a close_notify, which does not come any more.
        context.channel.cut()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The server has ended its direction without close_notify; the event inputClosed follows, or channelInactive.
        let isEndDue = self.mode == .switched || self.undecoded.readableBytes > 0
        if isEndDue, case NIOSSLError.uncleanShutdown = error { return }
        context.fireErrorCaught(error)
    }

    func channelInactive(context: ChannelHandlerContext) {
        // There is no later turn, so the rest is decoded now.
        if self.undecoded.readableBytes > 0 { self.decodePart(context) }
        if self.mode == .switched {
            self.held.isInactive = true
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

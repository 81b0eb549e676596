import CulvertCore
import NIOCore
import NIOHTTP1
import NIOSSL

/// A client's connection as long as it speaks HTTP/1.1: hands its owner an exchange at a time, and sees to the
/// deadlines, to the connection's end and to what it holds meanwhile. It knows no gate.
///
/// A ``RequestFeeder`` in front of the decoder feeds it; an upgrade replaces it and all of HTTP.
final class ClientConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    let loop: any EventLoop
    let owner: any ConnectionOwner
    /// Bytes of a header section. ``RequestPipeline`` sets it, for the decoder too.
    var headerLimit = 0
    private(set) lazy var feeder = RequestFeeder(connection: self, slices: self.slices)
    private let slices: LoopSlices
    private let timers: LoopTimers
    private let dates: AnswerDates
    private(set) var context: ChannelHandlerContext?
    private(set) var phase = ConnectionPhase.idle
    /// True until the first answer on this connection.
    private(set) var isFresh = true
    /// No request is read behind this one.
    private var isLast = false
    /// The client has ended its direction of the connection.
    private(set) var isInputClosed = false
    private var requests = 0
    /// When the connection began to wait for its client, or had a sign last that the client goes on.
    private(set) var waitsSince = NIODeadline.distantPast

    // The request in hand.
    private var exchange: Exchange?
    private(set) var request = RequestInHand()
    private var onBody: ((ByteBuffer) -> Void)?

    private(set) var answer = AnswerInHand()
    private var discardedBytes = 0
    /// Not private: ClientConnection+Memory.swift counts with it.
    var hold: MemoryHold
    private lazy var deadline = LoopDeadline(loop: self.loop, timers: self.timers) { self.deadlinePassed() }

    /// A request whose rest is longer ends its connection.
    private static let mostDrained = 64 * 1024
    private static let mostLingered = 16 * 1024 * 1024

    init(
        owner: any ConnectionOwner, memory: SessionMemory, slices: LoopSlices, timers: LoopTimers, dates: AnswerDates,
        loop: any EventLoop
    ) {
        self.owner = owner
        self.slices = slices
        self.timers = timers
        self.dates = dates
        self.loop = loop
        self.hold = MemoryHold(memory, isRequest: true)
    }

    var channel: (any Channel)? { self.context?.channel }

    /// Whether the decoder may have more.
    var isHungry: Bool { self.phase.takesBytes && self.request.fault == nil }

    var isLingering: Bool { self.phase == .lingering }
    var isUpgraded: Bool { self.phase == .upgraded }

    // MARK: - handler

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.owner.opened(self)
        self.deadline.set(in: self.owner.bounds.firstByte)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.deadline.cancel()
        if self.phase != .upgraded { self.closed() }
        self.context = nil
        self.owner.closed(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.closed()
        context.fireChannelInactive()
    }

    private func closed() {
        guard self.phase != .closed else { return }
        self.phase = .closed
        self.deadline.clear()
        self.onBody = nil
        self.request.drop()
        self.answer.forget()
        self.feeder.discard()
        self.account()
        self.endExchange(isAnswered: false)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        self.owner.received(event)
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { self.waitsSince = self.loop.now }
        self.answer.writer?.pump()
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The client has ended its direction without close_notify. Whole requests have all their bytes, and are answered;
        // the event inputClosed follows, or channelInactive.
        if case NIOSSLError.uncleanShutdown = error { return }
        let limit = self.headerLimit
        if let fault = HTTPAnswer.undecodable(error, line: self.feeder.line, headerLimit: limit) {
            self.request.refuse(fault)
        } else {
            context.close(promise: nil)
        }
    }

    /// The parts are used once the decoder is done, because its handlers must not change meanwhile. See fed(_:).
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { self.request.take(self.unwrapInboundIn(data)) }

    // MARK: - what the feeder tells

    func bytesArrived() {
        guard self.phase == .idle else { return }
        self.phase = .head
        self.deadline.set(in: self.owner.bounds.head)
    }

    /// The decoder has had `count` bytes more.
    func fed(_ count: Int) {
        self.request.fed(count, isHead: self.phase == .idle || self.phase == .head)
        if self.request.isOverlong(limit: self.headerLimit) { self.request.refuse(.headersTooLarge) }
        if let fault = self.request.fault {
            // The head, if it is whole, says more of the reason than the decoder does.
            let arrived = self.request.takeHead()
            self.refuse(arrived?.refusal ?? fault, head: arrived?.head)
            return
        }
        if let arrived = self.request.takeHead() { self.begin(arrived) }
        switch self.phase {
        case .body:
            if self.request.isTooLarge {
                self.refuse(.tooLarge)
            } else if self.request.isWhole {
                self.finishBody()
            } else {
                self.bodyCame()
            }
        case .draining:
            if self.request.isWhole {
                self.next()
            } else {
                self.discardedBytes += count
                if self.discardedBytes > Self.mostDrained { self.linger() }
            }
        default: break
        }
    }

    /// The client sends no more, and may still read. Its whole requests are answered, and then the connection ends.
    func inputClosed() {
        self.isInputClosed = true
        self.tellInputEnd()
    }

    private func tellInputEnd() {
        if self.isInputClosed, self.phase == .deciding { self.exchange?.onInputEnd?() }
    }

    /// Of what has come, nothing is left to begin with.
    func starved() {
        if self.isInputClosed, self.isHungry { self.close() }
    }

    func discarded(_ count: Int) {
        self.discardedBytes += count
        if self.discardedBytes > Self.mostLingered { self.cut() }
    }

    // MARK: - a request

    private func begin(_ arrived: ArrivedHead) {
        self.requests += 1
        self.phase = .deciding
        self.deadline.clear()
        if self.requests >= self.owner.bounds.requests || !arrived.isKeepAlive { self.isLast = true }
        let exchange = Exchange(head: arrived.head, connection: self)
        self.exchange = exchange
        if let refusal = arrived.refusal {
            self.refuse(refusal, head: arrived.head)
            return
        }
        self.feeder.bodyFollows(self.request.framing)
        self.owner.take(exchange)
        self.tellInputEnd()
    }

    var hasBody: Bool { self.request.hasBody }

    var isBodyHere: Bool {
        if self.request.isWhole || !self.hasBody { return true }
        return self.request.left.map { $0 <= self.feeder.heldBytes } ?? false
    }

    func collect(limit: Int, claim: BodyClaim, _ then: @escaping (ByteBuffer) -> Void) {
        guard self.phase == .deciding else { return }
        if self.request.isWhole || !self.hasBody {
            then(ByteBuffer())
            return
        }
        if let refusal = self.request.refusal(limit: limit) {
            self.refuse(refusal)
            return
        }
        self.phase = .body
        self.request.limit = limit
        self.request.claim = claim
        self.waitsSince = self.loop.now
        self.onBody = then
        self.deadline.set(in: self.owner.bounds.head)
        if let context = self.context, self.request.shouldContinue(waiting: self.feeder.heldBytes) {
            context.writeAndFlush(
                self.wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
        }
        self.feeder.pump()
    }

    /// Content keeps a rate, and may stop for a while: a fixed grace, which no haste makes longer.
    private func bodyCame() {
        let bounds = self.owner.bounds
        let new = self.request.takeNew()
        if new > 0 { self.waitsSince = self.loop.now }
        if let due = self.deadline.due {
            self.deadline.set(at: min(due + bounds.time(for: new), self.loop.now + bounds.head))
        }
        self.account()
    }

    private func finishBody() {
        guard let then = self.onBody else { return }
        self.onBody = nil
        let body = self.request.takeBody()
        self.phase = .deciding
        self.deadline.clear()
        then(body)
        self.tellInputEnd()
    }

    // MARK: - an answer

    func respond(_ answer: HTTPAnswer, isLast: Bool, to exchange: Exchange) {
        guard self.exchange === exchange, self.phase == .deciding || self.phase == .body else { return }
        if isLast || !(self.request.isWhole || self.request.mayDrain(most: Self.mostDrained)) { self.isLast = true }
        self.write(answer)
    }

    /// Answers what cannot be gone on with, and ends the connection.
    ///
    /// - Parameter head: of a request that the owner has not been asked about; nil where there is none.
    func refuse(_ answer: HTTPAnswer, head: HTTPRequestHead? = nil) {
        self.isLast = true
        switch self.phase {
        case .idle, .head, .deciding, .body:
            let exchange = self.exchange
            if let told = exchange?.onRefusal {
                told(answer)
            } else {
                self.owner.refused(answer, head ?? exchange?.head, on: self)
            }
            self.write(answer)
            // The owner has nothing to say any more.
            exchange?.end(isAnswered: false)
        case .draining: self.linger()
        default: break
        }
    }

    private func write(_ answer: HTTPAnswer) {
        guard let context = self.context else { return }
        self.phase = .answering
        self.waitsSince = self.loop.now
        self.isFresh = false
        self.onBody = nil
        self.request.drop()
        var headers = answer.headers
        self.owner.complete(&headers)
        headers.complete(answer, isLast: self.isLast, date: self.dates.current)
        let hasBody =
            answer.length > 0 && answer.status.mayHaveResponseBody && self.exchange?.head.method != .HEAD
        let length = hasBody ? answer.length : 0
        self.answer.begin(answer, length: length)
        let bounds = self.owner.bounds
        self.deadline.set(in: (self.isLast ? bounds.head : bounds.idle) + bounds.time(for: length))
        let head = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
        OpaqueHead.prepare(for: headers, in: context)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        if hasBody, answer.batch != nil || answer.length > AnswerWriter.piece {
            let writer = AnswerWriter(answer, context: context, slices: self.slices) { [weak self] in
                self?.finishAnswer(context)
            }
            self.answer.writer = writer
            writer.pump()
        } else {
            if hasBody { context.write(self.wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: nil) }
            self.finishAnswer(context)
        }
        if self.phase == .answering { self.account() }
    }

    /// Ends an answer whose body is written but not flushed.
    private func finishAnswer(_ context: ChannelHandlerContext) {
        self.answer.writer = nil
        let done = context.eventLoop.makePromise(of: Void.self)
        // A write that fails is that of a connection which is being closed.
        done.futureResult.assumeIsolated().whenSuccess { self.written() }
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: done)
    }

    /// The kernel has the whole answer.
    private func written() {
        guard self.phase == .answering else { return }
        self.answer.forget()
        self.account()
        self.endExchange(isAnswered: true)
        guard !self.isLast else {
            if self.request.isWhole, self.request.fault == nil, self.feeder.heldBytes == 0 {
                self.close()
            } else {
                self.linger()
            }
            return
        }
        self.owner.answered()
        if self.request.isWhole {
            self.next()
        } else {
            self.phase = .draining
            self.discardedBytes = 0
            self.deadline.set(in: self.owner.bounds.head)
        }
        self.feeder.pump()
    }

    private func next() {
        if self.request.mayStopDecoder { self.renewDecoder() } else { self.waitForRequest() }
    }

    /// An offer to go on with another protocol was not taken, so the connection goes on as it was (RFC 9110 7.8). The
    /// decoder does not: behind such a request it passes over everything.
    private func renewDecoder() {
        guard let channel = self.channel else { return }
        self.phase = .renewing
        RequestPipeline.renewDecoder(of: self, on: channel).assumeIsolated().whenComplete { result in
            guard self.phase == .renewing else { return }
            guard case .success = result else {
                self.cut()
                return
            }
            self.waitForRequest()
            self.feeder.pump()
        }
    }

    private func waitForRequest() {
        self.phase = .idle
        self.request = RequestInHand()
        self.feeder.nextRequest()
        self.waitsSince = self.loop.now
        self.deadline.set(in: self.owner.bounds.idle)
        if self.feeder.heldBytes > 0 { self.bytesArrived() }
    }

    private func endExchange(isAnswered: Bool) {
        let exchange = self.exchange
        self.exchange = nil
        exchange?.end(isAnswered: isAnswered)
    }

    // MARK: - the end

    private func linger() {
        guard let context = self.context else { return }
        self.feeder.discard()
        // Nothing comes that is to be discarded.
        if self.isInputClosed {
            self.close()
            return
        }
        self.phase = .lingering
        self.discardedBytes = 0
        self.deadline.set(in: self.owner.bounds.head)
        context.close(mode: .output, promise: nil)
        self.feeder.pump()
    }

    private func close() {
        guard let context = self.context else { return }
        self.phase = .lingering
        if self.isInputClosed {
            self.deadline.set(in: self.owner.bounds.head)
            context.channel.closeBehindInput()
        } else {
            self.deadline.clear()
            context.close(promise: nil)
        }
    }

    /// The server stops: no further request after the one in hand.
    func drain() {
        self.isLast = true
        switch self.phase {
        case .idle, .head, .body, .draining, .renewing: self.close()
        case .answering: self.deadline.set(in: self.owner.bounds.head)
        case .deciding, .lingering, .upgraded, .closed: break
        }
    }

    /// Ends it now, whatever is under way. TLS would wait for an answer to its goodbye.
    func cut() {
        self.feeder.discard()
        self.context?.channel.cut()
    }

    private func deadlinePassed() {
        if self.phase == .body {
            self.refuse(.problem(408, "request_timeout", "The request took too long to arrive."))
        } else {
            if self.phase == .answering { self.owner.note(.unreadAnswer) }
            self.cut()
        }
    }

    // MARK: - upgrade

    /// Answers 101, and puts `handler` in the place of all that speaks HTTP. The decoder leaves a tick later; then the
    /// feeder gives what it holds to the handler, and leaves too.
    func switchProtocols(to handler: any ChannelHandler, _ fields: HTTPHeaders) throws -> EventLoopFuture<Void>? {
        // Nothing would tell the handler that the client has ended its direction.
        guard let context = self.context, self.phase == .deciding, self.request.isWhole, !self.isInputClosed else {
            return nil
        }
        var headers = fields
        headers.addDate(self.dates.current)
        self.phase = .upgraded
        self.deadline.clear()
        let head = HTTPResponseHead(version: .http1_1, status: .switchingProtocols, headers: headers)
        OpaqueHead.prepare(for: headers, in: context)
        context.write(self.wrapOutboundOut(.head(head)), promise: nil)
        context.writeAndFlush(self.wrapOutboundOut(.end(nil)), promise: nil)
        guard context.channel.isActive else {
            // A reset was there before the answer. The feeder has kept the news of it for the WebSocket.
            self.phase = .deciding
            self.closed()
            return nil
        }
        let feeder = self.feeder
        let pipeline = context.pipeline.syncOperations
        try pipeline.addHandler(handler)
        try context.channel.syncOptions?.setOption(.recvAllocator, value: ConnectionReads.allocator)
        self.hold.release()
        self.endExchange(isAnswered: true)
        pipeline.removeHandler(self, promise: nil)
        pipeline.removeHandler(name: RequestPipeline.encoder, promise: nil)
        return pipeline.removeHandler(name: RequestPipeline.decoder).assumeIsolated().map { feeder.release() }
            .nonisolated()
    }
}

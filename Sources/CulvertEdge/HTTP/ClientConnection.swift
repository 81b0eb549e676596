import CulvertCore
import NIOCore
import NIOHTTP1
import NIOSSL

/// A client's connection as long as it speaks HTTP/1.1: hands its owner an exchange at a time, and sees to the
/// connection's end. It knows no gate.
///
/// A ``RequestFeeder`` in front of the decoder feeds it; an upgrade replaces it and all of HTTP. It asks its
/// ``ConnectionCourse`` what comes next, tells its ``ConnectionClock`` what it waits for, and counts its
/// ``ConnectionMemory``. All of it is on the connection's event loop.
final class ClientConnection: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    let owner: any ConnectionOwner
    /// Bytes of a header section. ``RequestPipeline`` sets it, for the decoder too.
    var headerLimit = 0
    private(set) lazy var feeder = RequestFeeder(connection: self, slices: self.slices)
    private let slices: LoopSlices
    private let dates: AnswerDates
    private(set) var context: ChannelHandlerContext?
    private(set) var course = ConnectionCourse()
    private(set) var clock: ConnectionClock

    // The request in hand.
    private(set) var exchange: Exchange?
    private(set) var request = RequestInHand()

    private(set) var answer = AnswerInHand()
    /// ``ConnectionHoldings`` counts with it.
    var hold: MemoryHold

    init(
        owner: any ConnectionOwner, memory: SessionMemory, slices: LoopSlices, timers: LoopTimers, dates: AnswerDates,
        loop: any EventLoop
    ) {
        self.owner = owner
        self.slices = slices
        self.dates = dates
        self.clock = ConnectionClock(loop: loop, timers: timers)
        self.hold = MemoryHold(memory, isRequest: true)
    }

    var channel: (any Channel)? { self.context?.channel }
    var holdings: ConnectionHoldings { ConnectionHoldings(connection: self) }

    /// Whether the decoder may have more.
    var isHungry: Bool { self.course.phase.takesBytes && self.request.fault == nil }

    // MARK: - handler

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.owner.opened(self)
        self.clock.start { self.deadlinePassed() }
        self.clock.wait(for: .firstByte, within: self.owner.bounds)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.clock.cancel()
        if self.course.phase != .upgraded { self.closed() }
        self.context = nil
        self.owner.closed(self)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.closed()
        context.fireChannelInactive()
    }

    private func closed() {
        guard self.course.closed() else { return }
        self.clock.stop()
        self.exchange?.dropBody()
        self.request.content.drop()
        self.answer.forget()
        self.feeder.discard()
        self.holdings.account()
        self.endExchange(isAnswered: false)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        self.owner.received(event)
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { self.clock.goesOn() }
        self.answer.writer?.pump()
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The client has ended its direction without close_notify. Whole requests have all their bytes, and are answered;
        // the event inputClosed follows, or channelInactive.
        if case NIOSSLError.uncleanShutdown = error { return }
        if let fault = HTTPAnswer.undecodable(error, line: self.feeder.line, headerLimit: self.headerLimit) {
            self.request.refuse(fault)
        } else {
            context.close(promise: nil)
        }
    }

    /// The parts are used once the decoder is done, because its handlers must not change meanwhile. See fed(_:).
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { self.request.take(self.unwrapInboundIn(data)) }

    // MARK: - what the feeder tells

    func bytesArrived() {
        if self.course.bytesCame() { self.clock.wait(for: .head, within: self.owner.bounds) }
    }

    /// The decoder has had `count` bytes more.
    func fed(_ count: Int) {
        self.request.fed(count, isHead: self.course.isInHead, headerLimit: self.headerLimit)
        if let refused = self.request.takeFault() {
            self.refuse(refused.answer, head: refused.head)
            return
        }
        if let arrived = self.request.takeHead() { self.begin(arrived) }
        switch self.course.phase {
        case .body:
            if self.request.content.isTooLarge {
                self.refuse(.tooLarge)
            } else if self.request.isWhole {
                self.finishBody()
            } else {
                self.bodyCame()
            }
        case .draining:
            if self.request.isWhole {
                self.next()
            } else if self.course.discard(count) {
                self.linger()
            }
        default: break
        }
    }

    /// The client sends no more, and may still read. Its whole requests are answered, and then the connection ends.
    func inputClosed() {
        self.course.inputClosed()
        self.tellInputEnd()
    }

    private func tellInputEnd() {
        if self.course.isInputClosed, self.course.phase == .deciding { self.exchange?.onInputEnd?() }
    }

    /// The bytes that have come hold no further request.
    func starved() {
        if self.course.isInputClosed, self.isHungry { self.close() }
    }

    /// The connection lingers, and the feeder has dropped `count` bytes.
    func discarded(_ count: Int) {
        if self.course.discard(count) { self.cut() }
    }

    // MARK: - a request

    private func begin(_ arrived: ArrivedHead) {
        self.course.headCame(isKeepAlive: arrived.isKeepAlive, most: self.owner.bounds.requests)
        self.clock.stop()
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

    /// The exchange takes the body.
    func takeBody(limit: Int, claim: BodyClaim) {
        self.course.takeBody()
        self.request.content.keep(limit: limit, claim: claim)
        self.clock.wait(for: .body, within: self.owner.bounds)
        if let context = self.context, self.request.shouldContinue(waiting: self.feeder.heldBytes) {
            AnswerParts(context: context).writeContinue()
        }
        self.feeder.pump()
    }

    private func bodyCame() {
        self.clock.contentCame(self.request.content.takeNew(), within: self.owner.bounds)
        self.holdings.account()
    }

    private func finishBody() {
        let body = self.request.content.takeKept()
        self.course.bodyCame()
        self.clock.stop()
        self.exchange?.give(body)
        self.tellInputEnd()
    }

    // MARK: - an answer

    func respond(_ answer: HTTPAnswer, isLast: Bool, to exchange: Exchange) {
        guard self.exchange === exchange, self.course.mayAnswer else { return }
        if isLast || !self.request.mayBeFollowed { self.course.takeNoMore() }
        self.write(answer)
    }

    /// Answers what cannot be gone on with, and ends the connection.
    ///
    /// - Parameter head: of a request that the owner has not been asked about; nil where there is none.
    func refuse(_ answer: HTTPAnswer, head: HTTPRequestHead? = nil) {
        switch self.course.refuse() {
        case .answer:
            let exchange = self.exchange
            if let told = exchange?.onRefusal {
                told(answer)
            } else {
                self.owner.refused(answer, head ?? exchange?.head, on: self)
            }
            self.write(answer)
            // The owner has nothing to say any more.
            exchange?.end(isAnswered: false)
        case .linger: self.linger()
        case .nothing: break
        }
    }

    private func write(_ answer: HTTPAnswer) {
        guard let context = self.context else { return }
        self.course.answer()
        self.exchange?.dropBody()
        self.request.content.drop()
        let isLast = self.course.isLast
        let length = answer.writtenLength(to: self.exchange?.head.method)
        self.answer.begin(answer, length: length)
        self.clock.wait(for: .answer(length: length, isLast: isLast), within: self.owner.bounds)
        let parts = AnswerParts(context: context)
        parts.writeHead(of: answer, for: self.owner, isLast: isLast, date: self.dates.current)
        if length > 0, answer.isInPieces {
            let writer = AnswerWriter(answer, context: context, slices: self.slices, owner: self.owner) { [weak self] in
                self?.finishAnswer(parts)
            }
            self.answer.writer = writer
            writer.pump()
        } else {
            if length > 0 { parts.writeBody(answer.body) }
            self.finishAnswer(parts)
        }
        if self.course.phase == .answering { self.holdings.account() }
    }

    /// Ends an answer whose body is written but not flushed.
    private func finishAnswer(_ parts: AnswerParts) {
        self.answer.writer = nil
        let done = parts.context.eventLoop.makePromise(of: Void.self)
        // A write that fails is that of a connection which is being closed.
        done.futureResult.assumeIsolated().whenSuccess { self.written() }
        parts.writeAndFlush(.end(nil), promise: done)
    }

    /// The kernel has the whole answer.
    private func written() {
        guard self.course.phase == .answering else { return }
        self.answer.forget()
        self.holdings.account()
        self.endExchange(isAnswered: true)
        let isClean = self.request.fault == nil && self.feeder.heldBytes == 0
        switch self.course.afterAnswer(isWhole: self.request.isWhole, isClean: isClean) {
        case .close: self.close()
        case .linger: self.linger()
        case .next:
            self.owner.answered()
            self.next()
            self.feeder.pump()
        case .discardRest:
            self.owner.answered()
            self.course.discardRest()
            self.clock.wait(for: .rest, within: self.owner.bounds)
            self.feeder.pump()
        }
    }

    private func next() {
        if self.request.mayStopDecoder { self.renewDecoder() } else { self.waitForRequest() }
    }

    /// An offer to go on with another protocol was not taken, so the connection goes on as it was (RFC 9110 7.8). The
    /// decoder does not: behind such a request it passes over everything.
    private func renewDecoder() {
        guard let channel = self.channel else { return }
        self.course.renewDecoder()
        RequestPipeline.renewDecoder(of: self, on: channel).assumeIsolated().whenComplete { result in
            guard self.course.phase == .renewing else { return }
            guard case .success = result else {
                self.cut()
                return
            }
            self.waitForRequest()
            self.feeder.pump()
        }
    }

    private func waitForRequest() {
        self.course.waitForRequest()
        self.request = RequestInHand()
        self.feeder.nextRequest()
        self.clock.wait(for: .request, within: self.owner.bounds)
        if self.feeder.heldBytes > 0 { self.bytesArrived() }
    }

    private func endExchange(isAnswered: Bool) {
        self.exchange.take()?.end(isAnswered: isAnswered)
    }

    // MARK: - the end

    private func linger() {
        guard let context = self.context else { return }
        self.feeder.discard()
        // No more bytes come, so none have to be discarded.
        guard !self.course.isInputClosed else { return self.close() }
        self.course.linger()
        self.clock.wait(for: .end, within: self.owner.bounds)
        context.close(mode: .output, promise: nil)
        self.feeder.pump()
    }

    private func close() {
        guard let context = self.context else { return }
        self.course.close()
        if self.course.isInputClosed {
            self.clock.wait(for: .end, within: self.owner.bounds)
            context.channel.closeBehindInput()
        } else {
            self.clock.stop()
            context.close(promise: nil)
        }
    }

    /// The server stops: no further request after the one in hand.
    func drain() {
        switch self.course.stop() {
        case .close: self.close()
        case .hurry: self.clock.wait(for: .end, within: self.owner.bounds)
        case .nothing: break
        }
    }

    /// Ends it now, whatever is under way. TLS would wait for an answer to its goodbye.
    func cut() {
        self.feeder.discard()
        self.context?.channel.cut()
    }

    private func deadlinePassed() {
        self.clock.stop()
        if self.course.phase == .body {
            self.refuse(.tooSlow)
        } else {
            if self.course.phase == .answering { self.owner.note(.unreadAnswer) }
            self.cut()
        }
    }

    // MARK: - upgrade

    /// Answers 101, and puts `handler` in the place of all that speaks HTTP. See ``Exchange/switchProtocols(to:_:)``.
    func switchProtocols(to handler: any ChannelHandler, _ fields: HTTPHeaders) throws -> EventLoopFuture<Void>? {
        guard let context = self.context, self.course.mayUpgrade, self.request.isWhole else { return nil }
        self.course.upgrade()
        self.clock.stop()
        let upgrade = ProtocolSwitch(context: context, feeder: self.feeder)
        guard upgrade.answer(fields, date: self.dates.current) else {
            self.course.takeUpgradeBack()
            self.closed()
            return nil
        }
        try upgrade.enter(handler)
        self.hold.release()
        self.endExchange(isAnswered: true)
        return upgrade.remove(self)
    }
}

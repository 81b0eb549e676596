import CulvertConfig
import CulvertCore
import NIOCore
import NIOSSL

/// A client's WebSocket that is a lane of a resumable session: takes envelopes out of messages and puts them in.
///
/// Writes to the channel, and has the lane's timers. Tells its ``LaneLife`` what happens, and does the actions that
/// ``LaneLife`` returns, in their order.
///
/// It lives on the loop that accepted it. That is the session's own where the lane opened it; a lane that joins comes
/// to whatever loop it comes to, and what it brings makes a hop: a read's worth at a time, and no more until that was
/// taken.
final class SocketLane: QueuedOutput, ChannelDuplexHandler, SessionLane {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    static let `protocol` = "culvert.v1"

    /// Not private, as some members below: SocketLane+Memory.swift has them.
    let edge: EdgeContext
    let state: LoopState
    private let id: SessionID
    private let address: String
    var life = LaneLife()
    var input: LaneInput
    var memory: LaneMemory
    /// A lane counts among the handshakes until its first envelope, and again from its Close until it is gone.
    var place: ConnectionPlace?
    private var timers: LaneTimers

    /// - Parameters:
    ///   - address: of the client, under which the lane counts.
    ///   - limits: of the messages of the session's route.
    init(
        edge: EdgeContext, state: LoopState, session id: SessionID, address: String, limits: MessageLimits,
        isSecure: Bool
    ) {
        self.edge = edge
        self.memory = LaneMemory(edge.memory)
        self.timers = LaneTimers(loop: state.loop, timers: state.timers)
        self.address = address
        self.state = state
        self.id = id
        let rules = state.rules
        self.input = LaneInput(
            messageLimit: limits.kept(from: .client), batchLimit: rules.settings.maxBatch,
            envelopeLimit: rules.bodyLimit(limits), fragmentLimit: rules.config.limits.session.fragments)
        super.init(isSecure: isSecure)
    }

    var link: LaneLink { LaneLink(lane: NIOLoopBound(self as any SessionLane, eventLoop: self.state.loop)) }

    // MARK: - the session's side

    func answered(_ answer: PollAnswer) {
        if case .joined(let generation) = answer {
            self.joined(generation)
        } else {
            for order in answer.refusal(self.state.rules.config) { self.obey(order) }
        }
    }

    /// The session knows the lane by `generation`; what the client has sent meanwhile comes now.
    func joined(_ generation: UInt64) {
        self.perform(
            self.life.joined(
                generation, isConnected: self.context != nil, isWritable: self.isWritable, time: self.time,
                now: self.now))
    }

    func obey(_ order: LaneOrder) {
        guard let context = self.context, !self.life.isClosing else { return }
        switch order {
        case .text(let text):
            var frame = ByteBuffer()
            FrameWriter.write(.text, payload: ByteBuffer(string: text), mask: nil, into: &frame)
            self.say(frame)
        case .batch(let batch):
            let envelope = PollCodec.encodeEnvelope(batch)
            if batch.close == nil { self.say(envelope) } else { self.sayFinal(envelope, context) }
        case .read: self.sessionTook(context)
        case .close(let frame): self.close(frame)
        }
    }

    func tell(_ event: LaneEvent) { if let generation = self.life.generation { self.tell(event, of: generation) } }

    private func tell(_ event: LaneEvent, of generation: UInt64) {
        let id = self.id
        self.edge.onLoop(of: id) { $0.session(id)?.resumable?.lane(generation, event) }
    }

    private func say(_ frame: ByteBuffer) {
        self.write(frame)
        self.flush()
    }

    /// Writes the envelope with the session's Close.
    private func sayFinal(_ envelope: ByteBuffer, _ context: ChannelHandlerContext) {
        self.finishOutput()
        self.write(envelope)
        self.finishOutput()
        let written = context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()))
        self.perform(self.life.finalSent())
        let bound = NIOLoopBound(self, eventLoop: self.state.loop)
        written.whenSuccess {
            let lane = bound.value
            lane.perform(lane.life.finalWritten(time: lane.time, now: lane.now))
        }
    }

    /// The session has taken everything that came: the lane brings more.
    private func sessionTook(_ context: ChannelHandlerContext) {
        guard self.life.sessionTook() == .take else {
            self.takeMoreLater()
            return
        }
        self.takeMessages()
        switch self.life.readOn() {
        case .nothing: break
        case .cut: context.channel.cut()
        case .read: context.read()
        }
    }

    /// Many small envelopes in one read, and many messages in one envelope, are taken in slices.
    private func takeMoreLater() {
        self.state.slices.enqueue(in: .sessions, of: AddressKey(self.address)) {
            self.life.turnCame()
            self.obey(.read)
        }
    }

    // MARK: - the life

    private var now: NIODeadline { self.state.loop.now }

    /// The time for the client's first envelope, for the lane's end behind the session's Close, and for the session to
    /// take what came before the end of the client's direction.
    private var time: TimeAmount { self.state.rules.config.limits.handshake }

    func close(_ frame: CloseFrame, by cause: LaneLife.Cause = .edge) {
        guard let context = self.context, !self.life.isClosing else { return }
        let hasClose = self.input.close()
        self.perform(
            self.life.close(
                frame, by: cause, hasClose: hasClose, isWritable: context.channel.isWritable, now: self.now))
    }

    func goAway() { self.perform(self.life.goAway(now: self.now)) }

    func cut() { self.context?.channel.cut() }

    private func perform(_ actions: [LaneAction]) { for action in actions { self.perform(action) } }

    func perform(_ action: LaneAction) {
        switch action {
        case .lost(let generation): self.tell(.lost, of: generation)
        case .linger:
            if self.place == nil {
                self.place = self.edge.admissions.linger(address: self.address, rules: self.state.rules)
            }
        case .forget:
            self.memory.setEnvelope(self.input.envelopeBytes)
            _ = self.memory.set(self.heldNow)
        case .say(let frame, let ending): self.sayClose(frame, ending)
        case .closeBehindOutput: self.context?.closeBehindOutput()
        case .close(let frame): self.close(frame)
        case .cut: self.cut()
        case .wake(let deadline):
            self.timers.wake(at: deadline) { self.perform(self.life.timePassed(now: self.now)) }
        case .startKeepalive:
            let bound = NIOLoopBound(self, eventLoop: self.state.loop)
            self.timers.startKeepalive(period: self.state.rules.settings.ping) { _ in bound.value.keepAlive() }
        case .tellFull: self.tell(.writable(false))
        case .takeMore: self.obey(.read)
        case .read: self.context?.read()
        }
    }

    private func sayClose(_ frame: CloseFrame, _ ending: LaneAction.Ending) {
        guard let context = self.context else { return }
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: nil, into: &bytes)
        self.finishOutput()
        let written = context.writeAndFlush(self.wrapOutboundOut(bytes))
        let channel = context.channel
        switch ending {
        case .answer: break
        case .close: written.whenComplete { _ in channel.close(promise: nil) }
        case .endOutput: context.close(mode: .output, promise: nil)
        case .closeBehindOutput: context.closeBehindOutput()
        }
    }

    private func keepAlive() {
        guard let context = self.context else { return }
        switch self.life.tick() {
        case .nothing: break
        case .ping: self.say(KeepalivePing.frame(mask: nil))
        case .lost: context.channel.cut()
        }
    }

    // MARK: - ChannelHandler

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.connections.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.timers.cancel()
        self.place = nil
        self.memory.release()
        self.input.dropEnvelope()
        self.memory.setEnvelope(0)
        self.perform(self.life.connectionClosed())
        self.state.laneClosed(self)
    }

    func read(context: ChannelHandlerContext) { if self.life.readAsked() { context.read() } }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.life.keepalive.hear()
        let bytes = self.unwrapInboundIn(data)
        if self.life.isClosing {
            // Only the end of the connection is of interest, and an answered Close brings that about.
            self.awaitClose(context, bytes)
        } else {
            self.input.append(bytes)
            self.noteRead(bytes.readableBytes)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.takeMessages()
        // An envelope is on its way: the session is not idle.
        if self.life.isInUse, self.input.takeParts(now: .now()) { self.tell(.parts) }
        self.noteHeld()
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.answerPing()
        self.tell(.writable(context.channel.isWritable))
        self.noteHeld()
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.life.connectionCloses()
        self.takeMessages(room: LoopSlices.messages)
        self.perform(self.life.connectionClosed())
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            self.perform(self.life.inputClosed(time: self.time, now: self.now))
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // An end without close_notify: the event inputClosed follows, or channelInactive.
        if case NIOSSLError.uncleanShutdown = error { return }
        context.close(promise: nil)
    }

    // MARK: - bytes in

    /// Gives the session what has come whole, and waits until it has taken that.
    ///
    /// - Parameter most: frames and messages; nil for as many as the loop has room for.
    private func takeMessages(room most: Int? = nil) {
        guard self.life.mayTake, !self.input.isDeaf else { return }
        let slices = self.state.slices
        let taken = self.input.take(most ?? slices.room)
        slices.notePassed(taken.cost)
        self.memory.setEnvelope(self.input.envelopeBytes)
        let controls = self.takeControls()
        let next = self.life.took(
            hasBatches: !taken.batches.isEmpty, hasControls: controls != ControlCount(), hasMore: taken.hasMore)
        switch next {
        case .nothing: break
        case .later: self.takeMoreLater()
        case .begin(let endsWait):
            if endsWait { self.perform(.wake(nil)) }
            self.memory.handToSession()
            self.place = nil
            self.tell(.batches(taken.batches, controls))
        case .tell: self.tell(.batches(taken.batches, controls))
        }
        if let end = taken.end { self.close(end.frame, by: end.isAnswer ? .answer : .failure) }
    }

    /// Answers the latest ping, and counts the pings and pongs that came with it.
    private func takeControls() -> ControlCount {
        guard self.input.hasNewControls else { return ControlCount() }
        self.input.keepPing()
        self.answerPing()
        let (new, wait) = self.input.countControls(now: .now())
        if let wait, self.context != nil {
            if self.input.isFirstExcess() { self.edge.log.tooManyControls(id: self.id, of: "client") }
            self.life.pause()
            self.timers.pause(for: wait) { if self.life.endPause() { self.context?.read() } }
        }
        return new
    }

    private func answerPing() {
        guard self.context != nil, !self.life.isClosing,
            let pong = self.input.takePong(isWritable: self.isWritable)
        else { return }
        self.say(pong)
    }

    private func awaitClose(_ context: ChannelHandlerContext, _ bytes: ByteBuffer) {
        switch self.input.search(bytes, isOfUse: self.life.hearsClose) {
        case .goesOn: break
        case .isOver: context.close(promise: nil)
        case .tooMuch: context.channel.cut()
        }
    }

    override func queueChanged() { self.noteHeld() }
}

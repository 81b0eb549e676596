import CulvertCore
import NIOCore
import NIOSSL

/// A client's WebSocket that is a lane of a resumable session: takes envelopes out of messages and puts them in.
///
/// It lives on the loop that accepted it. That is the session's own where the lane opened it; a lane that joins comes
/// to whatever loop it comes to, and what it brings makes a hop: a read's worth at a time, and no more until that was
/// taken.
final class SocketLane: QueuedOutput, ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    static let `protocol` = "culvert.v1"

    let edge: EdgeContext
    let state: LoopState
    private let id: SessionID
    /// Not private, as some members below: SocketLane+Memory.swift counts what the lane holds.
    var assembler: MessageAssembler
    private var envelopes: EnvelopeReader
    /// Counts what an envelope holds that is read in part.
    private var envelopeHold: MemoryHold
    /// The bytes of envelopes that the session was told of last, and when it is told again.
    private var toldParts: UInt64 = 0
    private var partsDue = NIODeadline.uptimeNanoseconds(0)
    private static let partsPause = TimeAmount.milliseconds(100)
    private var keepalive = Keepalive()
    private var keepaliveTask: RepeatedTask?
    /// Nil until the session knows the lane, and when it is to know nothing more of it.
    private var generation: UInt64?
    private var hasJoined = false
    private var mayRead = false
    private var isReadPending = true
    /// The session uses the lane from its first envelope on.
    private(set) var hasEnvelope = false {
        didSet { if self.hasEnvelope { self.hold.handToSession() } }
    }
    /// More envelopes have come than one turn takes.
    private var hasMore = false
    /// The Close of the session was sent.
    private var hasFinal = false
    private var isGoingAway = false
    /// The client has said Close, or what is no envelope.
    private var isDeaf = false
    /// A Close was sent: nothing follows it, and nothing that still comes counts.
    private(set) var isClosing = false
    /// The client has sent what breaks the protocol, and is told no more than our Close.
    private var hasFailed = false
    private var deadline: LoopTimers.Timer?
    /// A lane counts among the handshakes until its first envelope, and again from its Close until it is gone.
    var place: ConnectionPlace?
    private let address: String
    /// What comes behind our Close.
    private var closeSearch = CloseSearch()
    /// The client has ended its direction of the connection.
    private var isInputClosed = false
    /// The budget of the client's pings and pongs, and the latest ping until it is answered.
    private var control = PeerControl()
    /// Lifts the pause of a client whose pings and pongs came too fast; nil while it may be read.
    private var controlPause: LoopTimers.Timer?
    /// Counts the bytes that the lane holds, from the first until the lane is gone, whether or not a session uses the
    /// lane.
    var hold: MemoryHold
    /// Bytes that the session was told the lane holds.
    var toldHeld = 0
    /// For the client to answer our Close.
    private static let closingTime = TimeAmount.seconds(2)

    /// - Parameters:
    ///   - address: of the client, under which the lane counts.
    ///   - limits: of the messages of the session's route.
    init(
        edge: EdgeContext, state: LoopState, session id: SessionID, address: String, limits: MessageLimits,
        isSecure: Bool
    ) {
        self.edge = edge
        self.hold = MemoryHold(edge.memory, isRequest: true)
        self.envelopeHold = MemoryHold(edge.memory)
        self.address = address
        self.state = state
        self.id = id
        let rules = state.rules
        self.envelopes = EnvelopeReader(
            messageLimit: limits.kept(from: .client), batchLimit: rules.settings.maxBatch)
        self.assembler = MessageAssembler(
            sender: .client, messageLimit: rules.bodyLimit(limits),
            fragmentLimit: rules.config.limits.session.fragments, keepsPings: true)
        super.init(isSecure: isSecure)
    }

    var link: LaneLink { LaneLink(lane: NIOLoopBound(self, eventLoop: self.state.loop)) }

    // MARK: - the session's side

    /// What became of the wish to join.
    func answered(_ answer: PollAnswer) {
        switch answer {
        case .joined(let generation):
            self.joined(generation)
        case .problem(let failure):
            guard let frame = failure.end else {
                self.obey(.close(CloseFrame(code: CloseCode(rawValue: 4404), reason: "no such session")))
                return
            }
            self.end(frame)
        case .unauthorized(let fault):
            let code = self.state.rules.config.authentication.closeCode
            self.end(CloseFrame(code: code, reason: fault.reason))
        case .rejected:
            let code = self.state.rules.config.reload.closeCode
            self.obey(.close(CloseFrame(code: code, reason: "configuration changed")))
        default:
            self.obey(.close(CloseFrame(code: .internalError)))
        }
    }

    /// The session has ended, and with it whatever was not received of it.
    private func end(_ frame: CloseFrame) {
        self.obey(.batch(PollBatch(ack: 0, first: 0, close: frame)))
        self.obey(.close(CloseFrame(code: .normal)))
    }

    /// The session knows the lane by `generation`; what the client has sent meanwhile comes now.
    func joined(_ generation: UInt64) {
        self.generation = generation
        self.hasJoined = true
        // It may have gone while the handlers changed places, or been closed by the session as it started.
        guard !self.isClosing, let context = self.context else {
            self.lose()
            return
        }
        if !self.hasFinal {
            self.startDeadline(CloseFrame(code: CloseCode(rawValue: 4408), reason: "no envelope came"))
        }
        let bound = NIOLoopBound(self, eventLoop: self.state.loop)
        let period = self.state.rules.settings.ping
        self.keepaliveTask = self.state.loop.scheduleRepeatedTask(initialDelay: period, delay: period) { _ in
            bound.value.keepAlive()
        }
        if !context.channel.isWritable { self.tell(.writable(false)) }
        self.obey(.read)
    }

    func obey(_ order: LaneOrder) {
        guard let context = self.context, !self.isClosing else { return }
        switch order {
        case .text(let text):
            var frame = ByteBuffer()
            FrameWriter.write(.text, payload: ByteBuffer(string: text), mask: nil, into: &frame)
            self.say(frame)
        case .batch(let batch):
            let envelope = PollCodec.encodeEnvelope(batch)
            guard batch.close != nil else {
                self.say(envelope)
                return
            }
            self.finishOutput()
            self.write(envelope)
            self.finishOutput()
            let written = context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()))
            self.hasFinal = true
            self.state.timers.cancel(self.deadline)
            // The client is to acknowledge it, but need not. Until it is out the session's own time counts.
            let bound = NIOLoopBound(self, eventLoop: self.state.loop)
            written.whenSuccess {
                let time = bound.value.isGoingAway ? Self.closingTime : nil
                bound.value.startDeadline(CloseFrame(code: .normal), in: time)
            }
        case .read:
            if self.hasMore {
                self.takeMoreLater()
                return
            }
            self.mayRead = true
            self.takeMessages()
            if self.mayRead, self.isInputClosed, !self.isClosing { context.channel.cut() }
            if self.mayRead, self.controlPause == nil { self.readIfPending(context) }
        case .close(let frame):
            self.close(frame)
        }
    }

    private func say(_ frame: ByteBuffer) {
        self.write(frame)
        self.flush()
    }

    override func queueChanged() { self.noteHeld() }

    /// Many small envelopes in one read, and many messages in one envelope, are taken in slices.
    private func takeMoreLater() {
        self.state.slices.enqueue(in: .sessions) {
            self.hasMore = false
            self.obey(.read)
        }
    }

    func tell(_ event: LaneEvent) {
        guard let generation = self.generation else { return }
        let id = self.id
        self.edge.onLoop(of: id) { $0.session(id)?.lane(generation, event) }
    }

    private func lose() {
        self.tell(.lost)
        self.generation = nil
    }

    // MARK: - closing

    /// Says why and waits for the client's answer: a socket closed with bytes unread is reset, and a reset overtakes
    /// the Close (RFC 6455 7.1.1). From a client that has broken the protocol no answer is due: it is told at once that
    /// nothing more comes, and its connection waits for its own end.
    func close(_ frame: CloseFrame, isAnswer: Bool = false, isFailure: Bool = false) {
        guard let context = self.context, !self.isClosing else { return }
        self.isClosing = true
        self.hasFailed = isFailure
        self.lose()
        if self.place == nil {
            self.place = self.edge.admissions.linger(address: self.address, rules: self.state.rules)
        }
        // An envelope that is not whole is of no use any more, and the lane is read for the client's Close alone.
        let isAnswered = self.closeSearch.begin(&self.assembler) || isAnswer
        self.dropEnvelope()
        _ = self.hold.set(self.heldNow)
        guard context.channel.isWritable else {
            // Of what waits there nothing is of use any more, and it is not to be kept for a client that reads nothing.
            context.channel.cut()
            return
        }
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: nil, into: &bytes)
        self.finishOutput()
        let written = context.writeAndFlush(self.wrapOutboundOut(bytes))
        self.state.timers.cancel(self.deadline)
        let channel = context.channel
        if self.isInputClosed {
            self.closeWhenWritten(context)
        } else if isAnswered {
            written.whenComplete { _ in channel.close(promise: nil) }
        } else if isFailure {
            context.close(mode: .output, promise: nil)
        }
        self.deadline = self.state.timers.schedule(in: Self.closingTime) { channel.cut() }
        self.readIfPending(context)
    }

    /// The client has ended its direction: it sends no more, but reads what answers its Close.
    private func inputClosed(_ context: ChannelHandlerContext) {
        self.isInputClosed = true
        if self.isClosing {
            self.closeWhenWritten(context)
        } else if self.mayRead {
            // Without a Close it is gone, whatever it might still read.
            context.channel.cut()
        } else if self.hasJoined, !self.hasFinal {
            // The session is still to take what came before, and the Close may be behind that.
            self.startDeadline(CloseFrame(code: .normal))
        }
    }

    private func closeWhenWritten(_ context: ChannelHandlerContext) {
        let channel = context.channel
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer())).whenComplete { _ in
            channel.close(promise: nil)
            // TLS waits for a close_notify, which does not come any more.
            channel.cut()
        }
    }

    private func startDeadline(_ frame: CloseFrame, in time: TimeAmount? = nil) {
        guard !self.isClosing else { return }
        self.state.timers.cancel(self.deadline)
        self.deadline = self.state.timers.schedule(in: time ?? self.state.rules.config.limits.handshake) {
            self.close(frame)
        }
    }

    /// The server stops. Who has been told, or will be by a session of another loop, is waited for a moment.
    func goAway() {
        self.isGoingAway = true
        if self.hasFinal {
            self.startDeadline(CloseFrame(code: .normal), in: Self.closingTime)
        } else if !self.hasEnvelope {
            self.close(CloseFrame(code: .goingAway, reason: "server going away"))
        }
    }

    func cut() { self.context?.channel.cut() }

    private func keepAlive() {
        guard let context = self.context, !self.isClosing else { return }
        // Who is not read cannot be heard.
        if !self.mayRead || self.controlPause != nil { self.keepalive.hear() }
        switch self.keepalive.tick() {
        case .nothing: break
        case .ping: self.say(KeepalivePing.frame(mask: nil))
        case .lost: context.channel.cut()
        }
    }

    // MARK: - ChannelHandler

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.state.lanes[ObjectIdentifier(self)] = self
        // A client that ends its direction behind its Close still reads ours (RFC 6455 7.1.1).
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.state.timers.cancel(self.deadline)
        self.keepaliveTask?.cancel()
        self.state.timers.cancel(self.controlPause)
        self.place = nil
        self.hold.release()
        self.dropEnvelope()
        self.lose()
        self.state.laneClosed(self)
    }

    func read(context: ChannelHandlerContext) {
        self.isReadPending = true
        if (self.mayRead && self.controlPause == nil) || self.isClosing { self.readIfPending(context) }
    }

    private func readIfPending(_ context: ChannelHandlerContext) {
        guard self.isReadPending else { return }
        self.isReadPending = false
        context.read()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.keepalive.hear()
        let bytes = self.unwrapInboundIn(data)
        if self.isClosing {
            // Only the end of the connection is of interest, and an answered Close brings that about.
            self.awaitClose(context, bytes)
        } else {
            self.assembler.append(bytes)
            self.noteRead(bytes.readableBytes)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.mayRead { self.takeMessages() }
        self.noteParts()
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
        // What has come whole counts, as it would have a moment earlier. But for very many messages, which have not
        // been acknowledged: their client sends them again on another lane.
        self.mayRead = self.hasJoined
        self.takeMessages(room: LoopSlices.messages)
        self.isClosing = true
        self.lose()
        context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { self.inputClosed(context) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // An end without close_notify: the event inputClosed follows, or channelInactive.
        if case NIOSSLError.uncleanShutdown = error { return }
        context.close(promise: nil)
    }

    // MARK: - bytes in

    /// Gives the session what has come whole, and waits until it has taken that.
    private func takeMessages(room most: Int? = nil) {
        guard !self.isClosing, !self.isDeaf, self.mayRead, self.hasJoined else { return }
        let slices = self.state.slices
        let most = most ?? slices.room
        var room = most
        var batches: [PollBatch] = []
        var end: (frame: CloseFrame, isAnswer: Bool)?
        reading: while end == nil {
            switch self.envelopes.next(&self.assembler, room: &room) {
            case .needMore: break reading
            case .noRoom:
                // The rest is taken in a later turn of the loop, when the session has taken this.
                self.hasMore = true
                break reading
            case .batch(let batch): batches.append(batch)
            case .end(let frame, let isAnswer): end = (frame, isAnswer)
            }
        }
        slices.notePassed(most - room)
        _ = self.envelopeHold.set(self.envelopes.heldBytes)
        self.isDeaf = end != nil
        let controls = self.takeControls()
        if !batches.isEmpty {
            if !self.hasEnvelope, !self.hasFinal { self.state.timers.cancel(self.deadline) }
            self.hasEnvelope = true
            self.place = nil
        }
        // A lane without an envelope is not the session's yet: its pings are bounded here alone.
        if !batches.isEmpty || (self.hasEnvelope && controls != ControlCount()) {
            self.mayRead = false
            self.tell(.batches(batches, controls))
        } else if self.hasMore {
            // A part of an envelope, of which the session learns nothing yet.
            self.mayRead = false
            self.takeMoreLater()
        }
        if let end { self.close(end.frame, isAnswer: end.isAnswer, isFailure: !end.isAnswer) }
    }

    private func dropEnvelope() {
        self.envelopes.drop()
        self.envelopeHold.release()
    }

    /// Tells the session that an envelope is on its way: it is not idle.
    private func noteParts() {
        guard self.hasEnvelope, self.assembler.payloadBytes != self.toldParts else { return }
        let now = NIODeadline.now()
        guard self.partsDue <= now else { return }
        self.toldParts = self.assembler.payloadBytes
        self.partsDue = now + Self.partsPause
        self.tell(.parts)
    }

    /// Answers the latest ping, and counts the pings and pongs that came with it.
    private func takeControls() -> ControlCount {
        guard self.control.isNew(self.assembler.controls) else { return ControlCount() }
        if let ping = self.assembler.takePing() { self.control.received(ping: ping) }
        self.answerPing()
        let new = self.control.take(self.assembler.controls)
        if let wait = self.control.charge(new.frames, now: .now()), self.context != nil {
            if self.control.isFirstExcess() { self.edge.log.tooManyControls(id: self.id, of: "client") }
            self.state.timers.cancel(self.controlPause)
            self.controlPause = self.state.timers.schedule(in: wait) { self.endControlPause() }
        }
        return new
    }

    private func answerPing() {
        guard let context = self.context, !self.isClosing,
            let pong = self.control.takePong(isWritable: context.channel.isWritable, mask: nil)
        else { return }
        self.say(pong)
    }

    private func endControlPause() {
        self.controlPause = nil
        guard let context = self.context, self.mayRead else { return }
        self.readIfPending(context)
    }

    private func awaitClose(_ context: ChannelHandlerContext, _ bytes: ByteBuffer) {
        switch self.closeSearch.take(bytes, &self.assembler, isOfUse: !self.hasFailed) {
        case .goesOn: break
        case .isOver: context.close(promise: nil)
        case .tooMuch: context.channel.cut()
        }
    }
}

import CulvertCore
import NIOCore
import NIOSSL

/// One WebSocket connection, the client's or the upstream's: checks what comes in, holds reads back, and puts frames
/// of Culvert's own only where a frame of the other side does not stand in the way.
final class WebSocketLeg: QueuedOutput, ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Who sends the bytes that arrive here.
    let sender: Endpoint
    private(set) var scanner: FrameScanner
    /// Present where the session wants whole messages. Apart, since a native session's legs have no use for its room.
    private let assembly: Assembly?

    private final class Assembly {
        var assembler: MessageAssembler

        init(_ assembler: MessageAssembler) { self.assembler = assembler }
    }
    /// The budget of the peer's pings and pongs, and the latest ping where they are answered here.
    var control = PeerControl()
    /// Pings and pongs of the peer when they were taken last.
    private var takenControls: UInt64 = 0
    /// A Close was sent to the peer, and nothing may follow it (RFC 6455 5.5.1).
    private var isSilent = false
    /// Until the channel is gone: a weak reference would be paid for with every read.
    private var delegate: (any LegDelegate)?

    /// Bytes that wait for the session to start, then a header or control frame that is not whole.
    private var carry = ByteBuffer()
    /// It has been paused once; see ``RecordWatch/paused(_:)``.
    private var isGuarded = false
    private var hasStarted = false
    /// The connection has ended, and its descriptor is closed.
    private(set) var isLost = false
    /// How far the end of the connection has come.
    var ending = LegEnding()
    /// Bytes that were read for nothing since the last rest.
    private var dropped = 0
    /// There are more frames than one turn of the loop takes.
    private var waitsForTurn = false
    /// The session is still to be told of the connection's end.
    private var owesLoss = false
    /// Nothing more is read off this leg's peer.
    var isDeaf = false
    private var pauses: Set<PauseReason> = []
    private var isReadPending = false

    /// Frames of ours for this peer, until the other leg's bytes reach a frame boundary.
    private var waiting = ByteBuffer()
    var wantsBoundary: Bool { self.waiting.readableBytes > 0 }
    /// They wait for the end of a message.
    private(set) var waitsForMessageEnd = false

    enum PauseReason: Hashable {
        case notStarted
        case peerNotWritable
        case windowFull
        case rateLimited
        case sessionRate
        case controlRate
        case memoryFull
        case turn
        case dropping
    }

    /// How much is read for nothing before a rest of ``dropRest``: a peer whose bytes go nowhere is read for its end
    /// alone, and not at full speed.
    static let dropSlice = 1 << 20
    static let dropRest = TimeAmount.milliseconds(50)

    /// - Parameter isSecure: the peer's connection is one of TLS.
    init(sender: Endpoint, scanner: FrameScanner, assembler: MessageAssembler? = nil, isSecure: Bool = false) {
        self.sender = sender
        self.scanner = scanner
        self.assembly = assembler.map(Assembly.init)
        self.pauses = [.notStarted]
        super.init(isSecure: isSecure)
    }

    // MARK: - for the session

    /// Delivers what arrived so far, and everything after it.
    func start(delegate: any LegDelegate) {
        self.delegate = delegate
        self.hasStarted = true
        let held = self.carry
        self.carry = ByteBuffer()
        if held.readableBytes > 0 {
            self.receive(held)
            delegate.legReadComplete(self)
        }
        self.resume(.notStarted)
        // The channel may have gone before the session came, and even before the leg: nothing will tell of it later.
        if self.isLost || self.context == nil {
            self.isLost = true
            self.owesLoss = true
            self.tellLoss()
        } else if self.ending.isInputClosed {
            self.inputClosed()
        }
    }

    var isPaused: Bool { !self.pauses.isEmpty }

    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    /// Bytes of memory that messages take which are not whole, or not wanted yet.
    var assembledBytes: Int { self.assembly?.assembler.heldCapacity ?? 0 }

    /// Payload bytes of messages that are assembled here, of those that are not whole, too.
    var assembledPayload: UInt64 { self.assembly?.assembler.payloadBytes ?? 0 }

    /// Pings, pongs and empty fragments that the peer has sent.
    var controls: ControlCount { self.assembly?.assembler.controls ?? self.scanner.controls }

    /// Whether there were pings or pongs since ``takeControls()``. Asked after each read.
    var hasNewControls: Bool { self.controls.frames != self.takenControls }

    /// The pings and pongs since the last call.
    func takeControls() -> ControlCount {
        let all = self.controls
        self.takenControls = all.frames
        return self.control.take(all)
    }

    override func queueChanged() { self.delegate?.legQueueChanged(self) }

    /// Writes a frame of ours now, or at the next boundary of what `other` is sending here.
    ///
    /// - Parameter betweenMessages: between fragments is not good enough.
    func inject(_ frame: ByteBuffer, behind other: WebSocketLeg?, betweenMessages: Bool = false) {
        if betweenMessages { self.waitsForMessageEnd = true }
        if let other, !(self.waitsForMessageEnd ? other.scanner.isBetweenMessages : other.scanner.isAtFrameBoundary) {
            self.waiting.writeImmutableBuffer(frame)
        } else {
            self.write(frame)
            self.flush()
        }
    }

    /// As ``inject(_:behind:betweenMessages:)``, with the Close: no pong follows it.
    func say(_ close: ByteBuffer, behind other: WebSocketLeg?, betweenMessages: Bool) {
        self.isSilent = true
        self.inject(close, behind: other, betweenMessages: betweenMessages)
    }

    /// The stream to this peer is at a boundary.
    func flushWaiting() {
        guard self.waiting.readableBytes > 0 else { return }
        let frames = self.waiting
        self.waiting = ByteBuffer()
        self.write(frames)
        if self.ending.endsOutputAtBoundary { self.endOutput() }
    }

    /// Frames of ours that wait for the end of a frame are not said any more.
    func dropWaiting() { self.waiting = ByteBuffer() }

    /// Bytes of the peer went nowhere.
    func noteDropped(_ bytes: Int) {
        self.dropped += bytes
        guard self.dropped >= Self.dropSlice, let context = self.context else { return }
        self.dropped = 0
        guard self.pauses.insert(.dropping).inserted else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: Self.dropRest) { bound.value.resume(.dropping) }
    }

    /// Ignores whatever else the peer sends. Reading goes on so that its end is seen.
    func turnDeaf() {
        self.isDeaf = true
        self.carry = ByteBuffer()
        self.pauses.formIntersection([.dropping])
        self.readIfWanted()
    }

    func pause(_ reason: PauseReason) {
        guard !self.isDeaf else { return }
        self.pauses.insert(reason)
        guard !self.isGuarded, let context = self.context else { return }
        self.isGuarded = true
        RecordWatch.paused(context.channel)
    }

    func resume(_ reason: PauseReason) {
        guard self.pauses.remove(reason) != nil else { return }
        self.readIfWanted()
    }

    private func readIfWanted() {
        guard self.pauses.isEmpty, self.isReadPending, let context = self.context else { return }
        self.isReadPending = false
        context.read()
    }

    // MARK: - ChannelHandler

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // A handler that stood here before may have swallowed the read that was due.
        self.isReadPending = true
        // A peer that ends its direction behind its Close still reads ours.
        try? context.channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        if !self.owesLoss { self.delegate = nil }
    }

    func read(context: ChannelHandlerContext) {
        if self.pauses.isEmpty {
            context.read()
        } else {
            self.isReadPending = true
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        self.noteRead(bytes.readableBytes)
        if self.isDeaf {
            self.noteDropped(bytes.readableBytes)
            return
        }
        guard self.hasStarted else {
            self.carry.writeImmutableBuffer(bytes)
            return
        }
        self.receive(bytes)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if self.assembly != nil { self.answerPing() }
        self.delegate?.legReadComplete(self)
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if self.assembly != nil { self.answerPing() }
        self.delegate?.leg(self, isWritable: context.channel.isWritable)
        // A full queue counts at once: nothing more may be written to this peer, and then nothing else looks at it.
        self.queueChanged()
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            self.ending.isInputClosed = true
            self.inputClosed()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.lose()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The peer has ended its direction without close_notify. The event inputClosed follows, or channelInactive.
        // Where it has said Close before, nothing of its stream is missing, and it may wait for ours.
        if case NIOSSLError.uncleanShutdown = error { return }
        // A reset, a TLS failure: the connection is of no more use, and its end is news that channelInactive brings.
        self.closeNow()
    }

    /// The peer has ended its direction. The connection ends, unless the peer has said Close before.
    private func inputClosed() {
        guard self.hasStarted else { return }
        // There will be no other time for the messages that have come, nor for the Close behind them.
        if self.assembly != nil, !self.isDeaf { self.takeMessages(all: true) }
        self.endWithInput()
    }

    private func endWithInput() {
        guard self.ending.isInputClosed, self.ending.endsWithInput, !self.waitsForTurn, let context = self.context
        else { return }
        if self.ending.isLingering {
            self.close(within: Self.lingerTime)
            return
        }
        context.close(promise: nil)
        // TLS waits for a close_notify, which does not come any more.
        context.channel.cut()
    }

    private func lose() {
        guard !self.isLost else { return }
        self.isLost = true
        self.ending.cancel()
        guard self.hasStarted else { return }
        if self.assembly != nil, !self.isDeaf { self.takeMessages(all: true) }
        self.owesLoss = true
        self.tellLoss()
    }

    /// Tells the session of the end, unless messages that came before wait for their turn.
    private func tellLoss() {
        guard self.owesLoss, !self.waitsForTurn else { return }
        self.owesLoss = false
        let delegate = self.delegate
        if self.context == nil { self.delegate = nil }
        delegate?.legLost(self)
    }

    // MARK: - bytes in

    private func receive(_ bytes: ByteBuffer) {
        if self.assembly != nil {
            self.assemble(bytes)
            return
        }
        var bytes = bytes
        if self.carry.readableBytes > 0 {
            self.carry.writeImmutableBuffer(bytes)
            bytes = self.carry
            self.carry = ByteBuffer()
        }
        guard let delegate = self.delegate else { return }
        while bytes.readableBytes > 0, !self.isDeaf {
            let stopAtBoundary = delegate.wantsBoundary(from: self)
            let betweenMessages = stopAtBoundary && delegate.waitsForMessageEnd(from: self)
            let scan = bytes.withUnsafeReadableBytes {
                self.scanner.scan($0, stopAtBoundary: stopAtBoundary, betweenMessages: betweenMessages)
            }
            if scan.accepted == bytes.readableBytes {
                delegate.leg(self, forward: bytes)
                if case .violation(let code, let why) = scan.stop {
                    delegate.leg(self, violation: code, why: why)
                } else if stopAtBoundary, self.isAtStop(betweenMessages) {
                    delegate.reachedBoundary(from: self)
                }
                return
            }
            if scan.accepted > 0, let part = bytes.readSlice(length: scan.accepted) {
                delegate.leg(self, forward: part)
            }
            switch scan.stop {
            case .end:
                return
            case .boundary:
                delegate.reachedBoundary(from: self)
            case .incomplete:
                if stopAtBoundary, self.isAtStop(betweenMessages) { delegate.reachedBoundary(from: self) }
                self.carry = ByteBuffer(bytes: bytes.readableBytesView)
                return
            case .control(let header):
                guard let frame = bytes.readSlice(length: header.frameLength) else { return }
                self.control(header, frame)
            case .violation(let code, let why):
                delegate.leg(self, violation: code, why: why)
                return
            }
        }
    }

    private func isAtStop(_ betweenMessages: Bool) -> Bool {
        betweenMessages ? self.scanner.isBetweenMessages : self.scanner.isAtFrameBoundary
    }

    /// The scanner hands out a Close, which it has checked, and a pong that answers a ping of Culvert's.
    private func control(_ header: FrameHeader, _ frame: ByteBuffer) {
        guard header.opcode == .close else { return }
        self.ending.endsWithInput = false
        let close = frame.withUnsafeReadableBytes { try? FrameScanner.closeFrame($0, header) }
        self.delegate?.leg(self, close: close ?? CloseFrame(code: nil))
    }

    private func assemble(_ bytes: ByteBuffer) {
        self.assembly?.assembler.append(bytes)
        self.takeMessages()
        if self.delegate?.legIsClosing(self) == true { self.noteDropped(bytes.readableBytes) }
    }

    /// Takes messages while the session wants them; it calls again when it wants more.
    func drainMessages() {
        guard self.assembly != nil else { return }
        self.takeMessages()
        self.answerPing()
    }

    /// Takes what waited for its turn.
    func takeMore() {
        self.waitsForTurn = false
        self.takeMessages(all: self.isLost || self.ending.isInputClosed)
        self.endWithInput()
        if self.isLost {
            self.tellLoss()
            return
        }
        self.answerPing()
        self.delegate?.legReadComplete(self)
        if !self.waitsForTurn { self.resume(.turn) }
    }

    /// - Parameter all: whether or not the session wants them, since there will be no other time.
    private func takeMessages(all: Bool = false) {
        guard let delegate = self.delegate, let assembly = self.assembly, !self.waitsForTurn else { return }
        let most = delegate.legRoom(self)
        var room = most
        var hasMore = false
        loop: while !self.isDeaf, all || delegate.legWantsMessages(self) {
            switch assembly.assembler.next(room: &room) {
            case .needMore: break loop
            case .noRoom:
                hasMore = true
                self.waitsForTurn = true
                self.pause(.turn)
                break loop
            case .message(let opcode, let payload):
                delegate.leg(self, message: PollMessage(opcode: opcode, payload: payload))
            case .control(let opcode, let payload):
                guard opcode == .close else { continue }
                self.ending.endsWithInput = false
                let close = try? CloseFrame.parse(payload: payload.readableBytesView)
                delegate.leg(self, close: close ?? CloseFrame(code: nil))
            case .violation(let code, let why):
                delegate.leg(self, violation: code, why: why)
                break loop
            }
        }
        if let ping = assembly.assembler.takePing() { self.control.received(ping: ping) }
        delegate.leg(self, took: most - room, hasMore: hasMore)
    }

    /// Answers the latest ping of a read, or of several while the peer takes nothing.
    private func answerPing() {
        guard self.control.owesPong, !self.isSilent, !self.isDeaf else { return }
        let pong = self.control.takePong(
            isWritable: self.isWritable, mask: self.sender == .server ? .random(in: .min ... .max) : nil)
        guard let pong else { return }
        self.write(pong)
        self.flush()
    }
}

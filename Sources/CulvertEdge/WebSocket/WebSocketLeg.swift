import CulvertCore
import NIOCore
import NIOSSL

/// One WebSocket connection of a session, the client's or the upstream's: checks the bytes that come in, and gives them
/// to the session as they came or as messages. Its session calls it, on the event loop that both share. What it writes
/// is in ``QueuedOutput``, and how it is read and ends in ``PeerConnection``.
final class WebSocketLeg: PeerConnection, ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The peer whose bytes arrive here.
    let sender: Endpoint
    @exclusivity(unchecked) private(set) var scanner: FrameScanner
    /// Present where the session wants whole messages.
    private let messages: LegMessages?
    /// The budget of the peer's pings and pongs, and the latest ping where they are answered here.
    @exclusivity(unchecked) var control = PeerControl()
    /// Until the channel is gone: a weak reference would be paid for with every read.
    @exclusivity(unchecked) private var delegate: (any LegDelegate)?
    @exclusivity(unchecked) private var hasStarted = false
    /// Bytes that wait for the session to start, then a header or control frame that is not whole.
    @exclusivity(unchecked) private var carry = ByteBuffer()

    /// - Parameter isSecure: the peer's connection is one of TLS.
    init(sender: Endpoint, scanner: FrameScanner, assembler: MessageAssembler? = nil, isSecure: Bool = false) {
        self.sender = sender
        self.scanner = scanner
        self.messages = assembler.map(LegMessages.init)
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
            self.ending.oweLoss()
            self.tellLoss()
        } else if self.ending.isInputClosed {
            self.inputClosed()
        }
    }

    /// Bytes of memory that messages take which are not whole, or not wanted yet.
    var assembledBytes: Int { self.messages?.heldBytes ?? 0 }

    /// Payload bytes of messages that are assembled here, of those that are not whole, too.
    var assembledPayload: UInt64 { self.messages?.payloadBytes ?? 0 }

    /// Pings, pongs and empty fragments that the peer has sent.
    var controls: ControlCount { self.messages?.controls ?? self.scanner.controls }

    /// Whether there were pings or pongs since ``takeControls()``. Asked after each read.
    var hasNewControls: Bool { self.control.isNew(self.controls) }

    /// The pings and pongs since the last call.
    func takeControls() -> ControlCount { self.control.take(self.controls) }

    override func queueChanged() { self.delegate?.legQueueChanged(self) }

    override func turnDeaf() {
        self.carry = ByteBuffer()
        super.turnDeaf()
    }

    // MARK: - ChannelHandler

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        // A handler that stood here before may have swallowed the read that was due.
        self.reading.oweRead()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        if !self.ending.owesLoss { self.delegate = nil }
    }

    func read(context: ChannelHandlerContext) {
        if self.reading.mayRead() { context.read() }
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
        if self.messages != nil { self.answerPing() }
        self.delegate?.legReadComplete(self)
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if self.messages != nil { self.answerPing() }
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
        // The peer has ended its direction without close_notify. The event inputClosed follows, or channelInactive. If
        // it has sent a Close before, its stream is complete, and it may wait for our Close.
        if case NIOSSLError.uncleanShutdown = error { return }
        // A reset, a TLS failure: the connection is of no more use, and its end is news that channelInactive brings.
        self.closeNow()
    }

    /// The peer has ended its direction. The connection ends, unless the peer has said Close before.
    private func inputClosed() {
        guard self.hasStarted else { return }
        // There will be no other time for the messages that have come, nor for the Close behind them.
        if self.messages != nil, !self.isDeaf { self.takeMessages(all: true) }
        if !self.waitsForTurn { self.endWithInput() }
    }

    private func lose() {
        guard self.ending.lose(), self.hasStarted else { return }
        if self.messages != nil, !self.isDeaf { self.takeMessages(all: true) }
        self.ending.oweLoss()
        self.tellLoss()
    }

    /// Tells the session of the end, unless messages that came before wait for their turn.
    private func tellLoss() {
        guard !self.waitsForTurn, self.ending.takeLoss() else { return }
        let delegate = self.delegate
        if self.context == nil { self.delegate = nil }
        delegate?.legLost(self)
    }

    // MARK: - bytes in

    private func receive(_ bytes: ByteBuffer) {
        if let messages = self.messages {
            messages.append(bytes)
            self.takeMessages()
            if self.delegate?.legIsClosing(self) == true { self.noteDropped(bytes.readableBytes) }
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
        guard header.opcode == .close, let delegate = self.delegate else { return }
        self.saidClose(frame.withUnsafeReadableBytes { try? FrameScanner.closeFrame($0, header) }, for: delegate)
    }

    /// The peer has said Close, with a payload that was checked before.
    func saidClose(_ frame: CloseFrame?, for delegate: any LegDelegate) {
        self.ending.endsWithInput = false
        delegate.leg(self, close: frame ?? CloseFrame(code: nil))
    }

    // MARK: - whole messages

    /// There are more frames than one turn of the loop takes.
    private var waitsForTurn: Bool { self.messages?.waitForTurn ?? false }

    /// Takes messages while the session wants them; it calls again when it wants more.
    func drainMessages() {
        guard self.messages != nil else { return }
        self.takeMessages()
        self.answerPing()
    }

    /// Takes what waited for its turn.
    func takeMore() {
        self.messages?.beginTurn()
        self.takeMessages(all: self.isLost || self.ending.isInputClosed)
        if !self.waitsForTurn { self.endWithInput() }
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
        guard let delegate = self.delegate else { return }
        self.messages?.take(all: all, of: self, for: delegate)
    }

    /// Answers the latest ping of a read, or of several while the peer takes nothing.
    private func answerPing() {
        guard self.control.owesPong, !self.hasSaidClose, !self.isDeaf else { return }
        let pong = self.control.takePong(
            isWritable: self.isWritable, mask: self.sender == .server ? .random(in: .min ... .max) : nil)
        guard let pong else { return }
        self.write(pong)
        self.flush()
    }
}

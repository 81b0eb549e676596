import CulvertCore
import NIOCore

/// What a leg tells its session; all on the event loop they share.
protocol LegDelegate: AnyObject {
    /// Checked bytes of data frames, and application pings and pongs, to be forwarded as they came.
    func leg(_ leg: WebSocketLeg, forward bytes: ByteBuffer)
    func leg(_ leg: WebSocketLeg, message: PollMessage)
    /// A ping or pong that is not Culvert's own.
    func leg(_ leg: WebSocketLeg, control opcode: Opcode, frame: ByteBuffer)
    func leg(_ leg: WebSocketLeg, close frame: CloseFrame)
    func leg(_ leg: WebSocketLeg, violation code: CloseCode, why: String)
    func legReadComplete(_ leg: WebSocketLeg)
    func legLost(_ leg: WebSocketLeg)
    func leg(_ leg: WebSocketLeg, isWritable: Bool)
    /// The leg that gets what this one sends; nil when that is no WebSocket.
    func other(than leg: WebSocketLeg) -> WebSocketLeg?
    /// Whether whole messages are wanted now; only asked of a leg that assembles.
    func legWantsMessages(_ leg: WebSocketLeg) -> Bool
}

/// One WebSocket connection, the client's or the upstream's: checks what comes in, holds reads back, and puts frames
/// of Culvert's own only where a frame of the other side does not stand in the way.
final class WebSocketLeg: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Who sends the bytes that arrive here.
    let sender: Endpoint
    private(set) var scanner: FrameScanner
    /// Present where the session wants whole messages.
    private var assembler: MessageAssembler?
    /// Until the channel is gone: a weak reference would be paid for with every read.
    private var delegate: (any LegDelegate)?
    private var context: ChannelHandlerContext?

    /// Bytes that wait for the session to start, then a header or control frame that is not whole.
    private var carry = ByteBuffer()
    private var hasStarted = false
    private var isLost = false
    /// Nothing more is read off this leg's peer.
    private var isDeaf = false
    private var pauses: Set<PauseReason> = []
    private var isReadPending = false
    private var needsFlush = false

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
    }

    init(sender: Endpoint, scanner: FrameScanner, assembler: MessageAssembler? = nil) {
        self.sender = sender
        self.scanner = scanner
        self.assembler = assembler
        self.pauses = [.notStarted]
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
            delegate.legLost(self)
            self.delegate = nil
        }
    }

    var isPaused: Bool { !self.pauses.isEmpty }

    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    /// Bytes that wait to be written, by and large.
    var queuedBytes: Int { self.context?.channel.queuedBytes ?? 0 }

    /// Bytes of messages that are not whole, or not wanted yet.
    var assembledBytes: Int { self.assembler?.heldBytes ?? 0 }

    func write(_ bytes: ByteBuffer) {
        self.needsFlush = true
        self.context?.write(self.wrapOutboundOut(bytes), promise: nil)
    }

    func flush() {
        guard self.needsFlush else { return }
        self.needsFlush = false
        self.context?.flush()
    }

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

    /// The stream to this peer is at a boundary.
    func flushWaiting() {
        guard self.waiting.readableBytes > 0 else { return }
        let frames = self.waiting
        self.waiting = ByteBuffer()
        self.write(frames)
    }

    /// Closes once everything written is out.
    func close() {
        self.isDeaf = true
        guard let context = self.context else { return }
        self.flush()
        let channel = context.channel
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer())).whenComplete { _ in channel.close(promise: nil) }
    }

    /// Says no more, and closes when the peer has or after `grace`. A socket closed with bytes unread is reset, and a
    /// reset overtakes the Close frame that says why (RFC 6455 7.1.1, RFC 9112 9.6).
    func closeLingering(grace: TimeAmount) {
        self.turnDeaf()
        guard let context = self.context else { return }
        self.flush()
        let channel = context.channel
        context.eventLoop.scheduleTask(in: grace) { channel.close(promise: nil) }
    }

    /// Closes at once, whatever is unwritten.
    func abort() {
        self.isDeaf = true
        self.context?.close(promise: nil)
    }

    /// Ignores whatever else the peer sends. Reading goes on so that its end is seen.
    func turnDeaf() {
        self.isDeaf = true
        self.carry = ByteBuffer()
        self.pauses.removeAll()
        self.readIfWanted()
    }

    func pause(_ reason: PauseReason) {
        if !self.isDeaf { self.pauses.insert(reason) }
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
        // Who stood here before may have swallowed the read that was due.
        self.isReadPending = true
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.delegate = nil
    }

    func read(context: ChannelHandlerContext) {
        if self.pauses.isEmpty {
            context.read()
        } else {
            self.isReadPending = true
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if self.isDeaf { return }
        let bytes = self.unwrapInboundIn(data)
        guard self.hasStarted else {
            self.carry.writeImmutableBuffer(bytes)
            return
        }
        self.receive(bytes)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.delegate?.legReadComplete(self)
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.delegate?.leg(self, isWritable: context.channel.isWritable)
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.lose()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A reset, a TLS failure, an end without close_notify: the connection is of no more use, and its end is news
        // that channelInactive brings.
        context.close(promise: nil)
    }

    private func lose() {
        guard !self.isLost else { return }
        self.isLost = true
        guard self.hasStarted else { return }
        if self.assembler != nil, !self.isDeaf { self.drainMessages(all: true) }
        self.delegate?.legLost(self)
    }

    // MARK: - bytes in

    private func receive(_ bytes: ByteBuffer) {
        if self.assembler != nil {
            self.assembler?.append(bytes)
            self.drainMessages(all: false)
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

    private func control(_ header: FrameHeader, _ frame: ByteBuffer) {
        switch header.opcode {
        case .close:
            // The scanner has checked it.
            let close = frame.withUnsafeReadableBytes { try? FrameScanner.closeFrame($0, header) }
            self.delegate?.leg(self, close: close ?? CloseFrame(code: nil))
        case .pong where KeepalivePing.isOurs(frame, header):
            break
        default:
            self.delegate?.leg(self, control: header.opcode, frame: frame)
        }
    }

    /// Takes messages while the session wants them; it calls again when it wants more.
    func drainMessages(all: Bool = false) {
        guard let delegate = self.delegate else { return }
        while !self.isDeaf, all || delegate.legWantsMessages(self) {
            guard let event = self.assembler?.next() else { return }
            switch event {
            case .needMore: return
            case .message(let opcode, let payload):
                delegate.leg(self, message: PollMessage(opcode: opcode, payload: payload))
            case .control(.close, let payload):
                let close = try? CloseFrame.parse(payload: payload.readableBytesView)
                delegate.leg(self, close: close ?? CloseFrame(code: nil))
            case .control(let opcode, let payload):
                delegate.leg(self, control: opcode, frame: payload)
            case .violation(let code, let why):
                delegate.leg(self, violation: code, why: why)
                return
            }
        }
    }
}

extension LegDelegate {
    func wantsBoundary(from leg: WebSocketLeg) -> Bool { self.other(than: leg)?.wantsBoundary ?? false }

    func waitsForMessageEnd(from leg: WebSocketLeg) -> Bool { self.other(than: leg)?.waitsForMessageEnd ?? false }

    func reachedBoundary(from leg: WebSocketLeg) { self.other(than: leg)?.flushWaiting() }
}

extension Channel {
    /// Bytes that wait to be written, by and large: while the queue is full its high watermark, otherwise less than
    /// that and not counted.
    var queuedBytes: Int {
        guard self.isActive, !self.isWritable else { return 0 }
        return (try? self.syncOptions?.getOption(.writeBufferWaterMark).high) ?? 0
    }
}

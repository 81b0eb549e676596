import CulvertCore
import NIOCore

/// The end of a check by WebSocket: a ping if that is wanted, then Close 1000.
///
/// Frames of the server's own accord are read and dropped, up to ``mostDropped``. Its latest ping is answered.
final class WebSocketCheckHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let messageLimit = 1 << 30
    /// Bytes in front of the pong: a server that sends more has failed the check.
    static let mostDropped = 16 << 20

    private let pings: Bool
    private let verdict: EventLoopPromise<Void>
    private let payload: [UInt8] = (0..<8).map { _ in .random(in: .min ... .max) }
    /// No extension has been offered.
    private var scanner = FrameScanner(
        sender: .server, messageLimit: WebSocketCheckHandler.messageLimit, allowedRSV: 0, validateText: false)
    /// The beginning of a header or of a control frame.
    private var carry = ByteBuffer()
    private var hasPassed = false
    private var control = PeerControl()
    private var received = 0
    /// The connection is closed, and what still comes is of no interest.
    private var isOver = false

    init(pings: Bool, verdict: EventLoopPromise<Void>) {
        self.pings = pings
        self.verdict = verdict
    }

    func handlerAdded(context: ChannelHandlerContext) {
        guard self.pings else {
            self.pass(context)
            return
        }
        var frame = ByteBuffer()
        FrameWriter.write(
            .ping, payload: ByteBuffer(bytes: self.payload), mask: .random(in: .min ... .max), into: &frame)
        context.writeAndFlush(self.wrapOutboundOut(frame), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if self.isOver { return }
        var bytes = self.unwrapInboundIn(data)
        self.received += bytes.readableBytes
        if self.received > Self.mostDropped {
            self.fail(context, "more than \(Self.mostDropped) bytes without a pong")
            return
        }
        if self.carry.readableBytes > 0 {
            self.carry.writeImmutableBuffer(bytes)
            bytes = self.carry
            self.carry = ByteBuffer()
        }
        self.takeFrames(&bytes, context)
        self.takeControls(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.answerPing(context)
        context.fireChannelWritabilityChanged()
    }

    private func takeFrames(_ bytes: inout ByteBuffer, _ context: ChannelHandlerContext) {
        while true {
            let scan = bytes.withUnsafeReadableBytes { self.scanner.scan($0, stopAtBoundary: false) }
            bytes.moveReaderIndex(forwardBy: scan.accepted)
            switch scan.stop {
            case .end, .boundary: return
            case .incomplete:
                self.carry = ByteBuffer(bytes: bytes.readableBytesView)
                return
            case .violation(let code, let why):
                self.fail(context, "\(why) (\(code.rawValue))")
                return
            case .control(let header):
                guard let frame = bytes.readSlice(length: header.frameLength) else { return }
                self.take(header.opcode, frame.readableBytesView.dropFirst(header.headerLength), context)
                if self.isOver { return }
            }
        }
    }

    private func take(_ opcode: Opcode, _ payload: ByteBufferView, _ context: ChannelHandlerContext) {
        switch opcode {
        case .pong where !self.hasPassed && payload.elementsEqual(self.payload): self.pass(context)
        case .close where self.hasPassed:
            self.isOver = true
            context.close(promise: nil)
        case .close: self.fail(context, "Close in place of a pong")
        case .ping: self.control.received(ping: ByteBuffer(bytes: payload))
        default: break
        }
    }

    private func takeControls(_ context: ChannelHandlerContext) {
        guard !self.isOver, self.control.isNew(self.scanner.controls) else { return }
        self.answerPing(context)
        let new = self.control.take(self.scanner.controls)
        if self.control.charge(new.frames, now: .now()) != nil { self.fail(context, "too many pings and pongs") }
    }

    private func answerPing(_ context: ChannelHandlerContext) {
        // No frame follows our Close (RFC 6455 5.5.1).
        guard !self.hasPassed, !self.isOver,
            let pong = self.control.takePong(
                isWritable: context.channel.isWritable, mask: .random(in: .min ... .max))
        else { return }
        context.writeAndFlush(self.wrapOutboundOut(pong), promise: nil)
    }

    private func pass(_ context: ChannelHandlerContext) {
        self.hasPassed = true
        var frame = ByteBuffer()
        FrameWriter.close(CloseFrame(code: .normal, reason: ""), mask: .random(in: .min ... .max), into: &frame)
        context.writeAndFlush(self.wrapOutboundOut(frame), promise: nil)
        self.verdict.succeed()
    }

    private func fail(_ context: ChannelHandlerContext, _ reason: String) {
        self.isOver = true
        self.verdict.fail(CheckFailure(reason: reason))
        context.channel.readNoMore()
        context.close(promise: nil)
    }

    /// The server has ended its direction: no pong and no Close comes any more.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent {
            context.close(promise: nil)
            // TLS waits for a close_notify, which does not come either.
            context.channel.cut()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.verdict.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isOver = true
        self.verdict.fail(CheckFailure(reason: "the connection ended without a pong"))
        context.fireChannelInactive()
    }
}

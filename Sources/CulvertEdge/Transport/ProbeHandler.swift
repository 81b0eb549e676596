import CulvertCore
import NIOCore

/// Sends a few small messages back, so that a client learns whether a WebSocket's frames get through to the edge.
final class ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let time = TimeAmount.seconds(10)
    private static let longest = 1024
    /// The time that the client has to answer our Close.
    private static let closingTime = TimeAmount.seconds(2)

    private var assembler = MessageAssembler(sender: .client, messageLimit: ProbeHandler.longest, keepsPings: true)
    private var control = PeerControl()
    private var left = 4
    /// Most that is read for the client's answer to our Close.
    private static let mostDropped = 64 * 1024
    private var isClosing = false
    private var dropped = 0
    private var deadline: LoopTimers.Timer?
    /// It leads to no session, and counts among the handshakes as long as it lasts.
    private let place: ConnectionPlace

    private let timers: LoopTimers

    init(place: ConnectionPlace, timers: LoopTimers) {
        self.place = place
        self.timers = timers
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.deadline = self.timers.schedule(in: Self.time) { self.close(context, CloseFrame(code: .normal)) }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.timers.cancel(self.deadline) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isClosing else {
            self.dropped += self.unwrapInboundIn(data).readableBytes
            if self.dropped > Self.mostDropped { context.channel.cut() }
            return
        }
        self.assembler.append(self.unwrapInboundIn(data))
        self.takeMessages(context)
        self.takeControls(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.answerPing(context)
        context.fireChannelWritabilityChanged()
    }

    private func takeMessages(_ context: ChannelHandlerContext) {
        while !self.isClosing {
            switch self.assembler.next() {
            case .needMore, .noRoom: return
            case .message(let opcode, let payload): self.answer(context, opcode, payload)
            case .control(.close, let payload):
                let frame = try? CloseFrame.parse(payload: payload.readableBytesView)
                self.close(context, frame ?? CloseFrame(code: nil))
            case .control: break
            case .violation(let code, let why): self.refuse(context, CloseFrame(code: code, reason: why))
            }
        }
    }

    /// Answers the latest ping. A client that sends many of them is not probing.
    private func takeControls(_ context: ChannelHandlerContext) {
        guard !self.isClosing, self.control.isNew(self.assembler.controls) else { return }
        if let ping = self.assembler.takePing() { self.control.received(ping: ping) }
        self.answerPing(context)
        let new = self.control.take(self.assembler.controls)
        if self.control.charge(new.frames, now: .now()) != nil {
            self.refuse(context, CloseFrame(code: .policyViolation, reason: "too many pings and pongs"))
        }
    }

    private func answerPing(_ context: ChannelHandlerContext) {
        guard !self.isClosing,
            let pong = self.control.takePong(isWritable: context.channel.isWritable, mask: nil)
        else { return }
        context.writeAndFlush(self.wrapOutboundOut(pong), promise: nil)
    }

    /// The client has ended its direction. It reads our Close, where it has one to read.
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent { context.closeBehindOutput() }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// So few that a client which reads nothing has little kept for it.
    private func answer(_ context: ChannelHandlerContext, _ opcode: Opcode, _ payload: ByteBuffer) {
        var frame = ByteBuffer()
        FrameWriter.write(opcode, payload: payload, mask: nil, into: &frame)
        context.writeAndFlush(self.wrapOutboundOut(frame), promise: nil)
        self.left -= 1
        if self.left == 0 { self.close(context, CloseFrame(code: .normal)) }
    }

    private func close(_ context: ChannelHandlerContext, _ frame: CloseFrame) {
        let channel = context.channel
        self.say(context, frame)?.whenComplete { _ in channel.close(promise: nil) }
    }

    /// Ends our direction behind the Close, and closes with the client's: a socket closed with bytes unread is reset,
    /// and a reset overtakes the Close (RFC 6455 7.1.1).
    private func refuse(_ context: ChannelHandlerContext, _ frame: CloseFrame) {
        if self.say(context, frame) != nil { context.close(mode: .output, promise: nil) }
    }

    /// - Returns: done when the Close is written; nil when there was one before.
    private func say(_ context: ChannelHandlerContext, _ frame: CloseFrame) -> EventLoopFuture<Void>? {
        guard !self.isClosing else { return nil }
        self.isClosing = true
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: nil, into: &bytes)
        let channel = context.channel
        self.timers.cancel(self.deadline)
        self.deadline = self.timers.schedule(in: Self.closingTime) { channel.cut() }
        return context.writeAndFlush(self.wrapOutboundOut(bytes))
    }
}

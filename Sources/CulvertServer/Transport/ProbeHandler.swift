import CulvertCore
import NIOCore

/// Sends a few small messages back, so that a client learns whether a WebSocket's frames get through to the edge.
final class ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let time = TimeAmount.seconds(10)
    private static let longest = 1024
    /// For the client to answer our Close.
    private static let closingTime = TimeAmount.seconds(2)

    private var assembler = MessageAssembler(sender: .client, messageLimit: ProbeHandler.longest)
    private var left = 4
    private var isClosing = false
    private var deadline: Scheduled<Void>?
    /// It leads to no session, and counts among the handshakes as long as it lasts.
    private let place: ConnectionPlace?

    init(place: ConnectionPlace?) { self.place = place }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        self.deadline = context.eventLoop.scheduleTask(in: Self.time) {
            let (handler, context) = bound.value
            handler.close(context, CloseFrame(code: .normal))
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.deadline?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !self.isClosing else { return }
        self.assembler.append(self.unwrapInboundIn(data))
        while !self.isClosing {
            switch self.assembler.next() {
            case .needMore: return
            case .message(let opcode, let payload): self.answer(context, opcode, payload)
            case .control(.ping, let payload): self.answer(context, .pong, payload)
            case .control(.close, let payload):
                let frame = try? CloseFrame.parse(payload: payload.readableBytesView)
                self.close(context, frame ?? CloseFrame(code: nil))
            case .control: break
            case .violation(let code, let why): self.close(context, CloseFrame(code: code, reason: why))
            }
        }
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
        guard !self.isClosing else { return }
        self.isClosing = true
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: nil, into: &bytes)
        let channel = context.channel
        self.deadline?.cancel()
        self.deadline = context.eventLoop.scheduleTask(in: Self.closingTime) { channel.close(promise: nil) }
        context.writeAndFlush(self.wrapOutboundOut(bytes)).whenComplete { _ in channel.close(promise: nil) }
    }
}

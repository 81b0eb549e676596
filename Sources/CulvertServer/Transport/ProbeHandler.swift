import CulvertCore
import NIOCore

/// Sends a few small messages back, so that a client learns whether a WebSocket's frames get through to the edge.
final class ProbeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let time = TimeAmount.seconds(10)
    private static let longest = 1024

    private var assembler = MessageAssembler(sender: .client, messageLimit: ProbeHandler.longest)
    private var left = 4
    private var isClosing = false
    private var deadline: Scheduled<Void>?

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        self.deadline = context.eventLoop.scheduleTask(in: Self.time) {
            let (handler, context) = bound.value
            handler.close(context, CloseFrame(code: .normal))
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.deadline?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.assembler.append(self.unwrapInboundIn(data))
        while !self.isClosing {
            switch self.assembler.next() {
            case .needMore: return
            case .message(let opcode, let payload):
                self.write(context, opcode, payload)
                self.left -= 1
                if self.left == 0 { self.close(context, CloseFrame(code: .normal)) }
            case .control(.ping, let payload): self.write(context, .pong, payload)
            case .control(.close, let payload):
                let frame = try? CloseFrame.parse(payload: payload.readableBytesView)
                self.close(context, frame ?? CloseFrame(code: nil))
            case .control: break
            case .violation(let code, let why): self.close(context, CloseFrame(code: code, reason: why))
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func write(_ context: ChannelHandlerContext, _ opcode: Opcode, _ payload: ByteBuffer) {
        var frame = ByteBuffer()
        FrameWriter.write(opcode, payload: payload, mask: nil, into: &frame)
        context.writeAndFlush(self.wrapOutboundOut(frame), promise: nil)
    }

    private func close(_ context: ChannelHandlerContext, _ frame: CloseFrame) {
        guard !self.isClosing else { return }
        self.isClosing = true
        var bytes = ByteBuffer()
        FrameWriter.close(frame, mask: nil, into: &bytes)
        let channel = context.channel
        context.writeAndFlush(self.wrapOutboundOut(bytes)).whenComplete { _ in channel.close(promise: nil) }
    }
}

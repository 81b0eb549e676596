import CulvertCore
import NIOCore

/// The end of a check by WebSocket: a ping if that is wanted, then Close 1000.
///
/// What a server says of its own accord is read and dropped; the check's deadline bounds how much.
final class WebSocketCheckHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let messageLimit = 1 << 30

    private let pings: Bool
    private let verdict: EventLoopPromise<Void>
    private let payload: [UInt8] = (0..<8).map { _ in .random(in: .min ... .max) }
    /// No extension has been offered.
    private var scanner = FrameScanner(
        sender: .server, messageLimit: WebSocketCheckHandler.messageLimit, allowedRSV: 0, validateText: false)
    /// The beginning of a header or of a control frame.
    private var carry = ByteBuffer()
    private var hasPassed = false

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
        self.carry.writeImmutableBuffer(self.unwrapInboundIn(data))
        var bytes = self.carry
        self.carry = ByteBuffer()
        while true {
            let scan = bytes.withUnsafeReadableBytes { self.scanner.scan($0, stopAtBoundary: false) }
            bytes.moveReaderIndex(forwardBy: scan.accepted)
            switch scan.stop {
            case .end, .boundary: return
            case .incomplete:
                self.carry = bytes
                return
            case .violation(let code, let why):
                self.fail(context, "\(why) (\(code.rawValue))")
                return
            case .control(let header):
                guard let frame = bytes.readSlice(length: header.frameLength) else { return }
                self.take(header.opcode, frame.readableBytesView.dropFirst(header.headerLength), context)
            }
        }
    }

    private func take(_ opcode: Opcode, _ payload: ByteBufferView, _ context: ChannelHandlerContext) {
        switch opcode {
        case .pong where !self.hasPassed && payload.elementsEqual(self.payload): self.pass(context)
        case .close where self.hasPassed: context.close(promise: nil)
        case .close: self.fail(context, "Close in place of a pong")
        default: break
        }
    }

    private func pass(_ context: ChannelHandlerContext) {
        self.hasPassed = true
        var frame = ByteBuffer()
        FrameWriter.close(CloseFrame(code: .normal, reason: ""), mask: .random(in: .min ... .max), into: &frame)
        context.writeAndFlush(self.wrapOutboundOut(frame), promise: nil)
        self.verdict.succeed()
    }

    private func fail(_ context: ChannelHandlerContext, _ reason: String) {
        self.verdict.fail(CheckFailure(reason: reason))
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.verdict.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.verdict.fail(CheckFailure(reason: "the connection ended without a pong"))
        context.fireChannelInactive()
    }
}

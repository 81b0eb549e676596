import NIOCore

/// Tells the gate that something arrives: the decoder is silent until a header section is whole.
final class ArrivalHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let gate: GateHandler

    init(gate: GateHandler) {
        self.gate = gate
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.gate.bytesArrived()
        context.fireChannelRead(data)
    }
}

import CulvertCore
import NIOCore
import NIOSSL

/// Stands before TLS on a connection of a WebSocket that has been paused once, and cuts the connection when more records
/// come unasked than ``UnwantedRecords`` allows. A connection that is never paused does without it.
final class RecordGuard: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var records = UnwantedRecords()

    /// Adds a guard when `channel` speaks TLS. On the channel's event loop.
    static func add(to channel: any Channel) {
        let pipeline = channel.pipeline.syncOperations
        guard (try? pipeline.context(handlerType: NIOSSLHandler.self)) != nil else { return }
        try? pipeline.addHandler(RecordGuard(), position: .first)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if self.records.arrived(self.unwrapInboundIn(data)) {
            context.fireChannelRead(data)
        } else {
            context.channel.cut()
        }
    }

    func read(context: ChannelHandlerContext) {
        self.records.asked()
        context.read()
    }
}

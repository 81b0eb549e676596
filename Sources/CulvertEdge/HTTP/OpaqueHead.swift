import CulvertCore
import NIOCore
import NIOHTTP1

/// Restores the bytes of an upstream's fields that are not UTF-8, in the head of one answer to a client. It stands
/// behind the encoder for that head alone: few answers have such a field.
final class OpaqueHead: ChannelOutboundHandler, RemovableChannelHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// A handler calls this directly before it writes a head with `headers`.
    static func prepare(for headers: HTTPHeaders, in context: ChannelHandlerContext) {
        guard headers.contains(where: { $0.value.contains(byte: OpaqueBytes.mark) }) else { return }
        let pipeline = context.pipeline.syncOperations
        guard let encoder = try? pipeline.context(name: RequestPipeline.encoder).handler else { return }
        try? pipeline.addHandler(OpaqueHead(), position: .before(encoder))
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        context.write(self.wrapOutboundOut(OpaqueBytes.restored(self.unwrapOutboundIn(data))), promise: promise)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}

import NIOCore
import NIOHTTP1

/// Puts the handler of another protocol in the place of all that speaks HTTP (RFC 9110 7.8), in three steps:
/// ``answer(_:date:)``, ``enter(_:)`` and ``remove(_:)``. A ``ClientConnection`` makes it for an upgrade, and ends its
/// request before the last step. Used on the connection's loop.
struct ProtocolSwitch {
    /// Of the connection's handler.
    let context: ChannelHandlerContext
    let feeder: RequestFeeder

    /// Answers 101.
    ///
    /// - Parameter date: the value of `Date`.
    /// - Returns: false when a reset was there before the answer. The feeder has kept the news of it for the other
    ///   protocol.
    func answer(_ fields: HTTPHeaders, date: String) -> Bool {
        var headers = fields
        headers.addDate(date)
        let parts = AnswerParts(context: self.context)
        parts.writeHead(.switchingProtocols, headers)
        parts.writeAndFlush(.end(nil))
        return self.context.channel.isActive
    }

    func enter(_ handler: any ChannelHandler) throws {
        try self.context.pipeline.syncOperations.addHandler(handler)
        try self.context.channel.syncOptions?.setOption(.recvAllocator, value: ConnectionReads.allocator)
    }

    /// Takes away `connection`, and what speaks HTTP for it. The decoder leaves a tick later; then the feeder gives what
    /// it holds to the handler, and leaves too.
    ///
    /// - Returns: done when the feeder has left.
    func remove(_ connection: any RemovableChannelHandler) -> EventLoopFuture<Void> {
        let feeder = self.feeder
        let pipeline = self.context.pipeline.syncOperations
        pipeline.removeHandler(connection, promise: nil)
        pipeline.removeHandler(name: RequestPipeline.encoder, promise: nil)
        return pipeline.removeHandler(name: RequestPipeline.decoder).assumeIsolated().map { feeder.release() }
            .nonisolated()
    }
}

import Glibc
import NIOCore
import NIOPosix

/// Has the slices of a loop run after the loop's sockets have had their turn. It is the handler of a pipe, which the loop
/// reads as it reads its sockets. ``LoopSlices`` has one for each loop, and calls it on that loop.
///
/// A timer alone cannot do this. NIO looks at the sockets when no task is left and no timer is due. A slice leaves tasks
/// behind, and other loops send more, so that the timer of the next slice may be due before the last of them has run.
final class TurnSignal: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private static let byte = ByteBuffer(integer: UInt8(0))

    private var slices: LoopSlices?
    private var context: ChannelHandlerContext?

    init(_ slices: LoopSlices) { self.slices = slices }

    /// Has the next slice run once the sockets have had their turn.
    ///
    /// - Returns: false when the pipe is closed, because the loop stops.
    func request() -> Bool {
        guard let context = self.context, context.channel.isActive else { return false }
        context.writeAndFlush(NIOAny(Self.byte), promise: nil)
        return true
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        self.slices?.signal = self
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { self.slices?.run() }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.slices?.signal = nil
        self.slices = nil
    }
}

extension LoopSlices {
    /// Opens the pipe by which the slices run. On the loop.
    ///
    /// - Returns: done when they do. The future fails with an `IOError` when the process has no descriptor for the pipe.
    func openSignal() -> EventLoopFuture<Void> {
        var ends: [CInt] = [-1, -1]
        guard pipe(&ends) == 0 else { return self.loop.makeFailedFuture(IOError(errnoCode: errno, reason: "pipe")) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        return NIOPipeBootstrap(group: self.loop)
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(TurnSignal(bound.value))
                }
            }
            .takingOwnershipOfDescriptors(input: ends[0], output: ends[1])
            .map { _ in }
    }
}

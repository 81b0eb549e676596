import CulvertCore
import NIOCore

/// A handler that writes frames to one WebSocket peer: as they come, copied together while the peer takes less.
///
/// Writing may change the channel's writability at once, and that may lead to another write. So the queue is never
/// borrowed while the channel is called.
protocol QueuedOutput: AnyObject {
    var context: ChannelHandlerContext? { get }
    var queue: OutgoingQueue { get set }
    /// Something was written that was not flushed.
    var needsFlush: Bool { get set }
    /// More or less waits to be written, by some KiB. Called only while the peer takes less than it is sent.
    func queueChanged()
}

extension QueuedOutput {
    /// Bytes that wait until the peer takes them; 0 once the connection has ended, because they will not be written.
    var queuedBytes: Int {
        guard let channel = self.context?.channel, channel.isActive else { return 0 }
        return channel.bufferedBytes + self.queue.tailBytes
    }

    @inline(__always)
    func write(_ bytes: ByteBuffer) {
        guard let context = self.context else { return }
        self.needsFlush = true
        if self.queue.passes(bytes) {
            context.write(NIOAny(bytes), promise: nil)
        } else {
            let (first, second) = self.queue.keep(bytes)
            if let first { context.write(NIOAny(first), promise: nil) }
            if let second { context.write(NIOAny(second), promise: nil) }
        }
    }

    @inline(__always)
    func flush() {
        guard self.needsFlush, let context = self.context else { return }
        self.needsFlush = false
        context.flush()
        if self.queue.wantsLook { self.look(context) }
        if self.queue.isBacklogged { self.queueChanged() }
    }

    private func look(_ context: ChannelHandlerContext) {
        if self.queue.looked(held: context.channel.bufferedBytes) { self.mark(context) }
    }

    /// Tells when all that is written so far is out.
    private func mark(_ context: ChannelHandlerContext) {
        let out = context.writeAndFlush(NIOAny(ByteBuffer()))
        out.assumeIsolated().whenSuccess { [weak self] in self?.drained() }
    }

    private func drained() {
        guard let context = self.context else { return }
        if let tail = self.queue.takeTail() {
            context.write(NIOAny(tail), promise: nil)
            self.mark(context)
        } else {
            self.look(context)
        }
        self.queueChanged()
    }

    /// Writes all that waits, for the end of the connection.
    func finishOutput() {
        guard let context = self.context else { return }
        if let tail = self.queue.takeTail() { context.write(NIOAny(tail), promise: nil) }
        self.needsFlush = false
        context.flush()
    }
}

extension Channel {
    /// Bytes that the connection holds until its socket takes them, those of TLS included. On its event loop.
    var bufferedBytes: Int { (try? self.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }
}

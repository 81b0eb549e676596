import CulvertCore
import NIOCore

/// The part of a WebSocket's handler that writes frames to its peer: as they come, copied together while the peer takes
/// less. It is on the connection's event loop.
///
/// Writing may change the channel's writability at once, and that may lead to another write. So the queue is never
/// borrowed while the channel is called. A base class, since the requirements of a protocol would make each access to
/// these members one that Swift checks while the program runs.
class QueuedOutput {
    /// The context of the subclass, which sets it while it is in a pipeline.
    final var context: ChannelHandlerContext?
    private var queue = OutgoingQueue()
    /// Something was written that was not flushed.
    private var needsFlush = false

    /// More or less waits to be written, by some KiB. Called only while the peer takes less than it is sent.
    func queueChanged() {}

    /// The number of bytes that wait until the peer takes them. It is 0 once the connection has ended, because no more
    /// is written then.
    final var queuedBytes: Int {
        guard let channel = self.context?.channel, channel.isActive else { return 0 }
        return channel.bufferedBytes + self.queue.tailBytes
    }

    @inline(__always)
    final func write(_ bytes: ByteBuffer) {
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
    final func flush() {
        guard self.needsFlush, let context = self.context else { return }
        self.needsFlush = false
        context.flush()
        if self.queue.wantsLook { self.look(context) }
        if self.queue.isBacklogged { self.queueChanged() }
    }

    /// Asks the connection what it holds, if anything was written since it was asked last: at times, so that what a
    /// peer leaves unread is known though nothing more is written to it.
    final func look() {
        if self.queue.isUnknown, let context = self.context { self.look(context) }
        if self.queue.isBacklogged { self.queueChanged() }
    }

    private func look(_ context: ChannelHandlerContext) {
        if self.queue.looked(held: context.channel.bufferedBytes) { self.mark(context) }
    }

    /// Tells when all that is written so far is out.
    private func mark(_ context: ChannelHandlerContext) {
        let out = context.writeAndFlush(NIOAny(ByteBuffer()))
        // Not weak: the first weak reference makes every later count of references slower, and a write ends with its
        // connection.
        out.assumeIsolated().whenSuccess { self.drained() }
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
    final func finishOutput() {
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

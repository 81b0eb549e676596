import CulvertCore
import NIOCore

/// The part of a WebSocket's handler that writes frames to its peer: as they come, copied together while the peer takes
/// less, and frames of Culvert's own only between those of the other side. It is on the connection's event loop.
///
/// Writing may change the channel's writability at once, and that may lead to another write. So the queue is never
/// borrowed while the channel is called. A base class, since the requirements of a protocol would make each access to
/// these members one that Swift checks while the program runs. Members that are touched with each message, here and in
/// the subclass, are `@exclusivity(unchecked)`: docs/decisions says why that is safe.
class QueuedOutput {
    /// The context of the subclass, which sets it while it is in a pipeline.
    @exclusivity(unchecked) final var context: ChannelHandlerContext?
    @exclusivity(unchecked) private var queue = OutgoingQueue()
    /// Something was written that was not flushed.
    @exclusivity(unchecked) private var needsFlush = false
    /// TLS encrypts all that is flushed at once into one buffer, and keeps it as large as it once was.
    private let isSecure: Bool
    /// Bytes that were written into TLS since the last flush.
    @exclusivity(unchecked) private var unflushed = 0
    @exclusivity(unchecked) private var kept = KeptBuffers()
    @exclusivity(unchecked) private var ownFrames = OwnFrames()

    /// - Parameter isSecure: the connection is one of TLS.
    init(isSecure: Bool) { self.isSecure = isSecure }

    /// More or less waits to be written, by some KiB. Called only while the peer takes less than it is sent.
    func queueChanged() {}

    /// The number of bytes that wait until the peer takes them. It is 0 once the connection has ended, because no more
    /// is written then.
    final var queuedBytes: Int {
        // The question costs as much as a message does.
        guard !self.queue.isEmpty, let channel = self.context?.channel, channel.isActive else { return 0 }
        return channel.bufferedBytes + self.queue.tailBytes
    }

    /// The number of bytes of buffers that the connection keeps until it is closed.
    final var keptBytes: Int { self.context?.channel.isActive == true ? self.kept.bytes : 0 }

    final var isWritable: Bool { self.context?.channel.isWritable ?? false }

    /// So many bytes came in one read.
    @inline(__always)
    final func noteRead(_ count: Int) {
        if self.kept.read(count) { self.queueChanged() }
    }

    @inline(__always)
    final func write(_ bytes: ByteBuffer) {
        guard let context = self.context else { return }
        self.needsFlush = true
        if self.queue.passes(bytes) {
            self.pass(bytes, context)
        } else {
            let (first, second) = self.queue.keep(bytes)
            if let first { self.pass(first, context) }
            if let second { self.pass(second, context) }
        }
    }

    @inline(__always)
    private func pass(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        guard self.isSecure else {
            context.write(NIOAny(bytes), promise: nil)
            return
        }
        self.unflushed += bytes.readableBytes
        if self.unflushed <= KeptBuffers.flush {
            context.write(NIOAny(bytes), promise: nil)
        } else {
            self.passInPieces(bytes, context)
        }
    }

    private func passInPieces(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        var rest = bytes
        var room = max(0, KeptBuffers.flush - (self.unflushed - bytes.readableBytes))
        while rest.readableBytes > room, let piece = rest.readSlice(length: room) {
            context.writeAndFlush(NIOAny(piece), promise: nil)
            room = KeptBuffers.flush
        }
        context.write(NIOAny(rest), promise: nil)
        self.unflushed = rest.readableBytes
        if self.kept.flushed(KeptBuffers.flush) { self.queueChanged() }
    }

    @inline(__always)
    final func flush() {
        guard self.needsFlush, let context = self.context else { return }
        self.needsFlush = false
        context.flush()
        self.noteFlush()
        if self.queue.wantsLook { self.look(context) }
        if self.queue.isBacklogged { self.queueChanged() }
    }

    @inline(__always)
    private func noteFlush() {
        guard self.isSecure else { return }
        let isMore = self.kept.flushed(self.unflushed)
        self.unflushed = 0
        if isMore { self.queueChanged() }
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
            self.pass(tail, context)
            self.mark(context)
        } else {
            self.look(context)
        }
        self.queueChanged()
    }

    // MARK: - frames of Culvert's own

    /// Frames of ours wait for the end of a frame of the other side.
    final var wantsBoundary: Bool { self.ownFrames.areWaiting }

    /// They wait for the end of a message.
    final var waitsForMessageEnd: Bool { self.ownFrames.waitForMessageEnd }

    /// Nothing of ours follows the Close that was said, even if that still waits.
    final var hasSaidClose: Bool { self.ownFrames.haveSaidClose }

    /// Writes a frame of ours now, or at the next boundary of what the other side is sending here.
    ///
    /// - Parameters:
    ///   - other: of those bytes; nil if all that is written here is ours.
    ///   - betweenMessages: between fragments is not good enough.
    final func inject(_ frame: ByteBuffer, behind other: FrameScanner?, betweenMessages: Bool = false) {
        guard self.ownFrames.passes(frame, behind: other, betweenMessages: betweenMessages) else { return }
        self.write(frame)
        self.flush()
    }

    /// Does the same as ``inject(_:behind:betweenMessages:)`` with the Close. No pong follows it.
    final func say(_ close: ByteBuffer, behind other: FrameScanner?, betweenMessages: Bool) {
        self.ownFrames.sayClose()
        self.inject(close, behind: other, betweenMessages: betweenMessages)
    }

    /// The stream to this peer is at a boundary.
    final func flushWaiting() {
        guard let frames = self.ownFrames.take() else { return }
        self.write(frames)
        if self.ownFrames.takeLast() { self.endOutput() }
    }

    /// Frames of ours that wait for the end of a frame are not said any more.
    final func dropWaiting() { self.ownFrames.drop() }

    // MARK: - the end

    /// Ends our direction behind the frames of ours that wait, or now. A peer that knows that nothing more comes need not
    /// wait for the end of the connection (RFC 6455 7.1.1).
    final func endOutputAtBoundary() {
        if self.ownFrames.beLast() { return }
        self.endOutput()
    }

    /// Ends our direction behind what is written.
    func endOutput() {
        self.finishOutput()
        self.context?.close(mode: .output, promise: nil)
    }

    /// Writes all that waits, for the end of the connection.
    final func finishOutput() {
        guard let context = self.context else { return }
        if let tail = self.queue.takeTail() { self.pass(tail, context) }
        self.needsFlush = false
        context.flush()
        self.noteFlush()
    }
}

extension Channel {
    /// Bytes that the connection holds until its socket takes them, those of TLS included. On its event loop.
    var bufferedBytes: Int { (try? self.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0 }
}

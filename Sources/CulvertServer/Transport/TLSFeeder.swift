import CulvertCore
import NIOCore
import NIOTLS

/// Stands before TLS and feeds it: with every step of the handshake in its turn, and later with the records of a read,
/// which pass in parts where there are many (``TLSTurns``). Nothing more is read while bytes wait here.
///
/// TLS decrypts all that it is given at once, before any handler behind it sees a byte, and content of one byte costs
/// it as much as some KiB. A connection of a WebSocket does with a ``RecordWatch`` instead as long as it is neither
/// paused nor brings many records in one read.
final class TLSFeeder: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Records that still pass when the connection has ended: the end is not held up for the others.
    private static let lastRecords = 16
    /// Bytes that wait here at most in front of a peer's end; then they count as unasked.
    private static let mostAwaited = 512 * 1024

    private let turns: TLSTurns
    private let memory: SessionMemory
    /// Stands behind TLS on a client's connection that speaks HTTP, and counts what TLS keeps.
    private var feeder: RequestFeeder?
    private var hold: MemoryHold
    private var records: RecordFollower
    private var meter = RecordMeter()
    private var unwanted = UnwantedRecords()
    private var isEstablished: Bool
    private var context: ChannelHandlerContext?
    /// Bytes that wait for a slice.
    private var held = ByteBuffer()
    private var isQueued = false
    private var isPassing = false
    /// The channel would read, and may not yet.
    private var wantsRead = false
    /// The peer has ended its direction behind the bytes that wait.
    private var isInputClosed = false
    /// A ``RecordWatch`` takes this handler's place once nothing waits.
    private var isLeaving = false
    /// The WebSocket has been paused, and this handler does not leave.
    private var stays = false

    /// Before the handshake.
    ///
    /// - Parameter feeder: stands behind TLS; nil on a connection to a server.
    init(_ turns: TLSTurns, memory: SessionMemory, feeder: RequestFeeder?) {
        self.turns = turns
        self.memory = memory
        self.feeder = feeder
        self.hold = MemoryHold(memory, isRequest: true)
        self.records = RecordFollower()
        self.isEstablished = false
    }

    /// For a WebSocket, in the place of its watch.
    ///
    /// - Parameters:
    ///   - records: as far as TLS has been fed.
    ///   - isRead: a read was asked for, which brings the next bytes.
    init(_ turns: TLSTurns, memory: SessionMemory, records: RecordFollower, isRead: Bool) {
        self.turns = turns
        self.memory = memory
        self.hold = MemoryHold(memory)
        self.records = records
        self.isEstablished = true
        if isRead { self.unwanted.asked() }
    }

    // MARK: - for what stands behind TLS

    /// Bytes of memory that TLS keeps of records without an end.
    var keptMemory: Int { self.meter.memory }

    /// TLS has given the content of all records that are whole.
    func plaintextCame() { self.meter.plaintextCame() }

    /// The handshake is over.
    func established() { self.isEstablished = true }

    /// The connection is a WebSocket from now on.
    func leave() {
        self.feeder = nil
        self.isLeaving = true
        self.hold.handToSession()
        self.leaveIfDone()
    }

    /// The connection, of a WebSocket, is paused.
    func stay() { self.stays = true }

    private func leaveIfDone() {
        guard self.isLeaving, !self.stays, !self.isPassing, self.held.readableBytes == 0, let context = self.context
        else { return }
        let pipeline = context.pipeline.syncOperations
        let watch = RecordWatch(self.turns, memory: self.memory, records: self.records)
        try? pipeline.addHandler(watch, position: .before(self))
        pipeline.removeHandler(context: context, promise: nil)
    }

    // MARK: - handler

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.feeder = nil
        self.drop()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        guard self.isAwaited || self.unwanted.arrived(bytes) else {
            self.drop()
            context.channel.cut()
            return
        }
        if self.held.readableBytes > 0 || self.isPassing {
            // A read that was under way already, or what was in the socket in front of its end.
            self.held.writeBuffer(&bytes)
            self.account()
            return
        }
        if self.isEstablished {
            self.receive(bytes, context)
        } else {
            self.held = bytes
            if self.turns.mayStep {
                self.turns.step { self.pass(most: TLSTurns.pieceOfRecords) }
                self.settle()
            } else {
                self.goOnLater()
            }
        }
    }

    /// The handlers behind TLS would read more, and this handler alone holds the read back. At the end of its stream
    /// NIO reads the socket empty all the same.
    private var isAwaited: Bool { self.wantsRead && self.held.readableBytes <= Self.mostAwaited }

    func channelReadComplete(context: ChannelHandlerContext) {
        // TLS gives plaintext now.
        context.fireChannelReadComplete()
        self.feeder?.recordsCame()
    }

    func read(context: ChannelHandlerContext) {
        if self.held.readableBytes > 0 || self.isPassing {
            self.wantsRead = true
        } else {
            self.unwanted.asked()
            context.read()
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent, self.held.readableBytes > 0 {
            // TLS must not have it in front of the bytes that wait.
            self.isInputClosed = true
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // The handlers go in a tick, and there is no other time. Of a handshake nothing would come any more.
        if self.isEstablished { self.pass(most: Self.lastRecords) }
        self.drop()
        self.isInputClosed = false
        context.fireChannelInactive()
    }

    // MARK: - to TLS

    /// A read of an established connection, with nothing in front of it.
    private func receive(_ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        var ahead = self.records
        let isWelcome = bytes.withUnsafeReadableBytes { (all) -> Bool in
            let (few, _) = ahead.follow(all, most: TLSTurns.fewRecords)
            guard few < all.count else { return true }
            let (_, more) = ahead.follow(UnsafeRawBufferPointer(rebasing: all[few...]))
            return self.turns.mayPass(TLSTurns.fewRecords + more)
        }
        if isWelcome {
            self.records = ahead
            if self.feeder != nil { self.meter.arrived(bytes) }
            context.fireChannelRead(self.wrapInboundOut(bytes))
        } else {
            self.held = bytes
            self.goOnLater()
        }
    }

    private func goOnLater() {
        self.account()
        guard !self.isQueued else { return }
        self.isQueued = true
        let goOn = {
            self.isQueued = false
            self.pass(most: TLSTurns.pieceOfRecords)
            self.settle()
        }
        guard self.isEstablished else {
            self.turns.enqueueStep(goOn)
            return
        }
        // A WebSocket, and a connection to a server, are behind the gate.
        self.turns.enqueueRecords(in: self.feeder == nil ? .sessions : .strangers, goOn)
    }

    /// Feeds TLS with the first records that wait, as many as `most`.
    private func pass(most: Int) {
        guard !self.isPassing, self.held.readableBytes > 0, let context = self.context else { return }
        let (length, _) = self.held.withUnsafeReadableBytes { self.records.follow($0, most: most) }
        guard let part = self.held.readSlice(length: length) else { return }
        if self.held.readableBytes == 0 { self.held = ByteBuffer() }
        self.isPassing = true
        if self.feeder != nil { self.meter.arrived(part) }
        context.fireChannelRead(self.wrapInboundOut(part))
        context.fireChannelReadComplete()
        self.feeder?.recordsCame()
        self.isPassing = false
    }

    /// Goes on with what waits, or as if nothing had waited.
    private func settle() {
        guard self.held.readableBytes == 0 else {
            self.goOnLater()
            return
        }
        self.account()
        guard let context = self.context else { return }
        if self.isInputClosed {
            self.isInputClosed = false
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        }
        if self.wantsRead {
            self.wantsRead = false
            self.unwanted.asked()
            context.read()
        }
        self.leaveIfDone()
    }

    private func account() { _ = self.hold.set(self.held.readableBytes > 0 ? self.held.storageCapacity : 0) }

    private func drop() {
        self.held = ByteBuffer()
        self.hold.release()
    }
}

/// Stands behind TLS until the handshake is over, tells the feeder so, and leaves.
final class HandshakeEnd: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let feeder: TLSFeeder

    init(_ feeder: TLSFeeder) { self.feeder = feeder }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted? = event as? TLSUserEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        self.feeder.established()
        context.fireUserInboundEventTriggered(event)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
}

import CulvertCore
import NIOCore

/// How many TLS handshakes begin in one turn of a loop. Others wait, and begin in slices. Bound to that loop.
///
/// A client may open many connections and begin TLS on all of them in the same moment. Each costs the loop a signature,
/// some 0.2 ms, and NIO gives everything that has arrived its turn before it looks at the sockets again.
final class HandshakeTurns {
    private static let mostInTurn = 16

    private let loop: any EventLoop
    private let slices: LoopSlices
    private var begun = 0

    init(loop: any EventLoop, slices: LoopSlices) {
        self.loop = loop
        self.slices = slices
    }

    /// Calls `work` now or in a later turn.
    fileprivate func begin(_ work: @escaping () -> Void) {
        if self.begun == 0 {
            // Tasks run once the sockets have had their turn.
            let bound = NIOLoopBound(self, eventLoop: self.loop)
            self.loop.execute { bound.value.begun = 0 }
        }
        self.begun += 1
        if self.begun <= Self.mostInTurn {
            work()
        } else {
            self.slices.enqueue(work)
        }
    }
}

/// Stands before TLS on a client's connection, and holds the first bytes until the handshake may begin. Nothing more is
/// read meanwhile. Then it has the bytes counted that TLS keeps, until the connection is a WebSocket.
final class HandshakeTurn: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let turns: HandshakeTurns
    private let feeder: RequestFeeder
    private var records = RecordMeter()
    private var unwanted = UnwantedRecords()
    private var hasBegun = false
    private var context: ChannelHandlerContext?
    private var held: ByteBuffer?
    /// The channel would read, and may not yet.
    private var wantsRead = false

    /// - Parameter feeder: stands behind TLS, and has counted what TLS keeps.
    init(_ turns: HandshakeTurns, feeder: RequestFeeder) {
        self.turns = turns
        self.feeder = feeder
    }

    // MARK: - for the feeder

    /// Bytes of memory that TLS keeps of records without an end.
    var keptMemory: Int { self.records.memory }

    /// TLS has given the content of all records that are whole.
    func plaintextCame() { self.records.plaintextCame() }

    /// The connection is a WebSocket from now on, and needs no meter.
    func leave() {
        guard let context = self.context else { return }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    // MARK: - handler

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.held = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        guard self.unwanted.arrived(bytes) else {
            context.channel.cut()
            return
        }
        self.records.arrived(bytes)
        guard !self.hasBegun else {
            context.fireChannelRead(data)
            return
        }
        guard self.held == nil else {
            // A read that was under way already.
            self.held?.writeBuffer(&bytes)
            return
        }
        self.held = bytes
        self.turns.begin { self.pass() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // TLS gives plaintext now.
        context.fireChannelReadComplete()
        self.feeder.recordsCame()
    }

    func read(context: ChannelHandlerContext) {
        if self.held == nil {
            self.unwanted.asked()
            context.read()
        } else {
            self.wantsRead = true
        }
    }

    private func pass() {
        guard let context = self.context, let bytes = self.held else { return }
        self.held = nil
        self.hasBegun = true
        context.fireChannelRead(self.wrapInboundOut(bytes))
        context.fireChannelReadComplete()
        // TLS may have ended the connection.
        guard self.context != nil, self.wantsRead else { return }
        self.wantsRead = false
        self.unwanted.asked()
        context.read()
    }
}

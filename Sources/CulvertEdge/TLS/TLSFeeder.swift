import CulvertCore
import NIOCore
import NIOTLS

/// Stands behind TLS, and is told of reads. Called on the connection's loop.
protocol RecordObserver: AnyObject {
    /// The client under whose key the connection's steps and records take turns.
    var client: AddressKey { get }

    /// TLS has had a read, and may keep the beginning of a record.
    func recordsCame()

    /// A step of the handshake has waited for longer than ``TLSFeeder/longWait``.
    func handshakeIsLate()

    /// The handshake is cut to make room for a newer one.
    func handshakeMakesRoom()

    /// What waits for TLS has grown while the process is over its ceiling of memory.
    ///
    /// - Parameter isCut: the connection ends for it. Otherwise it holds little, and memory is to be found elsewhere.
    func memoryIsShort(isCut: Bool)
}

/// Stands in front of TLS and feeds it: with each step of the handshake in its turn, and later with the records of a
/// read, many of them in parts (``TLSTurns``). The connection is not read while bytes wait here.
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
    /// A read that finds more bytes of a handshake waiting here ends the connection. The longest first message fits.
    private static let mostOfHandshake = ClientHelloReader.limit
    /// Bytes that may wait while memory is short: the longest read of a client that speaks HTTP, and of others.
    private static let mostWhenShort = (http: 16 * 1024, other: 32 * 1024)
    /// A handshake that has waited so long for its turns is told in the log.
    static let longWait = TimeAmount.seconds(1)

    private struct Handshake {
        /// The line in which its steps wait.
        let line: LoopSlices.Line
        var isOver = false
        /// Set when TLS sends its first bytes.
        var hasAnswered = false
        /// TLS has sent bytes since the client was waited for last. Bytes of a message that is not whole bring none.
        var isAnswerNew = false
        /// Its place among the handshakes of clients that are under way, from its first bytes on.
        var place: HandshakePlaces.Number?
    }

    private struct Flow {
        /// The bytes that wait have their turn in a slice, or when the handshake has a place.
        var isQueued = false
        /// The handshake waits for a place.
        var isParked = false
        /// TLS is being fed.
        var isPassing = false
        /// The channel would read, and may not yet.
        var wantsRead = false
        /// The peer has ended its direction behind the bytes that wait.
        var isInputClosed = false
    }

    private enum Departure {
        case notYet
        /// A ``RecordWatch`` takes this handler's place once nothing waits.
        case due
        /// The WebSocket has been paused, and this handler stays.
        case never
    }

    private let turns: TLSTurns
    private let memory: SessionMemory
    /// The client whose turns the steps and records take. While there is an observer, it knows better.
    private(set) var client: AddressKey
    /// Stands behind TLS on a client's connection that speaks HTTP, and counts what TLS keeps.
    private var observer: (any RecordObserver)?
    private var hold: MemoryHold
    private var delay: EdgeDelay
    private var records: RecordFollower
    private var meter = RecordMeter()
    private var unwanted = UnwantedRecords()
    private var handshake: Handshake
    private var context: ChannelHandlerContext?
    /// Bytes that wait for a slice.
    private var held = ByteBuffer()
    private var flow = Flow()
    private var departure = Departure.notYet

    /// Before the handshake.
    ///
    /// - Parameters:
    ///   - line: in which the steps of the handshake wait.
    ///   - client: for whom a connection to a server is opened.
    ///   - observer: stands behind TLS; nil on a connection to a server.
    init(
        _ turns: TLSTurns, line: LoopSlices.Line, memory: SessionMemory, client: AddressKey = .none,
        observer: (any RecordObserver)?
    ) {
        self.turns = turns
        self.client = client
        self.memory = memory
        self.observer = observer
        self.hold = MemoryHold(memory, isRequest: true)
        self.delay = EdgeDelay(start: turns.now)
        self.records = RecordFollower()
        self.handshake = Handshake(line: line)
    }

    /// Makes a feeder for a WebSocket, which replaces its watch.
    ///
    /// - Parameters:
    ///   - client: the client of the WebSocket's session.
    ///   - records: as far as TLS has been fed.
    ///   - isRead: a read was asked for, which brings the next bytes.
    init(_ turns: TLSTurns, memory: SessionMemory, client: AddressKey, records: RecordFollower, isRead: Bool) {
        self.turns = turns
        self.client = client
        self.memory = memory
        self.hold = MemoryHold(memory)
        self.delay = EdgeDelay(start: turns.now)
        self.records = records
        self.handshake = Handshake(line: .sessions, isOver: true)
        if isRead { self.unwanted.asked() }
    }

    // MARK: - for what stands behind TLS

    /// Bytes of memory that TLS keeps of records without an end.
    var keptMemory: Int { self.meter.memory }

    /// Bytes of memory that wait for TLS.
    var waitingMemory: Int { self.held.readableBytes > 0 ? self.held.storageCapacity : 0 }

    /// Why the edge itself, and not the peer, has kept the connection from going on; nil when it has not.
    var shortage: String? { self.delay.shortage(self.turns.now) }

    /// TLS has given the content of all records that are whole.
    func plaintextCame() { self.meter.plaintextCame() }

    /// The handshake is over.
    func established() {
        self.handshake.isOver = true
        self.leavePlace()
        self.account()
    }

    /// The handshake gives up its place to a newer one.
    func makeRoom() {
        self.handshake.place = nil
        self.observer?.handshakeMakesRoom()
        self.cut()
    }

    private func leavePlace() {
        guard let place = self.handshake.place else { return }
        self.handshake.place = nil
        self.turns.end(place)
    }

    /// The connection is a WebSocket from now on.
    func leave() {
        if let observer = self.observer { self.client = observer.client }
        self.observer = nil
        if self.departure == .notYet { self.departure = .due }
        self.hold.handToSession()
        self.leaveIfDone()
    }

    /// The connection, of a WebSocket, is paused.
    func stay() { self.departure = .never }

    private func leaveIfDone() {
        guard self.departure == .due, !self.flow.isPassing, self.held.readableBytes == 0, let context = self.context
        else { return }
        let pipeline = context.pipeline.syncOperations
        let watch = RecordWatch(self.turns, memory: self.memory, client: self.client, records: self.records)
        try? pipeline.addHandler(watch, position: .before(self))
        pipeline.removeHandler(context: context, promise: nil)
    }

    // MARK: - handler

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.observer = nil
        self.drop()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        guard self.isAwaited || self.unwanted.arrived(bytes),
            self.handshake.isOver || self.held.readableBytes <= Self.mostOfHandshake
        else {
            self.cut()
            return
        }
        if self.held.readableBytes > 0 || self.flow.isPassing {
            // A read that was under way already, or what was in the socket in front of its end.
            self.held.writeBuffer(&bytes)
            self.account()
            return
        }
        if self.handshake.isOver {
            self.receive(bytes, context)
        } else {
            self.held = bytes
            guard self.takePlace() else { return }
            if self.turns.mayStep(in: self.handshake.line) {
                self.turns.step { self.pass(most: TLSTurns.pieceOfRecords) }
                self.settle()
            } else {
                self.goOnLater()
            }
        }
    }

    /// The handlers behind TLS would read more, and this handler alone holds the read back. At the end of its stream
    /// NIO reads the socket empty all the same.
    private var isAwaited: Bool { self.flow.wantsRead && self.held.readableBytes <= Self.mostAwaited }

    func channelReadComplete(context: ChannelHandlerContext) {
        // TLS gives plaintext now.
        context.fireChannelReadComplete()
        self.observer?.recordsCame()
    }

    func read(context: ChannelHandlerContext) {
        if self.held.readableBytes > 0 || self.flow.isPassing {
            self.flow.wantsRead = true
        } else {
            self.unwanted.asked()
            context.read()
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        self.handshake.hasAnswered = true
        self.handshake.isAnswerNew = true
        context.write(data, promise: promise)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case ChannelEvent.inputClosed? = event as? ChannelEvent, self.held.readableBytes > 0 else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        if self.handshake.isOver || self.handshake.hasAnswered {
            // TLS must not have it in front of the bytes that wait.
            self.flow.isInputClosed = true
        } else {
            // The peer cannot answer what TLS has to say, so there will be no connection.
            self.cut()
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        // The handlers are removed in the next tick, so the records must pass now. A handshake could not complete any
        // more.
        if self.handshake.isOver { self.pass(most: Self.lastRecords) } else if self.flow.isQueued { self.noteWait() }
        self.drop()
        self.flow.isInputClosed = false
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
            if self.observer != nil { self.meter.arrived(bytes) }
            context.fireChannelRead(self.wrapInboundOut(bytes))
        } else {
            self.held = bytes
            self.goOnLater()
        }
    }

    private func goOnLater() {
        self.account()
        guard !self.flow.isQueued, self.held.readableBytes > 0 else { return }
        self.flow.isQueued = true
        self.delay.begin(self.turns.now)
        let goOn = {
            self.flow.isQueued = false
            self.delay.end(self.turns.now)
            if !self.handshake.isOver { self.noteWait() }
            self.pass(most: TLSTurns.pieceOfRecords)
            self.settle()
        }
        // A WebSocket, and a connection to a server, are behind the gate.
        let line: LoopSlices.Line =
            self.handshake.isOver ? (self.observer == nil ? .sessions : .strangers) : self.handshake.line
        self.turns.enqueue(in: line, of: self.observer?.client ?? self.client, goOn)
    }

    /// A step of the handshake was late, or comes no more.
    private func noteWait() {
        if self.delay.total(self.turns.now) >= Self.longWait { self.observer?.handshakeIsLate() }
    }

    /// Feeds TLS with the first records that wait, as many as `most`.
    private func pass(most: Int) {
        guard !self.flow.isPassing, self.held.readableBytes > 0, let context = self.context else { return }
        let (length, _) = self.held.withUnsafeReadableBytes { self.records.follow($0, most: most) }
        guard let part = self.held.readSlice(length: length) else { return }
        if self.held.readableBytes == 0 { self.held = ByteBuffer() }
        self.flow.isPassing = true
        if self.observer != nil { self.meter.arrived(part) }
        context.fireChannelRead(self.wrapInboundOut(part))
        context.fireChannelReadComplete()
        self.observer?.recordsCame()
        self.flow.isPassing = false
    }

    /// A client's handshake has a place from its first bytes on. The admin listener bounds its connections.
    ///
    /// - Returns: false while there is no place. ``admitted(_:)`` is called later.
    private func takePlace() -> Bool {
        guard !self.handshake.isOver, self.handshake.line == .handshakes, let observer = self.observer else {
            return true
        }
        if let place = self.handshake.place {
            self.turns.goOn(place)
            return true
        }
        self.client = observer.client
        self.flow.isQueued = true
        self.flow.isParked = true
        self.handshake.place = self.turns.begin(self, of: self.client)
        guard self.handshake.place == nil else {
            self.flow.isQueued = false
            self.flow.isParked = false
            return true
        }
        self.delay.begin(self.turns.now)
        self.account()
        return false
    }

    /// Whether the handshake waits for a place.
    var isParked: Bool { self.flow.isParked }

    /// The handshake has a place now.
    func admitted(_ place: HandshakePlaces.Number) {
        self.handshake.place = place
        self.flow.isParked = false
        self.flow.isQueued = false
        self.delay.end(self.turns.now)
        self.noteWait()
        self.goOnLater()
    }

    /// Goes on with what waits, or as if nothing had waited.
    private func settle() {
        guard self.held.readableBytes == 0 else {
            self.goOnLater()
            return
        }
        self.account()
        if let place = self.handshake.place { self.turns.wait(place, isNew: self.handshake.isAnswerNew) }
        self.handshake.isAnswerNew = false
        guard let context = self.context else { return }
        if self.flow.isInputClosed {
            self.flow.isInputClosed = false
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        }
        if self.flow.wantsRead {
            self.flow.wantsRead = false
            self.unwanted.asked()
            context.read()
        }
        self.leaveIfDone()
    }

    /// Counts what waits, and a handshake that is under way. While the process is over its ceiling, a connection of which
    /// more than a read waits is cut.
    private func account() {
        let bytes = self.waitingMemory
        let handshake = self.handshake.place == nil ? 0 : TLSTurns.handshakeMemory
        guard let used = self.hold.set(bytes + handshake), let ceiling = self.turns.memoryCeiling, used > ceiling else { return }
        let isCut = bytes > (self.observer == nil ? Self.mostWhenShort.other : Self.mostWhenShort.http)
        self.observer?.memoryIsShort(isCut: isCut)
        guard isCut else { return }
        self.delay.isOutOfMemory = true
        self.cut()
    }

    private func cut() {
        self.drop()
        self.context?.channel.cut()
    }

    private func drop() {
        self.flow.isParked = false
        self.leavePlace()
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

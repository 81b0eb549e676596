import CulvertCore
import NIOCore

/// Stands in front of the HTTP decoder and gives it one request at a time: a head, and then the body when the owner
/// wants it.
///
/// Later bytes, at most those of one read, wait here undecoded, and nothing more is read meanwhile. Decoded requests
/// would cost a hundred times their bytes. In one turn of the loop the decoder gets as many lines and chunks as there
/// is room for (``LoopSlices/room``), because each costs some 0.2 µs, and may have six bytes. The rest has its turn
/// later.
final class RequestFeeder: ChannelDuplexHandler, RemovableChannelHandler, RecordObserver {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The most requests that are begun by a read. A slice begins one, so that the turns go round quickly.
    private static let turn = 4
    /// More than a read and what TLS has of it. At the end of its stream NIO reads a socket empty, wanted or not.
    private static let mostHeld = 512 * 1024

    private let slices: LoopSlices
    private var connection: ClientConnection?
    private var context: ChannelHandlerContext?
    private var delimiter = RequestDelimiter()
    /// Makes spaces of the tabs at the ends of the lines of heads. The bytes that it keeps count as bytes of the head.
    private var blanks = HeadBlanks()
    /// Keeps the bytes of heads that are not UTF-8 from becoming U+FFFD in the decoder.
    private var opaque = OpaqueBytes()
    /// Bytes that have come and are not wanted yet.
    private var held = ByteBuffer()
    /// Measures the bytes that TLS keeps in front of this handler; nil without TLS, and for a WebSocket.
    var tls: TLSFeeder?
    /// The channel would read, and may not yet.
    private var wantsRead = false
    private var isPumping = false
    private var isQueued = false
    private var isInactive = false
    /// The client has ended its direction of the connection.
    private var isInputClosed = false

    init(connection: ClientConnection, slices: LoopSlices) {
        self.connection = connection
        self.slices = slices
    }

    /// Bytes of the buffers that TLS and NIO keep until the connection is closed. The largest piece that has come decides
    /// their size; the buffers of small pieces belong to the cost of any connection.
    private(set) var keptMemory = 0
    private static let smallPiece = 4 * 1024
    private static let mostKept = 64 * 1024

    var heldBytes: Int { self.held.readableBytes }
    /// Bytes of memory that they keep, and that TLS does.
    var heldMemory: Int {
        (self.held.readableBytes > 0 ? self.held.storageCapacity : 0) + (self.tls?.keptMemory ?? 0)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        self.connection = nil
        self.held = ByteBuffer()
        self.tls = nil
    }

    // MARK: - from the socket

    /// The client under whose key the work takes turns.
    var client: AddressKey { self.connection?.owner.client(on: self.context?.channel) ?? .none }

    /// TLS has had a read, and may keep the beginning of a record.
    func recordsCame() { self.connection?.holdings.account() }

    func handshakeIsLate() { self.connection?.owner.note(.lateHandshake) }

    func handshakeMakesRoom() { self.connection?.owner.note(.crowdedHandshake) }

    func memoryIsShort(isCut: Bool) {
        if isCut { self.connection?.owner.note(.memoryFull) } else { self.connection?.owner.relieveMemory() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.tls?.plaintextCame()
        if self.tls != nil, bytes.readableBytes > Self.smallPiece {
            // The read of the socket keeps a buffer of this size, TLS keeps one for encrypted bytes, and one of twice the
            // size for the content.
            self.keptMemory = max(self.keptMemory, min(4 * bytes.readableBytes, Self.mostKept))
        }
        guard let connection = self.connection else {
            context.fireChannelRead(data)
            return
        }
        if connection.course.phase == .lingering {
            connection.discarded(bytes.readableBytes)
            return
        }
        if self.held.readableBytes == 0 {
            self.held = bytes
        } else {
            self.held.writeBuffer(&bytes)
        }
        guard self.held.readableBytes <= Self.mostHeld else {
            self.discard()
            connection.cut()
            return
        }
        connection.bytesArrived()
        self.pump(beginning: Self.turn)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let connection = self.connection, case ChannelEvent.inputClosed? = event as? ChannelEvent else {
            context.fireUserInboundEventTriggered(event)
            return
        }
        // The decoder must not have it in front of the bytes that wait here, nor the WebSocket that comes in its place.
        self.isInputClosed = true
        if connection.course.phase == .upgraded { return }
        connection.inputClosed()
        if !self.isQueued { connection.starved() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        if self.connection?.course.phase == .upgraded {
            // The bytes before the end are the WebSocket's, which is not in its place yet.
            self.isInactive = true
            return
        }
        self.held = ByteBuffer()
        self.tls = nil
        context.fireChannelInactive()
    }

    func read(context: ChannelHandlerContext) {
        if self.mayRead {
            context.read()
        } else {
            self.wantsRead = true
        }
    }

    private var mayRead: Bool {
        guard let connection = self.connection else { return true }
        return connection.course.phase == .lingering || (self.held.readableBytes == 0 && connection.isHungry)
    }

    // MARK: - to the decoder

    /// The first line of the request that the decoder is at.
    var line: RequestLine { self.delimiter.line }

    /// How the body of the request ends whose head the decoder has.
    func bodyFollows(_ framing: RequestDelimiter.Framing) { self.delimiter.bodyFollows(framing) }

    /// The request is answered, and the decoder has seen its end.
    func nextRequest() { self.delimiter.next() }

    /// Drops the bytes that wait; later bytes are of no use either.
    func discard() { self.held = ByteBuffer() }

    /// Feeds the decoder with what the connection wants, as far as that has come. Further requests wait for a slice.
    ///
    /// - Parameter most: the number of requests that may be begun. Reads and slices begin requests, and nothing else does.
    ///   The other callers may be tasks of the loop, such as an answer that took time, or a new decoder. NIO gives the
    ///   sockets no turn before all tasks have run, so connections that went on from tasks would first answer all
    ///   requests that they hold.
    func pump(beginning most: Int = 0) {
        guard !self.isPumping, let context = self.context, let connection = self.connection else { return }
        self.isPumping = true
        var begun = 0
        let lines = self.slices.room
        var room = lines
        let line = connection.owner.line
        while self.held.readableBytes > 0, connection.isHungry, !self.isQueued {
            guard room > 0 else {
                self.goOnLater()
                break
            }
            if self.delimiter.isAtStart {
                guard begun < most, self.slices.mayServe(before: line) else {
                    self.goOnLater()
                    break
                }
                begun += 1
            }
            let isHead = self.delimiter.isInHead
            let count = self.held.withUnsafeReadableBytes { self.delimiter.take($0, room: &room) }
            guard count > 0, var part = self.held.readSlice(length: count) else { break }
            var cost = count
            if isHead {
                part = self.blanks.softened(part)
                let length = part.readableBytes
                part = self.opaque.disguise(part)
                // The decoder keeps the longer form.
                cost += max(0, part.readableBytes - length)
            }
            if part.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(part)) }
            connection.fed(cost)
            // The decoder knows better.
            if self.delimiter.isAtHeadEnd { self.delimiter.resumeHead() }
        }
        self.isPumping = false
        self.slices.notePassed(lines - room)
        self.settle(context)
    }

    private func goOnLater() {
        guard !self.isQueued else { return }
        self.isQueued = true
        self.slices.enqueue(in: self.connection?.owner.line ?? .strangers, of: self.client) {
            self.isQueued = false
            self.pump(beginning: 1)
        }
    }

    private func settle(_ context: ChannelHandlerContext) {
        let left = self.held.readableBytes
        if left == 0 {
            self.held = ByteBuffer()
        } else if self.held.storageCapacity > 2 * left + 1024 {
            // A few bytes do not keep a read's whole buffer.
            self.held = ByteBuffer(buffer: self.held)
        }
        self.connection?.holdings.account()
        if !self.isQueued { self.connection?.starved() }
        self.readOn(context)
    }

    private func readOn(_ context: ChannelHandlerContext) {
        guard self.wantsRead, self.mayRead else { return }
        self.wantsRead = false
        context.read()
    }

    /// All that speaks HTTP has gone but this handler: gives what it holds to what has come in its place, and leaves.
    func release() {
        guard let context = self.context else { return }
        let pipeline = context.pipeline.syncOperations
        // The feeder of TLS asks for the client, which the connection knows.
        self.tls?.leave()
        self.tls = nil
        self.connection = nil
        let bytes = self.held
        self.held = ByteBuffer()
        if bytes.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(bytes)) }
        if self.isInputClosed { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        if self.isInactive { context.fireChannelInactive() }
        self.readOn(context)
        pipeline.removeHandler(context: context, promise: nil)
    }
}

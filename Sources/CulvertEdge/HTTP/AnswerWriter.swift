import CulvertCore
import NIOCore
import NIOHTTP1

/// Writes the body of one answer in pieces, each when the connection has room for it. A piece is neither copied nor
/// encrypted before the client has taken those in front of it.
///
/// ``ClientConnection`` makes it, on its event loop, and calls ``pump()`` when there is room.
final class AnswerWriter {
    /// The number of bytes of a piece. ``ClientConnection`` writes shorter answers at once.
    static let piece = KeptBuffers.flush
    /// The most bytes that are written in one turn of the loop, to a client that takes them at once. Very many clients
    /// may take them in the same turn, so that the loop writes the rest, and while it is busy all of it, in slices.
    private static let bytesPerTurn = 256 * 1024

    private enum Source {
        case bytes(ByteBuffer)
        case batch(BatchEncoder)

        /// - Returns: nil behind the last piece.
        mutating func next() -> ByteBuffer? {
            switch self {
            case .bytes(var bytes):
                guard let piece = bytes.readSlice(length: min(AnswerWriter.piece, bytes.readableBytes)),
                    piece.readableBytes > 0
                else { return nil }
                self = .bytes(bytes)
                return piece
            case .batch(var batch):
                let piece = batch.next(AnswerWriter.piece)
                self = .batch(batch)
                return piece
            }
        }
    }

    /// Nil when all is written, and when the rest is not wanted any more.
    private var source: Source?
    private let context: ChannelHandlerContext
    private let slices: LoopSlices
    /// The client whose turns the rest takes. Behind a trusted proxy it is not the connection's peer.
    private let client: AddressKey
    private let onEnd: () -> Void
    /// A flush may tell of room while a piece is written.
    private var isWriting = false
    /// The rest of what may be written now has its turn later.
    private var isEnqueued = false

    /// - Parameter onEnd: called once, when the last piece has been written, though not flushed.
    init(
        _ answer: HTTPAnswer, context: ChannelHandlerContext, slices: LoopSlices, owner: any ConnectionOwner,
        onEnd: @escaping () -> Void
    ) {
        self.source = answer.batch.map { .batch($0) } ?? .bytes(answer.body)
        self.context = context
        self.slices = slices
        self.client = answer.client ?? owner.client(on: context.channel)
        self.onEnd = onEnd
    }

    /// The connection is gone, or the answer is not wanted any more.
    func stop() { self.source = nil }

    func pump() {
        guard !self.isWriting, !self.isEnqueued, self.source != nil else { return }
        guard !self.slices.isShort else {
            self.pumpLater()
            return
        }
        self.isWriting = true
        var room = Self.bytesPerTurn
        while self.source != nil, self.context.channel.isWritable {
            guard room > 0 else {
                self.pumpLater()
                break
            }
            guard let piece = self.source?.next() else {
                self.source = nil
                self.onEnd()
                break
            }
            room -= piece.readableBytes
            AnswerParts(context: self.context).writeAndFlush(.body(.byteBuffer(piece)))
        }
        self.isWriting = false
        self.slices.notePassed(bytes: Self.bytesPerTurn - room)
    }

    private func pumpLater() {
        self.isEnqueued = true
        self.slices.enqueue(in: .sessions, of: self.client) {
            self.isEnqueued = false
            self.pump()
        }
    }
}

import CulvertCore
import NIOCore

/// Stands before TLS on a connection of a WebSocket, and counts the records of each read. A ``TLSFeeder`` takes its
/// place for good where a read has more records than a turn of the loop has room for, and where the connection is
/// paused: then a peer may fill the socket with records that come unasked.
final class RecordWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let turns: TLSTurns
    private let memory: SessionMemory
    private let client: AddressKey
    /// Touched with each read; docs/decisions says why this is safe.
    @exclusivity(unchecked) private var records: RecordFollower
    private var context: ChannelHandlerContext?

    /// - Parameters:
    ///   - client: the client of the WebSocket's session, whose turns its records take.
    ///   - records: as far as TLS has been fed.
    init(_ turns: TLSTurns, memory: SessionMemory, client: AddressKey, records: RecordFollower) {
        self.turns = turns
        self.client = client
        self.memory = memory
        self.records = records
    }

    /// A WebSocket's `channel` is paused, and stands behind a feeder from now on if it is one of TLS. On the channel's
    /// event loop.
    static func paused(_ channel: any Channel) {
        let pipeline = channel.pipeline.syncOperations
        if let watch = try? pipeline.handler(type: RecordWatch.self), let context = watch.context {
            watch.addFeeder(isRead: false)
            pipeline.removeHandler(context: context, promise: nil)
        } else if let feeder = try? pipeline.handler(type: TLSFeeder.self) {
            feeder.stay()
        }
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let before = self.records
        let isWelcome = self.unwrapInboundIn(data).withUnsafeReadableBytes { (all) -> Bool in
            let (few, _) = self.records.follow(all, most: TLSTurns.fewRecords)
            guard few < all.count else { return true }
            let (_, more) = self.records.follow(UnsafeRawBufferPointer(rebasing: all[few...]))
            return self.turns.mayPass(TLSTurns.fewRecords + more)
        }
        guard !isWelcome else {
            context.fireChannelRead(data)
            return
        }
        self.records = before
        self.addFeeder(isRead: true)
        // The feeder has it. Without this handler the context leads nowhere.
        context.fireChannelRead(data)
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func addFeeder(isRead: Bool) {
        guard let context = self.context else { return }
        let feeder = TLSFeeder(
            self.turns, memory: self.memory, client: self.client, records: self.records, isRead: isRead)
        try? context.pipeline.syncOperations.addHandler(feeder, position: .after(self))
    }
}

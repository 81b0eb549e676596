import NIOCore
import Synchronization

/// Connections to the servers of one upstream that are not wanted, and wait for the end of TLS: a server was told the
/// handshake's end (close_notify), and may take its time to answer. Neither a session nor a lease counts them any more.
/// All loops use it.
final class ClosingConnections: Sendable {
    /// How many wait at a time. A server that refuses every session and answers no close_notify would collect them
    /// else.
    static let most = 64
    /// How long each of them waits.
    static let time = TLSContexts.shutdownTimeout

    private let count = Atomic<Int>(0)

    /// The number of connections that wait now.
    var waiting: Int { self.count.load(ordering: .relaxed) }

    /// Closes a connection as TLS has it, or at once when too many wait for that. On the channel's event loop.
    func close(_ channel: any Channel) {
        guard self.count.wrappingAdd(1, ordering: .relaxed).newValue <= Self.most else {
            self.count.wrappingSubtract(1, ordering: .relaxed)
            channel.cut()
            return
        }
        let deadline = channel.eventLoop.scheduleTask(in: Self.time) { channel.cut() }
        channel.closeFuture.whenComplete { _ in
            deadline.cancel()
            self.count.wrappingSubtract(1, ordering: .relaxed)
        }
        channel.close(promise: nil)
    }
}

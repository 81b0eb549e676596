import CulvertSystem
import DequeModule
import Logging
import NIOCore
import Synchronization

/// The connections of the admin API's listener. When there are as many as may be, a new one takes the place of the
/// oldest that has not shown the token: nobody keeps an operator out.
package final class ControlConnections: Sendable {
    /// A connection. Its own loop sets its trust; any loop may close it.
    package final class Entry: Sendable {
        let channel: any Channel
        private let trusted = Atomic<Bool>(false)

        init(_ channel: any Channel) { self.channel = channel }

        /// Its latest request had the token.
        var isTrusted: Bool { self.trusted.load(ordering: .relaxed) }

        package func setTrusted(_ isTrusted: Bool) { self.trusted.store(isTrusted, ordering: .relaxed) }
    }

    /// The oldest first; those that were closed to make room are here no longer.
    private let entries = Mutex<Deque<Entry>>([])
    private let notices: Notices
    private let accepts: AcceptWatch

    init(notices: Notices, accepts: AcceptWatch) {
        self.notices = notices
        self.accepts = accepts
    }

    /// 124, or fewer where descriptors are scarce.
    private var limit: Int { self.accepts.bounds.control }

    /// - Returns: nil when every other connection has shown the token; the caller then closes the new one.
    func add(_ channel: any Channel) -> Entry? {
        let entry = Entry(channel)
        let limit = self.limit
        let (isIn, isFull, victim): (Bool, Bool, Entry?) = self.entries.withLock { entries in
            let isFull = entries.count >= limit
            var victim: Entry?
            if isFull, let index = entries.firstIndex(where: { !$0.isTrusted }) { victim = entries.remove(at: index) }
            guard entries.count < limit else { return (false, isFull, nil) }
            entries.append(entry)
            return (true, isFull, victim)
        }
        if isFull {
            self.notices.warn(
                "admin connections closed: too many, and the oldest had not shown the token",
                ["limit": .stringConvertible(limit)])
        }
        if let channel = victim?.channel {
            channel.eventLoop.execute {
                // TLS would wait for the peer's close_notify, and the descriptor would count nowhere meanwhile.
                channel.cut()
                // A connection that is not active yet has nothing to be cut.
                channel.close(promise: nil)
            }
        }
        guard isIn else { return nil }
        channel.closeFuture.whenComplete { _ in self.remove(entry) }
        return entry
    }

    private func remove(_ entry: Entry) {
        self.entries.withLock { entries in
            if let index = entries.firstIndex(where: { $0 === entry }) { entries.remove(at: index) }
        }
    }
}

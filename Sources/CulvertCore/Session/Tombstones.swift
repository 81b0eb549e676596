import DequeModule
package import NIOCore

/// The facts that are kept of a polled session after its end, for requests that come late.
package struct Tombstone: Equatable, Sendable {
    package var subject: String?
    package var basePath: String
    package var host: String?
    package var frame: CloseFrame
    package var until: NIODeadline

    package init(subject: String?, basePath: String, host: String?, frame: CloseFrame, until: NIODeadline) {
        self.subject = subject
        self.basePath = basePath
        self.host = host
        self.frame = frame
        self.until = until
    }

    /// Bytes, by and large.
    package var cost: Int {
        300 + (self.subject?.utf8.count ?? 0) + self.basePath.utf8.count + (self.host?.utf8.count ?? 0)
            + self.frame.reason.utf8.count
    }
}

/// The sessions that were forgotten lately, up to a number and a cost: a path may be as long as a header section. A
/// request for one that was dropped early is answered 404.
package struct Tombstones: Sendable {
    private let limit: Int
    private let byteLimit: Int
    private var stones: [SessionID: Tombstone] = [:]
    /// The oldest first.
    private var order: Deque<SessionID> = []
    /// Bytes of all of them.
    package private(set) var cost = 0

    package init(limit: Int = 10_000, bytes: Int = 8 << 20) {
        self.limit = limit
        self.byteLimit = bytes
    }

    package var count: Int { self.order.count }

    package mutating func add(_ stone: Tombstone, for id: SessionID, now: NIODeadline) {
        // An identifier is given once.
        guard self.stones[id] == nil else { return }
        self.stones[id] = stone
        self.order.append(id)
        self.cost += stone.cost
        while let oldest = self.order.first,
            self.order.count > self.limit || self.cost > self.byteLimit
                || (self.stones[oldest]?.until ?? .distantPast) <= now
        {
            self.order.removeFirst()
            self.cost -= self.stones.removeValue(forKey: oldest)?.cost ?? 0
        }
    }

    package func find(_ id: SessionID, now: NIODeadline) -> Tombstone? {
        guard let stone = self.stones[id], stone.until > now else { return nil }
        return stone
    }
}

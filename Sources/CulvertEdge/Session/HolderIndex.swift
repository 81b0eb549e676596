import CulvertCore

/// The sessions of one loop that hold something, in classes by the power of two of what they hold.
///
/// So the relief of memory finds the largest without a look at every session, of which there may be many thousands. A
/// session changes its class when what it holds has doubled or halved.
struct HolderIndex {
    struct Place {
        fileprivate var level: Int
        fileprivate var index: Int
    }

    /// Most sessions that are looked at for the largest. In a class of more the others are at least half as large.
    private static let looks = 256

    private var levels = [[Session]](repeating: [], count: Int.bitWidth)

    /// Called when `Session.relievableBytes` has changed.
    mutating func update(_ session: Session) {
        let bytes = session.relievableBytes
        let level = bytes > 0 ? Int.bitWidth - bytes.leadingZeroBitCount : nil
        if let place = session.holding.place {
            if place.level == level { return }
            self.remove(place)
        }
        session.holding.place = level.map { level in
            self.levels[level].append(session)
            return Place(level: level, index: self.levels[level].count - 1)
        }
    }

    /// The last of the class takes the place.
    private mutating func remove(_ place: Place) {
        let last = self.levels[place.level].removeLast()
        guard place.index < self.levels[place.level].count else { return }
        self.levels[place.level][place.index] = last
        last.holding.place = place
    }

    struct Holder: Sendable {
        /// The session's key in ``SessionTable/all``: a session that has ended is no longer found by its id.
        var key: ObjectIdentifier
        var id: SessionID
        var bytes: Int
    }

    /// The sessions that hold most, the largest first.
    func largest(_ count: Int) -> [Holder] {
        var found: [Holder] = []
        var looks = Self.looks
        for level in self.levels.reversed() where looks > 0 && found.count < count {
            let seen = level.prefix(looks)
            looks -= seen.count
            found += seen.map { Holder(key: ObjectIdentifier($0), id: $0.id, bytes: $0.relievableBytes) }
        }
        return Array(found.sorted { $0.bytes > $1.bytes }.prefix(count))
    }
}

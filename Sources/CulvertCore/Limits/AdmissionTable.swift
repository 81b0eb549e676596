package import NIOCore

/// Counts open sessions and handshakes, and keeps the rate of openings, for each address, token or route. Every
/// operation is O(1).
///
/// The table has at most `capacity` entries. An entry with sessions or handshakes is never dropped. Each new key has
/// two entries looked at in turn; they are dropped if they have nothing open and a full bucket, because that loses
/// nothing. If the table is full nevertheless, a few entries are looked at: such an entry is dropped, or else one with
/// nothing open, which loses its bucket. If all of them have sessions, the new key is let in uncounted: there are other
/// limits.
package struct AdmissionTable<Key: Hashable & Sendable>: Sendable {
    /// The number of entries that are looked at to find one to drop.
    private static var looks: Int { 16 }

    private struct Entry: Sendable {
        var key: Key
        var sessions = 0
        var handshakes = 0
        var bucket = TokenBucket()

        var isUnused: Bool { self.sessions == 0 && self.handshakes == 0 }
    }

    package enum Opening: Equatable, Sendable {
        /// The session is counted, and must be closed here when it ends.
        case counted
        case uncounted
        case denied(AdmissionLimit, wait: TimeAmount?)
    }

    package let capacity: Int
    private var entries: [Entry] = []
    private var places: [Key: Int] = [:]
    /// The index at which the next look for entries to drop begins.
    private var hand = 0

    package init(capacity: Int) {
        self.capacity = max(1, capacity)
    }

    package var count: Int { self.entries.count }

    package func sessions(_ key: Key) -> Int { self.places[key].map { self.entries[$0].sessions } ?? 0 }
    package func handshakes(_ key: Key) -> Int { self.places[key].map { self.entries[$0].handshakes } ?? 0 }

    /// Counts a session that is being opened, if `limits` allow it.
    ///
    /// - Parameter isHandshake: its handshake is not counted already, with its connection.
    package mutating func open(
        _ key: Key, _ limits: AdmissionLimits, isHandshake: Bool, now: NIODeadline
    ) -> Opening {
        guard let place = self.place(of: key, now: now) else { return .uncounted }
        let entry = self.entries[place]
        if entry.sessions >= limits.sessions ?? .max { return .denied(.sessions, wait: nil) }
        if isHandshake, entry.handshakes >= limits.handshakes ?? .max { return .denied(.handshakes, wait: nil) }
        // The bucket is asked last, so that an opening that is refused for another limit takes nothing from it.
        if let rate = limits.rate, let wait = self.entries[place].bucket.take(rate, now: now) {
            return .denied(.rate, wait: wait)
        }
        self.entries[place].sessions += 1
        if isHandshake { self.entries[place].handshakes += 1 }
        return .counted
    }

    /// Takes back what ``open(_:_:isHandshake:now:)`` counted, for another scope has refused it.
    package mutating func undo(_ key: Key, _ limits: AdmissionLimits, isHandshake: Bool, now: NIODeadline) {
        guard let place = self.places[key] else { return }
        if let rate = limits.rate { self.entries[place].bucket.giveBack(rate) }
        if isHandshake { self.endHandshake(key, now: now) }
        self.close(key, now: now)
    }

    /// Counts a session that is open already, and so neither a handshake nor an opening.
    ///
    /// - Parameter limit: of sessions; nil for none.
    package mutating func move(to key: Key, limit: Int?, now: NIODeadline) -> Opening {
        guard let place = self.place(of: key, now: now) else { return .uncounted }
        if self.entries[place].sessions >= limit ?? .max { return .denied(.sessions, wait: nil) }
        self.entries[place].sessions += 1
        return .counted
    }

    package mutating func close(_ key: Key, now: NIODeadline) {
        guard let place = self.places[key] else { return }
        self.entries[place].sessions = max(0, self.entries[place].sessions - 1)
        self.forgetIfIdle(place, now: now)
    }

    /// Counts the handshake of a connection.
    package mutating func beginHandshake(_ key: Key, limit: Int, now: NIODeadline) -> Opening {
        guard let place = self.place(of: key, now: now) else { return .uncounted }
        if self.entries[place].handshakes >= limit { return .denied(.handshakes, wait: nil) }
        self.entries[place].handshakes += 1
        return .counted
    }

    package mutating func endHandshake(_ key: Key, now: NIODeadline) {
        guard let place = self.places[key] else { return }
        self.entries[place].handshakes = max(0, self.entries[place].handshakes - 1)
        self.forgetIfIdle(place, now: now)
    }

    // MARK: - places

    /// The index of `key`. Makes room for it if it is new.
    private mutating func place(of key: Key, now: NIODeadline) -> Int? {
        if let place = self.places[key] { return place }
        for _ in 0..<min(2, self.entries.count) {
            self.hand = (self.hand + 1) % self.entries.count
            self.forgetIfIdle(self.hand, now: now)
            if self.entries.isEmpty { break }
        }
        if self.entries.count >= self.capacity {
            guard let victim = self.victim(now: now) else { return nil }
            self.remove(victim)
        }
        self.entries.append(Entry(key: key))
        self.places[key] = self.entries.count - 1
        return self.entries.count - 1
    }

    private mutating func victim(now: NIODeadline) -> Int? {
        var second: Int?
        for _ in 0..<min(Self.looks, self.entries.count) {
            self.hand = (self.hand + 1) % self.entries.count
            let entry = self.entries[self.hand]
            guard entry.isUnused else { continue }
            if entry.bucket.isFull(now: now) { return self.hand }
            second = second ?? self.hand
        }
        return second
    }

    private mutating func forgetIfIdle(_ place: Int, now: NIODeadline) {
        if self.entries[place].isUnused, self.entries[place].bucket.isFull(now: now) { self.remove(place) }
    }

    /// The last takes its place.
    private mutating func remove(_ place: Int) {
        self.places[self.entries[place].key] = nil
        let last = self.entries.removeLast()
        guard place < self.entries.count else { return }
        self.entries[place] = last
        self.places[last.key] = place
    }
}

/// A cache of the entries that were used lately, bounded by number and cost. It has two generations, so that dropping
/// the oldest entries costs nothing per look-up.
struct RecentCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private struct Entry: Sendable {
        var value: Value
        /// Bytes.
        var cost: Int
    }

    private let half: Int
    private let halfCost: Int
    private var young: [Key: Entry] = [:]
    private var youngCost = 0
    private var old: [Key: Entry] = [:]

    /// - Parameters:
    ///   - size: most entries; at least half as many of the last used are kept.
    ///   - bytes: most that they cost together, in the same way. A number alone would let entries be as large as their
    ///     owners like.
    init(size: Int, bytes: Int) {
        self.half = max(1, size / 2)
        self.halfCost = max(1, bytes / 2)
    }

    subscript(key: Key) -> Value? {
        mutating get {
            if let entry = self.young[key] { return entry.value }
            // With the key that is there: the one that is asked with may hold on to more.
            guard let index = self.old.index(forKey: key) else { return nil }
            let (key, entry) = self.old.remove(at: index)
            self.insert(entry.value, for: key, cost: entry.cost)
            return entry.value
        }
    }

    /// - Parameter cost: bytes of the key and the value. An entry that costs half of all is not kept.
    mutating func insert(_ value: Value, for key: Key, cost: Int) {
        guard cost <= self.halfCost else { return }
        if self.young.count >= self.half || self.youngCost > self.halfCost - cost {
            self.old = self.young
            self.young = [:]
            self.youngCost = 0
        }
        if let previous = self.young.updateValue(Entry(value: value, cost: cost), forKey: key) {
            self.youngCost -= previous.cost
        }
        self.youngCost += cost
    }

    /// Bytes of all entries.
    var cost: Int { self.youngCost + self.old.values.reduce(0) { $0 + $1.cost } }
}

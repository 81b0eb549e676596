/// What was used lately, up to a bound. Two generations, so that forgetting the oldest costs nothing per look-up.
struct RecentCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private let half: Int
    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]

    /// - Parameter size: most entries; at least half as many of the last used are kept.
    init(size: Int) {
        self.half = max(1, size / 2)
    }

    subscript(key: Key) -> Value? {
        mutating get {
            if let value = self.young[key] { return value }
            // With the key that is there: the one that is asked with may hold on to more.
            guard let index = self.old.index(forKey: key) else { return nil }
            let entry = self.old.remove(at: index)
            self[entry.key] = entry.value
            return entry.value
        }
        set {
            if self.young.count >= self.half {
                self.old = self.young
                self.young = Dictionary(minimumCapacity: self.half)
            }
            self.young[key] = newValue
        }
    }
}

package import DequeModule

/// Holds work that waits for its turn. The turns go round among the keys that have work here. So a key that has much
/// work does not hold up the other keys.
///
/// The queue may have a bound. When the queue is full, a key that has less takes the room of the key that has most.
///
/// It is inlinable because each opening of a session uses one: in other modules, without the types of element and key,
/// every access would allocate.
package struct FairQueue<Element, Key: Hashable> {
    /// In the order in which they came, of each key. No line is empty.
    @usableFromInline var lines: [Key: Deque<Element>] = [:]
    /// The keys that have a line, in the order of their turns.
    @usableFromInline var turns: Deque<Key> = []
    @usableFromInline let limit: Int
    @usableFromInline var waiting = 0

    /// - Parameter limit: the most elements that wait.
    @inlinable package init(limit: Int = .max) { self.limit = limit }

    @inlinable package var count: Int { self.waiting }

    @inlinable package var isEmpty: Bool { self.count == 0 }

    @inlinable package var isFull: Bool { self.count >= self.limit }

    /// Adds `element` behind all that its key has here.
    ///
    /// - Returns: what has no room: `element` itself, or the last of the longest line; nil when all have.
    @inlinable package mutating func join(_ element: Element, of key: Key) -> Element? {
        var evicted: Element?
        if self.isFull {
            let own = self.lines[key]?.count ?? 0
            // The search looks at each key. It is short, because ``limit`` bounds the elements, and each key has one.
            guard let longest = self.lines.max(by: { $0.value.count < $1.value.count }),
                longest.value.count > own + 1
            else { return element }
            evicted = self.lines[longest.key]?.removeLast()
            self.waiting -= 1
        }
        if self.lines[key] == nil { self.turns.append(key) }
        self.lines[key, default: []].append(element)
        self.waiting += 1
        return evicted
    }

    /// Adds `element` in front of all that its key has here, whatever the bound: the rest of an element that was taken.
    /// The other keys have their turns first.
    @inlinable package mutating func putBack(_ element: Element, of key: Key) {
        if self.lines[key] == nil { self.turns.append(key) }
        self.lines[key, default: []].prepend(element)
        self.waiting += 1
    }

    /// Takes the last element of the key that has most. The search looks at each key.
    @inlinable package mutating func evict() -> Element? {
        guard let longest = self.lines.max(by: { $0.value.count < $1.value.count })?.key,
            let element = self.lines[longest]?.popLast()
        else { return nil }
        self.waiting -= 1
        if self.lines[longest]?.isEmpty == true {
            self.lines[longest] = nil
            self.turns.removeAll { $0 == longest }
        }
        return element
    }

    /// Takes the first element of the key whose turn it is.
    @inlinable package mutating func next() -> Element? {
        guard let key = self.turns.popFirst(), let element = self.lines[key]?.popFirst() else { return nil }
        self.waiting -= 1
        if self.lines[key]?.isEmpty == true { self.lines[key] = nil } else { self.turns.append(key) }
        return element
    }
}

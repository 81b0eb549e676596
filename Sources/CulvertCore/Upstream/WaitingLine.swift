import DequeModule

/// Who waits for a server's place, in the order they came; no more than so many.
package struct WaitingLine<Element: Sendable>: Sendable {
    /// Names one who waits.
    package struct Number: Hashable, Sendable {
        fileprivate var value: UInt64
    }

    private var elements: Deque<(number: Number, element: Element)> = []
    private let limit: Int
    private var next: UInt64 = 0
    /// Nobody is let in any more.
    package private(set) var isClosed = false

    package init(limit: Int) {
        self.limit = limit
    }

    package var count: Int { self.elements.count }

    /// - Returns: nil when the line is full, or closed.
    package mutating func join(_ element: Element) -> Number? {
        guard !self.isClosed, self.elements.count < self.limit else { return nil }
        let number = Number(value: self.next)
        self.next &+= 1
        self.elements.append((number, element))
        return number
    }

    /// - Returns: nil when it has left, or was served, already.
    package mutating func leave(_ number: Number) -> Element? {
        // Numbers ascend in the line. A search from the front would make the leaving of all cost the square of their number.
        var low = 0
        var high = self.elements.count
        while low < high {
            let middle = (low + high) / 2
            if self.elements[middle].number.value < number.value { low = middle + 1 } else { high = middle }
        }
        guard low < self.elements.count, self.elements[low].number == number else { return nil }
        return self.elements.remove(at: low).element
    }

    /// Serves from the front whom `place` has a place for, as long as there is room. One for whom it has none holds up
    /// nobody: it may have tried the very server that has room.
    package mutating func serve<Place>(
        while hasRoom: () -> Bool, _ place: (Element) -> Place?
    ) -> [(element: Element, place: Place)] {
        var served: [(element: Element, place: Place)] = []
        var index = 0
        while index < self.elements.count, hasRoom() {
            if let found = place(self.elements[index].element) {
                served.append((self.elements.remove(at: index).element, found))
            } else {
                index += 1
            }
        }
        return served
    }

    /// - Returns: who waited, to be told.
    package mutating func close() -> [Element] {
        self.isClosed = true
        defer { self.elements = [] }
        return self.elements.map(\.element)
    }
}

import DequeModule

/// The openings that wait for a place at a server, in the order in which they came, up to a limit.
///
/// Each opening has a kind. Two openings of one kind can use the same places: a server has a place for both, or for
/// neither. So a look at the line costs a look at each kind, however many openings wait for a place that does not
/// exist.
package struct WaitingLine<Element: Sendable, Kind: Hashable & Sendable>: Sendable {
    /// Identifies an opening that waits.
    package struct Number: Hashable, Sendable {
        fileprivate var value: UInt64
        fileprivate var kind: Kind
    }

    private typealias Waiting = (value: UInt64, element: Element)

    /// No line is empty. The numbers ascend in each line.
    private var lines: [Kind: Deque<Waiting>] = [:]
    private let limit: Int
    private var next: UInt64 = 0
    package private(set) var count = 0
    /// True once the line is closed: no opening may wait any more.
    package private(set) var isClosed = false

    package init(limit: Int) {
        self.limit = limit
    }

    /// - Returns: nil when the line is full, or closed.
    package mutating func join(_ element: Element, as kind: Kind) -> Number? {
        guard !self.isClosed, self.count < self.limit else { return nil }
        let number = Number(value: self.next, kind: kind)
        self.next &+= 1
        self.count += 1
        self.lines[kind, default: []].append((number.value, element))
        return number
    }

    /// - Returns: nil when it has left, or was served, already.
    package mutating func leave(_ number: Number) -> Element? {
        self.index(of: number).flatMap { self.remove(at: $0, of: number.kind) }
    }

    private func index(of number: Number) -> Int? {
        guard let line = self.lines[number.kind] else { return nil }
        // A search from the front would make the leaving of all cost the square of their number.
        var low = 0
        var high = line.count
        while low < high {
            let middle = (low + high) / 2
            if line[middle].value < number.value { low = middle + 1 } else { high = middle }
        }
        guard low < line.count, line[low].value == number.value else { return nil }
        return low
    }

    private mutating func remove(at index: Int, of kind: Kind) -> Element? {
        let element = self.lines[kind]?.remove(at: index).element
        self.count -= 1
        if self.lines[kind]?.isEmpty == true { self.lines[kind] = nil }
        return element
    }

    /// Serves openings from the front for which `place` has a place, as long as there is room. An opening without a
    /// place does not hold up openings of other kinds: it may have tried the one server that has room.
    package mutating func serve<Place>(
        while hasRoom: () -> Bool, _ place: (Element) -> Place?
    ) -> [(element: Element, place: Place)] {
        var served: [(element: Element, place: Place)] = []
        var stuck: Set<Kind> = []
        while self.count > 0, hasRoom(), let kind = self.first(except: stuck), let front = self.lines[kind]?.first {
            if let found = place(front.element) {
                _ = self.remove(at: 0, of: kind)
                served.append((front.element, found))
            } else {
                stuck.insert(kind)
            }
        }
        return served
    }

    /// The kind of who came first.
    private func first(except stuck: Set<Kind>) -> Kind? {
        var found: (kind: Kind, value: UInt64)?
        for (kind, line) in self.lines where !stuck.contains(kind) {
            guard let value = line.first?.value, value < found?.value ?? .max else { continue }
            found = (kind, value)
        }
        return found?.kind
    }

    /// - Returns: who waited, to be told.
    package mutating func close() -> [Element] {
        self.isClosed = true
        defer {
            self.lines = [:]
            self.count = 0
        }
        return self.lines.values.flatMap(\.self).sorted { $0.value < $1.value }.map(\.element)
    }
}

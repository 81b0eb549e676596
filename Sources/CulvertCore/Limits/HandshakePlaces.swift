import DequeModule
package import NIOCore

/// Bounds the handshakes that are under way on one event loop. When there are too many, the handshake that has waited for
/// its client longest gives up its place, once it has waited for a second. Before that a new handshake finds no place.
///
/// A key, which is a client's address, has a quarter of the places. Beyond it a new handshake takes the place of one of
/// the same key. So one client that begins handshakes and does not end them uses up the places of its own.
package struct HandshakePlaces<Key: Hashable> {
    /// Tells handshakes apart.
    package typealias Number = UInt64

    package enum Beginning: Equatable {
        /// The handshake has a place. Another one may have to leave for it.
        case begun(Number, leaving: Number?)
        /// All places are taken. A place becomes free when a handshake ends, or at ``nextPlace``.
        case full
    }

    /// The time that every client has for its next message. It is longer than a round trip. A handshake that has waited so
    /// long for its client may lose its place.
    package static var grace: TimeAmount { .seconds(1) }
    /// The number of entries of ended waits that a line keeps before they are taken out.
    private static var fewEnded: Int { 64 }

    private struct Wait {
        let number: Number
        let since: NIODeadline
    }

    private struct Handshake {
        let key: Key
        /// Nil while the edge has the next step.
        var waitsSince: NIODeadline?
    }

    /// The handshakes of a key, or of all keys. It keeps the waits for clients in the order in which they began. A wait that
    /// is over is taken out when it is the first, or when there are many of them.
    private struct Line {
        var waits: Deque<Wait> = []
        /// The handshakes of the line, whether or not they wait.
        var count = 0

        mutating func tidy(_ open: [Number: Handshake]) {
            func isOver(_ wait: Wait) -> Bool { open[wait.number]?.waitsSince != wait.since }
            while let first = self.waits.first, isOver(first) { self.waits.removeFirst() }
            if self.waits.count > 2 * self.count + fewEnded { self.waits.removeAll(where: isOver) }
        }
    }

    private var open: [Number: Handshake] = [:]
    private var all = Line()
    private var lines: [Key: Line] = [:]
    private var last: Number = 0
    /// The number of places that there are in any case.
    private let fewest: Int

    /// - Parameter fewest: by default so many that clients behind one address have room for the connections of a browser.
    package init(fewest: Int = 128) { self.fewest = fewest }

    package var count: Int { self.all.count }

    /// When the longest wait for a client has lasted for ``grace``; nil if no handshake waits for its client.
    package var nextPlace: NIODeadline? { self.all.waits.first.map { $0.since + Self.grace } }

    /// Begins a handshake, whose first step is the edge's.
    ///
    /// - Parameter most: the places that there are; nil for no bound. Fewer than ``fewest`` count as that many.
    package mutating func begin(of key: Key, most: Int?, now: NIODeadline) -> Beginning {
        var leaving: Number?
        if let most = most.map({ max($0, self.fewest) }) {
            if let line = self.lines[key], line.count >= most / 4, let own = line.waits.first {
                leaving = own.number
            } else if self.all.count >= most {
                guard let oldest = self.all.waits.first, oldest.since + Self.grace <= now else { return .full }
                leaving = oldest.number
            }
        }
        if let leaving { self.end(leaving) }
        self.last += 1
        self.open[self.last] = Handshake(key: key)
        self.all.count += 1
        self.lines[key, default: Line()].count += 1
        return .begun(self.last, leaving: leaving)
    }

    /// The edge has done its step, and the client has the next one.
    package mutating func wait(_ number: Number, now: NIODeadline) {
        guard let key = self.open[number]?.key else { return }
        self.open[number]?.waitsSince = now
        self.all.waits.append(Wait(number: number, since: now))
        self.lines[key]?.waits.append(Wait(number: number, since: now))
        self.tidy(key)
    }

    /// The client has sent something, and the edge has the next step.
    package mutating func goOn(_ number: Number) {
        guard let key = self.open[number]?.key else { return }
        self.open[number]?.waitsSince = nil
        self.tidy(key)
    }

    /// The handshake is over, or its connection is gone. It may have given up its place already.
    package mutating func end(_ number: Number) {
        guard let key = self.open.removeValue(forKey: number)?.key else { return }
        self.all.count -= 1
        self.lines[key]?.count -= 1
        self.tidy(key)
        if self.lines[key]?.count == 0 { self.lines[key] = nil }
    }

    private mutating func tidy(_ key: Key) {
        self.all.tidy(self.open)
        self.lines[key]?.tidy(self.open)
    }
}

package import NIOCore

/// Bounds the handshakes that are under way on one event loop. When there are too many, the handshake that has waited for
/// its client longest gives up its place, once it has waited for a second. Before that a new handshake finds no place.
/// A client is waited for until its whole message is there: a client that sends a byte now and then has no longer.
///
/// A client's address has a quarter of the places. Beyond it a new handshake takes the place of another one of the same
/// address. So one client that begins handshakes and does not end them uses up the places of its own.
///
/// Every operation is O(1): the handshakes that wait for their clients are linked, in the order in which the waits began,
/// in a line of all addresses and in a line of their own address.
package struct HandshakePlaces {
    /// Tells handshakes apart.
    package typealias Number = UInt64

    package enum Beginning: Equatable {
        /// The handshake has a place. Another one may have to leave for it.
        case begun(Number, leaving: Number?)
        /// All places are taken. A place becomes free when a handshake ends, or at ``nextPlace``.
        case full
    }

    /// The time that every client has for its next whole message. It is longer than a round trip. A handshake that has
    /// waited so long for its client may lose its place.
    package static var grace: TimeAmount { .seconds(1) }
    /// The number of waits at the front of a line that are looked at for a handshake that may leave. The edge is doing a
    /// step of those that may not.
    private static var looks: Int { 16 }

    private enum Order {
        case ofAll
        case ofAddress
    }

    /// The handshakes in front of a handshake and behind it in a line; nil at the line's ends, and without a wait.
    private struct Neighbours {
        var ahead: Number?
        var behind: Number?
    }

    private struct Handshake {
        let address: AddressKey
        /// When the edge had sent its last message; nil before the first. The handshake is linked in its lines from then on.
        var waitsSince: NIODeadline?
        /// The edge has the next step, so the handshake does not leave.
        var isBusy = true
        private var amongAll = Neighbours()
        private var amongAddress = Neighbours()

        init(address: AddressKey) { self.address = address }

        subscript(order: Order) -> Neighbours {
            get { order == .ofAll ? self.amongAll : self.amongAddress }
            set { if order == .ofAll { self.amongAll = newValue } else { self.amongAddress = newValue } }
        }
    }

    /// The waits of all handshakes, or of the handshakes of an address.
    private struct Line {
        /// The handshake that has waited longest.
        var first: Number?
        var last: Number?
        /// The handshakes of the line, whether or not they wait.
        var count = 0

        mutating func append(_ number: Number, _ order: Order, _ open: inout [Number: Handshake]) {
            open[number]?[order] = Neighbours(ahead: self.last)
            if let last = self.last { open[last]?[order].behind = number } else { self.first = number }
            self.last = number
        }

        mutating func remove(_ number: Number, _ order: Order, _ open: inout [Number: Handshake]) {
            guard let beside = open[number]?[order] else { return }
            if let ahead = beside.ahead { open[ahead]?[order].behind = beside.behind } else { self.first = beside.behind }
            if let behind = beside.behind { open[behind]?[order].ahead = beside.ahead } else { self.last = beside.ahead }
            open[number]?[order] = Neighbours()
        }
    }

    private var open: [Number: Handshake] = [:]
    private var all = Line()
    /// The lines of the addresses that have a handshake.
    private var lines: [AddressKey: Line] = [:]
    private var last: Number = 0
    /// The number of places that there are in any case.
    private let fewest: Int

    /// - Parameter fewest: by default so many that clients behind one address have room for the connections of a browser.
    package init(fewest: Int = 128) { self.fewest = fewest }

    package var count: Int { self.all.count }

    /// When the longest wait for a client has lasted for ``grace``; nil if no handshake waits for its client.
    package var nextPlace: NIODeadline? {
        self.all.first.flatMap { self.open[$0]?.waitsSince }.map { $0 + Self.grace }
    }

    /// The handshake of the line that has waited for its client longest.
    private func longestWait(in line: Line, _ order: Order) -> (number: Number, since: NIODeadline)? {
        var next = line.first
        for _ in 0..<Self.looks {
            guard let number = next, let handshake = self.open[number], let since = handshake.waitsSince else { return nil }
            if !handshake.isBusy { return (number, since) }
            next = handshake[order].behind
        }
        return nil
    }

    /// Begins a handshake, whose first step is the edge's.
    ///
    /// - Parameter most: the places that there are; nil for no bound. Fewer than ``fewest`` count as that many.
    package mutating func begin(of address: AddressKey, most: Int?, now: NIODeadline) -> Beginning {
        var leaving: Number?
        if let most = most.map({ max($0, self.fewest) }) {
            if let line = self.lines[address], line.count >= most / 4,
                let own = self.longestWait(in: line, .ofAddress)
            {
                leaving = own.number
            } else if self.all.count >= most {
                guard let oldest = self.longestWait(in: self.all, .ofAll), oldest.since + Self.grace <= now else { return .full }
                leaving = oldest.number
            }
        }
        if let leaving { self.end(leaving) }
        self.last += 1
        self.open[self.last] = Handshake(address: address)
        self.all.count += 1
        self.lines[address, default: Line()].count += 1
        return .begun(self.last, leaving: leaving)
    }

    /// The edge has done its step, and the client has the next one.
    ///
    /// - Parameter isNew: the edge has sent a message. Otherwise it has had a part of the client's, and the client is waited
    ///   for as before.
    package mutating func wait(_ number: Number, isNew: Bool, now: NIODeadline) {
        guard let handshake = self.open[number] else { return }
        self.open[number]?.isBusy = false
        guard isNew || handshake.waitsSince == nil else { return }
        self.unlink(number)
        self.open[number]?.waitsSince = now
        self.all.append(number, .ofAll, &self.open)
        self.lines[handshake.address]?.append(number, .ofAddress, &self.open)
    }

    /// The client has sent something, and the edge has the next step.
    package mutating func goOn(_ number: Number) { self.open[number]?.isBusy = true }

    /// The handshake is over, or its connection is gone. It may have given up its place already.
    package mutating func end(_ number: Number) {
        self.unlink(number)
        guard let address = self.open.removeValue(forKey: number)?.address else { return }
        self.all.count -= 1
        self.lines[address]?.count -= 1
        if self.lines[address]?.count == 0 { self.lines[address] = nil }
    }

    private mutating func unlink(_ number: Number) {
        guard let handshake = self.open[number], handshake.waitsSince != nil else { return }
        self.all.remove(number, .ofAll, &self.open)
        self.lines[handshake.address]?.remove(number, .ofAddress, &self.open)
    }
}

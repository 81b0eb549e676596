import CulvertCore
import NIOCore

/// Bounds the cost of TLS in one turn of a loop; the rest waits for a slice (``LoopSlices``). Bound to that loop.
///
/// A peer may open many connections, and send on all of them in the same moment what costs TLS much: a step of a
/// handshake costs up to 2 ms, a record with a new key (KeyUpdate) 4 us for 27 bytes. NIO gives everything that has
/// arrived its turn before it looks at the sockets again.
final class TLSTurns {
    /// The steps of handshakes that are done at once.
    static let mostSteps = 16
    /// Their time. The last step may exceed it.
    private static let time = TimeAmount.milliseconds(4)
    /// Records of reads with many records that are passed on outside of slices.
    private static let mostRecords = 512
    /// Reads with so many records at most are passed on whole, and are not counted.
    static let fewRecords = 8
    /// Records that are passed on in one piece of work.
    static let pieceOfRecords = 256
    /// Bytes that TLS keeps for a handshake of a client that has begun and is not over, as measured, with the buffers of
    /// NIO.
    static let handshakeMemory = 32 * 1024

    /// A handshake whose first bytes have come and that has no place.
    private struct Parked {
        let feeder: TLSFeeder
        let bytes: Int
    }

    private let loop: any EventLoop
    private let slices: LoopSlices
    private var steps = 0
    private var spent = TimeAmount.zero
    private var records = 0
    private var isEndDue = false
    /// Handshakes of clients that are under way, and their feeders by number.
    private var places = HandshakePlaces()
    private var feeders: [HandshakePlaces.Number: TLSFeeder] = [:]
    /// Their turns go round among the addresses.
    private var parked = FairQueue<Parked, AddressKey>()
    /// Bytes of memory that they held when they came.
    private var parkedBytes = 0
    private var isAdmitting = false
    private var isAdmissionDue = false
    /// Bytes that the process may hold; nil for no ceiling. ``LoopState`` sets it.
    var memoryCeiling: Int?
    /// The number of loops that share the ceiling.
    private let loops: Int

    init(loop: any EventLoop, slices: LoopSlices, memoryCeiling: Int? = nil, loops: Int = 1) {
        self.loop = loop
        self.slices = slices
        self.memoryCeiling = memoryCeiling
        self.loops = loops
    }

    // MARK: - handshakes under way

    /// The number of handshakes that may be under way: they hold a quarter of the ceiling of memory together, and each
    /// loop has its part of that. Nil without a ceiling.
    private var most: Int? { self.memoryCeiling.map { max(1, $0 / 4 / Self.handshakeMemory / self.loops) } }

    /// A client's handshake begins. It may take the place of another one, which is cut.
    ///
    /// - Returns: the number of its place; nil if there is none. Then ``TLSFeeder/admitted(_:)`` is called in its turn, or
    ///   the handshake is cut for others that wait.
    func begin(_ feeder: TLSFeeder, of client: AddressKey) -> HandshakePlaces.Number? {
        // Handshakes that wait for a place are first.
        if self.parked.isEmpty, let number = self.takePlace(for: feeder, of: client) { return number }
        let parked = Parked(feeder: feeder, bytes: feeder.waitingMemory)
        _ = self.parked.join(parked, of: client)
        self.parkedBytes += parked.bytes
        // First messages take half as much memory as the handshakes at most. Then the client with most of them has fewer.
        let budget = max(128, self.most ?? .max / Self.handshakeMemory) * Self.handshakeMemory / 2
        while self.parkedBytes > budget, let last = self.parked.evict() {
            self.parkedBytes -= last.bytes
            last.feeder.makeRoom()
        }
        self.admitLater()
        return nil
    }

    private func takePlace(for feeder: TLSFeeder, of client: AddressKey) -> HandshakePlaces.Number? {
        guard case .begun(let number, let leaving) = self.places.begin(of: client, most: self.most, now: self.now)
        else { return nil }
        self.feeders[number] = feeder
        if let leaving { self.feeders.removeValue(forKey: leaving)?.makeRoom() }
        return number
    }

    /// The handshake waits for its client.
    ///
    /// - Parameter isNew: TLS has sent a message since the handshake waited last.
    func wait(_ number: HandshakePlaces.Number, isNew: Bool) {
        self.places.wait(number, isNew: isNew, now: self.now)
        self.admitLater()
    }

    /// The client has sent its next message, or a part of it.
    func goOn(_ number: HandshakePlaces.Number) { self.places.goOn(number) }

    /// The handshake is over, or its connection is gone.
    func end(_ number: HandshakePlaces.Number) {
        self.places.end(number)
        self.feeders[number] = nil
        self.admit()
    }

    /// Gives places that are free to handshakes that wait for them.
    private func admit() {
        guard !self.isAdmitting else { return }
        self.isAdmitting = true
        while let parked = self.parked.next() {
            let feeder = parked.feeder
            guard feeder.isParked else {
                self.parkedBytes -= parked.bytes
                continue
            }
            guard let number = self.takePlace(for: feeder, of: feeder.client) else {
                self.parked.putBack(parked, of: feeder.client)
                break
            }
            self.parkedBytes -= parked.bytes
            feeder.admitted(number)
        }
        self.isAdmitting = false
        self.admitLater()
    }

    /// Looks again when the longest wait for a client has lasted long enough. There is a single timer, which is not moved.
    private func admitLater() {
        guard !self.parked.isEmpty, !self.isAdmissionDue, let time = self.places.nextPlace else { return }
        self.isAdmissionDue = true
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.scheduleTask(deadline: max(time, self.now + .milliseconds(1))) {
            bound.value.isAdmissionDue = false
            bound.value.admit()
        }
    }

    // MARK: - steps of handshakes

    var now: NIODeadline { self.loop.now }

    /// Whether a step may be done now. A step that waits in the same line already comes first.
    func mayStep(in line: LoopSlices.Line) -> Bool {
        self.steps < Self.mostSteps && self.spent < Self.time && !self.slices.hasWork(in: line)
    }

    /// Does a step, and counts it.
    func step(_ work: () -> Void) {
        let begin = self.loop.now
        work()
        self.spent = self.spent + (self.loop.now - begin)
        self.steps += 1
        self.endWithTurn()
    }

    /// Does a step in a slice, or passes records on in it, behind what waits already in the same line for the same client.
    func enqueue(in line: LoopSlices.Line, of client: AddressKey, _ work: @escaping () -> Void) {
        self.slices.enqueue(in: line, of: client, work)
    }

    // MARK: - records

    /// Whether a read of so many records may be passed on now. If so, they are counted.
    func mayPass(_ records: Int) -> Bool {
        guard self.records + records <= Self.mostRecords else { return false }
        self.records += records
        self.endWithTurn()
        return true
    }

    // MARK: - the end of a turn

    /// Tasks run once the sockets have had their turn.
    private func endWithTurn() {
        guard !self.isEndDue else { return }
        self.isEndDue = true
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.execute { bound.value.end() }
    }

    private func end() {
        self.isEndDue = false
        self.steps = 0
        self.spent = .zero
        self.records = 0
    }
}

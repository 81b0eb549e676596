import NIOCore

/// What TLS may cost in one turn of a loop; the rest waits for a slice (``LoopSlices``). Bound to that loop.
///
/// A peer may open many connections, and send on all of them in the same moment what costs TLS much: a step of a
/// handshake costs up to 2 ms, a record with a new key (KeyUpdate) 4 us for 27 bytes. NIO gives everything that has
/// arrived its turn before it looks at the sockets again.
final class TLSTurns {
    /// The steps of handshakes that are done outside of slices, and their time. The last step may exceed it.
    private static let mostSteps = 16
    private static let time = TimeAmount.milliseconds(1)
    /// Records of reads with many records that are passed on outside of slices.
    private static let mostRecords = 512
    /// Reads with so many records at most are passed on whole, and are not counted.
    static let fewRecords = 8
    /// Records that are passed on in one piece of work.
    static let pieceOfRecords = 256

    private let loop: any EventLoop
    private let slices: LoopSlices
    private var steps = 0
    private var spent = TimeAmount.zero
    private var records = 0
    private var waiting = 0
    private var isEndDue = false

    init(loop: any EventLoop, slices: LoopSlices) {
        self.loop = loop
        self.slices = slices
    }

    /// Whether a step of a handshake may be done now. A step that waits already comes first.
    var mayStep: Bool { self.waiting == 0 && self.steps < Self.mostSteps && self.spent < Self.time }

    /// Does a step of a handshake, and counts it.
    func step(_ work: () -> Void) {
        let begin = self.loop.now
        work()
        self.spent = self.spent + (self.loop.now - begin)
        self.steps += 1
        self.endWithTurn()
    }

    /// Whether a read of so many records may be passed on now. If so, they are counted.
    func mayPass(_ records: Int) -> Bool {
        guard self.records + records <= Self.mostRecords else { return false }
        self.endWithTurn()
        self.records += records
        return true
    }

    /// Does `work` in a slice, behind what waits already.
    func enqueue(_ work: @escaping () -> Void) {
        self.waiting += 1
        self.slices.enqueue {
            self.waiting -= 1
            work()
        }
    }

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

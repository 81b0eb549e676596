import DequeModule
import NIOCore

/// Bounds the cost of TLS in one turn of a loop; the rest waits for a slice (``LoopSlices``). Bound to that loop.
///
/// A peer may open many connections, and send on all of them in the same moment what costs TLS much: a step of a
/// handshake costs up to 2 ms, a record with a new key (KeyUpdate) 4 us for 27 bytes. NIO gives everything that has
/// arrived its turn before it looks at the sockets again.
final class TLSTurns {
    /// The steps of handshakes that are done at once, and their time. The last step may exceed it.
    private static let mostSteps = 4
    /// The same for those that wait.
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
    private var isEndDue = false
    /// Steps that wait for those before them.
    private var line: Deque<() -> Void> = []
    private var isLineMoving = false

    init(loop: any EventLoop, slices: LoopSlices) {
        self.loop = loop
        self.slices = slices
    }

    // MARK: - steps of handshakes

    /// Whether a step may be done now. A step that waits already comes first.
    var mayStep: Bool { !self.isLineMoving && self.steps < Self.mostSteps && self.spent < Self.time }

    /// Does a step, and counts it.
    func step(_ work: () -> Void) {
        let begin = self.loop.now
        work()
        self.spent = self.spent + (self.loop.now - begin)
        self.steps += 1
        self.endWithTurn()
    }

    /// Does a step behind those that wait already.
    func enqueueStep(_ work: @escaping () -> Void) {
        self.line.append(work)
        guard !self.isLineMoving else { return }
        self.isLineMoving = true
        self.moveLine()
    }

    private func moveLine() { self.slices.enqueue { self.doSteps(until: self.loop.now + Self.time) } }

    private func doSteps(until end: NIODeadline) {
        guard let work = self.line.popFirst() else {
            self.isLineMoving = false
            return
        }
        work()
        // Where there are several certificates, the choice of one interrupts a handshake until a task of this turn, and
        // the cost of the step is in that task.
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.execute {
            let turns = bound.value
            if turns.loop.now < end { turns.doSteps(until: end) } else { turns.moveLine() }
        }
    }

    // MARK: - records

    /// Whether a read of so many records may be passed on now. If so, they are counted.
    func mayPass(_ records: Int) -> Bool {
        guard self.records + records <= Self.mostRecords else { return false }
        self.records += records
        self.endWithTurn()
        return true
    }

    /// Passes records on in a slice, behind what waits already in the same line.
    func enqueueRecords(in line: LoopSlices.Line, _ work: @escaping () -> Void) {
        self.slices.enqueue(in: line, work)
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

import DequeModule
import NIOCore

/// Work of one event loop that is done in slices, with the sockets' turn between them. Bound to that loop.
///
/// `EventLoop.execute` gives the sockets no turn: NIO runs tasks until none is left, those that tasks have added
/// included. A timer for each piece of work gives them none either, once a round of all pieces takes longer than the
/// timers. So all the work of a loop has a single timer, which is set again after each slice.
final class LoopSlices {
    /// The time of work before the sockets have their turn; the last piece of work may exceed it.
    private static let turn = TimeAmount.milliseconds(1)
    private static let pause = TimeAmount.microseconds(100)
    /// Messages in one piece of work.
    static let messages = 2048
    /// Messages that a connection passes at once while the loop is busy.
    static let fewMessages = 64

    private let loop: any EventLoop
    private var waiting: Deque<() -> Void> = []
    private var isScheduled = false
    /// A piece of work is being done.
    private var isRunning = false
    /// Messages that have passed outside of slices since the last slice.
    private var passed = 0

    init(loop: any EventLoop) { self.loop = loop }

    /// Work waits, or many messages have passed in this turn of the loop.
    var isBusy: Bool { !self.waiting.isEmpty || self.passed >= Self.messages }

    /// The number of messages that a connection or a session passes now. The rest of its messages passes in slices. NIO
    /// gives all sockets that are ready their turn before it looks again, so that many connections with many messages
    /// each would hold up all others.
    var room: Int { self.isBusy && !self.isRunning ? Self.fewMessages : Self.messages }

    /// So many messages have passed. Too many of them make the loop busy until its next slice.
    func notePassed(_ messages: Int) {
        guard !self.isRunning else { return }
        self.passed += messages
        if self.passed >= Self.messages { self.schedule() }
    }

    /// Runs `work` in a later turn, behind what waits already.
    func enqueue(_ work: @escaping () -> Void) {
        self.waiting.append(work)
        self.schedule()
    }

    /// Runs `step` in later turns until it returns false. Other work has its turn between two steps.
    func repeatWhile(_ step: @escaping () -> Bool) {
        self.enqueue { if step() { self.repeatWhile(step) } }
    }

    private func schedule() {
        guard !self.isScheduled else { return }
        self.isScheduled = true
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.scheduleTask(in: Self.pause) { bound.value.run() }
    }

    private func run() {
        self.passed = 0
        self.isRunning = true
        // Work that enqueues its rest sets no timer meanwhile. Such a timer would be due before the slice is over, and
        // NIO would run the next slice at once, without the sockets' turn.
        let end = self.loop.now + Self.turn
        while let work = self.waiting.popFirst() {
            work()
            if self.loop.now >= end { break }
        }
        self.isRunning = false
        self.isScheduled = false
        if !self.waiting.isEmpty { self.schedule() }
    }
}

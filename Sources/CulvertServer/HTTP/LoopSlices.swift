import DequeModule
import NIOCore

/// Work of one event loop that is done in slices, with the sockets' turn between them. Bound to that loop.
///
/// `EventLoop.execute` gives the sockets no turn: NIO runs tasks until none is left, those that tasks have added
/// included. A timer for each piece of work gives them none either, once a round of all pieces takes longer than the
/// timers. So all the work of a loop has a single timer, which is set again after each slice.
///
/// The work waits in two lines, which are served in turn, a piece of each. With a single line, a client that opens many
/// connections would put seconds of work in front of every session.
final class LoopSlices {
    enum Line {
        /// Work in front of the gate: handshakes of TLS, heads of requests, bodies that are refused.
        case strangers
        /// Work for clients that the gate has let in, and the loop's own.
        case sessions
    }

    /// The time of work before the sockets have their turn; the last piece of work may exceed it.
    private static let turn = TimeAmount.milliseconds(1)
    private static let pause = TimeAmount.microseconds(100)
    /// Messages in one piece of work. A frame, an envelope, a line of a head and a chunk cost about as much, and count
    /// as a message each.
    static let messages = 2048
    /// Messages that a connection passes at once while the loop is busy.
    static let fewMessages = 64

    private let loop: any EventLoop
    private var strangers: Deque<() -> Void> = []
    private var sessions: Deque<() -> Void> = []
    /// The line that had the last turn.
    private var served = Line.strangers
    private var isScheduled = false
    /// A piece of work is being done.
    private var isRunning = false
    /// Messages that have passed outside of slices since the last slice.
    private var passed = 0

    init(loop: any EventLoop) { self.loop = loop }

    /// Work waits, or many messages have passed in this turn of the loop.
    var isBusy: Bool { self.hasWork || self.passed >= Self.messages }

    private var hasWork: Bool { !self.strangers.isEmpty || !self.sessions.isEmpty }

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

    /// Runs `work` in a later turn, behind what waits already in the same line.
    func enqueue(in line: Line = .strangers, _ work: @escaping () -> Void) {
        switch line {
        case .strangers: self.strangers.append(work)
        case .sessions: self.sessions.append(work)
        }
        self.schedule()
    }

    /// Runs `step` in later turns until it returns false. Other work has its turn between two steps.
    func repeatWhile(in line: Line = .strangers, _ step: @escaping () -> Bool) {
        self.enqueue(in: line) { if step() { self.repeatWhile(in: line, step) } }
    }

    /// The first piece of the line that has not had the last turn, or of the other where that is empty.
    private func next() -> (() -> Void)? {
        switch self.served {
        case .strangers:
            self.served = .sessions
            return self.sessions.popFirst() ?? self.strangers.popFirst()
        case .sessions:
            self.served = .strangers
            return self.strangers.popFirst() ?? self.sessions.popFirst()
        }
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
        while let work = self.next() {
            work()
            if self.loop.now >= end { break }
        }
        self.isRunning = false
        self.isScheduled = false
        if self.hasWork { self.schedule() }
    }
}

import CulvertCore
import NIOCore

/// Owns the work of one event loop that is done in slices, with the sockets' turn between slices. Used on that loop.
///
/// `EventLoop.execute` gives the sockets no turn: NIO runs tasks until none is left, including the tasks that tasks
/// add. A timer for each piece of work gives the sockets no turn either, once a round of all pieces takes longer than
/// the timers. So a slice runs when the loop reads a pipe of its own, in the sockets' turn (``TurnSignal``). A pause
/// before the slice lets other loops do the work that slices of this loop have sent them. Steps of handshakes send no
/// work to other loops.
///
/// The work waits in several lines, each of which has its share of the time (``TimeShares``). With a single line, a
/// client with many connections would put seconds of work in front of every session. In each line the turns go round
/// among the clients that have work there (``FairQueue``), told apart by their addresses.
final class LoopSlices {
    /// Different peers fill each line, so that a flood of one kind of work delays that kind alone.
    enum Line: Int, CaseIterable {
        /// The loop's own work: late timers, and work in all sessions for an operator. It waits for no client.
        case own
        /// Work for clients that the gate has let in.
        case sessions
        /// Steps of TLS handshakes with servers, which openings wait for.
        case openings
        /// Steps of TLS handshakes, and requests, on the admin listener.
        case control
        /// Steps of TLS handshakes with clients.
        case handshakes
        /// Other work in front of the gate: heads of requests, bodies that are refused.
        case strangers

        /// The line's share of the time. Clients without a token fill two lines, `handshakes` and `strangers`. Sessions
        /// have as much time as both together, and so has the loop's own work.
        fileprivate var weight: Int { self == .sessions || self == .own ? 2 : 1 }

        /// Whether the pieces give no work to other loops, so that a slice needs no pause before it.
        fileprivate var isOfHandshakes: Bool {
            switch self {
            case .openings, .handshakes: true
            case .own, .sessions, .control, .strangers: false
            }
        }

        /// Whether a piece may leave a part of its work to a task of the same turn. A listener with several
        /// certificates interrupts a handshake to choose one of them. A task then continues it and has the cost of the
        /// step.
        fileprivate var leavesTasks: Bool { self == .control || self == .handshakes }
    }

    /// The time of a slice, after which the sockets have their turn. The last piece of work may exceed it.
    private static let turn = TimeAmount.milliseconds(4)
    private static let pause = TimeAmount.microseconds(100)
    /// The time of one piece of work that consists of many short steps. The last step may exceed it.
    private static let piece = TimeAmount.microseconds(500)
    /// The most requests and answers of other loops that are served outside of slices in one turn of the loop. Each
    /// costs some 40 us, and NIO gives all sockets that are ready their turn before it looks again.
    private static let requestsPerTurn = 128
    /// The most requests that begin so in a turn of the loop in front of requests that wait.
    private static let requestsAhead = 16
    /// Up to this number of requests, the loop runs no task at the end of the turn to reset the count.
    private static let fewRequests = 64
    static let messages = WorkUnits.messages
    static let fewMessages = WorkUnits.fewMessages

    let loop: any EventLoop
    /// Runs the next slice after the pause. Until ``openSignal()`` is done it is nil, and the timer of the pause runs
    /// the slice.
    var signal: TurnSignal?
    /// The pieces of work in each line, indexed by ``Line``.
    private var lines = [FairQueue<() -> Void, AddressKey>](repeating: FairQueue(), count: Line.allCases.count)
    private var shares = TimeShares(weights: Line.allCases.map(\.weight))
    /// The number of pieces of work in all lines.
    private var waiting = 0
    private var isScheduled = false
    /// Whether a piece of work is being done.
    private var isRunning = false
    /// The number of messages that have passed outside of slices since the last slice.
    private var passed = 0
    /// This turn's requests and answers, and at most ``fewRequests`` of earlier turns.
    private var requests = 0
    /// Requests of this turn of the loop that have begun in front of requests that wait.
    private var ahead = 0
    private var isTurnEndDue = false

    init(loop: any EventLoop) { self.loop = loop }

    /// Whether work waits, or many messages have passed outside of slices since the last slice.
    var isBusy: Bool { self.hasWork || self.passed >= Self.messages }

    private var hasWork: Bool { self.waiting > 0 }

    func hasWork(in line: Line) -> Bool { !self.lines[line.rawValue].isEmpty }

    /// The number of messages that a connection or a session passes now. The rest of its messages passes in slices. NIO
    /// gives all sockets that are ready their turn before it looks again, so that many connections with many messages
    /// each would hold up all others.
    var room: Int { self.isBusy && !self.isRunning ? Self.fewMessages : Self.messages }

    /// Counts messages that have passed. Too many of them make the loop busy until its next slice.
    func notePassed(_ messages: Int) {
        guard !self.isRunning else { return }
        self.passed += messages
        if self.passed >= Self.messages { self.schedule() }
    }

    /// Whether a request may begin now, or the answer of another loop be written. If so, the request is counted. Otherwise
    /// it has its turn in a slice. Within a slice it always may.
    ///
    /// - Parameter line: the line in which requests wait. Few requests begin in front of those. A request that has to wait
    ///   behind all others would make its client pay for a flood that comes from the client's own address.
    func mayServe(before line: Line? = nil) -> Bool {
        if self.isRunning { return true }
        if let line, self.hasWork(in: line) {
            // Each turn is counted by itself. A request that waited for what earlier turns have begun would be held up for a
            // whole round.
            self.endTurnLater()
            self.ahead += 1
            return self.ahead <= Self.requestsAhead
        }
        guard self.requests < Self.requestsPerTurn else { return false }
        self.requests += 1
        if self.requests > Self.fewRequests { self.endTurnLater() }
        return true
    }

    private func endTurnLater() {
        guard !self.isTurnEndDue else { return }
        self.isTurnEndDue = true
        // Tasks run once the sockets have had their turn.
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.execute { bound.value.endTurn() }
    }

    private func endTurn() {
        self.isTurnEndDue = false
        self.requests = 0
        self.ahead = 0
    }

    /// Runs `work` in a later turn, after the work that waits already in the same line for the same client.
    func enqueue(in line: Line = .strangers, of client: AddressKey = .none, _ work: @escaping () -> Void) {
        self.add(to: line) { _ = $0.join(work, of: client) }
    }

    /// Runs `work`, the rest of begun work, in a later turn, before the work that waits in the same line for the same
    /// client. So a client's large batches pass one after the other, because each takes memory until it has passed.
    func enqueueRest(in line: Line, of client: AddressKey, _ work: @escaping () -> Void) {
        self.add(to: line) { $0.putBack(work, of: client) }
    }

    /// Runs `step` in later turns until it returns false. Other clients' work has its turn between two steps, but no
    /// other work of the same client: its batches are read one after the other, and not all of them at once.
    func repeatWhile(in line: Line = .strangers, of client: AddressKey, _ step: @escaping () -> Bool) {
        self.enqueue(in: line, of: client) { self.goOn(in: line, of: client, step) }
    }

    private func goOn(in line: Line, of client: AddressKey, _ step: @escaping () -> Bool) {
        guard step() else { return }
        self.enqueueRest(in: line, of: client) { self.goOn(in: line, of: client, step) }
    }

    /// Runs `step`, which is short, in later turns until it returns false. Steps are in the line of the loop's own
    /// work, whose other work has its turn every 0.5 ms. If each step took a turn, it would wait for a piece of the
    /// other work each time.
    func repeatOften(_ step: @escaping () -> Bool) {
        self.enqueue(in: .own) {
            let end = self.loop.now + Self.piece
            repeat {
                guard step() else { return }
            } while self.loop.now < end
            self.repeatOften(step)
        }
    }

    private func add(to line: Line, _ join: (inout FairQueue<() -> Void, AddressKey>) -> Void) {
        if self.lines[line.rawValue].isEmpty { self.shares.join(line.rawValue) }
        join(&self.lines[line.rawValue])
        self.waiting += 1
        self.schedule()
    }

    /// Takes the first piece of the line whose turn it is.
    private func next() -> (line: Line, work: () -> Void)? {
        guard let index = self.shares.next({ !self.lines[$0].isEmpty }), let line = Line(rawValue: index),
            let work = self.lines[index].next()
        else { return nil }
        self.waiting -= 1
        return (line, work)
    }

    private func schedule() {
        guard !self.isScheduled else { return }
        self.isScheduled = true
        let needsPause = Line.allCases.contains { !$0.isOfHandshakes && self.hasWork(in: $0) }
        if !needsPause, self.signal?.request() == true { return }
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.scheduleTask(in: Self.pause) { bound.value.pauseEnded() }
    }

    /// The timer may fire before the sockets have their turn. The signal runs the slice in the sockets' turn.
    private func pauseEnded() { if self.signal?.request() != true { self.run() } }

    /// Does a slice of the work. The signal calls it; without a signal, the timer of the pause calls it.
    func run() {
        self.passed = 0
        self.goOn(until: self.loop.now + Self.turn)
    }

    private func goOn(until end: NIODeadline) {
        self.isRunning = true
        // Work that enqueues its rest sets no timer meanwhile. Such a timer would be due before the slice is over, and
        // NIO would run the next slice at once, without the sockets' turn.
        var begin = self.loop.now
        while let (line, work) = self.next() {
            work()
            if line.leavesTasks {
                self.goOn(behindTasksOf: line, since: begin, until: end)
                return
            }
            let now = self.loop.now
            self.shares.charge(line.rawValue, nanoseconds: (now - begin).nanoseconds)
            if now >= end { break }
            begin = now
        }
        self.finish()
    }

    /// Goes on with the slice after the tasks that a piece of the line has added. Their time is charged to the line.
    private func goOn(behindTasksOf line: Line, since begin: NIODeadline, until end: NIODeadline) {
        self.isRunning = false
        let bound = NIOLoopBound(self, eventLoop: self.loop)
        self.loop.execute {
            let slices = bound.value
            let now = slices.loop.now
            slices.shares.charge(line.rawValue, nanoseconds: (now - begin).nanoseconds)
            if now < end { slices.goOn(until: end) } else { slices.finish() }
        }
    }

    private func finish() {
        self.isRunning = false
        self.isScheduled = false
        // The tasks behind a piece of work may have passed many messages.
        if self.isBusy { self.schedule() }
    }
}

import NIOCore

@testable import CulvertCore

/// A lane whose client, session, channel and timers are played. What its life does is held against what a lane
/// promises: its session is told of each envelope once, in order and a read's worth at a time, and of the lane's end
/// once; the client is told one Close; nothing waits for ever.
struct LaneModel {
    static let generation: UInt64 = 7
    static let bye = CloseFrame(code: CloseCode(rawValue: 4000), reason: "bye")
    static let time = TimeAmount.seconds(10)

    /// What the client sends.
    enum Item: Equatable {
        case envelope(Int)
        /// A part of an envelope that takes room, and of which the session learns nothing.
        case part
        case control, close, noEnvelope
    }

    var random: PollRandom
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    var life = LaneLife()
    private(set) var fault: String?
    /// The steps so far, when they are wanted.
    var trace: [String]?

    // The channel.
    var isGone = false
    var isWritable = true
    /// The channel has asked for a read that it has not got.
    var wantsRead = true
    /// Reads that the channel has got, and that have brought nothing yet.
    var reads = 0
    var closesWhenWritten = false

    // The lane's driver.
    var timer: NIODeadline?
    var hasPlace = true
    var isPaused = false
    /// Later turns that take more.
    var later = 0
    var finals = 0
    private var isDeaf = false
    private var said: CloseFrame?

    // The client.
    var inbox: [Item] = []
    var made = 0
    var isInputClosed = false

    // The session.
    var isKnown = false
    /// The session was told of envelopes or controls, and has not taken them.
    var sessionHas = false
    private var told = 0
    private var losses = 0

    init(seed: UInt64) { self.random = PollRandom(seed: seed) }

    mutating func blame(_ text: String) { if self.fault == nil { self.fault = text } }

    // MARK: - the driver

    mutating func perform(_ actions: [LaneAction]) { for action in actions { self.perform(action) } }

    mutating func perform(_ action: LaneAction) {
        switch action {
        case .lost(let generation):
            if generation != Self.generation || !self.isKnown { self.blame("an unknown lane is lost") }
            self.losses += 1
        case .linger: self.hasPlace = true
        case .say(let frame, let ending):
            if self.said != nil { self.blame("a second Close") }
            self.said = frame
            self.closesWhenWritten = ending == .close || ending == .closeBehindOutput
            if self.isInputClosed, !self.closesWhenWritten { self.blame("waits for a client that sends nothing") }
        case .closeBehindOutput: self.closesWhenWritten = true
        case .close(let frame): self.close(frame, by: .edge)
        case .cut: self.cut()
        case .wake(let deadline): self.timer = deadline
        case .tellFull: if self.life.generation == nil { self.blame("a session is told that does not know the lane") }
        case .takeMore: self.sessionTakes()
        case .read: self.read()
        case .forget, .startKeepalive: break
        }
    }

    mutating func close(_ frame: CloseFrame, by cause: LaneLife.Cause) {
        guard !self.life.isClosing else { return }
        let hasClose = self.inbox.contains(.close)
        self.perform(
            self.life.close(frame, by: cause, hasClose: hasClose, isWritable: self.isWritable, now: self.now))
    }

    /// The connection ends, and the channel says so at once.
    mutating func cut() {
        guard !self.isGone else { return }
        self.isGone = true
        self.life.connectionCloses()
        self.take(room: 100)
        self.perform(self.life.connectionClosed())
    }

    private mutating func read() {
        self.wantsRead = false
        self.reads += 1
        let isHeld = !self.isKnown || self.sessionHas || self.later > 0 || self.isPaused
        if isHeld, !self.life.isClosing { self.blame("a client is read that is to wait") }
    }

    mutating func ask() {
        self.wantsRead = true
        if self.life.readAsked() { self.read() }
    }

    mutating func take(room most: Int) {
        guard self.life.mayTake, !self.isDeaf else { return }
        var room = most
        var batches: [Int] = []
        var hasControls = false
        var end: LaneLife.Cause?
        while end == nil, room > 0, !self.inbox.isEmpty {
            room -= 1
            switch self.inbox.removeFirst() {
            case .envelope(let number): batches.append(number)
            case .part: break
            case .control: hasControls = true
            case .close: end = .answer
            case .noEnvelope: end = .failure
            }
        }
        self.isDeaf = end != nil
        if hasControls, self.random.chance(20) {
            self.life.pause()
            self.isPaused = true
        }
        let hasMore = end == nil && !self.inbox.isEmpty
        switch self.life.took(hasBatches: !batches.isEmpty, hasControls: hasControls, hasMore: hasMore) {
        case .nothing: if !batches.isEmpty { self.blame("envelopes that nobody is told of") }
        case .later: self.later += 1
        case .tell: self.tell(batches)
        case .begin(let endsWait):
            if endsWait { self.timer = nil }
            self.hasPlace = false
            self.tell(batches)
        }
        if let end { self.close(Self.bye, by: end) }
    }

    private mutating func tell(_ batches: [Int]) {
        if self.life.generation != Self.generation { self.blame("a session is told that does not know the lane") }
        // At the end of the connection it is told of everything that has come whole.
        if self.sessionHas, !self.isGone { self.blame("a session is told more before it has taken what it has") }
        for number in batches {
            self.told += 1
            if number != self.told { self.blame("envelope \(number) in place of \(self.told)") }
        }
        self.sessionHas = true
    }

    // MARK: - the session

    mutating func join() {
        guard !self.isKnown else { return }
        self.isKnown = true
        self.perform(
            self.life.joined(
                Self.generation, isConnected: !self.isGone, isWritable: self.isWritable, time: Self.time, now: self.now
            ))
    }

    mutating func sessionTakes() {
        self.sessionHas = false
        guard !self.life.isClosing else { return }
        guard self.life.sessionTook() == .take else {
            self.later += 1
            return
        }
        self.take(room: Int.random(in: 1...4, using: &self.random))
        switch self.life.readOn() {
        case .nothing: break
        case .cut: self.cut()
        case .read: self.read()
        }
    }

    mutating func laterTurn() {
        guard self.later > 0 else { return }
        self.later -= 1
        self.life.turnCame()
        self.sessionTakes()
    }

    mutating func sayFinal() {
        guard !self.life.isClosing else { return }
        self.perform(self.life.finalSent())
        self.finals += 1
    }

    mutating func finalWritten() {
        guard self.finals > 0 else { return }
        self.finals -= 1
        self.perform(self.life.finalWritten(time: Self.time, now: self.now))
    }

    // MARK: - the promises

    /// What holds behind each step.
    mutating func check() {
        if self.losses > 1 { self.blame("a lane that is lost twice") }
        if self.isKnown, self.life.isClosing, self.losses == 0 { self.blame("a session is not told of the lane's end") }
        if let deadline = self.life.deadline, self.timer != deadline { self.blame("no timer for the deadline") }
        switch self.life.state {
        case .joining: break
        case .joined: if self.life.deadline == nil, self.life.wait != .final { self.blame("an unused lane stays") }
        case .inUse: if self.hasPlace { self.blame("a lane in use counts among the handshakes") }
        case .closing:
            if self.life.deadline == nil { self.blame("a lane closes for ever") }
            if !self.hasPlace { self.blame("a lane that closes does not count among the handshakes") }
            if self.wantsRead { self.blame("a lane that closes does not look for the client's Close") }
        case .gone: if !self.isGone { self.blame("a connection is left") }
        }
        let isFree = self.isKnown && !self.sessionHas && self.later == 0 && !self.isPaused
        if isFree, !self.life.isClosing {
            if self.wantsRead { self.blame("a client is not read that may be") }
            if self.isInputClosed { self.blame("a lane stays whose client has ended its direction") }
        }
    }

    /// The session takes everything and says its Close; the client does nothing any more. Then nothing is left.
    mutating func finish() {
        self.isWritable = true
        self.join()
        for _ in 0..<100 {
            if self.isPaused { self.endPause() }
            self.laterTurn()
            if self.sessionHas { self.sessionTakes() }
        }
        if self.life.isInUse { self.sayFinal() }
        while self.finals > 0 { self.finalWritten() }
        for _ in 0..<4 { self.pass(.seconds(11)) }
        if self.life.state != .gone { self.blame("a lane is left: \(self.life.state), \(self.life.wait)") }
        if self.losses != 1 { self.blame("a lane that is lost \(self.losses) times") }
    }

    mutating func endPause() {
        self.isPaused = false
        if self.life.endPause() { self.read() }
    }

    mutating func pass(_ time: TimeAmount) {
        self.now = self.now + time
        guard let timer = self.timer, timer <= self.now else { return }
        self.timer = nil
        self.perform(self.life.timePassed(now: self.now))
    }
}

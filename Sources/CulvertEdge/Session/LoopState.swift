import CulvertConfig
import CulvertCore
import NIOCore

/// What one event loop has: its sessions and connections, what is in force there, and its work in slices. Sessions and
/// connections report to it what becomes of them. Touched on that loop alone, hence without locks.
final class LoopState {
    let loop: any EventLoop
    /// The loop's place in ``EdgeContext/loops``, and a part of its sessions' identifiers.
    let index: UInt8
    let slices: LoopSlices
    let timers: LoopTimers
    let dates = AnswerDates()
    let tls: TLSTurns
    let sessions = SessionTable()
    let connections = ConnectionTable()
    let relief: LoopRelief
    let ends: LoopEnds
    let drain: LoopDrain
    @exclusivity(unchecked) private(set) var rules: EdgeRules
    /// The tokens in force, as this loop sees them.
    var keyring: TokenKeyring
    /// The modes of connections, by the ids of listeners.
    var listeners: [Int: ListenerMode] = [:]
    var masks = MaskSource()

    /// - Parameter loops: the number of loops of the process.
    init(
        loop: any EventLoop, index: UInt8, loops: Int = 1, rules: EdgeRules, keyring: TokenKeyring = TokenKeyring()
    ) {
        self.loop = loop
        self.index = index
        self.slices = LoopSlices(loop: loop)
        self.timers = LoopTimers(loop: loop, slices: self.slices)
        self.tls = TLSTurns(
            loop: loop, slices: self.slices, memoryCeiling: rules.config.limits.memory, loops: loops)
        self.relief = LoopRelief(self.sessions)
        self.ends = LoopEnds(loop: loop, self.sessions, self.connections)
        self.drain = LoopDrain(loop: loop, slices: self.slices, self.sessions, self.connections, self.ends)
        self.rules = rules
        self.keyring = keyring
    }

    func setRules(_ rules: EdgeRules) { (self.rules, self.tls.memoryCeiling) = (rules, rules.config.limits.memory) }

    func newID(node: UInt16) -> SessionID {
        // The system's generator is cryptographically secure.
        var generator = SystemRandomNumberGenerator()
        return SessionID(node: node, shard: self.index, random: (generator.next(), generator.next()))
    }

    func session(_ id: SessionID) -> Session? { self.sessions.find(id) }

    // MARK: - what sessions and connections report

    func add(_ session: Session) {
        self.sessions.add(session)
        self.drain.closeLatecomer(session)
    }

    /// Both close handshakes are over.
    func ended(_ session: Session) {
        self.sessions.ended(session)
        self.ends.look()
    }

    /// The session has ended, and its connections are gone.
    func gone(_ session: Session) {
        self.sessions.gone(session)
        self.ends.look()
    }

    /// A polled session has nothing more to tell its client than `frame`, with which it has ended.
    func bury(_ session: Session, frame: CloseFrame, until: NIODeadline) {
        if self.sessions.bury(session, frame: frame, until: until, now: self.loop.now) { self.ends.look() }
    }

    func connectionClosed(_ connection: ClientConnection) {
        self.connections.remove(connection)
        self.ends.look()
    }

    func laneClosed(_ lane: any SessionLane) {
        self.connections.remove(lane)
        self.ends.look()
    }
}

import CulvertCore
import NIOCore

/// The sessions of one event loop; touched on that loop alone, hence without locks.
final class LoopState {
    let loop: any EventLoop
    let index: UInt8
    let slices: LoopSlices
    let timers: LoopTimers
    let dates = AnswerDates()
    let tls: TLSTurns
    private(set) var sessions: [ObjectIdentifier: Session] = [:]
    private var byID: [SessionID: Session] = [:]
    private var tombstones = Tombstones()
    /// Sessions whose close handshakes are not over, and sessions whose connections are not gone. Counted, because both
    /// are asked for at the end of each session while the process stops.
    private var unended = 0
    private var present = 0
    /// Connections that speak HTTP now; they are told when the server stops.
    var connections: [ObjectIdentifier: ClientConnection] = [:]
    /// Connections that are lanes of sessions, here or of another loop.
    var lanes: [ObjectIdentifier: SocketLane] = [:]
    private(set) var rules: EdgeRules
    /// By the ids of listeners.
    var listeners: [Int: ListenerMode] = [:]
    var masks = MaskSource()
    /// Its sessions by what they hold.
    var holders = HolderIndex()
    /// Sessions that are not read until the relief of memory has looked again.
    var heldBack: [Session] = []
    /// Answers that its sessions have handed out, and that clients may not be reading.
    var answers = AnswerLedger()
    /// The tokens in force, as this loop sees them.
    var keyring: TokenKeyring

    init(loop: any EventLoop, index: UInt8, rules: EdgeRules, keyring: TokenKeyring = TokenKeyring()) {
        self.loop = loop
        self.index = index
        self.slices = LoopSlices(loop: loop)
        self.timers = LoopTimers(loop: loop, slices: self.slices)
        self.tls = TLSTurns(loop: loop, slices: self.slices)
        self.rules = rules
        self.keyring = keyring
    }

    func setRules(_ rules: EdgeRules) { self.rules = rules }

    func newID(node: UInt16) -> SessionID {
        // The system's generator is cryptographically secure.
        var generator = SystemRandomNumberGenerator()
        return SessionID(node: node, shard: self.index, random: (generator.next(), generator.next()))
    }

    func add(_ session: Session) {
        self.sessions[ObjectIdentifier(session)] = session
        self.byID[session.id] = session
        self.unended += 1
        self.present += 1
        self.closeLatecomer(session)
    }

    /// Both close handshakes are over. A polled session stays reachable until ``bury(_:frame:until:)``.
    func ended(_ session: Session) {
        self.unended -= 1
        guard !session.isPolled else { return }
        self.byID[session.id] = nil
    }

    /// The session has ended, and its connections are gone. A polled one is kept until it is buried.
    func gone(_ session: Session) {
        self.present -= 1
        guard self.byID[session.id] !== session else { return self.tellWaiters() }
        self.forget(session)
    }

    func bury(_ session: Session, frame: CloseFrame, until: NIODeadline) {
        guard self.byID.removeValue(forKey: session.id) != nil else { return }
        if session.isGone { self.forget(session) }
        let tombstone = Tombstone(
            subject: session.subject, basePath: session.basePath, host: session.facts.host, frame: frame, until: until)
        self.tombstones.add(tombstone, for: session.id, now: .now())
    }

    func session(_ id: SessionID) -> Session? { self.byID[id] }

    var sessionIDs: [SessionID] { Array(self.byID.keys) }

    func tombstone(_ id: SessionID) -> Tombstone? { self.tombstones.find(id, now: .now()) }

    private func forget(_ session: Session) {
        self.sessions[ObjectIdentifier(session)] = nil
        self.tellWaiters()
    }

    // MARK: - tokens

    /// Sessions that obey in the same turn of the loop in which the tables change.
    static let obeyAtOnce = 64

    /// Changes the tables, and has the sessions obey. The first sessions obey in this turn of the loop. A token may have
    /// thousands of sessions, so the others obey in slices.
    ///
    /// - Returns: done when all sessions have obeyed.
    @discardableResult
    func apply(_ changes: [TokenChange]) -> EventLoopFuture<Void> {
        var sessions = self.take(changes)
        for _ in 0..<min(Self.obeyAtOnce, sessions.count) { sessions.removeLast().reviewEntitlement() }
        guard !sessions.isEmpty else { return self.loop.makeSucceededVoidFuture() }
        return self.inSlices(sessions) { session in if let session { session.reviewEntitlement() } }
    }

    /// Calls `visit` with each of `sessions`, in slices of the loop, and at last with nil.
    ///
    /// - Returns: the last answer of `visit`.
    func inSlices<Answer: Sendable>(
        _ sessions: [Session], _ visit: @escaping (Session?) -> Answer
    ) -> EventLoopFuture<Answer> {
        let promise = self.loop.makePromise(of: Answer.self)
        var sessions = sessions
        self.slices.repeatWhile(in: .sessions) {
            let session = sessions.popLast()
            let answer = visit(session)
            if session == nil { promise.succeed(answer) }
            return session != nil
        }
        return promise.futureResult
    }

    /// Changes the tables alone.
    ///
    /// - Returns: the sessions whose tokens the changes are about, or those of their callers.
    func take(_ changes: [TokenChange]) -> [Session] {
        var ids: Set<String> = []
        var revoked: Set<JWTRevocation.Target> = []
        var keys: Set<String> = []
        for change in changes {
            switch change {
            case .put(let entry): ids.insert(entry.token.id)
            case .remove(let id): ids.insert(id)
            case .revokeJWT(let revocation): revoked.insert(revocation.target)
            // Nothing that has ended begins again.
            case .removeJWTRevocation: break
            case .jwtKeys(let ends):
                let old = self.keyring.jwtKeys ?? [:]
                keys.formUnion(old.keys.filter { old[$0] != ends[$0] })
            }
            self.keyring.apply(change)
        }
        return self.sessions.values.filter { session in
            session.hasToken { entry in
                let token = entry.token
                guard token.source == .jwt else { return ids.contains(token.id) }
                return revoked.contains(.id(token.id)) || entry.formerIDs.contains { revoked.contains(.id($0)) }
                    || revoked.contains(.subject(token.subject))
                    || entry.keyID.map(keys.contains) ?? false
            }
        }
    }

    // MARK: - stopping

    var closings: PendingClosings?
    /// Sessions whose client has its 101, and whose handlers are being put in their places.
    var starting = 0 {
        didSet { self.tellWaiters() }
    }
    private var waiters: [(isDone: (LoopState) -> Bool, promise: EventLoopPromise<Void>)] = []

    /// Done when every session has ended. A polled one that has waits only for its client to fetch the last of it.
    func whenEnded() -> EventLoopFuture<Void> {
        self.when { state in state.starting == 0 && state.unended == 0 }
    }

    /// Done when that has been fetched, too.
    func whenDelivered() -> EventLoopFuture<Void> {
        self.when(\.sessions.isEmpty)
    }

    /// Lets go of connections, once the sessions that are due have been told; the future is done when the last is closed.
    func stop() -> EventLoopFuture<Void> {
        self.letGo()
        return self.when { state in
            state.connections.isEmpty && state.lanes.isEmpty && state.starting == 0 && state.present == 0
        }
    }

    private func when(_ isDone: @escaping (LoopState) -> Bool) -> EventLoopFuture<Void> {
        let promise = self.loop.makePromise(of: Void.self)
        self.waiters.append((isDone, promise))
        self.tellWaiters()
        return promise.futureResult
    }

    func connectionClosed(_ connection: ClientConnection) {
        self.connections[ObjectIdentifier(connection)] = nil
        self.tellWaiters()
    }

    func laneClosed(_ lane: SocketLane) {
        self.lanes[ObjectIdentifier(lane)] = nil
        self.tellWaiters()
    }

    func sessionEnded() { self.tellWaiters() }

    private func tellWaiters() {
        guard !self.waiters.isEmpty else { return }
        let done = self.waiters.filter { $0.isDone(self) }
        self.waiters.removeAll { $0.isDone(self) }
        for waiter in done { waiter.promise.succeed() }
    }
}

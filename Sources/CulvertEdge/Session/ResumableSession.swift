import CulvertConfig
import CulvertCore
import DequeModule
import NIOCore

/// A session that outlives the connections of its client: does the actions of its ``ResumableClient``, with lanes,
/// requests and the upstream's connection.
final class ResumableSession: Session {
    @exclusivity(unchecked) var client: ResumableClient
    /// The actions that are not done yet. An action may cause the next event, whose actions are added at the end.
    private var actions: Deque<ResumableAction> = []
    private var isActing = false
    /// Whether room may have come for the lane's envelopes while actions were under way.
    private var mayReadLane = false
    /// The lane that may bring more. It is told when no action is under way, because it may bring more at once.
    private var laneToRead: UInt64?
    /// Whether several batches pass now. They are flushed together: a flush costs as much as many small batches.
    private var holdsFlush = false
    /// The lanes and requests of the client.
    var callers = SessionCallers()
    /// The last answer with messages to a `GET`. The hold tells whether the answer is still being written.
    weak var answer: AnswerHold?

    init(
        facts: SessionFacts, credential: Credential?, edge: EdgeContext, state: LoopState, upstreamLeg: WebSocketLeg,
        lease: ServerLease, place: SessionPlace
    ) {
        self.client = ResumableClient(settings: state.rules.settings, now: state.loop.now)
        super.init(
            facts: facts, credential: credential, edge: edge, state: state, upstreamLeg: upstreamLeg, lease: lease,
            place: place, transport: .longPoll)
    }

    override var isResumable: Bool { true }
    override var comesByRequests: Bool { self.client.traffic.lane == nil }
    override var counts: SessionCounts { self.client.traffic.counts }
    /// The counts have only whole messages, so parts of long messages are added.
    override var activity: UInt64 {
        self.counts.sum &+ self.upstreamLeg.assembledPayload &+ self.client.lanes.parts
    }
    override var deadline: NIODeadline? {
        self.client.traffic.isBuried ? nil : min(self.commonDeadline, self.client.deadline(self.life))
    }
    override var hasQueuedClose: Bool { self.client.traffic.forwarding.hasClose }
    override var keepsPlace: Bool { !self.client.traffic.isBuried }
    override var heldForClient: Int {
        guard !self.client.traffic.isBuried else { return 0 }
        let held = self.client.traffic.heldBytes(self.life) + self.callers.heldBytes
        return held + (self.isEnded ? 0 : self.upstreamLeg.assembledBytes)
    }
    override var heldByLane: Int { self.callers.lane(self.client.traffic.lane?.generation)?.heldBytes ?? 0 }

    var endFrame: CloseFrame { self.client.traffic.endFrame(self.life) }

    private var moment: ClientMoment {
        let now = self.now
        let wait = self.messageRate == nil ? nil : self.credential?.entry.use.wait(now: now)
        return ClientMoment(
            now: now, room: self.state.slices.room, isUpstreamWritable: self.upstreamLeg.isWritable, tokenWait: wait,
            rate: self.limits.fromClient, closeTime: self.state.rules.closeTimeout)
    }

    /// Calls a verb of the client, and does what it returns.
    func tell(
        _ verb: (inout ResumableClient, inout SessionLife, ClientMoment) -> [ResumableAction]
    ) {
        let moment = self.moment
        let actions = verb(&self.client, &self.life, moment)
        guard !actions.isEmpty else { return }
        self.actions.append(contentsOf: actions)
        guard !self.isActing else { return }
        self.isActing = true
        var answers = 0
        while let action = self.actions.popFirst() {
            if case .answer = action { answers += 1 }
            if answers > ForwardQueue.repliesAtOnce, case .answer(let ticket, let answer) = action {
                // A client may wait for answers on very many connections.
                self.state.slices.enqueue(in: .sessions, of: self.facts.client) { self.answer(ticket, answer) }
            } else {
                self.act(action)
            }
        }
        self.isActing = false
        if !self.holdsFlush { self.upstreamLeg.flush() }
        if self.mayReadLane {
            self.mayReadLane = false
            self.readLane()
        }
        if let generation = self.laneToRead.take() { self.link(generation)?.send(.read) }
    }

    private func act(_ action: ResumableAction) {
        switch action {
        case .answer(let ticket, let answer): self.answer(ticket, answer)
        case .park(let ticket): self.park(ticket)
        case .cutAnswer: self.answer?.cut()
        case .send(let batch, let generation):
            self.state.slices.notePassed(batch.cost)
            self.link(generation)?.send(.batch(batch))
        case .readLane(let generation): self.laneToRead = generation
        case .closeLane(let generation, let frame):
            let link = self.link(generation)
            // The lane is forgotten first, because a lane that closes reports it at once.
            self.forgetLane(generation)
            link?.send(.close(frame))
        case .useLane: self.transport = .webSocket
        case .pass(let messages):
            self.state.slices.notePassed(messages.count)
            self.upstreamLeg.write(.clientFrames(of: messages, masks: &self.state.masks))
        case .sayUpstream(let frame):
            if !self.upstreamLeg.isLost {
                self.upstreamLeg.say(.close(frame, to: .server), behind: nil, betweenMessages: false)
            }
        case .closeUpstream(let time):
            // An upstream that broke the protocol may send anything.
            if self.life.violator == .server {
                self.upstreamLeg.closeLingering()
            } else {
                self.upstreamLeg.close(within: time)
            }
        case .charge(let count, let holdsLane): self.chargeToken(count, holdsLane: holdsLane)
        case .later(.forward):
            self.state.slices.enqueueRest(in: .sessions, of: self.facts.client) { self.goOn(with: .forward) }
        case .later(let work): self.state.slices.enqueue(in: .sessions, of: self.facts.client) { self.goOn(with: work) }
        case .began:
            self.liftPauses()
            self.readLane()
        case .end: self.hasJustEnded()
        case .bury(let frame):
            self.stopTimer()
            self.releasePlace()
            self.accountMemory()
            self.state.bury(self, frame: frame, until: self.now + self.state.rules.settings.resume)
        }
    }

    private func goOn(with work: ResumableAction.Work) {
        switch work {
        case .forward: self.tell { $0.traffic.forwardMore(&$1, $2) }
        case .take: self.client.lanes.takeMore(&self.client.traffic)
        case .deliver: self.client.lanes.deliverMore(&self.client.traffic)
        }
        self.readLane()
        self.settle()
    }

    override func settle() {
        ResumableUpstream.readOn(self)
        self.deliver()
        self.tell { $0.bury($1, $2) }
        self.accountMemory()
        self.arm()
    }

    func deliver() {
        let parked = self.client.traffic.parked
        self.tell { $0.deliver($1, $2) }
        if self.client.traffic.parked != parked { self.arm() }
    }

    override func timePassed(now: NIODeadline) {
        self.tell { $0.timePassed(&$1, $2) }
        self.settle()
    }

    override func negotiate(_ event: CloseNegotiation.Event) {
        self.tell { $0.traffic.close(event, &$1, $2) }
        self.settle()
    }

    override func shutdown(_ frame: CloseFrame, patience: TimeAmount = .zero) {
        self.tell { $0.traffic.shutdown(frame, &$1, $2) }
        self.settle()
    }

    override func cut() {
        self.tell { $0.traffic.cut(&$1, $2) }
        self.upstreamLeg.abort()
        self.settle()
    }

    override func adopt(_ settings: SessionSettings) {
        self.client.adopt(settings)
        // By the new limit the window may be full, or have room again.
        if self.client.traffic.stream.isSendWindowFull { ResumableUpstream.pause(self) }
        self.settle()
    }

    override func forfeit(_ frame: CloseFrame) { self.tell { $0.traffic.forfeit(frame, &$1, $2) } }

    override func pauseForMemory() { self.upstreamLeg.pause(.memoryFull) }

    /// From now on the gate refuses the client's requests, because the token is dead.
    override func drop(for fault: TokenFault, _ frame: CloseFrame) {
        var tickets: [UInt64] = []
        self.tell {
            let dropped = $0.traffic.expel(frame, &$1, $2)
            tickets = dropped.tickets
            return dropped.actions
        }
        self.requests.refuse(tickets, .unauthorized(fault))
    }

    // MARK: - the client's messages

    private func chargeToken(_ count: Int, holdsLane: Bool) {
        guard let rate = self.messageRate, let use = self.credential?.entry.use else { return }
        let now = self.now
        use.take(count, rate: rate, now: now)
        let wait = use.wait(now: now)
        if holdsLane, wait > .zero { _ = self.life.limits.pauseForToken(until: now + wait) }
    }

    override func tokenRateIsKept() { self.readLane() }

    /// Takes the lane's envelopes that wait if there is room, or lets the lane bring more.
    func readLane() {
        guard !self.isActing else {
            self.mayReadLane = true
            return
        }
        // ``takeEnvelopes()`` is under way, and goes on by itself.
        guard !self.holdsFlush else { return }
        switch self.client.lanes.readOn(self.client.traffic, self.life, self.moment) {
        case .nothing: break
        case .read: self.deliver()
        case .take:
            self.takeEnvelopes()
            self.settle()
        }
    }

    /// Takes the envelopes that the lane has brought while there is room for them.
    private func takeEnvelopes() {
        var room = self.state.slices.room
        var count = 0
        self.holdsFlush = true
        while room > 0 {
            var cost: Int?
            self.tell {
                guard let (taken, actions) = $0.lanes.takeNext(&$0.traffic, &$1, $2) else { return [] }
                cost = taken
                return actions
            }
            guard let cost else { break }
            count += 1
            room -= cost
        }
        self.holdsFlush = false
        self.upstreamLeg.flush()
        self.state.slices.notePassed(count)
        self.tell { $0.lanes.tookEnvelopes(hasRoom: room > 0, &$0.traffic, $1, $2) }
    }

    // MARK: - lanes

    private func link(_ generation: UInt64) -> LaneLink? { self.callers.lane(generation)?.link }

    private func forgetLane(_ generation: UInt64) {
        self.callers.removeLane(generation)
        self.state.relief.holders.update(self)
    }

    /// The session was opened on `link`. It is unconfirmed until its client uses it (``ClientLanes/open(_:)``).
    func open(on link: LaneLink) -> UInt64 {
        let generation = self.client.lanes.open(&self.client.traffic)
        let caller = Caller(
            credential: self.credential, host: self.facts.host, origins: self.facts.origins, transport: .webSocket)
        self.callers.add(SessionCallers.Lane(generation: generation, link: link, caller: caller))
        self.transport = .webSocket
        return generation
    }

    func join(_ link: LaneLink, _ caller: Caller) -> PollAnswer {
        let moment = self.moment
        switch self.client.lanes.join(&self.client.traffic, self.life, moment) {
        case .gone(let frame): return .problem(.gone(frame))
        case .joined(let generation, let actions):
            let kept = caller.kept(beside: self.facts)
            self.callers.add(SessionCallers.Lane(generation: generation, link: link, caller: kept))
            self.noteEnd(of: caller)
            self.tell { _, _, _ in actions }
            return .joined(generation)
        }
    }

    func lane(_ generation: UInt64, _ event: LaneEvent) {
        switch event {
        case .batches(let batches, let controls):
            if !batches.isEmpty {
                self.tell { client, _, moment in
                    client.lanes.envelopes(batches, from: generation, &client.traffic, moment)
                }
                if self.client.traffic.lane?.generation == generation { self.takeEnvelopes() }
            }
            self.tell { $0.lanes.read(of: generation, controls: controls, &$0.traffic, &$1, $2) }
        case .writable(let isWritable):
            self.tell { client, _, moment in
                client.lanes.lane(generation, isWritable: isWritable, &client.traffic, moment)
            }
        case .parts:
            self.client.lanes.partCame(on: generation, self.client.traffic)
            return
        case .holds(let bytes):
            self.callers.lane(generation, holds: bytes)
            self.state.relief.holders.update(self)
            return
        case .lost:
            self.forgetLane(generation)
            self.tell { $0.lanes.laneLost(generation, &$0.traffic, &$1, $2) }
        }
        self.settle()
    }

    // MARK: - the upstream

    override func startLegs() { self.upstreamLeg.start(delegate: ResumableUpstream(self)) }

    override func rateIsKept(by side: Endpoint) {
        if side == .client { self.readLane() }
        self.settle()
        // The messages that were held back may have exceeded the rate again.
        if side == .server, self.life.limits.upstream.pause == nil { self.upstreamLeg.resume(.sessionRate) }
    }

    override func keepAlive() {
        let tick = self.life.keepalives.tick(client: nil, upstream: self.upstreamLeg.standing).upstream
        tick.act(on: self.upstreamLeg, behind: nil, self.life.closing)
        self.upstreamLeg.look()
    }

    // MARK: - requests

    var requests: ClientRequests { ClientRequests(session: self) }

    /// Ends the wait of a request. Returns whether it was the parked poll.
    @discardableResult
    func leave(_ ticket: UInt64) -> Bool {
        var wasParked = false
        self.tell { client, _, moment in
            wasParked = client.leave(ticket, moment)
            return []
        }
        return wasParked
    }

    func forget(_ ticket: UInt64) -> SessionCallers.Request? {
        if self.callers.parked == ticket { self.edge.admissions.unparked() }
        return self.callers.take(ticket)
    }

    func give(_ answer: PollAnswer, to ticket: UInt64) { self.forget(ticket)?.respond(answer) }

    func answer(_ ticket: UInt64, _ answer: ResumableAnswer) {
        guard let request = self.forget(ticket) else { return }
        request.respond(PollAnswer(answer) { self.requests.hold($0, for: request.caller) })
    }

    func park(_ ticket: UInt64) {
        guard self.client.traffic.parked == ticket else { return }
        guard self.edge.admissions.mayPark(limit: self.state.rules.config.limits.http.parked) else {
            self.tell { client, _, moment in client.refuseToPark(ticket, moment) }
            return
        }
        self.edge.admissions.parked()
        if let caller = self.callers.park(ticket) { self.noteEnd(of: caller) }
    }

    // MARK: - callers

    override func hasToken(where isMeant: (TokenEntry) -> Bool) -> Bool {
        super.hasToken(where: isMeant)
            || self.callers.all(self.answer).contains { $0.credential.map { isMeant($0.entry) } ?? false }
    }

    /// Closes or answers each caller that may not go on. The session itself goes on.
    override func reviewCallers(_ review: CallerReview) {
        guard !self.client.traffic.isBuried else { return }
        let faults = self.callers.faults(self.answer) { caller in
            self.state.rules.fault(
                of: caller, path: self.basePath, routeName: self.facts.route.name, keyring: self.state.keyring, review)
        }
        for (place, fault) in faults {
            switch place {
            case .lane(let generation):
                let frame = fault.frame(self.state.rules.config)
                self.tell { $0.lanes.closeLane(generation, frame, &$0.traffic, &$1, $2) }
            case .parked(let ticket):
                self.leave(ticket)
                self.give(PollAnswer(fault), to: ticket)
            case .answer: if self.isOpen || !fault.isOfGate { self.answer?.cut() }
            }
        }
        self.life.tokens.forgetCallers()
        for caller in self.callers.all(self.answer) { self.noteEnd(of: caller) }
        self.settle()
    }

    /// Has the session look at the caller again when the caller's token ends.
    func noteEnd(of caller: Caller) {
        let time = CredentialReview(self.state).time(until: caller, beside: self.credential)
        if let time { self.life.tokens.caller(endsAt: self.now + time) }
    }

    override func succeedCallers(of old: Credential) { self.callers.succeed(old) }
}

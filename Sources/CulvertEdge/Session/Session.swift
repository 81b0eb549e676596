import CulvertConfig
import CulvertCore
import NIOCore

/// The driver of one client and its upstream: reports events to the session's life, and does what that returns.
///
/// Each call is on the loop of the upstream's connection. ``PassThroughSession`` and ``ResumableSession`` have what
/// differs between the two kinds. This is a base class, like ``QueuedOutput``, because Swift would check each access to
/// members that a protocol requires while the program runs.
class Session {
    final var facts: SessionFacts
    final let edge: EdgeContext
    final let state: LoopState
    final let upstreamLeg: WebSocketLeg
    final let lease: ServerLease
    final let place: SessionPlace
    /// Used in each read. docs/decisions says why `unchecked` is safe.
    @exclusivity(unchecked) final var life: SessionLife
    /// The client's latest credential; nil where the route asks for none.
    @exclusivity(unchecked) final var credential: Credential?
    /// The transport that the client has used last.
    final var transport: Transport
    final var holding = SessionHolding()
    private final var timer = SessionTimer()

    final var id: SessionID { self.facts.id }
    final var subject: String? { self.credential?.token.subject }
    final var basePath: String { self.facts.basePath }
    /// Whether the session's end has not begun.
    final var isOpen: Bool { self.life.isOpen }
    final var isEnded: Bool { self.life.hasEnded }
    final var isGone: Bool { self.life.isGone }
    final var token: SessionToken { SessionToken(session: self) }
    /// The current time of the loop's timers.
    final var now: NIODeadline { self.state.loop.now }

    init(
        facts: SessionFacts, credential: Credential?, edge: EdgeContext, state: LoopState, upstreamLeg: WebSocketLeg,
        lease: ServerLease, place: SessionPlace, transport: Transport
    ) {
        self.facts = facts
        self.credential = credential
        self.edge = edge
        self.state = state
        self.upstreamLeg = upstreamLeg
        self.lease = lease
        self.place = place
        self.transport = transport
        let limits = state.rules.config.limits.session
        self.life = SessionLife(
            period: state.rules.settings.ping, limitsClient: limits.fromClient != nil,
            limitsUpstream: limits.toClient != nil, now: state.loop.now)
    }

    // MARK: - what differs between the kinds

    /// Whether the session outlives its client's connections.
    var isResumable: Bool { false }
    /// Whether the session is resumable, and its client has no WebSocket now.
    var comesByRequests: Bool { false }
    /// The WebSocket connections of the session, without lanes.
    var legs: [WebSocketLeg] { [self.upstreamLeg] }
    var counts: SessionCounts { SessionCounts() }
    /// A number that grows with everything that passes. A session is silent while it does not change.
    var activity: UInt64 { self.counts.sum }
    /// The time of the next deadline; nil when the session waits for nothing any more.
    var deadline: NIODeadline? { self.isEnded ? nil : self.commonDeadline }
    /// Whether the Close for the upstream waits behind messages.
    var hasQueuedClose: Bool { false }
    /// Bytes that are held for the client, beside those of the upstream's connection.
    var heldForClient: Int { 0 }
    /// Bytes of the lane in use, which the lane has counted itself.
    var heldByLane: Int { 0 }
    /// Whether the session keeps its place after its end, because it holds messages that its client may still fetch.
    var keepsPlace: Bool { false }

    func startLegs() {}
    /// Handles an event that begins the session's end, or continues it.
    func negotiate(_ event: CloseNegotiation.Event) {}
    /// Closes the session between two messages: each side's Close comes behind the message that is on its way there.
    /// With `patience` the session first waits until nothing is on its way in either direction, because a peer that
    /// reads a Close may leave its own message unfinished.
    func shutdown(_ frame: CloseFrame, patience: TimeAmount = .zero) {}
    /// Ends the session at once, without close handshakes.
    func cut() {}
    /// A period of keepalive has passed.
    func keepAlive() {}
    /// The pause of a side that was over its rate has ended.
    func rateIsKept(by side: Endpoint) {}
    /// The pause of the client, whose token was over its rate, has ended.
    func tokenRateIsKept() {}
    /// The timer has fired. Does the work of this kind that is due.
    func timePassed(now: NIODeadline) {}
    /// Ends the handling of an event, which may have made room or ended the session.
    func settle() {}
    /// The session's token has died. No message passes any more, and `frame` tells the client why.
    func drop(for fault: TokenFault, _ frame: CloseFrame) {}
    /// The session is closed for its memory. Drops the messages that it holds for its client.
    func forfeit(_ frame: CloseFrame) {}
    /// Pauses the reading that makes the session grow.
    func pauseForMemory() {}
    /// The session closes while a side takes nothing. The other side is read again.
    func abandonStuckLegs() { self.upstreamLeg.resume(.peerNotWritable) }
    func adopt(_ settings: SessionSettings) {}
    func reviewCallers(_ review: CallerReview) {}
    func succeedCallers(of old: Credential) {}
    /// Whether the session or a caller of it has a token for which `isMeant` is true.
    func hasToken(where isMeant: (TokenEntry) -> Bool) -> Bool { self.credential.map { isMeant($0.entry) } ?? false }

    // MARK: - from the start to the end

    final func start() {
        self.state.add(self)
        self.edge.log.opened(self)
        self.accountMemory()
        self.lookForSilence(now: self.life.openedAt)
        self.arm()
        // The configuration may have changed, the token died or the server been taken down since the client was
        // answered. No message passes before this check.
        let jwtRules = self.state.rules.config.authentication.jwtRules
        self.adopt(self.state.rules, haveJWTRulesChanged: self.facts.jwtRules != jwtRules)
        if self.lease.server.state == .down {
            self.dismiss(EdgeUpstreams.takenDown, upstreamReason: EdgeUpstreams.takenDown.reason)
        }
        self.startLegs()
    }

    /// Ends the session. The client gets `frame`, and the upstream a Close with `upstreamReason`.
    final func dismiss(_ frame: CloseFrame, upstreamReason: String) {
        self.negotiate(.expelled(frame, upstream: CloseFrame(code: .goingAway, reason: upstreamReason)))
    }

    /// The session begins to close. Lifts the pauses of its legs, so that a peer's answer to a Close is read.
    final func liftPauses() {
        for leg in self.legs {
            leg.resume(.controlRate)
            leg.resume(.sessionRate)
        }
        self.readOn()
        self.arm()
    }

    /// Both close handshakes are over. Logs the end, and gives back what is free already.
    final func hasJustEnded() {
        self.accountMemory()
        self.edge.log.ended(self, ending: self.life.closing.ending, duration: self.now - self.life.openedAt)
        self.state.ended(self)
        self.releaseIfGone()
        self.arm()
    }

    /// Gives the session's places back once its connections are gone. If they were given back before, a client that
    /// reads nothing could have many connections for one place.
    final func releaseIfGone() {
        guard self.isEnded, !self.isGone else { return }
        if self.upstreamLeg.isLost { self.lease.release() }
        guard self.legs.allSatisfy(\.isLost), self.life.connectionsClosed() else { return }
        self.releasePlace()
        self.accountMemory()
        self.state.gone(self)
    }

    final func releasePlace() {
        if self.isGone, !self.keepsPlace { self.place.release() }
    }

    // MARK: - time

    final var commonDeadline: NIODeadline { self.life.deadline(lifetime: self.limits.lifetime, stall: self.stall) }

    final func stopTimer() { self.timer.stop(in: self.state.timers) }

    final func arm() {
        guard let deadline = self.deadline, self.timer.needs(deadline) else { return }
        self.timer.set(at: deadline, in: self.state.timers) { self.timerFired() }
    }

    private final func timerFired() {
        self.timer.fired()
        let now = self.now
        let time = self.state.rules.closeTimeout
        switch self.life.timePassed(hasQueuedClose: self.hasQueuedClose, time: time, now: now) {
        case .nothing: break
        case .shutdown(let frame): self.shutdown(frame)
        // This leads to legLost too, but the negotiation is over by then.
        case .cut: self.cut()
        }
        self.lookAtTokens(now: now)
        if self.life.takeTick(period: self.state.rules.settings.ping, now: now) {
            // The system's clock may have been set since.
            self.reviewCredential()
            self.reviewCallers(.time)
            self.watch(now: now)
            self.keepAlive()
        }
        self.lookAtLimits(now: now)
        self.timePassed(now: now)
        self.arm()
    }

    /// Pauses a peer that sends too many pings and pongs.
    final func charge(_ new: ControlCount, of leg: WebSocketLeg) {
        let now = self.now
        guard let wait = leg.control.charge(new.frames, now: now) else { return }
        leg.pause(.controlRate)
        if leg.control.isFirstExcess() { self.edge.log.tooManyControls(self, from: leg.sender) }
        self.life.limits.pause(leg.sender, for: .controls, until: now + wait)
        self.arm()
    }
}

import CulvertConfig
import CulvertCore
import NIOCore

/// What an open session may do.
extension Session {
    final var limits: SessionLimits { self.state.rules.config.limits.session }
    final var stall: TimeAmount? { self.state.rules.config.session.stall }

    /// Nothing but its own time ends the session; a reload's limits are seen within a period of `session.ping`.
    final func watch(now: NIODeadline) {
        guard self.isOpen else { return }
        self.life.limits.suspend(client: self.limits.fromClient == nil, upstream: self.limits.toClient == nil)
        self.lookForSilence(now: now)
    }

    /// Ends the session for a limit of Culvert's. Both sides are told which one.
    final func end(because reason: String, code: CloseCode) {
        self.dismiss(CloseFrame(code: code, reason: reason), upstreamReason: reason)
    }

    /// Charges what a read of `leg` has brought, where there is a limit for it.
    final func charge(_ leg: WebSocketLeg) {
        guard self.isOpen else { return }
        let now = self.now
        let counts = self.counts
        let isClient = leg.sender == .client
        // Pings, pongs and empty fragments are messages here: they cost as much.
        let controls = leg.controls
        let verdict = self.life.limits.charge(
            leg.sender, messages: (isClient ? counts.messagesIn : counts.messagesOut) &+ controls.charged,
            bytes: (isClient ? counts.bytesIn : counts.bytesOut) &+ controls.bytes,
            limit: isClient ? self.limits.fromClient : self.limits.toClient, now: now)
        switch verdict {
        case .within: break
        case .close(let reason): self.end(because: reason, code: .policyViolation)
        case .wait(let wait):
            leg.pause(.sessionRate)
            self.life.limits.pause(leg.sender, for: .rate, until: now + wait)
            self.arm()
        }
    }

    final func lookForSilence(now: NIODeadline) {
        if self.life.limits.lookForSilence(
            count: self.activity, limit: self.state.rules.idleLimit(of: self.facts.route), now: now)
        {
            self.end(because: "idle", code: .goingAway)
        }
    }

    /// `leg` takes more, or no more.
    final func noteWritability(of leg: WebSocketLeg, isWritable: Bool) {
        if isWritable {
            self.life.limits.flows(leg.sender)
        } else {
            self.life.limits.stalls(leg.sender, now: self.now)
        }
        self.accountMemory()
        if !isWritable { self.arm() }
    }

    final func lookAtLimits(now: NIODeadline) {
        guard self.isOpen else { return }
        for pause in self.life.limits.takePauses(now: now) {
            switch pause.cause {
            case .controls: self.legs.first { $0.sender == pause.side }?.resume(.controlRate)
            case .rate: self.rateIsKept(by: pause.side)
            }
        }
        if self.life.limits.isLookDue(now: now) { self.lookForSilence(now: now) }
        if let lifetime = self.limits.lifetime, self.life.openedAt + lifetime <= now {
            self.end(because: "lifetime over", code: .goingAway)
        }
        guard self.isOpen, let side = self.life.limits.takeStalled(stall: self.stall, now: now) else { return }
        self.end(because: side == .client ? "client too slow" : "upstream too slow", code: .tryAgainLater)
        self.abandonStuckLegs()
    }
}
